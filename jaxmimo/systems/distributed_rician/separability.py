"""How well the users' channels can be told apart: their correlation and the condition number."""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Complex, Float, Key

from jaxmimo.channel.fading import rician_amplitudes
from jaxmimo.core.alike import Kinds
from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import extended
from jaxmimo.core.singular_values import singular_values
from jaxmimo.core.small_matrices import Parts
from jaxmimo.rates.metrics import condition_of, correlation_of_factors
from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
from jaxmimo.systems.distributed_rician.drop import Draws, Drop, draw_drop
from jaxmimo.systems.distributed_rician.simulation import (
    as_systems,
    check_alike,
    checked_drops,
    checked_realizations,
    mean_over_fading,
    unless_kept,
)
from jaxmimo.systems.distributed_rician.system import DistributedRician

_LEVELS = np.linspace(0.0, 10.0, 501)
"""Of the base-10 logarithm of the condition number, between which its median is interpolated."""


class ConditionNumber(eqx.Module):
    """Averages of the condition number of the channel over drops and fading.

    Attributes:
        mean: Mean; heavy-tailed, and without a variance where users are as many as antennas.
        log10_mean: Mean of the base-10 logarithm.
        median: Median.
    """

    mean: Float[Array, "..."]
    log10_mean: Float[Array, "..."]
    median: Float[Array, "..."]


@checked()
def simulate_correlation(
    key: Key[Array, ""],
    system: DistributedRician | Sequence[DistributedRician],
    *,
    drops: int,
    batch_size: int | None = None,
    target_error: float | None = None,
) -> Estimate:
    r"""Mean modulus of the correlation of two users' channels, $E|\rho|$ over their places.

    Second moments are those over fading at fixed places, not centred: the direct path belongs to
    them. Users 0 and 1 of each drop are the pair.

    Args:
        key: Typed key.
        system: The network, with two users or more; several, and swept Rician factors, share the
            places.
        drops: Drops of the users.
        batch_size: Drops side by side; None takes what fits a memory budget.
        target_error: Stop at this relative standard error; `drops` is then the most drawn.

    Returns:
        Estimate, shape (*systems, *sweep).

    References:
        Tominaga et al., eqs. (15)-(16).
    """
    sample = correlation_sample(system)
    drops = checked_drops(drops)
    return monte_carlo(sample, key, drops, batch_size=batch_size, target_error=target_error)


def correlation_sample(system: DistributedRician | Sequence[DistributedRician]) -> Partial:
    """The sample of `simulate_correlation`: from a key to the modulus of one drop."""
    systems = as_systems(system)
    for each in systems:
        require(
            each.num_users >= 2,
            f"`num_users` must be at least 2 for a correlation, but is {each.num_users}. "
            "Drop two users.",
        )
    keep = (not isinstance(system, DistributedRician), _is_swept(systems))
    return Partial(_correlation_of_drop, systems=systems, keep_axes=keep)


@checked()
def simulate_condition(
    key: Key[Array, ""],
    system: DistributedRician | Sequence[DistributedRician],
    *,
    drops: int,
    realizations: int = 16,
    batch_size: int | None = None,
) -> Estimate:
    """Averages of the condition number of the channel matrix over fading and places.

    Columns are weighted by the square root of the users' powers, if these differ.

    Args:
        key: Typed key.
        system: The network; several with equally many antennas, users and Rician factors, and
            swept Rician factors, share all draws.
        drops: Drops of the users.
        realizations: Fading realizations per drop.
        batch_size: Drops side by side; None takes what fits a memory budget.

    Returns:
        Estimate whose mean and standard error are `ConditionNumber`, shape (*systems, *sweep).

    References:
        Tominaga et al., eq. (17).
    """
    sample = condition_sample(system, realizations=realizations)
    drops = checked_drops(drops)
    return monte_carlo(sample, key, drops, statistic=with_median, batch_size=batch_size)


def condition_sample(
    system: DistributedRician | Sequence[DistributedRician], *, realizations: int = 16
) -> Partial:
    """The sample of `simulate_condition`, for the statistic `with_median`."""
    systems = as_systems(system)
    check_alike(systems)
    count = checked_realizations(realizations)
    keep = (not isinstance(system, DistributedRician), _is_swept(systems))
    return Partial(_condition_of_drop, systems=systems, realizations=count, keep_axes=keep)


def with_median(means: tuple[ConditionNumber, Array]) -> ConditionNumber:
    """The averages, with the median read off the mean distribution function."""
    averages, distribution = means
    levels = jnp.asarray(_LEVELS, distribution.dtype)
    flat = distribution.reshape(-1, len(_LEVELS))
    log10_median = jax.vmap(lambda cdf: jnp.interp(0.5, cdf, levels))(flat)
    median = (10.0**log10_median).reshape(averages.mean.shape)
    return ConditionNumber(averages.mean, averages.log10_mean, median)


