r"""The sum rate of `numpy_beams` as fast as we know how to compute it in NumPy.

Around the middle of a uniform array, beams of both directions have real covariances. Of these
matrices few eigenvalues count, and of their Kronecker products fewer yet, so that a user needs one
real factor from some 50 normals to the beams of all groups that hold users, instead of 768.
Precoders are never formed: with $W = (\alpha I + X^H X)^{-1}$ for the users that a group counts,
their gains are $I - \alpha W$ and squared norms the diagonal of $W - \alpha W^2$, one solution for
all users of a group.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.numpy_beams import BeamsDrop, batches, sum_rates

RELATIVE_EIGENVALUE = 1e-8
"""Eigenvalues of a user's covariance below this share of the largest one are left out."""


@dataclass(frozen=True)
class _Kind:
    """Users whose precoders live in the same beams and count the same users.

    Attributes:
        block: Number of their group among those that hold users.
        own: The users.
        counted: The users they count, themselves included.
        others: All other users.
        rhs: Columns of the identity for `own` among `counted`.
    """

    block: int
    own: NDArray[np.intp]
    counted: NDArray[np.intp]
    others: NDArray[np.intp]
    rhs: NDArray[np.complex64]


def _kinds(drop: BeamsDrop, groups: np.ndarray) -> list[_Kind]:
    counted = drop.counted | np.eye(drop.users, dtype=bool)
    rows, kind = np.unique(np.column_stack([groups, counted]), axis=0, return_inverse=True)
    kinds = []
    for number, row in enumerate(rows):
        own, known = np.flatnonzero(kind.reshape(-1) == number), np.flatnonzero(row[1:])
        rhs = (known[:, None] == own).astype(np.complex64)
        kinds.append(_Kind(int(row[0]), own, known, np.flatnonzero(row[1:] == 0), rhs))
    return kinds


def _real_factors(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of covariances, in beams whose phase is 0 mid-array."""
    size = factors.shape[-1]
    element = np.arange(size) - (size - 1) / 2
    dft = np.exp(2j * np.pi / size * np.outer(np.arange(size), element)) / np.sqrt(size)
    beams = dft @ factors.astype(complex)
    covariances = beams @ beams.conj().swapaxes(-1, -2)
    if np.abs(covariances.imag).max() > 1e-5 * np.abs(covariances.real).max():
        raise ValueError(
            "Factors must be of covariances that look the same from both ends of the array, up to "
            "a conjugate, as those of uniform arrays do. Use `shared` for others."
        )
    values, vectors = np.linalg.eigh(covariances.real)
    return np.maximum(values, 0), vectors


def beam_factors(drop: BeamsDrop, groups: np.ndarray) -> list[NDArray[np.float32]]:
    """Real factors, one per user, (modes, beams of `groups`), for normals of variance 2.

    Beams are those of the DFT up to phases, in order of groups, then azimuth, then elevation.
    """
    directions = _real_factors(drop.azimuth), _real_factors(drop.elevation)
    factors = []
    for user, beta in enumerate(drop.beta):
        (across, u), (down, v) = ((values[user], vectors[user]) for values, vectors in directions)
        power = np.outer(across, down)
        i, j = np.nonzero(power > RELATIVE_EIGENVALUE * power.max())
        scale = np.sqrt(beta / 2 * power[i, j])
        blocks = []
        for rows, columns in (drop.beams_of(*group) for group in groups):
            block = u[rows, None, i] * v[None, columns, j]  # (rows, columns, modes)
            blocks.append((scale * block).reshape(-1, len(scale)))
        factors.append(np.concatenate(blocks).T.astype(np.float32, order="C"))
    return factors


class LowRank:
    """Buffers and statistics of `low_rank` for one drop and batches of one size.

    Attributes:
        groups: Groups that hold users, shape (groups, 2).
        factors: `beam_factors` of these.
        normals: What to draw: for each user in turn (batch, 2, modes), of variance 1.
    """

    def __init__(self, drop: BeamsDrop, batch: int):
        self.alpha, users = np.float32(drop.alpha), drop.users
        pairs = np.column_stack([drop.azimuth_group, drop.elevation_group])
        self.groups, block = np.unique(pairs, axis=0, return_inverse=True)
        self.kinds = _kinds(drop, block.reshape(-1))
        self.factors = beam_factors(drop, self.groups)
        counts = [2 * batch * len(factor) for factor in self.factors]
        self.normals = np.empty(sum(counts), np.float32)
        parts = np.split(self.normals, np.cumsum(counts)[:-1])
        self.white = [part.reshape(2 * batch, -1) for part in parts]
        beams = drop.beams[0] * drop.beams[1]
        self.beams = np.empty((batch, 2 * users, len(self.groups), beams), np.float32)
        self.powers = np.empty((batch, users, users), np.float32)  # of user and stream

    def set_beams(self) -> None:
        """Channels of what lies in `normals`; axis 1 has all real parts, then imaginary ones."""
        by_user = self.beams.reshape(2 * len(self.beams), len(self.factors), -1)
        for user, factor in enumerate(self.factors):
            np.matmul(self.white[user], factor, out=by_user[:, user])

    def rates(self) -> np.ndarray:
        """Sum rates of all realizations, from `beams`."""
        for kind in self.kinds:
            self._set_powers(kind)
        own = np.einsum("buu->bu", self.powers)
        signal = own.copy()
        own[...] = 0
        return sum_rates(signal, self.powers.sum(2), float(self.alpha))

    def _gram(self, kind: _Kind) -> np.ndarray:
        """Products of all users' channels with those of counted users, (batch, users, counted)."""
        users, known = len(self.factors), len(kind.counted)
        left = self.beams[:, :, kind.block]
        right = left[:, np.concatenate([kind.counted, users + kind.counted])]
        real, imaginary = np.split(np.matmul(left, right.swapaxes(1, 2)), 2, axis=1)
        gram = np.empty((len(left), users, known), np.complex64)
        np.add(real[..., :known], imaginary[..., known:], out=gram.real)
        np.subtract(real[..., known:], imaginary[..., :known], out=gram.imag)
        return gram

    def _set_powers(self, kind: _Kind) -> None:
        rows = self._gram(kind)
        regularized = rows[:, kind.counted]
        np.einsum("bss->bs", regularized)[...] += self.alpha
        weights = np.linalg.solve(regularized, kind.rhs)
        size = _square(weights)
        diagonal = np.einsum("bsu,su->bu", weights.real, kind.rhs.real)
        scale = 1 / (diagonal - self.alpha * size.sum(1))[:, None]
        weights_outside = _square(np.matmul(rows[:, kind.others], weights))
        weights *= -self.alpha
        weights += kind.rhs
        self.powers[:, kind.counted[:, None], kind.own] = _square(weights) * scale
        self.powers[:, kind.others[:, None], kind.own] = weights_outside * scale


def _square(values: np.ndarray) -> np.ndarray:
    return np.square(np.real(values)) + np.square(np.imag(values))


def low_rank(
    drop: BeamsDrop, realizations: int, *, batch: int = 64, seed: int = 0
) -> NDArray[np.float32]:
    """Real factors of the modes that count, and one solution per group that holds users."""
    rng = np.random.Generator(np.random.SFC64(seed))
    work = LowRank(drop, batch)
    rates = np.empty(realizations, np.float32)
    for rows in batches(realizations, batch):
        rng.standard_normal(out=work.normals, dtype=np.float32)
        work.set_beams()
        rates[rows] = work.rates()
    return rates
