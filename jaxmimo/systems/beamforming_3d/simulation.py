"""Sum rates: by Monte Carlo over the fading, over drops of users, and without any in the limit."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Complex, Float, Key

from jaxmimo.core.checks import (
    checked_key,
    functions,
    integers,
    is_traced,
    positive_integer,
    require,
    require_kind,
)
from jaxmimo.core.programs import kept_jit
from jaxmimo.rates.sinr import sinr_of_powers, spectral_efficiency
from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
from jaxmimo.systems.beamforming_3d.cell import (
    Cell,
    Groups,
    channel_factors,
    check_users,
    draw_channels,
    factor_ranks,
    make_cell,
    make_cells,
)
from jaxmimo.systems.beamforming_3d.schemes import (
    Precoding,
    Scheme,
    TwoStageSLNR,
    adjacent_groups,
    nested,
)
from jaxmimo.systems.beamforming_3d.system import Beamforming3D, Users, check_groups, draw_users
from jaxmimo.systems.beamforming_3d.two_stage import two_stage_powers


def _lanes() -> int:
    """Fading realizations side by side within a drop: what a CPU's caches hold, or a GPU takes."""
    return 2 if jax.default_backend() == "cpu" else 32


def sum_rate(
    key: Key[Array, ""],
    system: Beamforming3D,
    users: Users,
    *,
    scheme: Scheme | Sequence[Scheme] = adjacent_groups,
    groups: Groups | None = None,
    realizations: int,
    batch_size: int | None = None,
    target_error: float | None = None,
) -> Estimate:
    r"""Ergodic sum rate of given users, $E \sum_k \log_2(1 + \mathrm{SINR}_k)$.

    Args:
        key: Typed key of the fading.
        system: The cell.
        users: The users.
        scheme: Downlink scheme; a sequence is simulated from the same draws.
        groups: Groups of the users; None for those of 2D-FQUG.
        realizations: Fading realizations.
        batch_size: Realizations side by side; None takes what fits a memory budget.
        target_error: Stop at this relative standard error; `realizations` is then the most drawn.

    Returns:
        Estimate of the sum rate [bit/s/Hz] with its error over the fading; shape () or (schemes,).

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eqs. (26)-(27).
    """
    checked_key(key)
    cell = grouped_cell(system, users, groups)
    sample = Partial(
        _rate_of_fading,
        cell=cell,
        schemes=as_schemes(scheme),
        keep_axis=not callable(scheme),
    )
    return monte_carlo(sample, key, realizations, batch_size=batch_size, target_error=target_error)


def deterministic_sum_rate(
    system: Beamforming3D,
    users: Users,
    *,
    scheme: Scheme | Sequence[Scheme] = adjacent_groups,
    groups: Groups | None = None,
) -> Float[Array, "*schemes"]:
    """Deterministic equivalent of the sum rate of given users, from their covariances alone.

    For generalized MRT it is the ergodic sum rate itself. It is differentiable in all parameters
    of system and users, but for the groups, which are constant where no user changes group.

    Args:
        system: The cell.
        users: The users.
        scheme: Downlink scheme, or a sequence of them.
        groups: Groups of the users; None for those of 2D-FQUG.

    Returns:
        Sum rate [bit/s/Hz], shape () or (schemes,).

    References:
        Fan et al., Theorem 1.
    """
    rates = _limit_of_cell(grouped_cell(system, users, groups), as_schemes(scheme))
    return rates[0] if callable(scheme) else rates


def simulate_sum_rate(
    key: Key[Array, ""],
    system: Beamforming3D,
    *,
    scheme: Scheme | Sequence[Scheme] = adjacent_groups,
    azimuth_groups: Sequence[int] | None = None,
    drops: int,
    realizations: int = 64,
    batch_size: int | None = None,
    target_error: float | None = None,
) -> Estimate:
    """Mean sum rate over drops of users and their fading.

    Args:
        key: Typed key.
        system: The cell.
        scheme: Downlink scheme; a sequence is simulated from the same draws.
        azimuth_groups: Numbers of subsectors G to simulate from the same draws, instead of the
            system's own.
        drops: Drops of the users.
        realizations: Fading realizations per drop.
        batch_size: Drops side by side; None takes what fits a memory budget.
        target_error: Stop at this relative standard error; `drops` is then the most drawn.

    Returns:
        Estimate of the sum rate [bit/s/Hz] with its error over drops, shape
        (*azimuth_groups, *schemes), where an axis is there only if several were asked for.

    References:
        Fan et al., eqs. (26)-(27).
    """
    sample = rate_sample(
        system, scheme=scheme, azimuth_groups=azimuth_groups, realizations=realizations
    )
    count = positive_integer("drops", drops, minimum=2)
    return monte_carlo(sample, key, count, batch_size=batch_size, target_error=target_error)


