"""Large-scale fading: how power falls with distance."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

SPEED_OF_LIGHT = 299_792_458.0
"""[m/s]"""


def wavelength(carrier_hz: ArrayLike) -> Array:
    r"""Wavelength $\lambda = c / f_c$ [m] of a carrier [Hz]."""
    return SPEED_OF_LIGHT / jnp.asarray(carrier_hz)


def log_distance_gain(
    distance: Float[Array, "..."],
    *,
    exponent: ArrayLike,
    carrier_hz: ArrayLike,
    reference_distance: ArrayLike = 1.0,
) -> Float[Array, "..."]:
    r"""Power gain [linear] of the log-distance model, in free space up to a reference distance.

    $$\beta = \Bigl(\frac{\lambda}{4\pi d_0}\Bigr)^2 \Bigl(\frac{d}{d_0}\Bigr)^{-\alpha},
      \qquad d \ge d_0$$

    Closer than $d_0$ the gain stays that of $d_0$: the model holds in the far field only, and
    must not pass on more power than was sent.

    Args:
        distance: $d$ [m].
        exponent: $\alpha$; 2 is free space.
        carrier_hz: Carrier frequency [Hz].
        reference_distance: $d_0$ [m].

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        eqs. (18)-(19), in decibels there.
    """
    friis = (wavelength(carrier_hz) / (4 * np.pi * reference_distance)) ** 2
    return friis * jnp.maximum(distance / reference_distance, 1.0) ** -jnp.asarray(exponent)


def distance_power_law(
    distance: Float[Array, "..."],
    *,
    exponent: ArrayLike = 3.8,
    reference_distance: ArrayLike = 100.0,
) -> Float[Array, "..."]:
    r"""Power gain [linear] that falls with distance, relative to that at a reference distance.

    $$\beta = (r / r_0)^{-\gamma}$$

    Unlike in `log_distance_gain`, nothing is capped: $r_0$ only says at which distance the SNR is
    meant, so closer users do gain more. Users are expected to keep a distance, which is $r_0$ by
    default.

    Args:
        distance: $r$ [m], above zero.
        exponent: $\gamma$.
        reference_distance: $r_0$ [m].

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eq. (2), with $r_0$ = 1 m there.
    """
    return (distance / reference_distance) ** -jnp.asarray(exponent)
