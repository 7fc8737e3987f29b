"""Downlink precoding and its power normalisation."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex, Float, Int

from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import reciprocal_root
from jaxmimo.core.rules import at_least_one, nonnegative
from jaxmimo.core.small_matrices import Parts, inverse
from jaxmimo.core.split import WidelyLinear


@checked(
    beta=nonnegative, energy=nonnegative.shaped(""), ap_antennas=at_least_one, streams=at_least_one
)
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
    scale = reciprocal_root(power)
    return (
        WidelyLinear(scale * correction.direct, scale * correction.image),
        WidelyLinear(scale * through.direct, scale * through.image),
    )


def _power(value: Array) -> Array:
    return value.real**2 + value.imag**2


@checked(counted=nonnegative)
def slnr_precoder(
    h: Complex[Array, "users beams"], counted: Float[Array, " users"], own: int | Int[Array, ""]
) -> Complex[Array, " beams"]:
    r"""Precoder of one user with the largest signal-to-leakage-and-noise ratio.

    $$p_u = \sqrt{\lambda_u}\, (I + X_u X_u^H)^{-1} h_u, \qquad \|p_u\| = 1,$$
    where the columns of $X_u$ are the channels that leakage is counted to. It maximizes
    $|h_u^H p|^2 / (\|X_u^H p\|^2 + 1)$ among all p of unit norm. It is computed with $h_u$ added
    to $X_u$, which does not change its direction, through the smaller of the two Gram matrices.

    Args:
        h: Effective channels $\sqrt{\rho}\, B^H h_s / \sigma$ of all users, in the beams of user u.
        counted: One for users that leakage is counted to, else zero; u's own entry does not matter.
        own: u.

    Returns:
        The precoder; zero if the user has no channel in these beams.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eqs. (15)-(17) by `counted`; Sadek, Tarighat, Sayed, "A
        leakage-based precoding scheme for downlink multi-user MIMO channels", 2007.
    """
    users, beams = h.shape
    known = jnp.where(jnp.arange(users) == own, 1.0, counted)
    if users <= beams:
        # Masked as a whole, the Gram matrix is one for all sets of users.
        gram = jnp.matmul(h.conj(), h.T, precision="highest") * (known[:, None] * known[None])
        weights = known * _plus_identity_inverse(gram)[:, own]
        p = jnp.matmul(weights, h, precision="highest")
    else:
        gram = jnp.matmul((known[:, None] * h).T, h.conj(), precision="highest")
        p = jnp.matmul(_plus_identity_inverse(gram), h[own], precision="highest")
    return p * reciprocal_root(jnp.sum(p.real**2 + p.imag**2))


def _plus_identity_inverse(gram: Complex[Array, "n n"]) -> Complex[Array, "n n"]:
    return inverse(Parts(gram.real + jnp.eye(gram.shape[0]), gram.imag)).merged()
