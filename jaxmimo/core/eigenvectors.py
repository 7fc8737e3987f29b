r"""Eigenvectors of batches of covariances without LAPACK: pivoted Cholesky factors, then rotations.

A pivoted Cholesky factorization stops at the rank of a covariance, $R = L L^T$; one-sided Jacobi
rotations then make the columns of L orthogonal, which turns them into $\sqrt{\lambda_k} u_k$. A
covariance of many antennas that sees narrow scatterers thus costs what its rank makes it cost.
Matrix axes are first and the batch last, as in `small_matrices`, but between the two steps.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from jaxmimo.core.batching import batch_stays_last
from jaxmimo.core.guards import divided

_MOST_SWEEPS = 30

Pairs = tuple[Array, Array]
"""Of paired columns the one and the other, or their squared norms."""


def scaled_eigenvectors(
    covariance: Float[Array, "n n *batch"], rank: int
) -> Float[Array, "rank n *batch"]:
    r"""The vectors $\sqrt{\lambda_k} u_k$ of $R = \sum_k \lambda_k u_k u_k^T$, in no order.

    Those of eigenvalues that are rounding errors may be zero, or left out by the rank. Errors are
    some dozens of machine epsilons of the largest eigenvalue.

    Args:
        covariance: R, real, symmetric and positive semidefinite but for rounding.
        rank: How many to find, at least as many as R has but for rounding.
    """
    largest = jnp.max(jnp.abs(covariance), axis=(0, 1))
    scale = jnp.where(largest == 0, 1.0, largest)
    find = batch_stays_last(lambda r: _found(r, rank), first_batch_axis=2)
    return find(covariance / scale[None, None]) * jnp.sqrt(scale)[None, None]


def _found(r: Float[Array, "n n batch"], rank: int) -> Float[Array, "rank n batch"]:
    factors = jax.vmap(lambda r: _pivoted_factor(r, rank), in_axes=2, out_axes=1)(r)
    return jnp.moveaxis(_orthogonal(factors), 1, 2)


def _pivoted_factor(r: Float[Array, "n n"], rank: int) -> Float[Array, "rank n"]:
    """Columns of L, in every step that of the largest variance left, which is 1 at first."""
    rounding = jnp.finfo(r.dtype).eps

    def step(k: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        left, factor = state
        p = jnp.argmax(left)
        column = r[p] - jnp.matmul(factor[:, p], factor, precision="highest")
        alive = column[p] > rounding  # else what is left is in the null space
        column = column * jnp.where(alive, lax.rsqrt(jnp.where(alive, column[p], 1.0)), 0.0)
        return (left - column**2).at[p].set(-jnp.inf), factor.at[k].set(column)

    start = (jnp.diagonal(r), jnp.zeros((rank, r.shape[0]), r.dtype))
    return lax.fori_loop(0, rank, step, start)[1]


def _orthogonal(columns: Float[Array, "rank batch n"]) -> Float[Array, "rank batch n"]:
    """Rotate columns until they are orthogonal but for rounding of the longest.

    Columns that are paired lie in arrays of their own, and their entries side by side: loops over
    halves of one array, or over a batch of some twenty, take more than twice as long on CPUs.
    """
    rank = columns.shape[0]
    if rank == 1:
        return columns
    columns = jnp.pad(columns, ((0, rank % 2), (0, 0), (0, 0)))
    tolerance = 4 * jnp.finfo(columns.dtype).eps * jnp.max(_powers(columns), axis=0)

    def turn(_: Array, state: tuple[Pairs, Pairs, Array]) -> tuple[Pairs, Pairs, Array]:
        columns, powers, worst = state
        columns, powers, overlap = _rotated(columns, powers)
        return columns, powers, jnp.maximum(worst, overlap)

    def sweep(state: tuple[Pairs, Array, Array]) -> tuple[Pairs, Array, Array]:
        columns, _, sweeps = state
        x, y = columns
        start = (columns, (_powers(x), _powers(y)), jnp.zeros_like(tolerance))
        columns, _, worst = lax.fori_loop(0, 2 * x.shape[0] - 1, turn, start)
        return columns, worst, sweeps + 1

    def unfinished(state: tuple[Pairs, Array, Array]) -> Array:
        return jnp.any(state[1] > tolerance) & (state[2] < _MOST_SWEEPS)

    pairs = (columns[: columns.shape[0] // 2], columns[columns.shape[0] // 2 :])
    start = (pairs, jnp.full_like(tolerance, jnp.inf), jnp.int32(0))
    # The players of the tournament are in their first order again after each sweep.
    return jnp.concatenate(lax.while_loop(unfinished, sweep, start)[0])[:rank]


def _powers(columns: Float[Array, "rank batch n"]) -> Float[Array, "rank batch"]:
    return jnp.sum(columns * columns, axis=-1)


def _rotated(columns: Pairs, powers: Pairs) -> tuple[Pairs, Pairs, Float[Array, " batch"]]:
    """Make the columns of each pair orthogonal, and pair others for the next turn.

    Returns:
        The columns, their squared norms, and the largest overlap of two that were paired.
    """
    (x, y), (x_power, y_power) = columns, powers
    overlap = jnp.sum(x * y, axis=-1)
    contrast = 0.5 * (y_power - x_power)
    divisor = jnp.abs(contrast) + jnp.sqrt(contrast**2 + overlap**2)
    sign = jnp.where(contrast < 0, -1.0, 1.0)
    tangent = divided(overlap * sign, divisor)
    # Not `rsqrt`, whose bias on CPUs would add up over hundreds of turns.
    cosine = 1.0 / jnp.sqrt(1.0 + tangent**2)
    sine = tangent * cosine
    x, y = (
        cosine[..., None] * x - sine[..., None] * y,
        sine[..., None] * x + cosine[..., None] * y,
    )
    x_power, y_power = x_power - tangent * overlap, y_power + tangent * overlap
    largest = jnp.max(jnp.abs(overlap), axis=0)
    return _next_seats(x, y), _next_seats(x_power, y_power), largest


def _next_seats(x: Array, y: Array) -> Pairs:
    """The circle method: one player stays, the others move on by one seat."""
    first = jnp.concatenate([x[:1], y[:1], x[1:]])
    return first[:-1], jnp.concatenate([y[1:], first[-1:]])
