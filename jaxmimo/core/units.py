"""Decibels and degrees at the border of the library; inside, everything is linear and radians."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmimo.core.checks import array_module, is_traced, on_device, require
from jaxmimo.core.guards import root


@np.errstate(over="ignore")
def from_db(value_db: ArrayLike) -> Array:
    """Power ratio [linear] of a value in decibels.

    Raises:
        ValueError: If the value is finite, and the ratio is not.
    """
    return _unless_infinite("value_db", value_db, _linear(value_db))


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
    return _unless_infinite("noise_figure_db", noise_figure_db, xp.asarray(bandwidth_hz) * density)


def _unless_infinite(name: str, given: ArrayLike, found: np.ndarray | np.floating | Array) -> Array:
    """A ratio on the device, refused where decibels were too many for a number."""
    ratio = on_device(found)
    require(
        is_traced(given, ratio) or not np.any(np.isfinite(given) & np.isinf(ratio)),
        f"`{name}` must be less, since its ratio is beyond {ratio.dtype}. Give decibels.",
    )
    return ratio


def _linear(value_db: ArrayLike) -> np.ndarray | np.floating | Array:
    xp = array_module(value_db)
    return 10.0 ** (xp.asarray(value_db) / 10.0)
