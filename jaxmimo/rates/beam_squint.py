r"""Beam squint: phase shifters steer a beam at the carrier only.

A uniform linear array with spacing $\delta$ that is steered to $\theta$ at the carrier $f_c$ sees,
at the offset $f$ from it, its waves advance by
$$x = \frac{f \delta \sin\theta}{c}$$
more turns from antenna to antenna than its phase shifters make up for. That costs array gain, and
moves the wave to other bins of the virtual-angle domain.

References:
    Ahn et al., "On the Spatial-Wideband Effects in Millimeter-Wave Cell-Free Massive MIMO",
    Section III-B, which stops before its results; these are derived from its eqs. (9)-(10).
"""

import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.channel.correlation import AngleLaw, mean_wave, uniform_law
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT, radio_carrier
from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import divided
from jaxmimo.core.rules import angular_spread, at_least_one, direction, finite, nonnegative
from jaxmimo.core.sinc import dirichlet_power
from jaxmimo.core.units import amplitude


@checked(num_antennas=at_least_one, spacing_m=nonnegative, angle=direction)
def beam_squint_gain(
    frequency_offset: ArrayLike, num_antennas: int, spacing_m: ArrayLike, angle: ArrayLike
) -> Float[Array, "*shape"]:
    r"""Array gain at an offset from the carrier, relative to the gain $M$ at the carrier.

    $$g = \Bigl(\frac{\sin \pi M x}{M \sin \pi x}\Bigr)^2 \in [0, 1]$$

    Args:
        frequency_offset: $f$ [Hz], of a shape that broadcasts with `angle`.
        num_antennas: $M$.
        spacing_m: $\delta$ [m].
        angle: $\theta$ from boresight [rad].

    Returns:
        1 at the carrier and at boresight, whatever $M$; the common shape of the arguments.

    Raises:
        ValueError: If there is no antenna.
    """
    return dirichlet_power(_turns(frequency_offset, spacing_m, angle), num_antennas)


@checked(
    num_antennas=at_least_one,
    frequency_offset=finite.known_early(),
    spacing_m=nonnegative,
    angle=direction.shaped(""),
    angular_std=angular_spread.shaped(""),
)
def mean_squint_gain(
    frequency_offset: ArrayLike,
    num_antennas: int,
    spacing_m: float,
    angle: ArrayLike,
    angular_std: ArrayLike,
    law: AngleLaw = uniform_law,
) -> Float[Array, "*offsets"]:
    r"""Mean of `beam_squint_gain` over users at random angles, without approximation.

    The gain is a sum of the waves of all pairs of antennas,
    $$E\, g = \frac{1}{M^2} \sum_{d = 1 - M}^{M - 1} (M - |d|)\, E e^{-j 2\pi d f \delta
      \sin(\theta) / c},$$
    of which `mean_wave` gives the means.

    Args:
        frequency_offset: $f$ [Hz], plain numbers: Bessel functions are tabulated for them.
        num_antennas: $M$.
        spacing_m: $\delta$ [m], a plain number.
        angle: Mean angle of the users from boresight [rad].
        angular_std: Standard deviation of their angles [rad]; $1/\sqrt3$ of the half width of a
            sector in which they are uniform.
        law: Law of the deviation.

    Raises:
        ValueError: If there is no antenna, or a plain number is traced.
    """
    lag = np.arange(num_antennas)
    step = 2 * np.pi * float(spacing_m) / SPEED_OF_LIGHT * np.asarray(frequency_offset, float)
    phases = step[..., None] * lag
    pairs = np.where(lag == 0, 1, 2) * (num_antennas - lag) / num_antennas**2
    waves = mean_wave(phases.ravel(), angle, angular_std, law).real.reshape(phases.shape)
    return jnp.matmul(waves, jnp.asarray(pairs, waves.dtype), precision="highest")


@checked(carrier=radio_carrier, angle=direction)
def pointing_error(
    frequency_offset: ArrayLike, carrier: ArrayLike, angle: ArrayLike
) -> Float[Array, "*shape"]:
    r"""How far a beam steered to $\theta$ at the carrier points beside it at an offset.

    The beam points to $\theta'$ with $(1 + f/f_c) \sin\theta' = \sin\theta$. Below the carrier it
    turns away from boresight. Where the right-hand side is too large, its peak has left visible
    space; the largest gain is then along the array, $|\theta'| = \pi/2$, where the gradient is
    taken as zero. The error is computed without forming $\theta'$, so that it keeps its digits.

    Args:
        frequency_offset: $f > -f_c$ [Hz], of a shape that broadcasts with the others.
        carrier: $f_c$ [Hz].
        angle: $\theta$ from boresight [rad]; a beam behind the array stays there.

    Returns:
        $\theta' - \theta$ [rad].

    Raises:
        ValueError: If an offset is no more than $-f_c$.
    """
    dtype, given_as_array = jnp.result_type(float), isinstance(frequency_offset, Array)
    frequency_offset = jnp.asarray(frequency_offset, dtype)
    ratio = frequency_offset / jnp.asarray(carrier, dtype)
    is_known = not isinstance(carrier, Array) and not given_as_array
    require(
        not is_known or bool(jnp.all(ratio > -1)),
        "`frequency_offset` must be above -carrier, so that the frequency is positive. Give it "
        "relative to the carrier, in hertz.",
    )
    angle = jnp.asarray(angle, dtype)
    sine, cosine = jnp.sin(angle), jnp.abs(jnp.cos(angle))
    # (1 + f/f_c) cos(theta') and by how much its square falls short of cos(theta)^2.
    shortfall = jnp.minimum(-ratio * (2 + ratio), cosine**2)
    turned = amplitude(jnp.maximum(cosine**2 - shortfall, 0.0))
    total = cosine + turned
    difference = divided(shortfall, total)
    error = jnp.arctan2(sine * difference, cosine * turned + sine**2)
    return jnp.where(jnp.cos(angle) < 0, -error, error)


