"""Scales that keep numbers within the range of their precision, without rounding them."""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float


def binary_scale(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The largest power of two up to the modulus of `x`, so that to divide by it is exact.

    One where x is zero, infinite or NaN. Not to be differentiated.
    """
    x = jnp.abs(lax.stop_gradient(x))
    mantissa, exponent = jnp.frexp(x)
    regular = (mantissa != 0) & jnp.isfinite(x)
    exponent = jnp.minimum(exponent - 1, jnp.finfo(x.dtype).maxexp - 2)  # as far as it is finite
    return jnp.ldexp(jnp.ones_like(x), jnp.where(regular, exponent, 0))
