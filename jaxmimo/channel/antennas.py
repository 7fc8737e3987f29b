r"""Antenna arrays.

The sign convention of the library: a longer path is a later phase, $e^{-j 2\pi d / \lambda}$. A
wave from a positive angle reaches the antennas in the order of their numbers, so their phases fall
with the number; arrays, covariances and propagation phases all hold to this.
"""

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import at_least_one, direction, nonnegative
from jaxmimo.core.small_matrices import Parts
from jaxmimo.core.turns import Turns, cos_sin


@checked(num_antennas=at_least_one, angle=direction, spacing=nonnegative)
def ula_steering(
    num_antennas: int, angle: ArrayLike, spacing: ArrayLike = 0.5
) -> Complex[Array, "*links antennas"]:
    r"""Response of a uniform linear array to a plane wave, first antenna as the reference.

    $$a_s(\varphi) = e^{-j 2\pi \Delta s \sin\varphi}, \qquad s = 0, \dots, S-1$$

    Args:
        num_antennas: $S$.
        angle: $\varphi$ from boresight [rad], of any shape.
        spacing: $\Delta$ [wavelengths].

    Returns:
        The shape of `angle` with an axis of antennas added at the end.

    Raises:
        ValueError: If there is no antenna.

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        eq. (2).
    """
    turns = jnp.asarray(spacing) * jnp.sin(jnp.asarray(angle, jnp.result_type(float)))
    return progressive_delay(turns, num_antennas)


@checked(
    azimuth_antennas=at_least_one,
    elevation_antennas=at_least_one,
    azimuth=direction,
    elevation=direction,
    spacing=nonnegative,
)
def ura_steering(
    azimuth_antennas: int,
    elevation_antennas: int,
    azimuth: ArrayLike,
    elevation: ArrayLike,
    spacing: ArrayLike = 0.5,
) -> Complex[Array, "*links antennas"]:
    r"""Response of a uniform rectangular array to a plane wave, as two linear arrays see it.

    $$a(\varphi, \vartheta) = a_{az}(\varphi) \otimes a_{el}(\vartheta)$$

    Element $m N + n$ is number $m$ in azimuth and $n$ in elevation. That its phase is a sum of
    one in $\varphi$ and one in $\vartheta$ is the approximation behind the Kronecker covariance of
    such an array; a wave's phase in azimuth really depends on its elevation, too.

    Args:
        azimuth_antennas: $M$.
        elevation_antennas: $N$.
        azimuth: $\varphi$ from boresight [rad], of a shape that broadcasts with `elevation`.
        elevation: $\vartheta$ from boresight [rad].
        spacing: $\Delta$ [wavelengths], the same both ways.

    Returns:
        The common shape of the angles with an axis of $M N$ antennas added at the end.

    Raises:
        ValueError: If there is no antenna in a direction.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eq. (3).
    """
    azimuth, elevation = jnp.broadcast_arrays(azimuth, elevation)
    across = ula_steering(azimuth_antennas, azimuth, spacing)
    up = ula_steering(elevation_antennas, elevation, spacing)
    product = across[..., :, None] * up[..., None, :]
    return product.reshape(*product.shape[:-2], -1)


def delay(turns: Array) -> Complex[Array, "..."]:
    r"""$e^{-j 2\pi t}$ for $t$ [turns]."""
    cosine, sine = cos_sin(turns)
    return lax.complex(cosine, -sine)


def delay_parts(turns: Float[Array, "..."]) -> Parts:
    """`delay` in parts."""
    cosine, sine = cos_sin(turns)
    return Parts(cosine, -sine)


def progressive_delay(turns: Array, steps: int) -> Complex[Array, "*links steps"]:
    r"""$e^{-j 2\pi t n}$ for $t$ [turns] and $n = 0, \dots, N-1$, as exact as $t$ for $N \le 4096$.

    Rounding $t n$ would give every step a phase error of its own, and could leave a covariance
    indefinite.
    """
    step = jnp.arange(steps, dtype=turns.dtype).reshape((1,) * turns.ndim + (steps,))
    return delay(Turns.of(turns[..., None]).times(step))
