"""Closed forms of correlation over a wide band, and the Kronecker product of micro and macro."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmimo.channel.correlation import mean_wave
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.programs import kept_jit
from jaxmimo.rates import wideband_correlation as rates

ASSUMPTIONS: dict[str, rates.AngleCorrelation] = {
    "common angles": rates.common_angles,
    "independent angles": rates.independent_angles,
    "independent scattering": rates.independent_scattering,
}


@kept_jit
def closed_forms(parameters: Any) -> dict[str, Array]:
    """What has a closed form, with the factors of the Kronecker products, in one program."""
    correlation, micro, macro = _stacked_channel(parameters)
    return {
        "spacing_correlation": _spacing_correlation(parameters),
        "frequency_correlation": _frequency_correlation(parameters),
        "jitter_correlation": _jitter_correlation(parameters),
        "correlation": correlation,
        "micro": micro,
        "macro": macro,
    }


def _spacing_correlation(parameters: Any) -> Array:
    phases = 2 * np.pi * np.asarray(parameters.spacing)
    stds = np.radians(parameters.angular_std_deg)
    return jax.vmap(partial(mean_wave, phases, parameters.angle))(stds)


def _frequency_correlation(parameters: Any) -> Array:
    separation = 1e6 * np.asarray(parameters.separation_mhz)
    reach = (parameters.array_antennas - 1) * parameters.element_spacing
    phases = 2 * np.pi * separation * reach / SPEED_OF_LIGHT
    array = mean_wave(phases, parameters.angle, math.radians(parameters.array_std_deg))

    def of_place(offset: Array) -> Array:
        # The one AP lies along x.
        return rates.position_correlation(offset, 0.0, jnp.zeros(1), parameters.place_m)[0, 0]

    place = jax.vmap(of_place)(jnp.asarray(separation))
    gains = rates.frequency_correlation(separation, 1e-9 * parameters.delay_spread_ns)
    return jnp.stack([array, place + 0j, gains])


def _stacked_channel(parameters: Any) -> tuple[Array, Array, Array]:
    """Correlation for each assumption and spread, micro of each spread, macro of each assumption.

    All are between the carrier and the widest separation.
    """
    aps = parameters.num_aps
    distances = jnp.asarray(parameters.ap_distance_step_m * np.arange(aps))
    offset = 1e6 * parameters.separation_mhz[-1]
    array = (parameters.num_antennas, parameters.element_spacing, parameters.angle)

    def macro_of(assumption: rates.AngleCorrelation) -> Array:
        alike = assumption is not rates.independent_scattering
        covariance = jnp.ones((aps, aps)) if alike else jnp.eye(aps)
        return rates.macro_correlation(offset, 0.0, distances, covariance + 0j)

    macro = [macro_of(assumption) for assumption in ASSUMPTIONS.values()]

    def of_spread(std: Array) -> tuple[Array, Array]:
        micro = rates.micro_correlation(offset, 0.0, *array, std, parameters.carrier)
        here, there = (
            rates.mean_response(frequency, *array, std, parameters.carrier)
            for frequency in (offset, 0.0)
        )
        # All APs see alike.
        blocks, here, there = (jnp.stack([each] * aps) for each in (micro, here, there))
        pairs = zip(ASSUMPTIONS.values(), macro, strict=True)
        each = [assumption(blocks, here, there, of_aps) for assumption, of_aps in pairs]
        return jnp.stack(each), micro

    stds = jnp.asarray(np.radians(parameters.kronecker_std_deg))
    correlation, micro = jax.vmap(of_spread, out_axes=(1, 0))(stds)
    return correlation, micro, jnp.stack(macro)


def _jitter_correlation(parameters: Any) -> Array:
    bearings = jnp.asarray(np.radians([0.0, *parameters.bearing_deg]))
    carrier = parameters.carrier

    def of_jitter(jitter: Array) -> Array:
        return rates.position_correlation(carrier, carrier, bearings, jitter)[0, 1:]

    jitters = jnp.asarray(1e-2 * np.asarray(parameters.jitter_cm))
    return jax.vmap(of_jitter, out_axes=1)(jitters)


def kronecker(
    correlation: np.ndarray, micro: np.ndarray, macro: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kronecker product for each assumption and spread, and the share of R that it misses."""
    product = np.array([[np.kron(of_array, of_aps) for of_array in micro] for of_aps in macro])
    gap = np.linalg.norm(correlation - product, axis=(-2, -1))
    miss = (gap / np.linalg.norm(correlation, axis=(-2, -1))) ** 2
    return product, miss.astype(float).round(9)  # below that it is rounding
