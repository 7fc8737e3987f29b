"""Decibels and degrees at the border of the library; inside, everything is linear and radians."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmimo.core.checks import array_module, on_device
from jaxmimo.core.guards import root


@np.errstate(over="ignore")  # infinity says it, as it does in JAX
def from_db(value_db: ArrayLike) -> Array:
    """Power ratio [linear] of a value in decibels."""
    return on_device(_linear(value_db))


def to_db(value: ArrayLike) -> Array:
    """Decibels of a power ratio [linear]."""
    return 10.0 * jnp.log10(jnp.asarray(value))


def amplitude(power: Array) -> Array:
    """Square root of a power, with gradient zero at zero; NaN of a negative one."""
    return root(power)


@np.errstate(over="ignore")
def noise_power(
    bandwidth_hz: ArrayLike, noise_figure_db: ArrayLike, density_dbm_hz: ArrayLike = -174.0
) -> Array:
    r"""Power [W] of thermal noise in a receiver's band, $\sigma^2 = N_0 B F$.

    Args:
        bandwidth_hz: $B$ [Hz].
        noise_figure_db: $F$ [dB].
        density_dbm_hz: $N_0$ [dBm/Hz]; -174 at room temperature.
    """
    xp = array_module(bandwidth_hz, noise_figure_db, density_dbm_hz)
    density_db = xp.asarray(density_dbm_hz) - 30.0
    density = _linear(density_db + xp.asarray(noise_figure_db))
    return on_device(xp.asarray(bandwidth_hz) * density)


def _linear(value_db: ArrayLike) -> np.ndarray | np.floating | Array:
    xp = array_module(value_db)
    return 10.0 ** (xp.asarray(value_db) / 10.0)
