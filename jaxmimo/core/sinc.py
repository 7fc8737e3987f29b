"""The kernels of sampling, sin(u) / u and its periodic relative, with gradients down to zero."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float


def sinc(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sin(u) / u, by its series near zero, where the quotient's gradient is lost to rounding."""
    near = jnp.abs(u) < 0.5
    far = jnp.where(near, 1.0, u)
    square = jnp.where(near, u, 0.0) ** 2
    series = jnp.ones_like(u)
    for n in range(7, 0, -1):
        series = 1.0 - square / (2 * n * (2 * n + 1)) * series
    return jnp.where(near, series, jnp.sin(far) / far)


def dirichlet_power(turns: Float[Array, "*shape"], terms: int) -> Float[Array, "*shape"]:
    r"""Power of the mean of $N$ waves whose phases advance by $t$ [turns] from one to the next.

    $$\Bigl|\frac1N \sum_{n=0}^{N-1} e^{-j 2\pi t n}\Bigr|^2
        = \Bigl(\frac{\sin \pi N t}{N \sin \pi t}\Bigr)^2$$

    Whole turns drop out exactly. What is left of $t$ is at most half a turn, where the quotient is
    one of two `sinc`, the lower at least $2 / \pi$.

    Args:
        turns: $t$.
        terms: $N$.
    """
    turns = turns - jnp.round(turns)
    return (sinc(np.pi * terms * turns) / sinc(np.pi * turns)) ** 2
