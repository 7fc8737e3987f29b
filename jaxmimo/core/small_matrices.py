r"""Batches of small complex matrices in plain XLA operations: matrix axes first, batch axes last.

With the batch last, every operation is a long vector operation on CPUs and a coalesced one on
GPUs, and real and imaginary parts in arrays of their own keep XLA's loops vectorized. No LAPACK:
several batched LAPACK calls in one program can hang a CPU with two cores under jax 0.10, and each
costs more than the sweeps below.

Products and eliminations are loops over rank-one updates. The loops are also what keeps XLA on
CPUs from recomputing a product in each of its readers, as it does with sums written out.
"""

from typing import Any, Union

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.core.batching import batch_stays_last

_ROWS_AT_ONCE = 3
"""Rank-one updates per step of a product: fewer passes over memory, of which more gain nothing."""


class Parts(eqx.Module):
    """A complex array as two real ones."""

    real: Float[Array, "..."]
    imag: Float[Array, "..."]

    @staticmethod
    def of(array: Complex[Array, "..."]) -> "Parts":
        """Parts of a complex array."""
        return Parts(array.real, array.imag)

    @staticmethod
    def zeros(shape: tuple[int, ...]) -> "Parts":
        """An array of zeros."""
        return Parts(jnp.zeros(shape), jnp.zeros(shape))

    def merged(self) -> Complex[Array, "..."]:
        """The complex array."""
        return lax.complex(self.real, self.imag)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the complex array."""
        return self.real.shape

    @property
    def power(self) -> Array:
        """Squared modulus."""
        return self.real * self.real + self.imag * self.imag

    @property
    def adjoint(self) -> "Parts":
        """Conjugate transpose of the matrices on the first two axes."""
        return Parts(jnp.swapaxes(self.real, 0, 1), -jnp.swapaxes(self.imag, 0, 1))

    def conj(self) -> "Parts":
        """Complex conjugate."""
        return Parts(self.real, -self.imag)

    def reshape(self, *shape: int) -> "Parts":
        """The same numbers in another shape."""
        return Parts(self.real.reshape(*shape), self.imag.reshape(*shape))

    @staticmethod
    def joined(*arrays: "Parts", axis: int = 0) -> "Parts":
        """Arrays one after another."""
        return Parts(
            jnp.concatenate([a.real for a in arrays], axis),
            jnp.concatenate([a.imag for a in arrays], axis),
        )

    def __getitem__(self, index: object) -> "Parts":
        return Parts(self.real[index], self.imag[index])  # pyright: ignore[reportArgumentType]

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(self.real + other.real, self.imag + other.imag)

    def __sub__(self, other: "Parts") -> "Parts":
        return Parts(self.real - other.real, self.imag - other.imag)

    def __mul__(self, other: Union["Parts", ArrayLike]) -> "Parts":
        if isinstance(other, Parts):
            return Parts(
                self.real * other.real - self.imag * other.imag,
                self.real * other.imag + self.imag * other.real,
            )
        return Parts(self.real * other, self.imag * other)


@jax.custom_jvp
def adjoint_product(a: Parts, b: Parts) -> Parts:
    """`A^H B` of (m, i) and (m, k), whose batch axes broadcast; `gram_matrix` is for A = B."""
    return _sum_over_rows(a, b)


@adjoint_product.defjvp
def _adjoint_product_jvp(
    primals: tuple[Parts, Parts], tangents: tuple[Parts, Parts]
) -> tuple[Parts, Parts]:
    (a, b), (a_change, b_change) = primals, tangents
    return adjoint_product(a, b), by_columns(a_change, b) + by_columns(b_change, a).adjoint


@jax.custom_jvp
def gram_matrix(a: Parts) -> Parts:
    """`A^H A` of matrices (m, i)."""
    # A copy with a row too many: XLA for CPUs would pick each row once for both factors, and then
    # vectorize nothing, which is 13 times slower.
    unlike = jax.tree.map(lambda part: jnp.pad(part, [(0, 1), *[(0, 0)] * (part.ndim - 1)]), a)
    return _sum_over_rows(a, unlike)


@gram_matrix.defjvp
def _gram_matrix_jvp(primals: tuple[Parts], tangents: tuple[Parts]) -> tuple[Parts, Parts]:
    half = by_columns(tangents[0], primals[0])
    return gram_matrix(*primals), half + half.adjoint


def _sum_over_rows(a: Parts, b: Parts) -> Parts:
    """Sum over the rows of A of products with rows of B, which may have more."""
    rows, batch = a.shape[0], jnp.broadcast_shapes(a.shape[2:], b.shape[2:])

    def add_rows(first: ArrayLike, count: int, total: Parts) -> Parts:
        for m in range(count):
            a_m, b_m = entry(a, first + m, 0), entry(b, first + m, 0)
            total = total + a_m[:, None].conj() * b_m[None]
        return total

    def add_next(step: Array, total: Parts) -> Parts:
        return add_rows(rest + step * _ROWS_AT_ONCE, _ROWS_AT_ONCE, total)

    rest = rows % _ROWS_AT_ONCE
    start = add_rows(0, rest, Parts.zeros((a.shape[1], b.shape[1], *batch)))
    return lax.fori_loop(0, rows // _ROWS_AT_ONCE, add_next, start)


def by_columns(a: Parts, b: Parts) -> Parts:
    """`A^H B`, column by column of B, for derivatives in A.

    Its transpose adds up products of a column of B and one of the cotangents, the loop that is
    fast here. That of `adjoint_product` would be sums over columns, which XLA for CPUs does not
    vectorize, and for each row a whole matrix to add it to.
    """

    def column(_: None, b_k: Parts) -> tuple[None, Parts]:
        products = a.conj() * b_k[:, None]
        return None, Parts(products.real.sum(0), products.imag.sum(0))

    columns = jax.tree.map(lambda part: jnp.swapaxes(part, 0, 1), b)
    return jax.tree.map(lambda part: jnp.swapaxes(part, 0, 1), lax.scan(column, None, columns)[1])


@jax.custom_jvp
def diagonal(a: Float[Array, "n n *batch"]) -> Float[Array, "n *batch"]:
    """Diagonals of real matrices, as one slice: entry by entry, XLA compiles a loop for each."""
    size = a.shape[0]
    return lax.slice_in_dim(a.reshape(size * size, *a.shape[2:]), 0, size * size, size + 1)


@diagonal.defjvp
def _diagonal_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # As a sum, whose transpose is one selection, not a padded array for each entry.
    (change,) = tangents
    own = np.eye(change.shape[0], dtype=bool).reshape(*change.shape[:2], *[1] * (change.ndim - 2))
    return diagonal(*primals), jnp.where(own, change, 0.0).sum(1)


@jax.custom_jvp
def sum_of_columns(a: Float[Array, "rows columns *batch"]) -> Float[Array, "rows *batch"]:
    """Sum over the second axis, written out, which XLA on CPUs vectorizes over the batch."""
    total = a[:, 0]
    for column in range(1, a.shape[1]):
        total = total + a[:, column]
    return total


@sum_of_columns.defjvp
def _sum_of_columns_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return sum_of_columns(*primals), tangents[0].sum(1)  # whose transpose is a broadcast


@jax.custom_jvp
def inverse(a: Parts) -> Parts:
    """Inverse of Hermitian positive definite matrices, by the sweep operator.

    Where a pivot falls below the rounding error of its diagonal entry, so that the matrix is
    singular in this precision, it is raised to that: the inverse is then large but finite.
    """
    return _inverse(a)


@inverse.defjvp
def _inverse_jvp(primals: tuple[Parts], tangents: tuple[Parts]) -> tuple[Parts, Parts]:
    b = inverse(*primals)
    (change,) = tangents
    return b, by_columns(by_columns(change.adjoint, b), b).adjoint * -1.0


def _swept(a: Parts) -> Parts:
    floor, rows = least_pivots(a), jnp.arange(a.shape[0])

    def sweep(p: Array, state: tuple[Parts, Parts]) -> tuple[Parts, Parts]:
        a, scaled = state
        # One pass: the pivot's row and column are cleared, and the products are what belongs there.
        a = a * others(rows, p, a.real.dtype) - scaled[:, None] * scaled[None].conj()
        # The next pivot's column is carried along, so that XLA computes it once and keeps it.
        return a, column_over_root(a, p + 1, floor)

    return lax.fori_loop(0, a.shape[0], sweep, (a, column_over_root(a, 0, floor)))[0] * -1.0


def column_over_root(
    a: Parts, p: ArrayLike, floor: Float[Array, "n batch"], first: int = 0
) -> Parts:
    """Column p over the root of the pivot d, with -1 / sqrt(d) for the pivot itself.

    Args:
        a: Matrices (n, columns, batch), swept up to column p.
        p: The pivot.
        floor: What pivots are raised to where they are less.
        first: Number of the first column.
    """
    column, own = entry(a, p - first, 1), (jnp.arange(a.shape[0]) == p)[:, None]
    at_least = lax.dynamic_index_in_dim(floor, p, 0)
    pivot = jnp.maximum(lax.dynamic_index_in_dim(column.real, p, 0), at_least)
    scale = jnp.sqrt(1.0 / pivot)  # not `rsqrt`, whose bias on CPUs would add up
    column = Parts(jnp.where(own, -1.0, column.real), jnp.where(own, 0.0, column.imag))
    return column * scale


_inverse = batch_stays_last(_swept, first_batch_axis=2)


@jax.custom_jvp
def symmetric_inverse(a: Float[Array, "n n *batch"]) -> Float[Array, "n n *batch"]:
    """Inverse of real symmetric positive definite matrices: `inverse` without imaginary parts."""
    return _symmetric_inverse(a)


@symmetric_inverse.defjvp
def _symmetric_inverse_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    b = symmetric_inverse(*primals)
    half = jnp.einsum("ij...,jk...->ik...", b, tangents[0], precision="highest")
    return b, -jnp.einsum("ij...,jk...->ik...", half, b, precision="highest")


def _symmetric_swept(a: Float[Array, "n n batch"]) -> Float[Array, "n n batch"]:
    limits, rows = jnp.finfo(a.dtype), jnp.arange(a.shape[0])
    floor = limits.eps * diagonal(a) + 4 * limits.tiny**0.5

    def pivot(a: Array, p: ArrayLike) -> tuple[Array, Array]:
        """Column p and the same over the pivot d, with -1 and -1/d for the pivot itself.

        Without the root of `inverse`: equivalents in the limit are sensitive to its rounding.
        """
        column = lax.dynamic_index_in_dim(a, p, 1, keepdims=False)
        at_least = lax.dynamic_index_in_dim(floor, p, 0)
        value = jnp.maximum(lax.dynamic_index_in_dim(column, p, 0), at_least)
        column = jnp.where((rows == p)[:, None], -1.0, column)
        return column, column * (1.0 / value)

    def sweep(p: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        a, column, scaled = state
        a = a * others(rows, p, a.dtype) - scaled[:, None] * column[None]
        return (a, *pivot(a, p + 1))

    return -lax.fori_loop(0, a.shape[0], sweep, (a, *pivot(a, 0)))[0]


_symmetric_inverse = batch_stays_last(_symmetric_swept, first_batch_axis=2)


@jax.custom_jvp
def cholesky(a: Parts) -> Parts:
    """Lower triangular F with F F^H = A, for Hermitian positive semidefinite matrices.

    As much as rounding takes is added to the diagonal, so that singular matrices have a factor
    and a gradient, too. Matrices that are indefinite by more than that have NaN in theirs.
    """
    return _cholesky(a)


@cholesky.defjvp
def _cholesky_jvp(primals: tuple[Parts], tangents: tuple[Parts]) -> tuple[Parts, Parts]:
    flat = [a.reshape(*a.shape[:2], -1) for a in (*primals, *tangents)]
    factor, change = jax.jvp(_eliminated, flat[:1], flat[1:])
    return factor.reshape(*primals[0].shape), change.reshape(*primals[0].shape)


def _eliminated(a: Parts) -> Parts:
    size, limits = a.shape[0], jnp.finfo(a.real.dtype)
    added = 4 * size * limits.eps * diagonal(a.real)
    floor, indefinite = least_pivots(a), -(limits.eps**0.5) * diagonal(a.real)
    rows = jnp.arange(size)[:, None]

    def of(bounds: Array, j: Array) -> Array:
        return lax.dynamic_index_in_dim(bounds, j, 0, keepdims=True)

    def eliminate(j: Array, state: tuple[Parts, Parts]) -> tuple[Parts, Parts]:
        rest, factor = state
        column = entry(rest, j, 1)
        pivot = of(column.real + added, j)
        pivot = jnp.where(pivot < of(indefinite, j), jnp.nan, jnp.maximum(pivot, of(floor, j)))
        below = column * jnp.where(rows > j, lax.rsqrt(pivot), 0.0)
        column = Parts(jnp.where(rows == j, jnp.sqrt(pivot), below.real), below.imag)
        return rest - below[:, None] * below[None].conj(), replaced(factor, column[:, None], j, 1)

    return lax.fori_loop(0, size, eliminate, (a, Parts.zeros(a.shape)))[1]


_cholesky = batch_stays_last(_eliminated, first_batch_axis=2)


def others(rows: Array, p: ArrayLike, dtype: Any) -> Float[Array, "n n 1"]:
    """1 for all entries but those of row and column p."""
    others = (rows != p).astype(dtype)
    return (others[:, None] * others[None])[..., None]


def least_pivots(a: Parts) -> Float[Array, "n batch"]:
    """Smallest pivots that mean something, or whose inverse squared is finite at least."""
    limits = jnp.finfo(a.real.dtype)
    return limits.eps * diagonal(a.real) + 4 * limits.tiny**0.5


def entry(a: Parts, index: ArrayLike, axis: int) -> Parts:
    """One row (axis 0) or column (axis 1)."""
    return Parts(
        lax.dynamic_index_in_dim(a.real, index, axis, keepdims=False),
        lax.dynamic_index_in_dim(a.imag, index, axis, keepdims=False),
    )


def replaced(a: Parts, new: Parts, index: Array, axis: int) -> Parts:
    """The matrices with one row or column replaced."""
    return Parts(
        lax.dynamic_update_slice_in_dim(a.real, new.real, index, axis),
        lax.dynamic_update_slice_in_dim(a.imag, new.imag, index, axis),
    )