@checked(rician_factor=extended)
def single_ap_correlation(
    steering_x: Complex[Array, " antennas"],
    steering_y: Complex[Array, " antennas"],
    rician_factor: Float[Array, "*sweep"],
) -> Complex[Array, "*sweep"]:
    r"""Closed form of the correlation for one AP and uncorrelated scattering.

    $$\rho = \frac{a\,c}{(S - 2)\, b + \sqrt{a^2 |c|^2 + 4 a b S + 4 b^2}}, \quad
      c = v^H u,\ a = \frac{\kappa}{1 + \kappa},\ b = \frac{1}{1 + \kappa}$$

    Args:
        steering_x: $u$, the steering vector of one user, of unit modulus in each entry.
        steering_y: $v$, that of the other.
        rician_factor: $\kappa$ of both [linear].

    References:
        Tominaga et al., eq. (15), for $R = I$.
    """
    antennas = steering_x.shape[0]
    los, scattered = (amplitude**2 for amplitude in rician_amplitudes(rician_factor))
    overlap = jnp.vdot(steering_y, steering_x, precision="highest")
    root = jnp.sqrt(
        (los * jnp.abs(overlap)) ** 2 + 4 * los * scattered * antennas + 4 * scattered**2
    )
    return los * overlap / ((antennas - 2) * scattered + root)


def _is_swept(systems: Sequence[DistributedRician]) -> bool:
    return systems[0].sweep_length is not None


def _correlation_of_drop(
    key: Array, *, systems: tuple[DistributedRician, ...], keep_axes: tuple[bool, bool]
) -> Array:
    drop_key, _ = jax.random.split(key)
    of_users = Kinds.of(systems).map(lambda system: _factors(draw_drop(drop_key, system)))
    correlation = of_users.map(lambda factors: jnp.abs(_correlation(*factors)))
    return unless_kept(correlation.together(), keep_axes)


def _factors(drop: Drop) -> tuple[Parts, Parts]:
    """Factors of the covariances of users 0 and 1, (antennas, antennas + 1, sweep) each.

    The covariance of a user is F F^H with F = [a h, b G], h the direct path and G a factor of the
    scattered waves' covariance. So no covariance is ever factorized, and none loses digits where
    the direct path dominates.
    """
    scattered = drop.scattered_factor()

    def factor(user: int) -> Parts:
        a, b = (
            x[None, None] if x.ndim == 1 else jnp.swapaxes(x[:, :, user], 0, 1)[:, None]
            for x in (drop.los_amplitude, drop.nlos_amplitude)
        )
        direct = drop.los[:, user, None, None] * a
        waves = scattered[:, :, user, None] * b
        return Parts.joined(direct, waves, axis=1)

    return factor(0), factor(1)


def _correlation(x: Parts, y: Parts) -> Complex[Array, " sweep"]:
    """Correlation of two users for every Rician factor."""
    trace = (x[:, 0] * y[:, 0].conj()).merged().sum(0)
    return correlation_of_factors(x, y, trace)


def _condition_of_drop(
    key: Array,
    *,
    systems: tuple[DistributedRician, ...],
    realizations: int,
    keep_axes: tuple[bool, bool],
) -> tuple[ConditionNumber, Array]:
    drop_key, fading_key = jax.random.split(key)
    drops = Kinds.of(systems).map(partial(draw_drop, drop_key))

    def of_chunk(white: Parts, noise: Parts) -> Kinds[tuple[ConditionNumber, Array]]:
        draws = drops.map(lambda drop: drop.draws(white, noise, 0.0))
        return draws.map_in_turn(_conditions).map(_contributions)

    mean = mean_over_fading(fading_key, drops.first, realizations, of_chunk)
    return unless_kept(mean.together(), keep_axes)


def _contributions(condition: Float[Array, "sweep batch"]) -> tuple[ConditionNumber, Array]:
    """What realizations add to the averages and to the distribution, which has the median."""
    log10 = jnp.log10(condition)
    levels = jnp.asarray(_LEVELS, log10.dtype).reshape(1, -1, 1)
    below = (log10[:, None] <= levels).astype(log10.dtype)
    return ConditionNumber(condition, log10, jnp.zeros_like(condition)), below


def _conditions(draws: Draws) -> Float[Array, "sweep batch"]:
    """Condition number for every Rician factor and realization, as one batch."""
    antennas, users, batch = draws.scattered.shape
    channels = jax.vmap(draws.channel, out_axes=2)(draws.los_amplitude, draws.nlos_amplitude)
    values = singular_values(channels.reshape(antennas, users, -1))
    return condition_of(values).reshape(-1, batch)
