r"""Singular values of batches of small complex matrices, by one-sided Jacobi rotations.

Rotations make the columns of a matrix orthogonal; their norms then are the singular values. Small
ones come out with the same relative accuracy as large ones, where the eigenvalues of the Gram
matrix would lose half of the digits. All pairs of a round are disjoint, so a round is one vector
operation; matrix axes are first and the batch last, and there is no LAPACK, for the reasons given
in `small_matrices`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from jaxmimo.core.batching import batch_stays_last
from jaxmimo.core.guards import divided, reciprocal
from jaxmimo.core.small_matrices import Parts, replaced

_MOST_SWEEPS = 40


def singular_values(a: Parts) -> Float[Array, "k *batch"]:
    """Singular values of matrices (rows, columns), the min(rows, columns) largest, in no order.

    Differentiable; the gradient of a zero singular value is taken as zero.
    """
    a = a if a.shape[0] >= a.shape[1] else a.adjoint
    scale = jnp.maximum(jnp.max(jnp.abs(a.real), (0, 1)), jnp.max(jnp.abs(a.imag), (0, 1)))
    scale = lax.stop_gradient(jnp.where(scale == 0, 1.0, scale))
    return scale[None] * _column_norms(a * (1.0 / scale)[None, None])


@jax.custom_jvp
def _column_norms(a: Parts) -> Float[Array, "k *batch"]:
    """Norms of the columns once they are orthogonal."""
    return _norms(a)


@_column_norms.defjvp
def _column_norms_jvp(primals: tuple[Parts], tangents: tuple[Parts]) -> tuple[Array, Array]:
    r"""$d\sigma_k = \Re(u_k^H \, dA \, v_k)$; rotating an identity along gives the $v_k$."""
    shape = primals[0].shape
    a, change = (each.reshape(*shape[:2], -1) for each in (*primals, *tangents))
    rows, columns, batch = a.shape
    identity = jnp.broadcast_to(jnp.eye(columns)[..., None], (columns, columns, batch))
    extended = Parts.joined(a, Parts(identity, jnp.zeros_like(identity)))
    rotated = _orthogonal_columns(extended, rows)
    scaled_left, right = rotated[:, :rows], rotated[:, rows:]  # u_k sigma_k, v_k
    norms = jnp.sqrt(scaled_left.power.sum(1))
    left = scaled_left * reciprocal(norms)[:, None]
    slope = jnp.zeros_like(norms)
    for row in range(rows):
        for column in range(columns):
            moved = left[:, row].conj() * right[:, column] * change[row, column][None]
            slope = slope + moved.real
    return norms.reshape(columns, *shape[2:]), slope.reshape(columns, *shape[2:])


def _norms_of_triangle(a: Parts) -> Float[Array, "k batch"]:
    columns = _orthogonal_columns(_triangle(a).adjoint, a.shape[1])
    return jnp.sqrt(columns.power.sum(1))


_norms = batch_stays_last(_norms_of_triangle, first_batch_axis=1)


def _triangle(a: Parts) -> Parts:
    """Matrix (columns, columns, batch) with the same singular values, its rows in falling order.

    Rows of R of the Gram-Schmidt process that takes the largest column left in every step. Its
    grading makes a few sweeps of rotations enough, where strongly correlated users need a dozen
    without.
    """
    columns = a.shape[1]

    def step(k: Array, state: tuple[Parts, Parts]) -> tuple[Parts, Parts]:
        rest, triangle = state
        powers = rest.power.sum(0)
        chosen = jnp.arange(columns)[:, None] == jnp.argmax(powers, axis=0)[None]
        largest = Parts(
            *(jnp.where(chosen[None], part, 0.0).sum(1) for part in (rest.real, rest.imag))
        )
        norm = jnp.sqrt(largest.power.sum(0))
        unit = largest * reciprocal(norm)[None]
        row = unit[:, None].conj() * rest
        row = Parts(row.real.sum(0), row.imag.sum(0))
        rest = rest - unit[:, None] * row[None]
        # What is left of the chosen column is rounding error.
        rest = Parts(*(jnp.where(chosen[None], 0.0, part) for part in (rest.real, rest.imag)))
        return rest, replaced(triangle, row[None], k, axis=0)

    start = (a, Parts.zeros((columns, *a.shape[1:])))
    return lax.fori_loop(0, columns, step, start)[1]


def _orthogonal_columns(a: Parts, rows: int) -> Parts:
    """Rotated columns, shape (columns, all rows, batch), orthogonal over the first `rows`."""
    columns = Parts(jnp.swapaxes(a.real, 0, 1), jnp.swapaxes(a.imag, 0, 1))
    count = a.shape[1]
    if count == 1:
        return columns
    if count % 2:
        columns = Parts.joined(columns, Parts.zeros((1, *columns.shape[1:])))
    rounds = columns.shape[0] - 1
    tolerance = (rows * jnp.finfo(a.real.dtype).eps) ** 2

    def turn(_: Array, state: tuple[Parts, Array]) -> tuple[Parts, Array]:
        columns, worst = state
        columns, coupling = _rotate_pairs(columns, rows)
        return columns, jnp.maximum(worst, coupling)

    def sweep(state: tuple[Parts, Array, Array]) -> tuple[Parts, Array, Array]:
        columns, _, sweeps = state
        start = (columns, jnp.zeros((), a.real.dtype))
        return (*lax.fori_loop(0, rounds, turn, start), sweeps + 1)

    def unfinished(state: tuple[Parts, Array, Array]) -> Array:
        # Also where one matrix of the batch has NaN, whose coupling is never small.
        return ~(state[1] <= tolerance) & (state[2] < _MOST_SWEEPS)

    start = (columns, jnp.ones((), a.real.dtype), jnp.asarray(0))
    # The players of the tournament are in their first order again after each sweep.
    return lax.while_loop(unfinished, sweep, start)[0][:count]


def _rotate_pairs(columns: Parts, rows: int) -> tuple[Parts, Array]:
    """Make column i orthogonal to column n - 1 - i for all i, and pair others for the next round.

    Returns:
        The columns, and the largest squared cosine between two that were paired.
    """
    half = columns.shape[0] // 2
    x, y = columns[:half], columns[half:][::-1]
    overlap = x[:, :rows].conj() * y[:, :rows]
    overlap = Parts(overlap.real.sum(1), overlap.imag.sum(1))
    x_norm, y_norm = (jnp.sqrt(z[:, :rows].power.sum(1)) for z in (x, y))
    alive = (x_norm != 0) & (y_norm != 0)
    x_norm, y_norm = (jnp.where(alive, norm, 1.0) for norm in (x_norm, y_norm))
    # In terms of cosine and ratio, since squares of small columns' powers would underflow.
    cosine = overlap * jnp.where(alive, 1.0 / (x_norm * y_norm), 0.0)
    contrast = 0.5 * (y_norm / x_norm - x_norm / y_norm)
    divisor = jnp.abs(contrast) + jnp.sqrt(contrast**2 + cosine.power)
    factor = divided(jnp.where(contrast < 0, -1.0, 1.0), divisor)
    tangent = (cosine * factor)[:, None]
    shrink = lax.rsqrt(1.0 + tangent.power)
    x, y = (x - tangent.conj() * y) * shrink, (tangent * x + y) * shrink
    # The circle method: one player stays, the others move on by one seat.
    seats = Parts.joined(x[:1], y[:1], x[1:], y[1:][::-1])
    return seats, jnp.max(cosine.power)
