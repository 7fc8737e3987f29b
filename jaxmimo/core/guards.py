"""Quotients and roots of what may be exactly zero, with finite values and gradients there.

Only exact zeros are guarded. A guard like `x > 0` would also catch NaN, and make a plausible number
of it; here NaN goes through, and roots of negative numbers are NaN.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def divided(a: ArrayLike, b: Array) -> Array:
    """Quotient a / b of real numbers; zero, as are both gradients, where b is exactly zero."""
    return jnp.divide(a, _or_infinity(b))


def reciprocal(b: Array) -> Array:
    """Reciprocal 1 / b; zero, as is the gradient, where b is exactly zero."""
    return 1.0 / _or_infinity(b)


def reciprocal_root(b: Array) -> Array:
    """Reciprocal root 1 / sqrt(b); zero, as is the gradient, where b is exactly zero."""
    return 1.0 / jnp.sqrt(_or_infinity(b))


def root(x: Array) -> Array:
    """Square root of x, with gradient zero where x is exactly zero."""
    zero = x == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, x)))


def not_negative(x: ArrayLike) -> Array:
    """The number x, but NaN where it is negative, as no noise power can be."""
    x = jnp.asarray(x)
    return jnp.where(x < 0, jnp.nan, x)


def _or_infinity(b: Array) -> Array:
    # The quotient by infinity is zero, and so are its derivatives; NaN over infinity stays NaN.
    return jnp.where(b == 0, jnp.inf, b)