def rate_sample(
    system: Beamforming3D,
    *,
    scheme: Scheme | Sequence[Scheme] = adjacent_groups,
    azimuth_groups: Sequence[int] | None = None,
    realizations: int = 64,
) -> Partial:
    """The sample of a simulation: a function of a key to the sum rate of a drop.

    Arguments as for `simulate_sum_rate`. Drop i of a simulation has the key `fold_in(key, i)`; its
    users are those of `draw_users` with the first of the two keys split from it.
    """
    require_kind("system", system, Beamforming3D)
    count = positive_integer("realizations", realizations)
    as_schemes(scheme)
    if azimuth_groups is not None:
        azimuth_groups = integers("azimuth_groups", azimuth_groups)
        require(
            len(azimuth_groups) > 0,
            "`azimuth_groups` must hold at least one number. Leave it out for the system's own.",
        )
        for groups in azimuth_groups:
            check_groups("azimuth", system.azimuth_antennas, groups)
    return Partial(
        _sample,
        system=system,
        rates=Partial(mean_over_fading, realizations=count),
        scheme=scheme if callable(scheme) else tuple(scheme),
        azimuth_groups=azimuth_groups,
        ranks=factor_ranks(system),
    )


def equivalent_sample(
    system: Beamforming3D,
    *,
    scheme: Scheme | Sequence[Scheme] = adjacent_groups,
    azimuth_groups: Sequence[int] | None = None,
) -> Partial:
    """As `rate_sample`, with the deterministic equivalents of the same drops instead."""
    sample = rate_sample(system, scheme=scheme, azimuth_groups=azimuth_groups)
    return Partial(_sample, **{**sample.keywords, "rates": Partial(_limits)})


def _sample(
    key: Array,
    *,
    system: Beamforming3D,
    rates: Callable[[Array, tuple[Cell, ...], tuple[Scheme, ...]], Array],
    scheme: Scheme | tuple[Scheme, ...],
    azimuth_groups: tuple[int, ...] | None,
    ranks: tuple[int, int],
) -> Array:
    """Rates (azimuth_groups, schemes) of one drop, without the axes that were not asked for."""
    users_key, fading_key = jax.random.split(key)
    users = draw_users(users_key, system)
    counts = azimuth_groups or (system.azimuth_groups,)
    cells = make_cells(system, users, counts, ranks=ranks)
    result = rates(fading_key, cells, as_schemes(scheme))
    left_out = (azimuth_groups is None, callable(scheme))
    return result.squeeze(tuple(axis for axis in (0, 1) if left_out[axis]))


def as_schemes(scheme: Scheme | Sequence[Scheme]) -> tuple[Scheme, ...]:
    """One or several schemes as a tuple."""
    return functions("scheme", scheme, "`adjacent_groups`")


def grouped_cell(system: Beamforming3D, users: Users, groups: Groups | None) -> Cell:
    """The cell of given users, in these groups or those of 2D-FQUG."""
    check_users(system, users)
    if groups is not None:
        require_kind("groups", groups, Groups)
    cell = make_cell(system, users, ranks=factor_ranks(system, users))
    if groups is None:
        return cell
    for direction, each, count, beams in (
        ("azimuth", groups.azimuth, groups.azimuth_groups, system.azimuth_antennas),
        ("elevation", groups.elevation, groups.elevation_groups, system.elevation_antennas),
    ):
        check_groups(direction, beams, count)
        require(
            is_traced(each) or bool(np.all((np.asarray(each) >= 0) & (np.asarray(each) < count))),
            f"`groups` must be from 0 to {count - 1} in {direction}, but are not. Count from 0.",
        )
    require(
        groups.azimuth.shape == groups.elevation.shape == (cell.num_users,)
        and groups.azimuth.size == cell.num_users,
        f"`groups` must be those of the {cell.num_users} users, but are of {groups.azimuth.size}. "
        "Group all users that are served.",
    )
    return cell.with_groups(groups)


def _limits(key: Array, cells: tuple[Cell, ...], schemes: tuple[Scheme, ...]) -> Array:
    del key
    return limits(cells, schemes)


