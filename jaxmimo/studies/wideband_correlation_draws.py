"""Random draws behind the pictures of wideband correlation, one realization at a time."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmimo.channel.antennas import delay, progressive_delay
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.randomness import complex_normal, uniform
from jaxmimo.rates.wideband_correlation import macro_steering


def draw(parameters: Any, phases: dict[str, Array], key: Array) -> dict[str, Array]:
    """One realization of everything that the study averages.

    Args:
        parameters: A `WidebandCorrelation`.
        phases: Unit numbers in the direction of the closed forms. Samples are projected on them,
            so that their means estimate moduli without bias.
        key: Typed key.
    """
    spacing_key, frequency_key, kronecker_key, jitter_key = jax.random.split(key, 4)
    spacing = _neighbours(parameters, spacing_key)
    frequency = _over_frequency(parameters, frequency_key)
    return {
        "spacing_correlation": _along(spacing, phases["spacing_correlation"]),
        "frequency_correlation": _along(frequency, phases["frequency_correlation"]),
        "correlation": _outer_products(parameters, kronecker_key),
        "jitter_correlation": _between_aps(parameters, jitter_key).real,
    }


def _along(waves: Array, directions: Array) -> Array:
    return (waves * jnp.conj(directions).astype(waves.dtype)).real


def _normal(key: Array, size: int) -> Array:
    """Independent standard normal numbers."""
    return math.sqrt(2) * complex_normal(key, (size,)).real


def _neighbours(parameters: Any, key: Array) -> Array:
    """Wave at the second antenna, shape (spreads, spacings)."""
    stds = np.radians(parameters.angular_std_deg)
    sine = jnp.sin(parameters.angle + jnp.asarray(stds) * _normal(key, 1))
    return delay(sine[:, None] * jnp.asarray(parameters.spacing)[None])


def _over_frequency(parameters: Any, key: Array) -> Array:
    """Phase that the separation adds in the array, by the place, and to a path, each in a row."""
    array_key, place_key, delay_key = jax.random.split(key, 3)
    separation = jnp.asarray(1e6 * np.asarray(parameters.separation_mhz))
    std = math.radians(parameters.array_std_deg)
    sine = jnp.sin(parameters.angle + std * _normal(array_key, 1))
    array = (parameters.array_antennas - 1) * parameters.element_spacing * sine / SPEED_OF_LIGHT
    place = parameters.place_m * (2 * uniform(place_key, (2,)) - 1)
    path = _farther(parameters, place[None], jnp.zeros(1)) / SPEED_OF_LIGHT
    excess = -1e-9 * parameters.delay_spread_ns * jnp.log(uniform(delay_key, (1,)))
    return delay(jnp.stack([array, path, excess]) * separation[None])


def _farther(parameters: Any, place: Array, bearings: Array) -> Array:
    """By how much a place is farther from APs than the origin, without cancellation.

    Args:
        parameters: For the APs' distance.
        place: Coordinates, last axis of length 2; broadcasts with the bearings, which are last.
        bearings: Directions of the APs [rad].
    """
    reach = parameters.ap_distance_m
    aps = reach * jnp.stack([jnp.cos(bearings), jnp.sin(bearings)], axis=-1)
    distance = jnp.sqrt(jnp.sum((aps - place) ** 2, axis=-1))
    return jnp.sum(place * (place - 2 * aps), axis=-1) / (distance + reach)


def _between_aps(parameters: Any, key: Array) -> Array:
    """Phase between the first AP and another, shape (bearings, jitters)."""
    jitter = jnp.asarray(1e-2 * np.asarray(parameters.jitter_cm))
    place = jitter[:, None] * (2 * uniform(key, (2,)) - 1)[None]
    bearings = jnp.radians(jnp.asarray([0.0, *parameters.bearing_deg]))
    shape = (bearings.size, jitter.size, 2)
    farther = _farther(
        parameters,
        jnp.broadcast_to(place[None], shape),
        jnp.broadcast_to(bearings[:, None], shape[:2]),
    )
    return delay((farther[:1] - farther[1:]) * (parameters.carrier / SPEED_OF_LIGHT))


def _outer_products(parameters: Any, key: Array) -> Array:
    """h(f_1) h(f_2)^H of one path, shape (assumptions, spreads, M L, M L)."""
    angle_key, gain_key = jax.random.split(key)
    aps = parameters.num_aps
    stds = jnp.asarray(np.radians(parameters.kronecker_std_deg))
    own = parameters.angle + stds[:, None] * _normal(angle_key, aps)[None]
    common = jnp.broadcast_to(own[:, :1], own.shape)
    gains = complex_normal(gain_key, (aps,))
    alike = jnp.broadcast_to(gains[:1], gains.shape)
    # In the order of the assumptions.
    angles = jnp.stack([common, own, own])
    gains = jnp.stack([alike, alike, gains])[:, None]
    distances = parameters.ap_distance_step_m * jnp.arange(aps, dtype=angles.dtype)
    first, second = (
        _channel(parameters, offset, angles, gains * macro_steering(offset, distances)[None, None])
        for offset in (1e6 * parameters.separation_mhz[-1], 0.0)
    )
    return first[..., :, None] * second[..., None, :].conj()


def _channel(parameters: Any, offset: float, angles: Array, gains: Array) -> Array:
    """Channel with antenna m of AP l in place m L + l."""
    lag = (parameters.carrier + offset) * parameters.element_spacing / SPEED_OF_LIGHT
    waves = progressive_delay(lag * jnp.sin(angles), parameters.num_antennas)
    stacked = jnp.swapaxes(gains[..., None] * waves, -2, -1)
    return stacked.reshape(*stacked.shape[:-2], -1)
