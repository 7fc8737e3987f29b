r"""SE per subcarrier: Monte Carlo over drops of users.

A sample of the engine is one drop. Its network is worked through AP by AP: all that linear
combining needs are sums over antennas, $\hat H^H\hat H$ and $\hat H^H(\hat H - H)$ on every
subcarrier, so that no array holds all antennas on all subcarriers. The first antennas of
the arrays are arrays of their own, and a whole curve over their number costs the largest of them.
"""

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Bool, Float, Key

from jaxmimo.channel.frequency_grid import Grid
from jaxmimo.core.checks import (
    functions,
    integers,
    positive_integer,
    require,
    require_kind,
)
from jaxmimo.core.small_matrices import Parts
from jaxmimo.core.units import amplitude
from jaxmimo.rates.combined import sinr_of_products, with_lost_digits
from jaxmimo.rates.sinr import spectral_efficiency, uplink_sinr
from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
from jaxmimo.systems.wideband_mmwave.designs import Design, per_subcarrier
from jaxmimo.systems.wideband_mmwave.drop import Links, draw_links
from jaxmimo.systems.wideband_mmwave.system import WidebandMmwave
from jaxmimo.transceiver.combining import IN_GRAM_FORM, Combiner, check_zero_forcing, mmse_combiner


def simulate_se(
    key: Key[Array, ""],
    system: WidebandMmwave,
    *,
    combiner: Combiner | Sequence[Combiner] = mmse_combiner,
    design: Design | Sequence[Design] = per_subcarrier,
    ap_antennas: Sequence[int] | None = None,
    subcarriers: int | None = None,
    drops: int,
    batch_size: int | None = None,
    target_error: float | None = None,
) -> Estimate:
    """Mean SE per user on each subcarrier, over drops of the users.

    Args:
        key: Typed key.
        system: The network. All values of a swept bandwidth share the draws.
        combiner: Combining scheme across all antennas of all APs; a sequence shares the draws.
        design: What combiners are designed for: `per_subcarrier`, `without_squint`, `at_carrier`,
            or a function of your own; a sequence shares the draws.
        ap_antennas: Numbers of antennas per AP to simulate from the same draws, increasing; the
            largest is at most the system's. None is the system's alone.
        subcarriers: Evaluate at the centres of so many equal parts of the band. None takes every
            subcarrier.
        drops: Drops of the users.
        batch_size: Drops side by side; None takes what fits a memory budget.
        target_error: Stop at this relative standard error; `drops` is then the most drawn.

    Returns:
        Estimate of the SE [bit/s/Hz], shape (*bandwidths, *antennas, *designs, *combiners,
        subcarriers), where an axis is there only if several values were asked for. It counts no
        cyclic prefix.

    Raises:
        ValueError: If ZF is to serve more users than antennas, or numbers do not fit.
    """
    sample = se_sample(
        system,
        combiner=combiner,
        design=design,
        ap_antennas=ap_antennas,
        subcarriers=subcarriers,
    )
    return monte_carlo(
        Partial(_mean_over_users, sample),
        key,
        positive_integer("drops", drops, minimum=2),
        batch_size=batch_size,
        target_error=target_error,
    )


def se_sample(
    system: WidebandMmwave,
    *,
    combiner: Combiner | Sequence[Combiner] = mmse_combiner,
    design: Design | Sequence[Design] = per_subcarrier,
    ap_antennas: Sequence[int] | None = None,
    subcarriers: int | None = None,
) -> Partial:
    """The sample of a simulation: a function from a key to the SE of each user of a drop.

    Arguments as for `simulate_se`. The SE has shape (*bandwidths, *antennas, *designs, *combiners,
    subcarriers, users); drop i of a simulation has the key `fold_in(key, i)`.
    """
    require_kind("system", system, WidebandMmwave)
    combiners = functions("combiner", combiner, "`mmse_combiner`")
    designs = functions("design", design, "`per_subcarrier`")
    antennas = integers(
        "ap_antennas", (system.ap_antennas,) if ap_antennas is None else ap_antennas
    )
    _check_antennas(system, antennas, combiners)
    count = checked_subcarriers(system, subcarriers)
    axes = ap_antennas is None, callable(design), callable(combiner)
    return Partial(
        _se_of_drop,
        system=system,
        combiners=combiners,
        designs=designs,
        antennas=antennas,
        subcarriers=count,
        dropped_axes=tuple(axis for axis, single in enumerate(axes) if single),
    )