def limits(cells: Sequence[Cell], schemes: tuple[Scheme, ...]) -> Float[Array, "cells schemes"]:
    """Deterministic equivalents of the sum rates of one drop; arguments as `mean_over_fading`."""
    return jnp.stack([_limit_of_cell(cell, schemes) for cell in cells])


@kept_jit
def _limit_of_cell(cell: Cell, schemes: tuple[Scheme, ...]) -> Float[Array, " schemes"]:
    rates = _limit_of_each([scheme(cell) for scheme in schemes])
    return jnp.stack([each.sum() for each in rates])


def mean_over_fading(
    key: Key[Array, ""],
    cells: tuple[Cell, ...],
    schemes: tuple[Scheme, ...],
    *,
    realizations: int,
) -> Float[Array, "cells schemes"]:
    """Sum rates of one drop in the mean over its fading, worked through in chunks.

    Args:
        key: Typed key of the fading; realization i has `fold_in(key, i)`.
        cells: The drop under several groupings, which differ in nothing else.
        schemes: Downlink schemes.
        realizations: Fading realizations.
    """
    factors = channel_factors(cells[0])
    precodings = [[scheme(cell) for scheme in schemes] for cell in cells]
    chunks = math.ceil(realizations / _lanes())
    size = math.ceil(realizations / chunks)

    def of_realization(i: Array) -> Array:
        h = draw_channels(jax.random.fold_in(key, i), factors)
        rates = sum_rates(precodings, h)
        return jnp.where(i < realizations, rates, 0.0)

    @jax.checkpoint
    def add_chunk(j: Array, total: Array) -> Array:
        return total + jax.vmap(of_realization)(j * size + jnp.arange(size)).sum(0)

    empty = jnp.zeros((len(cells), len(schemes)))
    return lax.fori_loop(0, chunks, add_chunk, empty) / realizations


def _rate_of_fading(key: Array, cell: Cell, schemes: tuple[Scheme, ...], keep_axis: bool) -> Array:
    h = draw_channels(key, channel_factors(cell))
    (rates,) = sum_rates([[scheme(cell) for scheme in schemes]], h)
    return rates if keep_axis else rates[0]


def sum_rates(
    precodings: Sequence[Sequence[Precoding]],
    h: Complex[Array, "users azimuth_antennas elevation_antennas"],
) -> Float[Array, "cells precodings"]:
    """Sum rates of equally many precodings of every cell in one realization, eqs. (26)-(27)."""
    powers = jnp.stack([jnp.stack(of_cell) for of_cell in powers_of_each(precodings, h)])
    sinr = jax.vmap(jax.vmap(sinr_of_powers))(powers)
    return spectral_efficiency(sinr).sum(-1)


def powers_of_each(
    precodings: Sequence[Sequence[Precoding]],
    h: Complex[Array, "users azimuth_antennas elevation_antennas"],
) -> list[list[Float[Array, "streams users"]]]:
    """Powers over the noise of the precodings of every cell in one realization.

    The cells have the same users and antennas.
    """
    chains = [(cell, *chain) for cell, p in enumerate(precodings) for chain in nested(p)]
    two_stage = two_stage_powers(h, [chain for _, _, chain in chains])
    powers = {
        (cell, i): each
        for (cell, numbers, _), sets in zip(chains, two_stage, strict=True)
        for i, each in zip(numbers, sets, strict=True)
    }
    return [
        [powers[cell, i] if (cell, i) in powers else p.powers(h) for i, p in enumerate(of_cell)]
        for cell, of_cell in enumerate(precodings)
    ]


def _limit_of_each(precodings: Sequence[Precoding]) -> list[Float[Array, " users"]]:
    """Rates in the limit of several precodings of one cell.

    Two-stage ones differ in whom leakage is counted to. Mapped over that, they are compiled once
    and share what does not depend on it.
    """
    two_stage = [p for p in precodings if isinstance(p, TwoStageSLNR)]
    if len(two_stage) < 2:
        return [precoding.rates_in_the_limit() for precoding in precodings]
    cell, counted = two_stage[0].cell, jnp.stack([p.counted for p in two_stage])
    rates = jax.vmap(lambda counted: TwoStageSLNR(cell, counted).rates_in_the_limit())(counted)
    mapped = iter(rates)
    return [
        next(mapped) if isinstance(p, TwoStageSLNR) else p.rates_in_the_limit() for p in precodings
    ]
