"""Decibels and degrees at the border of the library; inside, everything is linear and radians."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def from_db(value_db: ArrayLike) -> Array:
    """Power ratio [linear] of a value in decibels."""
    return 10.0 ** (jnp.asarray(value_db) / 10.0)


def to_db(value: ArrayLike) -> Array:
    """Decibels of a power ratio [linear]."""
    return 10.0 * jnp.log10(jnp.asarray(value))
