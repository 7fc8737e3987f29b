r"""Channel estimation from orthogonal uplink pilots, with matched receivers.

Least squares leaves $y = h + e$ with $e \sim \mathcal{CN}(0, \sigma_e^2 I)$. An estimator is a
function of one link, `(h, observation, mean, covariance, error_variance) -> (h_hat,
error_covariance)`; it uses what it may know of these.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex, Float, Key

from jaxmimo.core.contracts import checked
from jaxmimo.core.randomness import complex_normal
from jaxmimo.core.rules import at_least_one, nonnegative, positive, semidefinite
from jaxmimo.core.small_matrices import Parts, adjoint_product, inverse
from jaxmimo.transceiver.pilots import orthonormal_pilots

Vector = Complex[Array, " antennas"]
Matrix = Complex[Array, "antennas antennas"]
ChannelEstimator = Callable[..., tuple[Vector, Matrix]]
"""An estimator, with the arguments of `lmmse`."""


@checked(pilot_length=at_least_one, power=positive, noise_power=nonnegative)
def least_squares_error_variance(
    pilot_length: int, power: ArrayLike, noise_power: ArrayLike
) -> Float[Array, "..."]:
    r"""Variance of least-squares estimates, $\sigma_e^2 = \sigma^2 / (\tau p)$.

    Args:
        pilot_length: $\tau$ [symbols]; the paper takes as many as users.
        power: Pilot power $p$ [W].
        noise_power: $\sigma^2$ [W].

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        eq. (6).
    """
    return jnp.asarray(noise_power) / (pilot_length * jnp.asarray(power))


@checked(
    pilot_length=at_least_one, power=positive.shaped("|users"), noise_power=nonnegative.shaped("")
)
def least_squares_pilots(
    key: Key[Array, ""],
    h: Complex[Array, "antennas users"],
    pilot_length: int,
    power: ArrayLike,
    noise_power: ArrayLike,
) -> Complex[Array, "antennas users"]:
    r"""Least-squares estimates from a pilot phase simulated symbol by symbol.

    $$Y = \sqrt{\tau p}\, H \Phi^T + W, \qquad \hat H = Y \Phi^* / \sqrt{\tau p}$$

    with orthonormal pilots $\Phi^H \Phi = I$. The errors of the estimates are independent with
    `least_squares_error_variance`, which is the model of eqs. (5)-(6).

    Args:
        key: Typed key of the receiver noise.
        h: Channels [linear amplitude].
        pilot_length: $\tau$ [symbols], at least the number of users.
        power: Pilot power, one number or one per user [W].
        noise_power: $\sigma^2$ [W].

    References:
        Tominaga et al., eqs. (5)-(6).
    """
    antennas, users = h.shape
    pilots = jnp.asarray(orthonormal_pilots(pilot_length, users), h.real.dtype)
    sent = jnp.sqrt(pilot_length * jnp.broadcast_to(jnp.asarray(power), (1, users)))
    noise = jnp.sqrt(noise_power) * complex_normal(key, (antennas, pilot_length))
    received = jnp.matmul(h * sent, pilots.T, precision="highest") + noise
    return jnp.matmul(received, pilots, precision="highest") / sent


@checked(covariance=semidefinite, error_variance=nonnegative.shaped(""))
def perfect_csi(
    h: Vector, observation: Vector, mean: Vector, covariance: Matrix, error_variance: ArrayLike
) -> tuple[Vector, Matrix]:
    """The channel itself, for comparison."""
    del observation, mean, error_variance
    return h, jnp.zeros_like(covariance)


@checked(covariance=semidefinite, error_variance=nonnegative.shaped(""))
def least_squares(
    h: Vector, observation: Vector, mean: Vector, covariance: Matrix, error_variance: ArrayLike
) -> tuple[Vector, Matrix]:
    """The observation as it is; needs no statistics of the channel.

    References:
        Tominaga et al., eq. (5).
    """
    del h, mean
    identity = jnp.eye(covariance.shape[0], dtype=covariance.dtype)
    return observation, jnp.asarray(error_variance) * identity


@checked(covariance=semidefinite, error_variance=positive.shaped(""))
def lmmse(
    h: Vector, observation: Vector, mean: Vector, covariance: Matrix, error_variance: ArrayLike
) -> tuple[Vector, Matrix]:
    r"""Phase-aware LMMSE estimate of a correlated Rician channel.

    $$\hat h = \bar h + A (y - \bar h), \qquad A = R (R + \sigma_e^2 I)^{-1}, \qquad
      C = R - A R = \sigma_e^2 A$$

    Given the line of sight with its phase, the channel is Gaussian and this is the MMSE estimate.

    Args:
        h: The channel itself; not used.
        observation: Least-squares estimate $y$.
        mean: Line of sight $\bar h$.
        covariance: $R$ of what is scattered.
        error_variance: $\sigma_e^2$ of the observation, positive.

    Returns:
        The estimate and the covariance $C$ of its error.

    References:
        Ozdogan, Bjornson, Larsson, "Massive MIMO With Spatially Correlated Rician Fading
        Channels", IEEE Trans. Commun. 2019, eqs. (8)-(10).
    """
    del h
    scattered = Parts.of(covariance)
    identity = jnp.eye(covariance.shape[0])
    noisy = Parts(scattered.real + error_variance * identity, scattered.imag)
    # A = R (R + s I)^{-1}; both factors are Hermitian and commute, so A is Hermitian, too.
    gain = adjoint_product(scattered, inverse(noisy)).merged()
    estimate = mean + jnp.matmul(gain, observation - mean, precision="highest")
    return estimate, jnp.asarray(error_variance) * gain