def checked_subcarriers(system: WidebandMmwave, subcarriers: int | None) -> int:
    """Number of subcarriers to evaluate, checked."""
    if subcarriers is None:
        return system.num_subcarriers
    return positive_integer("subcarriers", subcarriers)


def _check_antennas(
    system: WidebandMmwave, antennas: Sequence[int], combiners: Sequence[Combiner]
) -> None:
    increasing = all(a < b for a, b in pairwise(antennas))
    require(
        len(antennas) > 0 and increasing and 1 <= antennas[0] <= antennas[-1] <= system.ap_antennas,
        f"`ap_antennas` must increase from 1 or more to at most the system's {system.ap_antennas}, "
        f"but is {tuple(antennas)}. Give the system the largest array.",
    )
    check_zero_forcing(combiners, antennas[0] * system.num_aps, system.num_users)


def _se_of_drop(
    key: Array,
    *,
    system: WidebandMmwave,
    combiners: tuple[Combiner, ...],
    designs: tuple[Design, ...],
    antennas: tuple[int, ...],
    subcarriers: int,
    dropped_axes: tuple[int, ...],
) -> Float[Array, "*curves subcarriers users"]:
    # Powers come in at the very end, so that gradients in them need no responses.
    links = draw_links(key, eqx.tree_at(lambda s: s.power, system, jnp.ones(())))
    sent = amplitude(jnp.broadcast_to(system.power, (system.num_users,)))

    def over_band(band: tuple[Array, Array]) -> Array:
        bandwidth, noise = band
        grid = eqx.tree_at(lambda s: s.bandwidth_hz, system, bandwidth).grid(subcarriers)
        se = se_of_links(links.over_noise(noise), grid, combiners, designs, antennas, sent)
        return jnp.squeeze(se, dropped_axes)

    bands = system.bandwidth_hz, system.noise_power
    return over_band(bands) if system.bandwidth_hz.ndim == 0 else lax.map(over_band, bands)


def se_of_links(
    links: Links,
    grid: Grid,
    combiners: tuple[Combiner, ...],
    designs: tuple[Design, ...],
    antennas: tuple[int, ...],
    sent: Float[Array, " users"],
) -> Float[Array, "antennas designs combiners subcarriers users"]:
    """SE of every user that sends with an amplitude, for every combination of what is asked for."""
    found: dict[tuple[Design, Combiner], Array] = {}
    in_gram_form = [combiner for combiner in combiners if combiner in IN_GRAM_FORM]
    if in_gram_form:
        products = gram_products(links, grid, designs, antennas)
        pairs = sent[:, None, None] * sent[None, :, None]
        for design, (gram, error) in zip(designs, products, strict=True):
            sinr, lost = sinr_of_products(in_gram_form, gram * pairs, error * pairs)
            se = _se_with_lost_digits(sinr, lost, links, grid, design, in_gram_form, antennas, sent)
            found |= {(design, each): se[i] for i, each in enumerate(in_gram_form)}
    for pair in ((design, combiner) for design in designs for combiner in combiners):
        if pair not in found:
            found[pair] = _se_by_combining(links, grid, *pair, antennas, sent)
    rows = [jnp.stack([found[design, each] for each in combiners], axis=1) for design in designs]
    return jnp.stack(rows, axis=1)


def gram_products(
    links: Links, grid: Grid, designs: tuple[Design, ...], antennas: tuple[int, ...]
) -> list[tuple[Parts, Parts]]:
    r"""$\hat H^H\hat H$ and $\hat H^H(\hat H - H)$ of the first antennas of all APs, per design.

    Returns:
        Pairs of matrices (users, users, batch); the batch runs over numbers of antennas,
        subcarriers varying faster.
    """
    bounds = list(pairwise((0, *antennas)))
    users = links.gains.shape[1]
    in_order = any(design is not per_subcarrier for design in designs)  # as these return it

    def add_ap(totals: list[Array], ap: Links) -> tuple[list[Array], None]:
        true = ap.response(grid) if in_order else ap.response_as_computed(grid)
        for number, design in enumerate(designs):
            if design is per_subcarrier:
                right = jnp.concatenate([true.real, true.imag])
                right = right.reshape(*right.shape[:2], -1)
            else:
                believed = design(ap, grid)
                missed = believed - true
                parts = (believed.real, believed.imag, missed.real, missed.imag)
                right = jnp.concatenate(parts)
            left = right[: 2 * users]
            sums = jnp.stack([_antenna_sums(left[:, a:b], right[:, a:b]) for a, b in bounds])
            totals[number] += sums
        return totals, None

    columns = [2 * users if design is per_subcarrier else 4 * users for design in designs]
    shape = (len(bounds), grid.count if in_order else grid.places.size, 2 * users)
    empty = [jnp.zeros((*shape, each)) for each in columns]
    totals = lax.scan(add_ap, empty, links)[0]
    if not in_order:
        totals = [total[:, grid.places[: grid.count]] for total in totals]
    return [_matrices(jnp.cumsum(total, 0)) for total in totals]


