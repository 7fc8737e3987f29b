"""Monte Carlo over drops of users: SE per user, correlation and condition of their channels.

A sample of the engine is one drop: the users' places, and the mean over fading realizations at
these places. Error bars are over drops. Realizations are worked through in chunks, each a vector
operation, so memory grows neither with drops nor with realizations.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Float, Key, PyTree

from jaxmimo.core.alike import Kinds
from jaxmimo.core.checks import (
    checked_key,
    function,
    functions,
    positive_integer,
    require,
    require_kind,
)
from jaxmimo.core.programs import kept_jit
from jaxmimo.core.small_matrices import Parts
from jaxmimo.rates.sinr import spectral_efficiency
from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
from jaxmimo.systems.distributed_rician.drop import Drop, draw_drop, draw_fading
from jaxmimo.systems.distributed_rician.system import DistributedRician
from jaxmimo.systems.distributed_rician.uplink import (
    additive_errors,
    estimates_by_link,
    sinr_of_draws,
)
from jaxmimo.transceiver.channel_estimation import ChannelEstimator, least_squares, perfect_csi
from jaxmimo.transceiver.combining import Combiner, check_zero_forcing, mmse_combiner

LANES = 512
"""Fading realizations times Rician factors side by side: what a CPU's caches hold of them."""


def simulate_se(
    key: Key[Array, ""],
    system: DistributedRician | Sequence[DistributedRician],
    *,
    combiner: Combiner | Sequence[Combiner] = mmse_combiner,
    estimator: ChannelEstimator = least_squares,
    drops: int,
    realizations: int = 64,
    batch_size: int | None = None,
    target_error: float | None = None,
) -> Estimate:
    """Mean per-user SE over fading and places of the users.

    Args:
        key: Typed key.
        system: The network. A swept Rician factor is simulated for all its values from the same
            draws. So are several networks with equally many antennas, users and Rician factors.
        combiner: Combining scheme; a sequence is simulated from the same draws.
        estimator: Channel estimator.
        drops: Drops of the users.
        realizations: Fading realizations per drop.
        batch_size: Drops side by side; None takes what fits a memory budget.
        target_error: Stop at this relative standard error; `drops` is then the most drawn.

    Returns:
        Estimate of the SE [bit/s/Hz] with its error over drops, shape (*systems, *combiners,
        *sweep), where an axis is there only if several values were asked for.

    References:
        Tominaga et al., eqs. (13)-(14).
    """
    sample = se_sample(system, combiner=combiner, estimator=estimator, realizations=realizations)
    return monte_carlo(
        Partial(_mean_over_users, sample),
        key,
        checked_drops(drops),
        batch_size=batch_size,
        target_error=target_error,
    )


def se_sample(
    system: DistributedRician | Sequence[DistributedRician],
    *,
    combiner: Combiner | Sequence[Combiner] = mmse_combiner,
    estimator: ChannelEstimator = least_squares,
    realizations: int = 64,
) -> Partial:
    """The sample of a simulation: a function of a key to the SE of each user of a drop.

    Arguments as for `simulate_se`. The SE has shape (*systems, *combiners, *sweep, users); drop i
    of a simulation has the key `fold_in(key, i)`.
    """
    systems = as_systems(system)
    combiners = functions("combiner", combiner, "`mmse_combiner`")
    function("estimator", estimator, "`least_squares`")
    check_alike(systems)
    check_zero_forcing(combiners, systems[0].num_antennas, systems[0].num_users)
    count = checked_realizations(realizations)
    return Partial(
        _se_of_drop,
        systems=systems,
        combiners=combiners,
        estimator=estimator,
        realizations=count,
        keep_axes=(
            not isinstance(system, DistributedRician),
            not callable(combiner),
            systems[0].sweep_length is not None,
        ),
    )


def se_of_drops(
    key: Key[Array, ""],
    system: DistributedRician | Sequence[DistributedRician],
    *,
    combiner: Combiner | Sequence[Combiner] = mmse_combiner,
    estimator: ChannelEstimator = least_squares,
    drops: int,
    realizations: int = 64,
) -> Float[Array, "drops ..."]:
    """SE of every user in every drop of `simulate_se`, for distributions over drops.

    Arguments as for `simulate_se`.

    Returns:
        SE [bit/s/Hz], mean over fading, shape (drops, *systems, *combiners, *sweep, users).
    """
    checked_key(key)
    sample = se_sample(system, combiner=combiner, estimator=estimator, realizations=realizations)
    return _every_drop(sample, key, jnp.arange(checked_drops(drops, 1), dtype=jnp.uint32))