@checked(carrier=radio_carrier, angle=direction)
def pointing_angle(
    frequency_offset: ArrayLike, carrier: ArrayLike, angle: ArrayLike
) -> Float[Array, "*shape"]:
    r"""Where a beam steered to $\theta$ at the carrier points at an offset [rad].

    $$\theta' = \arcsin \frac{\sin\theta}{1 + f/f_c}$$

    This is $\theta$ plus `pointing_error`, which says what happens beyond visible space.

    Args:
        frequency_offset: $f$ [Hz].
        carrier: $f_c$ [Hz].
        angle: $\theta$ from boresight [rad].

    Raises:
        ValueError: If an offset is no more than $-f_c$.
    """
    error = pointing_error(frequency_offset, carrier, angle)
    return jnp.asarray(angle, error.dtype) + error


@checked(num_antennas=at_least_one, spacing_m=nonnegative, angle=direction)
def squint_bandwidth(
    num_antennas: int, spacing_m: ArrayLike, angle: ArrayLike
) -> Float[Array, "*shape"]:
    r"""Bandwidth [Hz], both sides of the carrier, over which half of the array gain is kept.

    $$W = \frac{b_M\, c}{M \delta |\sin\theta|}$$

    The constant falls from $b_2 = 1$ to $b_\infty = 0.8859$; with 16 antennas it is 0.2 % above.

    Args:
        num_antennas: $M$.
        spacing_m: $\delta$ [m].
        angle: $\theta$ from boresight [rad].

    Returns:
        Infinite at boresight and for one antenna.

    Raises:
        ValueError: If there is no antenna.
    """
    dtype = jnp.result_type(float)
    aperture = jnp.asarray(spacing_m, dtype) * jnp.abs(jnp.sin(jnp.asarray(angle, dtype)))
    at_boresight = aperture == 0
    width = half_power_width(num_antennas) * SPEED_OF_LIGHT / num_antennas
    return jnp.where(at_boresight, jnp.inf, width / jnp.where(at_boresight, 1.0, aperture))


@lru_cache(maxsize=256)
def half_power_width(num_antennas: int) -> float:
    r"""$b_M$: the width $2 M x$ between the points of half power of $M$ antennas' gain.

    By bisection of $\sin(\pi M x) = M \sin(\pi x) / \sqrt2$ between no squint and the first null.
    """
    if num_antennas == 1:
        return math.inf
    low, high = 0.0, 1.0  # of M x
    for _ in range(60):
        middle = (low + high) / 2
        power = math.sin(math.pi * middle) / math.sin(math.pi * middle / num_antennas)
        low, high = (middle, high) if power > num_antennas / math.sqrt(2) else (low, middle)
    return low + high


@checked(num_antennas=at_least_one, spacing_m=nonnegative, angle=direction, carrier=nonnegative)
def dft_leakage(
    frequency_offset: ArrayLike,
    num_antennas: int,
    spacing_m: ArrayLike,
    angle: ArrayLike,
    carrier: ArrayLike,
) -> Float[Array, "*shape antennas"]:
    r"""Power of the array's response in each bin of the virtual-angle domain.

    Bin $q$ is the DFT beam that $q/M$ turns from antenna to antenna would fill alone. The response
    advances by $y = (f_c + f) \delta \sin\theta / c$ turns, so that it gets the share
    $$p_q = \Bigl(\frac{\sin \pi M (y - q/M)}{M \sin \pi (y - q/M)}\Bigr)^2,
      \qquad \sum_q p_q = 1.$$
    The offset moves the peak by $M x$ bins, modulo $M$.

    The macro-steering vector (9) over APs whose distances from the user are $D$ apart leaks just
    so: give the number of APs, $D$ for `spacing_m`, $\pi/2$ for `angle` and no `carrier`, since its
    phase at the carrier belongs to the paths' gains.

    Args:
        frequency_offset: $f$ [Hz], of a shape that broadcasts with `angle`.
        num_antennas: $M$.
        spacing_m: $\delta$ [m].
        angle: $\theta$ from boresight [rad].
        carrier: $f_c$ [Hz].

    Returns:
        $p_q$: an axis of bins is added at the end of the common shape.

    Raises:
        ValueError: If there is no antenna.
    """
    turns = _turns(carrier, spacing_m, angle) + _turns(frequency_offset, spacing_m, angle)
    bins = np.arange(num_antennas).reshape((1,) * turns.ndim + (num_antennas,)) / num_antennas
    return dirichlet_power(turns[..., None] - jnp.asarray(bins, turns.dtype), num_antennas)


def _turns(frequency: ArrayLike, spacing_m: ArrayLike, angle: ArrayLike) -> Float[Array, "*shape"]:
    """Turns from antenna to antenna of a wave of this frequency."""
    dtype = jnp.result_type(float)
    lag = jnp.asarray(spacing_m, dtype) * jnp.sin(jnp.asarray(angle, dtype)) / SPEED_OF_LIGHT
    return jnp.asarray(frequency, dtype) * lag