def _matrices(sums: Float[Array, "antennas subcarriers rows columns"]) -> tuple[Parts, Parts]:
    """Complex matrices of the sums of real products, batch last; the second is zero if not given.

    Rows are real and imaginary parts of one factor, columns those of the other, or of two.
    """
    rows = sums.shape[2] // 2
    parts = jnp.moveaxis(sums.reshape(-1, *sums.shape[2:]), 0, -1)
    parts = parts.reshape(2, rows, -1, 2, rows, parts.shape[-1])
    products = Parts(
        parts[0, :, :, 0] + parts[1, :, :, 1],
        parts[0, :, :, 1] - parts[1, :, :, 0],
    )
    first = products[:, 0]
    return first, products[:, 1] if products.shape[1] > 1 else Parts.zeros(first.shape)


def _antenna_sums(
    left: Float[Array, "rows antennas subcarriers"],
    right: Float[Array, "columns antennas subcarriers"],
) -> Float[Array, "subcarriers rows columns"]:
    """Real products on each subcarrier, summed over the antennas of an AP."""
    return jnp.einsum("ims,jms->sij", left, right, precision="highest")


def _se_by_combining(
    links: Links,
    grid: Grid,
    design: Design,
    combiner: Combiner,
    antennas: tuple[int, ...],
    sent: Float[Array, " users"],
) -> Float[Array, "antennas subcarriers users"]:
    """SE of a combiner from all channels at once, without a Gram form."""
    true, believed = (
        all_channels(links, grid, each) * sent[None, None, None]
        for each in (per_subcarrier, design)
    )

    def of_array(size: int) -> Array:
        def on_subcarrier(channels: tuple[Array, Array]) -> Array:
            h, h_hat = (a[:, :size].reshape(-1, a.shape[-1]) for a in channels)
            errors = jnp.zeros((h.shape[0],) * 2, h.dtype)
            return spectral_efficiency(uplink_sinr(combiner(h_hat, 1.0, errors), h, 1.0, 1.0))

        return lax.map(on_subcarrier, (true, believed))

    return jnp.stack([of_array(size) for size in antennas])


def _se_with_lost_digits(
    sinr: Float[Array, "combiners users batch"],
    lost: Bool[Array, " batch"],
    links: Links,
    grid: Grid,
    design: Design,
    combiners: Sequence[Combiner],
    antennas: tuple[int, ...],
    sent: Float[Array, " users"],
) -> Float[Array, "combiners antennas subcarriers users"]:
    """SE from the SINR on the batch of `gram_products`, with lost digits worked out again."""

    def of_array(each: tuple[Array, Array, Array]) -> Array:
        sinr, lost, size = each

        def channels(design: Design) -> Parts:
            response = lax.map(lambda ap: design(ap, grid), links)  # aps, users, antennas, ...
            own = jnp.arange(response.shape[2]) < size
            response = response * (own[None, :] * sent[:, None])[None, :, :, None]
            parts = (jnp.swapaxes(part, 1, 2) for part in (response.real, response.imag))
            return Parts(*(part.reshape(-1, sent.size, grid.count) for part in parts))

        return with_lost_digits(
            sinr, lost, combiners, lambda: (channels(design), channels(per_subcarrier))
        )

    by_array = sinr.reshape(*sinr.shape[:2], len(antennas), grid.count)
    found = lax.map(
        of_array,
        (jnp.moveaxis(by_array, 2, 0), lost.reshape(-1, grid.count), jnp.asarray(antennas)),
    )
    return jnp.moveaxis(spectral_efficiency(found), (1, 2), (0, 3))


def all_channels(links: Links, grid: Grid, design: Design) -> Array:
    """Channels of all users to all antennas, shape (subcarriers, aps, antennas, users)."""
    responses = lax.map(lambda ap: design(ap, grid).merged(), links)
    return jnp.transpose(responses, (3, 0, 2, 1))


def _mean_over_users(sample: Partial, key: Array) -> Array:
    return sample(key).mean(-1)
