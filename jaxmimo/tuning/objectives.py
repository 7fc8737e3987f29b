"""What to maximize: functions of the SEs of all users of a network.

Any differentiable function of the SEs will do. `max_min` has a solver of its own in
`jaxmimo.tuning.max_min`, since the smallest SE is not differentiable where it is largest.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import nonnegative, positive


@checked()
def sum_se(se: Float[Array, " users"]) -> Float[Array, ""]:
    """Sum of the SEs [bit/s/Hz]."""
    return jnp.sum(se)


@checked(se=nonnegative)
def proportional_fairness(se: Float[Array, " users"]) -> Float[Array, ""]:
    r"""Geometric mean of the SEs [bit/s/Hz], largest where $\sum_k \log R_k$ is.

    Unlike the sum of logarithms it has a unit, and a relative gap means something. Where a user
    has no SE it is zero, and so is the gradient taken.
    """
    idle = se == 0
    logarithms = jnp.log(jnp.where(idle, 1.0, se))
    return jnp.where(jnp.any(idle), 0.0, jnp.exp(jnp.mean(logarithms)))


@checked(temperature=positive.shaped(""), weights=nonnegative)
def soft_min(
    se: Float[Array, " users"],
    temperature: ArrayLike,
    weights: Float[Array, " users"] | None = None,
) -> Float[Array, ""]:
    r"""Smooth stand-in for the smallest SE [bit/s/Hz].

    $$-T \ln \sum_k \lambda_k e^{-R_k / T}$$

    lies between the smallest and the weighted mean SE, and within $T \ln (1 / \lambda)$ of the
    smallest, $\lambda$ being the weight of that user.

    Args:
        se: $R_k$ [bit/s/Hz].
        temperature: $T > 0$ [bit/s/Hz].
        weights: $\lambda_k \ge 0$, which sum up to one; None means all equal.
    """
    if weights is None:
        weights = jnp.full_like(se, 1.0 / se.size)
    temperature = jnp.asarray(temperature, se.dtype)
    return -temperature * jax.nn.logsumexp(-se / temperature, b=weights)
