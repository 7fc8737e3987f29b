"""Fixed points by Anderson acceleration."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.core.small_matrices import symmetric_inverse

_DEPTH = 3
"""Steps remembered. More are of little use and cost digits in single precision."""


def anderson(
    step: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    start: Float[Array, " n"],
    *,
    tolerance: ArrayLike,
    max_steps: int = 300,
) -> Float[Array, " n"]:
    r"""The fixed point $x = g(x)$ of a map that contracts, in fewer steps than by repeating it.

    Each step goes to the combination of the last ones whose residual $g(x) - x$ is smallest, were
    the map linear. Where that leaves the residual larger than it was, the next step is a plain one,
    so that what plain steps reach is reached. Meant to be called with constants: give what depends
    on the fixed point a rule for its gradient.

    Args:
        step: $g$.
        start: First $x$.
        tolerance: Largest residual of any element at the end.
        max_steps: Steps after which the last $x$ is returned, whatever its residual.

    Returns:
        The last $g(x)$.

    References:
        Walker, Ni, "Anderson acceleration for fixed-point iterations", SIAM J. Numer. Anal. 2011.
    """
    memory = jnp.zeros((_DEPTH, start.size), start.dtype)

    def goes_on(state: tuple) -> Array:
        count, _, _, residual, _, _ = state
        return (count < max_steps) & ~(jnp.max(jnp.abs(residual)) <= tolerance)

    def advance(state: tuple) -> tuple:
        count, x, last_x, last_residual, moves, changes = state
        residual = step(x) - x
        improved = jnp.sum(residual**2) <= jnp.sum(last_residual**2)
        # The first step has no predecessor; its memory stays empty.
        slot = jnp.where(count == 0, _DEPTH, count % _DEPTH)
        moves = moves.at[slot].set(x - last_x, mode="drop")
        changes = changes.at[slot].set(residual - last_residual, mode="drop")
        coefficients = _least_squares(changes, residual)
        back = jnp.matmul(coefficients, moves + changes, precision="highest")
        following = x + residual - jnp.where(improved, back, 0.0)
        return count + 1, following, x, residual, moves, changes

    first = (0, start, start, jnp.full_like(start, jnp.inf), memory, memory)
    _, _, x, residual, _, _ = lax.while_loop(goes_on, advance, first)
    return x + residual


def _least_squares(
    changes: Float[Array, "depth n"], residual: Float[Array, " n"]
) -> Float[Array, " depth"]:
    """Coefficients of the changes that add up to the residual, small where they are not unique."""
    gram = jnp.matmul(changes, changes.T, precision="highest")
    limits = jnp.finfo(gram.dtype)
    damping = limits.eps * jnp.trace(gram) + limits.tiny**0.5
    projected = jnp.matmul(changes, residual, precision="highest")
    inverse = symmetric_inverse(gram + damping * jnp.eye(gram.shape[0]))
    return jnp.matmul(inverse, projected, precision="highest")
