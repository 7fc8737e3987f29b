"""Symmetric positive definite systems by conjugate gradients."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from jaxmimo.core.guards import reciprocal


def solve_positive(
    apply: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    right: Float[Array, " n"],
    *,
    tolerance: float,
) -> Float[Array, " n"]:
    """The solution of a symmetric positive definite system, given by its products with vectors.

    `jax.scipy.sparse.linalg.cg` has no transpose within the rules of custom derivatives (jax 0.10),
    and gives NaN where rounding leaves the matrix indefinite; here the last finite iterate counts.

    Args:
        apply: The matrix times a vector.
        right: Right-hand side.
        tolerance: Norm of the residual over that of the right-hand side at which to stop.
    """

    def solve(apply: Callable[[Array], Array], right: Array) -> Array:
        scale = jnp.max(jnp.abs(right))  # so that squares stay within the range of the precision
        right = right * reciprocal(scale)
        enough = tolerance**2 * jnp.sum(right**2)

        def goes_on(state: tuple) -> Array:
            count, _, _, _, square, curved = state
            return (count < 4 * right.size) & (square > enough) & curved

        def advance(state: tuple) -> tuple:
            count, x, residual, direction, square, _ = state
            image = apply(direction)
            curvature = jnp.sum(direction * image)
            flat = curvature <= 0
            length = jnp.where(flat, 0.0, square / jnp.where(flat, 1.0, curvature))
            x = x + length * direction
            residual = residual - length * image
            following = jnp.sum(residual**2)
            direction = residual + following / square * direction
            return count + 1, x, residual, direction, following, ~flat

        start = (0, jnp.zeros_like(right), right, right, jnp.sum(right**2), jnp.asarray(True))
        return scale * lax.while_loop(goes_on, advance, start)[1]

    return lax.custom_linear_solve(apply, right, solve, symmetric=True)
