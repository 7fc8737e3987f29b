"""Monte Carlo simulation of Theorem 1: pilots, estimation, precoding, moments, SE.

All APs act alike, so the network is worked through in segments of APs whose products add up. The
running sum after each segment belongs to a network of that many APs: a whole curve over the number
of APs costs one pass over the largest network.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Float, Key

from jaxmimo.core.checks import function, functions, integers, require, require_kind
from jaxmimo.core.contracts import checked
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.split import WidelyLinear, computed_once
from jaxmimo.rates.bounds import hardening_se
from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
from jaxmimo.systems.cell_free_iqi.effective_channels import (
    ApSegment,
    DownlinkMoments,
    antenna_products,
    no_products,
    precoding_chain,
    user_moments,
)
from jaxmimo.systems.cell_free_iqi.system import CellFreeIQI
from jaxmimo.transceiver.estimation import Estimator, linear_mmse
from jaxmimo.transceiver.pilots import PilotPhase, PilotSignal, projected_pilots


def simulate_se(
    key: Key[Array, ""],
    system: CellFreeIQI,
    *,
    realizations: int,
    estimator: Estimator | Sequence[Estimator] = linear_mmse,
    pilots: PilotPhase = projected_pilots,
    num_aps: Sequence[int] | None = None,
    batch_size: int | None = None,
    target_error: float | None = None,
) -> Estimate:
    """Downlink SE of Theorem 1 from simulated moments.

    Args:
        key: Typed key.
        system: The network. A swept system is simulated for all its values from the same draws.
        realizations: Channel realizations.
        estimator: Channel estimator; a sequence is simulated from the same draws.
        pilots: Pilot phase: `projected_pilots`, or `full_pilots` to simulate every pilot symbol.
        num_aps: Increasing numbers of APs: gives the SE of the networks of the first APs of
            `system`, from the same draws, for little more than the price of the largest.
        batch_size: Realizations side by side; None takes what fits a memory budget.
        target_error: Stop at this relative standard error; `realizations` is then the most drawn.

    Returns:
        Estimate of the SE [bit/s/Hz], shape (*estimators, *sweep, *num_aps, users), where an axis
        is there only if several values were asked for.

    References:
        Sutton et al., eqs. (2)-(14), (24)-(27).
    """
    moments, se = se_model(system, estimator=estimator, pilots=pilots, num_aps=num_aps)
    return monte_carlo(
        moments,
        key,
        realizations,
        statistic=se,
        batch_size=batch_size,
        target_error=target_error,
    )


def se_model(
    system: CellFreeIQI,
    *,
    estimator: Estimator | Sequence[Estimator] = linear_mmse,
    pilots: PilotPhase = projected_pilots,
    num_aps: Sequence[int] | None = None,
) -> tuple[Partial, Partial]:
    """The sample of moments that a simulation of `system` takes, and the SE that they give.

    Arguments as for `simulate_se`; shapes of the SE as there.
    """
    require_kind("system", system, CellFreeIQI)
    estimators = functions("estimator", estimator, "`linear_mmse`")
    function("pilots", pilots, "`projected_pilots`")
    moments = Partial(
        _moments_of_variants,
        system=system,
        estimators=estimators,
        keep_estimator_axis=not callable(estimator),
        pilots=pilots,
        num_aps=None if num_aps is None else _checked_num_aps(num_aps, system),
    )
    return moments, Partial(theorem1_se, system)


@checked()
def theorem1_se(system: CellFreeIQI, moments: DownlinkMoments) -> Float[Array, "... users"]:
    """SE of Theorem 1 [bit/s/Hz] from the expected moments.

    References:
        Sutton et al., eqs. (24)-(27).
    """

    def of_one(system: CellFreeIQI, moments: DownlinkMoments) -> Array:
        noise = jnp.broadcast_to(jnp.eye(system.user_antennas), moments.received.shape)
        cross = jnp.sqrt(system.data_snr) * moments.desired
        covariance = system.data_snr * moments.received + noise
        return hardening_se(cross, covariance, system.prelog)

    if system.sweep_length is None:
        return of_one(system, moments)
    return jax.vmap(of_one, in_axes=(system.sweep_axes, 0))(system, moments)


@checked()
def downlink_moments(
    key: Key[Array, ""],
    system: CellFreeIQI,
    correction: WidelyLinear,
    *,
    pilots: PilotPhase = projected_pilots,
    num_aps: tuple[int, ...],
) -> DownlinkMoments:
    """One realization of the moments, for the networks of the first `num_aps` APs.

    Args:
        key: Typed key of the realization.
        system: The network, not swept.
        correction: The estimator's image correction, `estimator(system.receive)`.
        pilots: Pilot phase.
        num_aps: Increasing numbers of APs.

    Returns:
        Moments with a leading axis over `num_aps`.
    """
    channel_key, noise_key = jax.random.split(key)
    antennas, always = system.ap_antennas, system.pilot_snr >= 0

    def add_segment(
        products: tuple[Array, ...], first: Array, length: int
    ) -> tuple[tuple[Array, ...], DownlinkMoments]:
        aps, row = ApSegment(system, first, length), first * antennas
        h = split_complex_normal(channel_key, (length * antennas, system.streams), first_row=row)
        # Spread first: within the draw, its indices would keep XLA on CPUs from vector arithmetic.
        gain = computed_once(aps.over_streams(jnp.sqrt(aps.of(system.beta))), always)
        g = computed_once(gain * h, always)
        receive = aps.over_rows(system.receive.widely_linear)
        signal = pilots(noise_key, g, receive, system.pilot_energy, system.pilot_length, row)
        chain = precoding_chain(system, correction, signal)
        new = antenna_products(g, signal, chain, aps)
        products = jax.tree.map(jnp.add, products, new)
        return products, user_moments(products, chain, system)

    products, moments = no_products(system), []
    for length, firsts in _equal_segments(num_aps):
        products, more = lax.scan(partial(add_segment, length=length), products, firsts)
        moments.append(more)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *moments)


def _equal_segments(num_aps: tuple[int, ...]) -> Iterator[tuple[int, Array]]:
    """Runs of segments of equal length, which one loop can serve: the length, the first APs."""
    segments = ((stop - start, start) for start, stop in pairwise((0, *num_aps)))
    for length, run in groupby(segments, key=itemgetter(0)):
        yield length, jnp.asarray([first for _, first in run])


@checked()
def moments_of_pilots(
    g: Float[Array, "rows 2 streams"],
    signal: PilotSignal,
    system: CellFreeIQI,
    correction: WidelyLinear,
) -> DownlinkMoments:
    """Moments of one realization of all APs, whose channels and projected pilots are given.

    Args:
        g: Channels as split array; row `m * ap_antennas + l`, stream `n * num_users + k`.
        signal: Projected pilots, likewise.
        system: The network, not swept.
        correction: The estimator's image correction, `estimator(system.receive)`.
    """
    chain = precoding_chain(system, correction, signal)
    products = antenna_products(g, signal, chain, ApSegment(system, jnp.asarray(0), system.num_aps))
    return user_moments(products, chain, system)


def _moments_of_variants(
    key: Array,
    *,
    system: CellFreeIQI,
    estimators: tuple[Estimator, ...],
    keep_estimator_axis: bool,
    pilots: PilotPhase,
    num_aps: tuple[int, ...] | None,
) -> DownlinkMoments:
    """Moments for all swept values, estimators and numbers of APs, from the draws of one key."""

    def of_one(system: CellFreeIQI) -> DownlinkMoments:
        each = [estimator(system.receive) for estimator in estimators]
        corrections = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        stops = (system.num_aps,) if num_aps is None else num_aps
        moments = jax.vmap(
            lambda correction: downlink_moments(
                key, system, correction, pilots=pilots, num_aps=stops
            )
        )(corrections)
        if num_aps is None:
            moments = jax.tree.map(lambda m: m[:, 0], moments)
        return moments if keep_estimator_axis else jax.tree.map(lambda m: m[0], moments)

    if system.sweep_length is None:
        return of_one(system)
    return jax.vmap(of_one, in_axes=(system.sweep_axes,))(system)


def _checked_num_aps(num_aps: Sequence[int], system: CellFreeIQI) -> tuple[int, ...]:
    stops = integers("num_aps", num_aps)
    increasing = all(a < b for a, b in pairwise((0, *stops)))
    require(
        bool(stops) and increasing and stops[-1] <= system.num_aps,
        f"`num_aps` must increase from 1 or more to at most the {system.num_aps} APs of the "
        f"system, but got {stops}. Sort it, or give the system more APs.",
    )
    return stops