@kept_jit
def _every_drop(sample: Partial, key: Array, index: Array) -> Array:
    return lax.map(lambda i: sample(jax.random.fold_in(key, i)), index)


def checked_drops(drops: int, least: int = 2) -> int:
    """Number of drops, checked; a standard error takes two."""
    return positive_integer("drops", drops, least)


def checked_realizations(realizations: int) -> int:
    """Fading realizations per drop, checked."""
    return positive_integer("realizations", realizations)


def check_alike(systems: Sequence[DistributedRician]) -> None:
    """Refuse networks that cannot share their draws."""
    facts = {
        (s.num_antennas, s.num_users, s.pilot_length, s.sweep_length, s.is_common) for s in systems
    }
    require(
        len(facts) == 1,
        "`system` must hold networks with the same antennas in all, users, pilots and Rician "
        f"factors, but they have {sorted(facts, key=str)}. Simulate others apart.",
    )


def _mean_over_users(sample: Partial, key: Array) -> Array:
    return sample(key).mean(-1)


def _se_of_drop(
    key: Array,
    *,
    systems: tuple[DistributedRician, ...],
    combiners: tuple[Combiner, ...],
    estimator: ChannelEstimator,
    realizations: int,
    keep_axes: tuple[bool, bool, bool],
) -> Array:
    drop_key, fading_key = jax.random.split(key)
    drops = Kinds.of(systems).map(partial(draw_drop, drop_key))
    variance = 0.0 if estimator is perfect_csi else drops.first.error_variance

    def se_of_chunk(white: Parts, noise: Parts) -> Kinds[Array]:
        draws = drops.map(lambda drop: drop.draws(white, noise, variance))
        if estimator in (least_squares, perfect_csi):
            sinr = draws.map_in_turn(lambda each: sinr_of_draws(each, combiners, additive_errors))
        else:
            by_link = [estimates_by_link(drop, estimator) for drop in drops.each()]
            pairs = zip(draws.each(), by_link, strict=True)
            sinr = Kinds.of([sinr_of_draws(each, combiners, by) for each, by in pairs])
        return sinr.map(spectral_efficiency)

    mean = mean_over_fading(fading_key, drops.first, realizations, se_of_chunk)
    return unless_kept(mean.together(), keep_axes)


def as_systems(
    system: DistributedRician | Sequence[DistributedRician],
) -> tuple[DistributedRician, ...]:
    """One or several networks as a tuple."""
    if not isinstance(system, list | tuple):
        require_kind("system", system, DistributedRician)
    systems = (system,) if isinstance(system, DistributedRician) else tuple(system)
    for each in systems:
        require_kind("system", each, DistributedRician)
    require(bool(systems), "`system` must hold at least one network. Give a DistributedRician.")
    return systems


def unless_kept(tree: PyTree[Array], keep_axes: Sequence[bool]) -> PyTree[Array]:
    """Arrays without those of their first axes that are not to be kept, which have length 1."""
    drop = tuple(axis for axis, keep in enumerate(keep_axes) if not keep)
    return jax.tree.map(lambda array: array.squeeze(drop), tree)


def mean_over_fading(
    key: Key[Array, ""],
    drop: Drop,
    realizations: int,
    of_chunk: Callable[[Parts, Parts], PyTree[Array]],
) -> PyTree[Array]:
    """Mean over fading realizations of a function of white draws, worked through in chunks.

    Realization i of a drop is the same whatever the chunks are.

    Args:
        key: Typed key of the drop's fading.
        drop: The drop, for its shapes.
        realizations: Fading realizations.
        of_chunk: From white fading and white noise, (antennas, users, batch) each, to arrays whose
            last axis is the batch.
    """
    chunks = math.ceil(realizations * len(drop.los_amplitude) / LANES)
    size = math.ceil(realizations / chunks)

    @jax.checkpoint
    def sums(j: Array) -> PyTree[Array]:
        first = j * size
        antennas, users = drop.los.shape
        values = of_chunk(*draw_fading(key, antennas, users, first, size, drop.always))
        drawn = first + jnp.arange(size) < realizations
        return jax.tree.map(lambda v: jnp.where(drawn, v, 0.0).sum(-1), values)

    shapes = jax.eval_shape(sums, jnp.asarray(0))
    empty = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), shapes)
    total = lax.fori_loop(0, chunks, lambda j, t: jax.tree.map(jnp.add, t, sums(j)), empty)
    return jax.tree.map(lambda t: t / realizations, total)
