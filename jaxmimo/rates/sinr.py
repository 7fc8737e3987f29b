"""SINR and spectral efficiency after linear combining in the uplink, or precoding."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import divided, not_negative, reciprocal_root
from jaxmimo.core.rules import Rule, nonnegative
from jaxmimo.core.scaling import binary_scale
from jaxmimo.core.small_matrices import Parts, adjoint_product, sum_of_columns


@checked(power=nonnegative.shaped("|users"), noise_power=nonnegative.shaped(""))
@jax.jit
def uplink_sinr(
    combiner: Complex[Array, "antennas users"],
    h: Complex[Array, "antennas users"],
    power: ArrayLike,
    noise_power: ArrayLike,
) -> Float[Array, " users"]:
    r"""Instantaneous SINR of each user, with the channels that are, not those estimated.

    $$\mathrm{SINR}_k = \frac{p_k |v_k^H h_k|^2}
        {\sum_{i \ne k} p_i |v_k^H h_i|^2 + \sigma^2 \|v_k\|^2}$$

    Args:
        combiner: Combining vectors; column k serves user k. Their scale does not matter.
        h: Channels [linear amplitude].
        power: Transmit power, one number or one per user [W].
        noise_power: $\sigma^2$ [W].

    Returns:
        SINR [linear]; zero where the combiner is zero.

    Raises:
        ValueError: If the combiner has another shape than the channels.

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        eq. (11).
    """
    users = h.shape[1]
    amplitude = jnp.sqrt(jnp.broadcast_to(jnp.asarray(power, h.real.dtype), (users,)))
    # Combiners of unit norm keep the squares below within the range of single precision.
    v = Parts.of(combiner)
    norms = v.power.sum(0)
    sent = h * amplitude[None]
    unit = binary_scale(jnp.max(jnp.abs(sent)))  # likewise of channels
    gains = adjoint_product(v * reciprocal_root(norms)[None], Parts.of(sent / unit))
    noise = not_negative(noise_power) / unit / unit
    return sinr_of_gains(gains, jnp.where(norms == 0, 0.0, noise))


def sinr_of_gains(
    gains: Parts, noise: Float[Array, "users *batch"]
) -> Float[Array, "users *batch"]:
    """SINR from the gains (users, users, *batch) of all users, in rows, to each combiner's output.

    Args:
        gains: Entry (k, i) is the amplitude with which user i arrives at the output of user k.
        noise: Noise power at each output.
    """
    # Interference is summed without the diagonal: taking the diagonal off the sum would leave
    # rounding errors larger than the interference that zero forcing leaves.
    own = np.eye(gains.shape[0], dtype=bool).reshape(
        *gains.shape[:2], *[1] * (len(gains.shape) - 2)
    )
    power = gains.power
    signal = sum_of_columns(jnp.where(own, power, 0.0))
    disturbance = sum_of_columns(jnp.where(own, 0.0, power)) + noise
    return divided(signal, disturbance)


@checked(powers=nonnegative)
def sinr_of_powers(powers: Float[Array, "streams users"]) -> Float[Array, " users"]:
    r"""SINR of each user in the downlink, from the powers at which users receive all streams.

    $$\mathrm{SINR}_k = \frac{\rho |h_k^H a_k|^2}
        {\sigma^2 + \rho \sum_{u \ne k} |h_k^H a_u|^2}$$

    Args:
        powers: Entry (u, k) is the power of stream u at user k over the noise; stream k is that of
            user k.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eq. (27).
    """
    own = np.eye(powers.shape[0], dtype=bool)
    return jnp.diagonal(powers) / (1.0 + jnp.sum(jnp.where(own, 0.0, powers), 0))


@checked(sinr=Rule(least=0.0, infinite=True))
def spectral_efficiency(sinr: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""Instantaneous SE $\log_2(1 + \mathrm{SINR})$ [bit/s/Hz].

    References:
        Tominaga et al., eq. (13), before the expectation.
    """
    return jnp.log1p(sinr) / np.log(2.0)
