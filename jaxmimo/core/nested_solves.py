r"""Solutions of systems in nested leading blocks of one Hermitian matrix, from one sweep over it.

After m pivots the sweep operator has inverted the leading block of m rows. So systems in blocks of
several sizes cost one inverse between them, not one each. The rows below the block hold what its
solution leaves of their right-hand sides. Matrix axes come first and batch axes last, as in
`small_matrices`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from jaxmimo.core.batching import batch_stays_last
from jaxmimo.core.small_matrices import (
    Parts,
    adjoint_product,
    column_over_root,
    entry,
    least_pivots,
    others,
)


@jax.custom_jvp
def solve_nested(a: Parts, sizes: Float[Array, "1 blocks *batch"], b: Parts) -> Parts:
    r"""Solve $A_m x = b$ in leading blocks of m rows and columns, for several m.

    With the rows below the block it is the system
    $$\begin{pmatrix} A_m & 0 \\ C & I \end{pmatrix} \begin{pmatrix} x \\ y \end{pmatrix} =
    \begin{pmatrix} b \\ c \end{pmatrix}$$
    with the rows C of A, whose $y = c - C x$ costs nothing beside the solution.

    A gradient in matrices and right-hand sides takes one more sweep.

    Args:
        a: Hermitian positive definite matrices (n, n, *batch); `inverse` tells of singular ones.
        sizes: m of every block, from 0 to n, as floats.
        b: Right-hand sides (n, blocks, *batch).

    Returns:
        Solutions x, with y below them (n, blocks, *batch).
    """
    return _by_sweep((a, sizes, b))


@solve_nested.defjvp
def _solve_nested_jvp(
    primals: tuple[Parts, Array, Parts], tangents: tuple[Parts, Array, Parts]
) -> tuple[Parts, Parts]:
    (a, sizes, b), (a_change, _, b_change) = primals, tangents
    inside, solution = _inside(b, sizes).astype(b.real.dtype), solve_nested(a, sizes, b)

    def product(a: Parts, x: Parts) -> Parts:
        return adjoint_product(a[:, :, None], (x * inside)[:, None])[:, 0] + x * (1.0 - inside)

    def solve(_: object, b: Parts) -> Parts:
        return _by_sweep((a, sizes, b))

    def solve_transposed(_: object, b: Parts) -> Parts:
        """The solution in the block, once what the rows below it add is taken away."""
        below = b * (1.0 - inside)
        rest = b - adjoint_product(a[:, :, None], below[:, None])[:, 0]
        return _by_sweep((a, sizes, rest)) * inside + below

    _, moved = jax.jvp(lambda a: product(a, solution), (a,), (a_change,))
    change = lax.custom_linear_solve(  # unlike the sweep it has a transpose
        lambda x: product(a, x), b_change - moved, solve, solve_transposed
    )
    return solution, change


def _swept(systems: tuple[Parts, Float[Array, "1 blocks batch"], Parts]) -> Parts:
    a, sizes, x = systems
    n, floor = a.shape[0], least_pivots(a)
    # A column is needed until its pivot. The second half of the sweep leaves the first half's out.
    for first, stop in ((0, n // 2), (n // 2, n)):
        a = a[:, first - n :]
        a, x = _sweep(a, sizes, x, floor, first, stop)
    return x


def _sweep(
    a: Parts,
    sizes: Float[Array, "1 blocks batch"],
    x: Parts,
    floor: Float[Array, "n batch"],
    first: int,
    stop: int,
) -> tuple[Parts, Parts]:
    """Sweep the pivots first ... stop - 1 of matrices whose columns begin with the first."""
    rows = jnp.arange(a.shape[0])

    def over_root(a: Parts, x: Parts, p: ArrayLike) -> tuple[Parts, Parts]:
        """Column p, and row p of the solutions of blocks that it is in, over the pivot's root."""
        column = column_over_root(a, p, floor, first)
        counted = (p < sizes[0]).astype(x.real.dtype)
        return column, entry(x, p, 0) * (-counted * lax.dynamic_index_in_dim(column.real, p, 0))

    def sweep(p: Array, state: tuple[Parts, Parts, Parts, Parts]) -> tuple[Parts, ...]:
        a, x, scaled, own = state
        # As another column of the matrix would be swept, but only as long as its block grows.
        cleared = (p < sizes) & (rows == p)[:, None, None]
        x = x * jnp.where(cleared, 0.0, 1.0) - scaled[:, None] * own[None]
        kept = others(rows, p, a.real.dtype)[:, first:]
        a = a * kept - scaled[:, None] * scaled[None, first:].conj()
        # What the next pivot needs is carried along: XLA then computes it once, and matrices and
        # solutions change where they are, without a copy for those who would read the old ones.
        return a, x, *over_root(a, x, p + 1)

    return lax.fori_loop(first, stop, sweep, (a, x, *over_root(a, x, first)))[:2]


_by_sweep = batch_stays_last(_swept, first_batch_axis=2)


def _inside(b: Parts, sizes: Float[Array, "1 blocks *batch"]) -> Bool[Array, "n blocks *batch"]:
    """Rows that are in their block."""
    rows = jnp.arange(b.shape[0]).reshape(-1, *[1] * (len(b.shape) - 1))
    return rows < sizes
