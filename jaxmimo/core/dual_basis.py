r"""Least squares from a matrix itself where its Gram matrix, of the squared condition, does not do.

Where a matrix of the batch has columns that are nearly combinations of others, they come one after
another. Each is made orthogonal to those before it, twice, since once is not enough; what is left
of it is the new vector of the dual basis, and the older ones are made orthogonal to the new column.
That takes several times longer, which other batches do not pay. Matrix axes are first and batch
axes last, as in `small_matrices`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from jaxmimo.core.batching import batch_stays_last, replaced_where
from jaxmimo.core.guards import reciprocal
from jaxmimo.core.scaling import binary_scale
from jaxmimo.core.small_matrices import (
    Parts,
    adjoint_product,
    by_columns,
    diagonal,
    entry,
    gram_matrix,
    inverse,
    replaced,
    sum_of_columns,
)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def dual_basis(a: Parts, one_by_one: bool = False) -> Parts:
    r"""The vectors $V = A (A^H A)^{-1}$ in the span of A's columns, with $V^H A = I$.

    Errors of $V^H A$ are some machine epsilons of the norms of vectors and columns, however alike
    columns are. Where a column is a combination of others but for rounding, what rounding leaves of
    it is raised to that, so that vectors are large but finite. The vector of a column of zeros is
    zero.

    Args:
        a: Matrices (rows, columns, *batch), with no more columns than rows.
        one_by_one: Whether columns come one after another in all matrices, not only where they
            are alike: less to compile where that is known.
    """
    return (_dual_basis_one_by_one if one_by_one else _dual_basis)(a)


@dual_basis.defjvp
def _dual_basis_jvp(
    one_by_one: bool, primals: tuple[Parts], tangents: tuple[Parts]
) -> tuple[Parts, Parts]:
    r"""With $dV = (I - V A^H)\, dA\, V^H V - V\, dA^H V$."""
    (a,), (change,) = primals, tangents
    v = dual_basis(a, one_by_one)
    moved = by_columns(change.adjoint, gram_matrix(v))
    inside = by_columns(moved, a).adjoint + by_columns(change, v)
    return v, moved - by_columns(inside, v.adjoint).adjoint


def _found(a: Parts) -> Parts:
    gram = gram_matrix(a)
    inverse_gram = inverse(gram)
    fast = adjoint_product(a.adjoint, inverse_gram)
    inaccurate = rounding_errors(gram, inverse_gram) > 1e-4
    return replaced_where(inaccurate, lambda: _one_by_one(a), fast)


def _with_columns_near_one(function: Callable[[Parts], Parts]) -> Callable[[Parts], Parts]:
    """Give the function columns of moduli near one, whose squares stay within the range."""

    def scaled(a: Parts) -> Parts:
        largest = jnp.max(jnp.maximum(jnp.abs(a.real), jnp.abs(a.imag)), axis=0)
        scale = 1.0 / binary_scale(largest)[None]
        return function(a * scale) * scale

    return scaled


def rounding_errors(gram: Parts, inverse_gram: Parts) -> Float[Array, " *batch"]:
    """Estimate of the relative errors of what this precision makes of a Gram matrix.

    They grow with the squared norm of a column over what the others leave of it.
    """
    alike = jnp.max(diagonal(gram.real) * diagonal(inverse_gram.real), axis=0)
    return lax.stop_gradient(alike) * float(jnp.finfo(alike.dtype).eps)


def _one_by_one(a: Parts) -> Parts:
    rounding = 4 * jnp.finfo(a.real.dtype).eps

    def add(k: Array, state: tuple[Parts, Parts]) -> tuple[Parts, Parts]:
        unit, dual = state
        column = entry(a, k, 1)

        def project(_: Array, left: Parts) -> Parts:
            return left - _sum_of_columns(unit * _overlaps(unit, left)[None])

        # In a loop, since what is left after the first time must be one number in memory: XLA would
        # compute it anew for each of its readers, and round otherwise.
        left = lax.fori_loop(0, 2, project, column)
        least = rounding * jnp.sqrt(column.power.sum(0))
        over_norm = reciprocal(jnp.maximum(jnp.sqrt(left.power.sum(0)), least))[None]
        unit_k = left * over_norm
        dual_k = unit_k * over_norm
        dual = dual - dual_k[:, None] * _overlaps(dual, column).conj()[None]
        return replaced(unit, unit_k[:, None], k, 1), replaced(dual, dual_k[:, None], k, 1)

    nothing = Parts(jnp.zeros_like(a.real), jnp.zeros_like(a.imag))
    return lax.fori_loop(0, a.shape[1], add, (nothing, nothing))[1]


def _overlaps(columns: Parts, x: Parts) -> Parts:
    """Products of each column's adjoint with one vector."""
    products = columns.conj() * x[:, None]
    return Parts(products.real.sum(0), products.imag.sum(0))


def _sum_of_columns(a: Parts) -> Parts:
    return Parts(sum_of_columns(a.real), sum_of_columns(a.imag))


_dual_basis = batch_stays_last(_with_columns_near_one(_found), first_batch_axis=2)
_dual_basis_one_by_one = batch_stays_last(_with_columns_near_one(_one_by_one), first_batch_axis=2)
