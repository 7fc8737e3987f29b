r"""Channel estimation from pilots that came through imbalanced receivers.

Pilots leave $Y = K_1 Z + K_2 Z^*$ with $Z = \sqrt{\tau\rho_p}\, G + W$. Both estimators here are
$\hat G = w \hat Z$: first they undo the imbalance, $\hat Z = a Y + b Y^*$, by an
*image correction* that depends on the receiver alone; then comes the gain $w$ of
`channel_gain`, which depends on the large-scale fading alone. An estimator is named by its first
stage: a function from `IQImbalance` to `WidelyLinear`. Pass your own where `estimator=` is asked.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import nonnegative
from jaxmimo.core.split import WidelyLinear
from jaxmimo.transceiver.hardware import IQImbalance

Estimator = Callable[[IQImbalance], WidelyLinear]
"""An estimator: the image correction that suits a receiver."""


@checked()
def linear_mmse(receive: IQImbalance) -> WidelyLinear:
    r"""Image correction of the linear MMSE estimator, which sees $Y$ only.

    $$a = \frac{K_1^*}{|K_1|^2 + |K_2|^2}, \qquad b = 0$$

    Times `channel_gain` this is $\omega$ of eq. (8). At zero amplitude mismatch it is defined too,
    since $|K_1|^2 + |K_2|^2 = (1 + g^2)/2$.

    References:
        Sutton et al., eqs. (6)-(9).
    """
    direct = receive.direct.conj() / (0.5 * (1.0 + receive.amplitude**2))
    return WidelyLinear(direct, jnp.zeros_like(direct))


@checked()
def widely_linear_mmse(receive: IQImbalance) -> WidelyLinear:
    r"""Image correction of the widely linear MMSE estimator, which sees $Y$ and $Y^*$.

    $$a = \frac{K_1^*}{g\cos\theta}, \qquad b = -\frac{K_2}{g\cos\theta}$$

    Since $Y$ is improper, this is the true MMSE estimator: it gives $\hat Z = Z$ and the error of
    matched hardware. Where $|g \cos\theta|$ is zero, or so small that rounding would spoil the
    inverse (below the square root of the machine epsilon), the receiver sees one real dimension
    only; $Y^*$ then adds nothing to $Y$, and the linear estimator is the MMSE estimator.

    References:
        Beyond Sutton et al.; same model, eqs. (3)-(4).
    """
    determinant = receive.amplitude * jnp.cos(receive.phase)
    singular = jnp.abs(determinant) <= jnp.sqrt(jnp.finfo(determinant.dtype).eps)
    divisor = jnp.where(singular, 1.0, determinant)
    linear = linear_mmse(receive)
    return WidelyLinear(
        jnp.where(singular, linear.direct, receive.direct.conj() / divisor),
        jnp.where(singular, linear.image, -receive.image / divisor),
    )


@checked(beta=nonnegative, energy=nonnegative)
def channel_gain(beta: Float[Array, "..."], energy: ArrayLike) -> Float[Array, "..."]:
    r"""Gain from the corrected observation $\hat Z$ to the channel estimate.

    $$w = \sqrt{\tau\rho_p}\,\beta / (1 + \tau\rho_p\beta)$$

    Args:
        beta: Large-scale fading [linear power gain].
        energy: Pilot energy $\tau\rho_p$ over the noise power [linear].
    """
    return jnp.sqrt(energy) * beta / (1.0 + energy * beta)
