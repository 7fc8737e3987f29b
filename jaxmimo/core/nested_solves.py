r"""Solutions of systems in nested leading blocks of one Hermitian matrix, from one sweep over it.

After m pivots the sweep operator has inverted the leading block of m rows. So systems in blocks of
several sizes cost one inverse between them, not one each. Matrix axes come first and batch axes
last, as in `small_matrices`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
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

    A gradient in matrices and right-hand sides takes one more sweep.

    Args:
        a: Hermitian positive definite matrices (n, n, *batch); `inverse` tells of singular ones.
        sizes: m of every block, from 0 to n, as floats.
        b: Right-hand sides (n, blocks, *batch).

    Returns:
        Solutions (n, blocks, *batch), which below their block are the right-hand side.
    """
    return _by_sweep((a, sizes, b))


@solve_nested.defjvp
def _solve_nested_jvp(
    primals: tuple[Parts, Array, Parts], tangents: tuple[Parts, Array, Parts]
) -> tuple[Parts, Parts]:
    (a, sizes, b), (a_change, _, b_change) = primals, tangents
    inside, x = _inside(b, sizes).astype(b.real.dtype), solve_nested(a, sizes, b)

    def product(a: Parts, x: Parts) -> Parts:
        of_block = adjoint_product(a[:, :, None], (x * inside)[:, None])[:, 0]
        return of_block * inside + x * (1.0 - inside)

    _, moved = jax.jvp(lambda a: product(a, x), (a,), (a_change,))
    change = lax.custom_linear_solve(  # unlike the sweep it has a transpose
        lambda x: product(a, x),
        b_change - moved,
        lambda _, b: _by_sweep((a, sizes, b)),
        symmetric=True,
    )
    return x, change


def _swept(systems: tuple[Parts, Float[Array, "1 blocks batch"], Parts]) -> Parts:
    a, sizes, b = systems
    n, floor, x = a.shape[0], least_pivots(a), b
    # A column is needed until its pivot. The second half of the sweep leaves the first half's out.
    for first, stop in ((0, n // 2), (n // 2, n)):
        a = a[:, first - n :]
        a, x = _sweep(a, sizes, x, floor, first, stop)
    inside = _inside(b, sizes)
    return Parts(jnp.where(inside, x.real, b.real), jnp.where(inside, x.imag, b.imag))


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

    def sweep(p: Array, state: tuple[Parts, Parts, Parts]) -> tuple[Parts, Parts, Parts]:
        a, x, scaled = state
        counted = (p < sizes).astype(x.real.dtype)
        # As another column of the matrix would be swept, but only as long as its block grows.
        over_root = -lax.dynamic_index_in_dim(scaled.real, p, 0)[None]
        own = entry(x, p, 0)[None] * (counted * over_root)
        x = x * (1.0 - counted * (rows == p)[:, None, None]) - scaled[:, None] * own
        kept = others(rows, p, a.real.dtype)[:, first:]
        a = a * kept - scaled[:, None] * scaled[None, first:].conj()
        return a, x, column_over_root(a, p + 1, floor, first)

    return lax.fori_loop(first, stop, sweep, (a, x, column_over_root(a, first, floor, first)))[:2]


_by_sweep = batch_stays_last(_swept, first_batch_axis=2)


def _inside(b: Parts, sizes: Float[Array, "1 blocks *batch"]) -> Bool[Array, "n blocks *batch"]:
    """Rows that are in their block."""
    rows = jnp.arange(b.shape[0]).reshape(-1, *[1] * (len(b.shape) - 1))
    return rows < sizes
