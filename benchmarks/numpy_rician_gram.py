r"""The figure of `numpy_rician` as fast as we know how to compute it in NumPy.

On the draws of `shared`. Gram matrices are polynomials in the weights of line of sight and fading,
so that real BLAS products form those of all Rician factors from products taken once. What
combiners give is $I - B (n I + D)$ with $D = \hat H^H E$, which loses no digits to differences. The
inverses B of all points, for ZF (n = 0) and MMSE (n = 1), are taken at once, one entry of every
matrix at a time, and multiplied in real arithmetic.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.numpy_rician import (
    Batch,
    adjoint,
    all_lines_of_sight,
    batches,
    diagonal,
    draw_users,
    empty_se,
    mean_over_realizations,
    mean_se,
    sum_parts,
    weights,
)
from benchmarks.rician_network import RicianNetwork


class _Polynomials:
    """Gram matrices of all Rician factors, from products of a batch taken once.

    With line of sight L, fading N and errors E, weights a and b, the estimate is a L + b N + E.
    The Gram matrices come with their entries on the leading axes, twice over for ZF and MMSE:
    shape (users, users, 2, rician, batch x layouts), upper triangle only. Products with the truth
    and, as real matrices that act on interleaved parts, with the errors come one after another.
    """

    def __init__(self, network: RicianNetwork, batch: int):
        users, layouts, points = network.users, len(network.num_aps), len(network.rician_db)
        count = batch * layouts
        a, b = weights(network)
        self.weights = np.stack([a * a, b * b, a * b, a, b, a**0], 1).astype(np.float32)
        columns = np.empty((batch, layouts, network.antennas, 3 * users), np.complex64)
        self.los, self.fading, self.error = np.split(columns, 3, axis=-1)
        self.left, self.right = columns[..., : 2 * users], columns[..., users:]
        self.conjugate = np.empty_like(self.left, order="C")
        self.products = np.empty((batch, layouts, 2 * users, 2 * users), np.complex64)
        self.terms = np.empty((6, batch, layouts, users, users), np.complex64)
        self.error_terms = np.empty((3, batch, layouts, users, 2, users), np.complex64)
        self.entries = np.empty((users, users, 6, count), np.complex64)
        self.grams = np.empty((users, users, 2, points, count), np.complex64)
        self.with_errors = np.empty((points, count, 2 * users, 2 * users), np.float32)
        self.with_truth = np.empty((points, count, users, users), np.complex64)

    def set_products(
        self, los: np.ndarray, los_gram: np.ndarray, scale: np.ndarray, draw: Batch
    ) -> None:
        """Take all products of a batch; `los_gram` is L^H L."""
        users = self.los.shape[-1]
        self.los[...] = los[draw.drop]
        np.multiply(scale[draw.drop], draw.fading[:, None], out=self.fading)
        self.error[...] = draw.error[:, None]
        np.conjugate(self.left, out=self.conjugate)
        np.matmul(self.conjugate.swapaxes(-1, -2), self.right, out=self.products)
        mixed, los_error = np.split(self.products[..., :users, :], 2, axis=-1)
        fading, fading_error = np.split(self.products[..., users:, :], 2, axis=-1)
        error = adjoint(draw.error) @ draw.error
        self.terms[0] = los_gram[draw.drop]
        self.terms[1] = fading
        np.add(mixed, adjoint(mixed), out=self.terms[2])
        self.terms[3], self.terms[4] = adjoint(los_error), adjoint(fading_error)
        for part, term in enumerate((los_error, fading_error, error[:, None])):
            self.error_terms[part, ..., 0, :] = term
        np.multiply(self.error_terms[..., 0, :], np.complex64(1j), out=self.error_terms[..., 1, :])
        _product(self.weights[:, :5], self.terms[:5], self.with_truth)
        _product(self.weights[:, 3:], self.error_terms, self.with_errors)
        self.terms[3:5] += self.error_terms[:2, ..., 0, :]
        self.terms[5] = self.error_terms[2, ..., 0, :]

    def set_grams(self, noise: np.ndarray) -> None:
        """Fill `grams`, and `noise` (rician, batch x layouts, users) with their diagonal."""
        users = len(self.grams)
        self.entries[...] = np.moveaxis(self.terms.reshape(6, -1, users, users), (0, 1), (2, 3))
        for i, row in enumerate(self.grams):
            terms = self.entries[i, i:].view(np.float32)
            np.matmul(self.weights, terms, out=row[i:, 0].view(np.float32))
            row[i:, 1] = row[i:, 0]
            row[i, 1] += 1
            noise[..., i] = row[i, 0].real


def _product(weights: np.ndarray, terms: np.ndarray, out: np.ndarray) -> None:
    """Write the weighted sums of terms, shape (points, anything), as one real product."""
    flat = out.view(np.float32).reshape(len(weights), -1)
    np.matmul(weights, terms.view(np.float32).reshape(len(terms), -1), out=flat)


class _NegativeInverse:
    """Inverts Hermitian matrices with their entries on the leading axes, up to the sign.

    Gauss-Jordan steps without pivoting, each a rank-1 update of the upper triangle: with row p of
    the matrix set to zero and entry p of the pivot row to -1, the update leaves row p right too.
    """

    def __init__(self, matrices: np.ndarray):
        self.row, self.scaled, self.update = (np.empty_like(matrices[0]) for _ in range(3))

    def __call__(self, matrices: np.ndarray) -> None:
        for pivot in range(len(matrices)):
            self._step(matrices, pivot)
        for i, row in enumerate(matrices):
            np.conjugate(row[i + 1 :], out=matrices[i + 1 :, i])

    def _step(self, matrices: np.ndarray, p: int) -> None:
        row, scaled, factor = self.row, self.scaled, self.update[0]
        np.conjugate(matrices[:p, p], out=row[:p])
        row[p:] = matrices[p, p:]
        np.divide(1, row[p].real, out=factor)
        row[p] = -1
        np.conjugate(row, out=scaled)
        scaled *= factor
        matrices[p, p:] = 0
        matrices[:p, p] = 0
        for i, target in enumerate(matrices):
            np.multiply(scaled[i], row[i:], out=self.update[i:])
            target[i:] -= self.update[i:]


def gram(
    network: RicianNetwork, drops: int, *, batch: int = 16, seed: int = 0
) -> NDArray[np.float32]:
    """Batched, all Rician factors, layouts and both inverses at once, after products taken once."""
    rng = np.random.Generator(np.random.SFC64(seed))
    los = all_lines_of_sight(network, draw_users(rng, network, drops))
    los_gram, scale = adjoint(los) @ los, np.abs(los) * np.float32(np.sqrt(0.5))
    work = _Polynomials(network, batch)
    invert = _NegativeInverse(work.grams)
    gains, inverse = np.empty_like(work.with_truth), np.empty_like(work.with_truth)
    noise = np.empty(gains.shape[:-1], np.float32)
    se = empty_se(network, drops)

    def set_se(rows: slice, combiner: int, gains: np.ndarray) -> None:
        mean = mean_se(gains, noise).reshape(-1, *se[rows].shape[:2])
        se[rows, :, combiner] = np.moveaxis(mean, 0, -1)

    for draw in batches(rng, network, drops, batch):
        work.set_products(los, los_gram, scale, draw)
        work.set_grams(noise)
        set_se(draw.rows, 0, work.with_truth)
        invert(work.grams)
        for noise_power in (0, 1):
            entries = work.grams[:, :, noise_power].reshape(network.users**2, -1)
            inverse.reshape(-1, len(entries))[...] = entries.T
            np.negative(np.real(diagonal(inverse)), out=noise)
            np.matmul(inverse.view(np.float32), work.with_errors, out=gains.view(np.float32))
            if noise_power:
                gains += inverse
                parts = inverse.view(np.float32)
                parts *= parts
                noise -= sum_parts(parts)
            diagonal(gains)[...] += 1
            set_se(draw.rows, 1 + noise_power, gains)
    return mean_over_realizations(network, se)
