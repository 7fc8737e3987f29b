r"""Spatial covariance of scattered waves at a uniform linear array.

Waves arrive at random angles $\theta$; the covariance is $R = E\{a(\theta) a(\theta)^H\}$, with
the steering vector of `antennas.ula_steering`, a unit diagonal and so $\mathrm{tr} R = S$.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex, Float, Key

from jaxmimo.channel.antennas import progressive_delay, ula_steering
from jaxmimo.core.checks import (
    angle_array,
    function,
    on_device,
    positive_integer,
)
from jaxmimo.core.contracts import checked
from jaxmimo.core.covariances import covariance_array
from jaxmimo.core.programs import kept_jit
from jaxmimo.core.randomness import uniform
from jaxmimo.core.rules import angular_spread, at_least_one, direction, nonnegative, positive
from jaxmimo.core.sinc import sinc

AngleLaw = Callable[[Float[Array, " orders"], Array], Float[Array, " orders"]]
r"""A law of the deviation $\delta$ from the mean angle, by its characteristic function.

From integer orders $n$ and the standard deviation [rad] to $\chi(n) = E\{e^{jn\delta}\}$. The law
must be even in $\delta$, so that this is real. Deviations beyond half a turn wrap round.
"""

Covariance = Callable[[Key[Array, ""], int, ArrayLike, float], Complex[Array, "antennas antennas"]]
"""What scatters: from (key, num_antennas, angle [rad], spacing [wavelengths]) to the covariance of
one link, Hermitian and positive semidefinite. Its diagonal, one in all those here, is the power of
the scattered waves over what path loss and Rician factor leave them. The key serves what is random
about the surroundings; it may go unused."""


def gaussian_law(order: Float[Array, " orders"], angular_std: Array) -> Float[Array, " orders"]:
    r"""Normal deviation: $\chi(n) = e^{-n^2 \sigma^2 / 2}$."""
    return jnp.exp(-0.5 * (order * angular_std) ** 2)


def uniform_law(order: Float[Array, " orders"], angular_std: Array) -> Float[Array, " orders"]:
    r"""Uniform deviation in $\pm\sqrt3\,\sigma$: $\chi(n) = \sin(u)/u$ with $u=\sqrt3\,n\sigma$."""
    return sinc(math.sqrt(3) * order * angular_std)


def laplace_law(order: Float[Array, " orders"], angular_std: Array) -> Float[Array, " orders"]:
    r"""Laplace deviation: $\chi(n) = 1 / (1 + n^2 \sigma^2 / 2)$."""
    return 1.0 / (1.0 + 0.5 * (order * angular_std) ** 2)


@checked(
    num_antennas=at_least_one,
    angle=direction.shaped(""),
    angular_std=angular_spread.shaped(""),
    spacing=positive,
)
def local_scattering_covariance(
    num_antennas: int,
    angle: ArrayLike,
    angular_std: ArrayLike,
    spacing: float = 0.5,
    law: AngleLaw = gaussian_law,
) -> Complex[Array, "antennas antennas"]:
    r"""Covariance of waves from around one angle, without approximation.

    At lag $d$ it is `mean_wave` with $z = 2\pi\Delta d$.

    Args:
        num_antennas: $S$.
        angle: Mean angle $\varphi$ from boresight [rad].
        angular_std: Standard deviation of $\delta$ [rad].
        spacing: $\Delta$ [wavelengths], a plain number: Bessel functions are tabulated for it.
        law: Law of $\delta$, such as `gaussian_law`, `uniform_law`, `laplace_law`.

    Raises:
        ValueError: If there is no antenna, or `spacing` is traced or not positive.

    References:
        The model: Bjornson, Hoydis, Sanguinetti, "Massive MIMO Networks", 2017, Section 2.6.
    """
    phases = 2 * np.pi * spacing * np.arange(num_antennas)
    mean = mean_wave(phases, angle, angular_std, law)
    return _hermitian_toeplitz(mean.real, mean.imag)


def mean_wave(
    phases: np.ndarray, angle: ArrayLike, angular_std: ArrayLike, law: AngleLaw = gaussian_law
) -> Complex[Array, " phases"]:
    r"""Mean of waves from around one angle, at places given by phases, without approximation.

    With the Jacobi-Anger expansion,
    $$E\{e^{-j z \sin(\varphi + \delta)}\} = \sum_n J_n(z)\, e^{-jn\varphi} \chi(n).$$
    The Bessel functions fall faster than exponentially once $n$ exceeds $|z|$, so the sum is cut
    where they vanish to double precision, whatever the law. $J_{-n} = (-1)^n J_n$ leaves the even
    orders to the real part and the odd ones to the imaginary part.

    Args:
        phases: $z$ [rad] of either sign, plain numbers: Bessel functions are tabulated for them.
        angle: Mean angle $\varphi$ from boresight [rad].
        angular_std: Standard deviation of $\delta$ [rad].
        law: Law of $\delta$.

    References:
        Abramowitz, Stegun, eqs. (9.1.42)-(9.1.43).
    """
    dtype = jnp.result_type(float)
    even, odd = (jnp.asarray(table, dtype) for table in _bessel_tables(tuple(phases.tolist())))
    return _series(even, odd, jnp.asarray(angle, dtype), jnp.asarray(angular_std, dtype), law)


@checked(
    num_antennas=at_least_one,
    angle=direction.shaped(""),
    spread=angular_spread.shaped(""),
    spacing=positive,
)
def one_ring_covariance(
    num_antennas: int, angle: ArrayLike, spread: ArrayLike, spacing: float = 0.5
) -> Complex[Array, "antennas antennas"]:
    r"""Covariance of waves that arrive from a ring of scatterers about the user.

    $$[R]_{mp} = \frac{1}{2\Delta}
        \int_{-\Delta}^{\Delta} e^{-j 2\pi D (m - p) \sin(\theta + \alpha)}\, d\alpha$$

    This is `local_scattering_covariance` with angles uniform in $\theta \pm \Delta$; no spread
    leaves the direct path, a covariance of rank one.

    Args:
        num_antennas: Number of antennas.
        angle: $\theta$ from boresight [rad].
        spread: $\Delta$ [rad], half the width of the interval of angles.
        spacing: $D$ [wavelengths], a plain number.

    Raises:
        ValueError: If there is no antenna, or `spacing` is traced or not positive.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eq. (4). Some codes use the conjugate, which mirrors the angle.
    """
    angular_std = jnp.asarray(spread, jnp.result_type(float)) / math.sqrt(3)
    return local_scattering_covariance(num_antennas, angle, angular_std, spacing, uniform_law)


@checked(
    num_antennas=at_least_one, angular_std=angular_spread.shaped(""), spacing=nonnegative.shaped("")
)
def clustered_covariance(
    num_antennas: int,
    cluster_angles: Float[Array, " clusters"],
    angular_std: ArrayLike,
    spacing: ArrayLike = 0.5,
) -> Complex[Array, "antennas antennas"]:
    r"""Covariance of waves from around several angles, deviating little from them.

    $$r_d = \frac1N \sum_n e^{-j z_d \sin\varphi_n} e^{-(z_d \sigma \cos\varphi_n)^2 / 2},
      \qquad z_d = 2\pi\Delta d$$

    This is exact for a normal deviation of the sine of the angle, with standard deviation
    $\sigma\cos\varphi_n$; to first order in $\sigma$, that is a normal deviation of the angle.

    Args:
        num_antennas: $S$.
        cluster_angles: $\varphi_n$ from boresight [rad].
        angular_std: $\sigma$ [rad].
        spacing: $\Delta$ [wavelengths].

    Raises:
        ValueError: If there is no antenna.

    References:
        Ozdogan, Bjornson, Larsson, "Massive MIMO With Spatially Correlated Rician Fading
        Channels", IEEE Trans. Commun. 2019, with the opposite sign of angles.
    """
    waves = ula_steering(num_antennas, cluster_angles, spacing)
    lag = jnp.arange(num_antennas, dtype=waves.real.dtype)
    phase_std = 2 * np.pi * jnp.asarray(spacing) * angular_std * jnp.cos(cluster_angles)
    damping = jnp.exp(-0.5 * (phase_std[:, None] * lag[None, :]) ** 2)
    mean = jnp.mean(damping * waves, axis=0)
    return _hermitian_toeplitz(mean.real, mean.imag)


@checked(num_antennas=at_least_one, angle=direction.shaped(""), spacing=nonnegative)
def uncorrelated(
    key: Key[Array, ""], num_antennas: int, angle: ArrayLike, spacing: float
) -> Complex[Array, "antennas antennas"]:
    """Scattering from everywhere: the identity; a `Covariance`."""
    del key, angle, spacing
    return jnp.eye(num_antennas, dtype=jnp.result_type(complex))


def checked_covariance(covariance: Covariance, num_antennas: int, spacing: float) -> Covariance:
    """A `Covariance`, refused where what it gives for a link is no covariance.

    One of a user's own is asked for a user 0.3 rad off boresight. Values that it computes from
    traced ones are not looked at.

    Raises:
        ValueError: If it is no function, or gives what is no covariance.
    """
    function("covariance", covariance, "`uncorrelated`, or `LocalScattering(angular_std=0.1)`")
    if covariance is uncorrelated or isinstance(covariance, LocalScattering | ScatteringClusters):
        return covariance
    link = covariance(jax.random.key(0), num_antennas, on_device(np.float32(0.3)), spacing)
    covariance_array("covariance", link, num_antennas)
    return covariance


class LocalScattering(eqx.Module):
    """`local_scattering_covariance` as a `Covariance`; its key goes unused.

    Args:
        angular_std: Standard deviation of the angles of arrival [rad].
        law: Their law.
    """

    angular_std: Float[Array, "*sweep"]
    law: AngleLaw = eqx.field(static=True)

    def __init__(self, *, angular_std: ArrayLike, law: AngleLaw = gaussian_law) -> None:
        self.angular_std = angle_array("angular_std", angular_std, minimum=0.0)
        self.law = function("law", law, "`gaussian_law`")

    def __call__(
        self, key: Key[Array, ""], num_antennas: int, angle: ArrayLike, spacing: float
    ) -> Complex[Array, "antennas antennas"]:
        """Covariance around `angle` [rad] for `spacing` [wavelengths]."""
        del key
        return local_scattering_covariance(num_antennas, angle, self.angular_std, spacing, self.law)


class ScatteringClusters(eqx.Module):
    r"""`clustered_covariance` as a `Covariance`, with clusters uniform in $\varphi \pm$ `spread`.

    Args:
        angular_std: Standard deviation of the angles within a cluster [rad]; 5 degrees.
        num_clusters: Number of clusters per link.
        spread: Largest distance of a cluster from the direct path's angle $\varphi$ [rad]; 40
            degrees.

    Raises:
        ValueError: If there is no cluster, or a value is negative or not finite.

    References:
        Ozdogan et al., whose numerical results use these defaults.
    """

    angular_std: Float[Array, "*sweep"]
    spread: Float[Array, "*sweep"]
    num_clusters: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        angular_std: ArrayLike = math.pi / 36,
        num_clusters: int = 6,
        spread: ArrayLike = 2 * math.pi / 9,
    ) -> None:
        self.angular_std = angle_array("angular_std", angular_std, minimum=0.0)
        self.spread = angle_array("spread", spread, minimum=0.0)
        self.num_clusters = positive_integer("num_clusters", num_clusters)

    def __call__(
        self, key: Key[Array, ""], num_antennas: int, angle: ArrayLike, spacing: float
    ) -> Complex[Array, "antennas antennas"]:
        """Covariance with clusters around `angle` [rad] for `spacing` [wavelengths]."""
        places = 2 * uniform(key, (self.num_clusters,)) - 1
        cluster_angles = jnp.asarray(angle) + self.spread * places
        return clustered_covariance(num_antennas, cluster_angles, self.angular_std, spacing)


@lru_cache(maxsize=64)
def _bessel_tables(phases: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Terms of the expansion, phases by orders: even orders, odd orders; doubled above order 0.

    $J_n(z)$ is below 1e-20 from $n = z + 13 z^{1/3} + 10$ on.
    """
    from scipy.special import jv  # here, since importing it takes long

    argument = np.asarray(phases)
    largest = np.abs(argument).max()
    half = math.ceil((largest + 13 * np.cbrt(largest) + 10) / 2)
    table = 2 * jv(np.arange(2 * half), argument[:, None])
    table[:, 0] /= 2
    table.flags.writeable = False
    return table[:, 0::2], table[:, 1::2]


@kept_jit
def _series(
    even: Float[Array, "phases half"],
    odd: Float[Array, "phases half"],
    angle: Array,
    angular_std: Array,
    law: AngleLaw,
) -> Complex[Array, " phases"]:
    """Sum of the expansion, from the terms of its tables."""
    orders = 2 * even.shape[1]
    terms = progressive_delay(angle / (2 * np.pi), orders)
    weight = law(jnp.arange(orders, dtype=even.dtype), angular_std)
    real = jnp.matmul(even, (weight * terms.real)[0::2], precision="highest")
    imag = jnp.matmul(odd, (weight * terms.imag)[1::2], precision="highest")
    return real + 1j * imag


def _hermitian_toeplitz(
    real: Float[Array, " antennas"], imag: Float[Array, " antennas"]
) -> Complex[Array, "antennas antennas"]:
    """Matrix of its first column."""
    antenna = np.arange(real.size)
    lag = antenna[:, None] - antenna[None, :]
    # The element of lag d is at S - 1 + d.
    both_real = jnp.concatenate([real[:0:-1], real])
    both_imag = jnp.concatenate([-imag[:0:-1], imag])
    place = lag + real.size - 1
    return both_real[place] + 1j * both_imag[place]
