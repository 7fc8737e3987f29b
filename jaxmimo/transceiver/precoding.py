"""Downlink precoding and its power normalisation."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.core.split import WidelyLinear


def mr_scaling(
    beta: Float[Array, "aps users"], energy: ArrayLike, ap_antennas: int, streams: int
) -> Float[Array, "aps users"]:
    r"""Scaling of maximum-ratio precoding that spends an AP's power equally on all streams.

    The precoder is $W_{mk} = \hat G_{mk} / \sqrt{K N \sum_l \mathbb{E}|\hat g_{mkl}|^2}$ (14). The
    gain from the corrected observation $\hat Z$ to $\hat G$ cancels in it. With the observation
    normalised as `unit_power` does, $W_{mk} = c_{mk} \hat Z_{mk}$ and
    $$c_{mk} = \bigl(K N L (1 + \tau\rho_p\beta_{mk})\bigr)^{-1/2}.$$
    This form has no 0/0 for a user whom an AP cannot hear: the AP then precodes with noise, the
    limit of (14), and gradients stay finite there.

    Args:
        beta: Large-scale fading over the noise power [linear].
        energy: Pilot energy $\tau\rho_p$ over the noise power [linear].
        ap_antennas: $L$.
        streams: $K N$.

    References:
        Sutton et al., eqs. (11) and (14).
    """
    return 1.0 / jnp.sqrt(streams * ap_antennas * (1.0 + energy * beta))


def unit_power(
    correction: WidelyLinear, receive: WidelyLinear
) -> tuple[WidelyLinear, WidelyLinear]:
    """Scale an image correction so that, averaged over an AP's antennas, it keeps signal power.

    An AP that is left without any signal stays silent.

    Args:
        correction: The estimator's image correction, acting on what `receive` lets through.
        receive: Receiver imbalance; both of shape (aps, antennas), or common.

    Returns:
        The scaled correction, and its composition with `receive`: from pilots to precoder.
    """
    through = correction.after(receive)
    power = jnp.mean(_power(through.direct) + _power(through.image), axis=-1, keepdims=True)
    alive = power > 0
    scale = jnp.where(alive, 1.0 / jnp.sqrt(jnp.where(alive, power, 1.0)), 0.0)
    return (
        WidelyLinear(scale * correction.direct, scale * correction.image),
        WidelyLinear(scale * through.direct, scale * through.image),
    )


def _power(value: Array) -> Array:
    return value.real**2 + value.imag**2
