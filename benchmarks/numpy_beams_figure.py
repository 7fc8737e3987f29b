r"""The figure of system 3 in NumPy, as the other side of the benchmark: all groups and schemes.

- `shared`: all points of the figure from the same channels, written with care. The reference of
  the goal.
- `low_rank`: `shared` with only the eigenvectors that count, the fastest NumPy we know.
- `pointwise`: `shared` for each point of the figure alone, with draws of its own.
- `loop`: complex128, realization by realization and user by user, as most scripts do it.

Care means SFC64 float32 normals drawn into preallocated buffers, real factors to the beams of the
array, which are the same for every number of groups, one large BLAS product per user and direction,
and one solution for all users of a group, in Gram matrices of the counted users or of the beams,
whichever are fewer. Gram matrices of users serve all schemes, and schemes that count the same
users share the precoders.

Leakage is counted to the user itself, too, which scales the precoder and does not turn it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.numpy_beams import batches, sum_rates

RELATIVE_EIGENVALUE = 1e-7
"""Eigenvalues of all users below this share of their largest one are left out."""


@dataclass(frozen=True)
class FigureDrop:
    r"""A drop of K users before an array of M x N antennas, split into groups in several ways.

    Channels in beams over the noise are $H_k = A_k V_k E_k^T$ with white $V_k$.

    Attributes:
        azimuth: Real factors A in beams, with the user's signal-to-noise ratio, (K, M, P); columns
            in falling order of their norms.
        elevation: Likewise E without that ratio, (K, N, Q).
        azimuth_groups: Values of G.
        elevation_groups: L.
        azimuth_group: Group g of every user, shape (values of G, K).
        elevation_group: Group l of every user, likewise.
        counted: Entry (i, s, u, v) tells whether, under the i-th G and two-stage scheme s, the
            precoder of user u counts leakage to user v; shape (values of G, schemes, K, K).
        mrt_azimuth: Generalized MRT's precoders of unit norm in azimuth, (K, M).
        mrt_elevation: Likewise in elevation, (K, N).
    """

    azimuth: NDArray[np.float32]
    elevation: NDArray[np.float32]
    azimuth_groups: tuple[int, ...]
    elevation_groups: int
    azimuth_group: NDArray[np.integer]
    elevation_group: NDArray[np.integer]
    counted: NDArray[np.bool_]
    mrt_azimuth: NDArray[np.float32]
    mrt_elevation: NDArray[np.float32]

    @property
    def users(self) -> int:
        """K."""
        return len(self.azimuth)

    @property
    def points(self) -> tuple[int, int]:
        """Values of G, and schemes; generalized MRT is the last."""
        return len(self.azimuth_groups), self.counted.shape[1] + 1

    def beams_of(self, index: int, user: int) -> tuple[slice, slice]:
        """Beams of a user's group under the G of an index, in azimuth and elevation."""
        across = self.azimuth.shape[1] // self.azimuth_groups[index]
        down = self.elevation.shape[1] // self.elevation_groups
        first = self.azimuth_group[index, user] * across
        first_down = self.elevation_group[index, user] * down
        return slice(first, first + across), slice(first_down, first_down + down)

    def split_into(self, index: int, schemes: slice) -> "FigureDrop":
        """The drop with only one G and some of the two-stage schemes."""
        one = slice(index, index + 1)
        return replace(
            self,
            azimuth_groups=self.azimuth_groups[one],
            azimuth_group=self.azimuth_group[one],
            elevation_group=self.elevation_group[one],
            counted=self.counted[one, schemes],
        )

    def significant(self) -> "FigureDrop":
        """The drop without eigenvectors that count for no user."""

        def kept(factors: np.ndarray) -> np.ndarray:
            values = np.square(factors).sum(1)
            return factors[..., (values > RELATIVE_EIGENVALUE * values.max(1)[:, None]).any(0)]

        return replace(self, azimuth=kept(self.azimuth), elevation=kept(self.elevation))


Baseline = Callable[..., NDArray[np.floating]]
"""Function of a drop and a number of realizations to rates (realizations, values of G, schemes)."""


@dataclass(frozen=True)
class _Kind:
    """Users of a group, and the users that their precoders count under some of the schemes."""

    own: NDArray[np.intp]
    counted: NDArray[np.intp]
    schemes: tuple[int, ...]


@dataclass(frozen=True)
class _Group:
    """A group that holds users: its beams under the G of an index."""

    index: int
    across: slice
    down: slice
    kinds: tuple[_Kind, ...]


def _groups(drop: FigureDrop) -> list[_Group]:
    found = []
    for index in range(len(drop.azimuth_groups)):
        pairs = np.column_stack([drop.azimuth_group[index], drop.elevation_group[index]])
        block = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
        counted = drop.counted[index] | np.eye(drop.users, dtype=bool)
        for number in range(block.max() + 1):
            members = np.flatnonzero(block == number).tolist()
            schemes: dict[tuple[tuple[int, ...], bytes], tuple[int, ...]] = {}
            for scheme, masks in enumerate(counted):
                for mask in np.unique(masks[members], axis=0):
                    key = tuple(u for u in members if (masks[u] == mask).all()), bytes(mask)
                    schemes[key] = (*schemes.get(key, ()), scheme)
            kinds = tuple(
                _Kind(np.array(own), np.flatnonzero(np.frombuffer(mask, bool)), which)
                for (own, mask), which in schemes.items()
            )
            found.append(_Group(index, *drop.beams_of(index, members[0]), kinds))
    return found


class Figure:
    """Buffers of `shared` for one drop and batches of one size.

    Attributes:
        normals: What to draw, of variance 1: (users, P, 2, batch, Q), real and imaginary parts.
        channels: Beams of the channels likewise, (users, M, 2, batch, N).
    """

    def __init__(self, drop: FigureDrop, batch: int, mrt: bool = True):
        users, across, rank = drop.azimuth.shape
        _, down, rank_down = drop.elevation.shape
        self.drop, self.groups, self.mrt = drop, _groups(drop), mrt
        self.normals = np.empty((users, rank, 2, batch, rank_down), np.float32)
        self.azimuth = drop.azimuth * np.float32(np.sqrt(0.5))
        self.elevation = np.ascontiguousarray(drop.elevation.swapaxes(1, 2))
        self.half = np.empty((users, across, 2 * batch * rank_down), np.float32)
        self.channels = np.empty((users, across, 2, batch, down), np.float32)
        self.powers = np.empty((*drop.points, users, batch, users), np.float32)  # streams first
        # Gains of generalized MRT come straight from the normals: (users, streams, P) and Q.
        self.mrt_azimuth = np.matmul(drop.mrt_azimuth, self.azimuth)
        self.mrt_elevation = np.matmul(drop.mrt_elevation, drop.elevation)[..., None]

    def rates(self) -> NDArray[np.float32]:
        """Sum rates (batch, values of G, schemes) of what lies in `normals`."""
        if self.drop.counted.shape[1]:
            self._set_channels()
            for group in self.groups:
                self._set_powers(group)
        if self.mrt:
            self.powers[:, -1] = self._mrt_powers()
        points = self.powers if self.mrt else self.powers[:, :-1]
        own = np.einsum("gsubu->gsbu", points)
        signal = own.copy()
        own[...] = 0
        return np.moveaxis(sum_rates(signal, points.sum(2), 1.0), -1, 0)

    def _set_channels(self) -> None:
        users, rank, _, _, rank_down = self.normals.shape
        np.matmul(self.azimuth, self.normals.reshape(users, rank, -1), out=self.half)
        out = self.channels.reshape(users, -1, self.channels.shape[-1])
        np.matmul(self.half.reshape(users, -1, rank_down), self.elevation, out=out)

    def _mrt_powers(self) -> np.ndarray:
        """Powers (streams, batch, users) of generalized MRT, the same for every G."""
        users, rank, _, batch, rank_down = self.normals.shape
        rows = np.matmul(self.mrt_azimuth, self.normals.reshape(users, rank, -1))
        gains = np.matmul(rows.reshape(users, users, -1, rank_down), self.mrt_elevation)
        return np.square(gains.reshape(users, users, 2, batch)).sum(2).transpose(1, 2, 0)

    def _beams(self, group: _Group) -> np.ndarray:
        """Beams (batch, users, beams) of a group."""
        seen = self.channels[:, group.across, :, :, group.down].transpose(2, 3, 0, 1, 4)
        beams = np.empty(seen.shape[1:], np.complex64)
        beams.real, beams.imag = seen
        return beams.reshape(*beams.shape[:2], -1)

    def _set_powers(self, group: _Group) -> None:
        beams = self._beams(group)
        conjugate, count, gram = beams.conj(), beams.shape[-1], None
        for kind in group.kinds:
            if len(kind.counted) <= count:
                if gram is None:
                    gram = np.matmul(conjugate, beams.swapaxes(1, 2))
                inner = gram[:, kind.counted[:, None], kind.counted]
                rhs = (kind.counted[:, None] == kind.own).astype(np.complex64)
                precoders = np.matmul(beams[:, kind.counted].swapaxes(1, 2), _solve(inner, rhs))
            else:
                known = beams[:, kind.counted].swapaxes(1, 2)
                inner = np.matmul(known, conjugate[:, kind.counted])
                precoders = _solve(inner, beams[:, kind.own].swapaxes(1, 2))
            powers = _square(np.matmul(conjugate, precoders))
            powers /= _square(precoders).sum(1)[:, None]
            for scheme in kind.schemes:
                self.powers[group.index, scheme, kind.own] = powers.transpose(2, 0, 1)


def _solve(inner: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Solution with the noise of variance 1 on the diagonal; overwrites `inner`."""
    np.einsum("bss->bs", inner)[...] += 1
    return np.linalg.solve(inner, rhs)


def _square(values: np.ndarray) -> np.ndarray:
    return np.square(np.real(values)) + np.square(np.imag(values))


def _simulate(
    drop: FigureDrop, realizations: int, batch: int, seed: int, mrt: bool = True
) -> NDArray[np.float32]:
    rng = np.random.Generator(np.random.SFC64(seed))
    work = Figure(drop, batch, mrt)
    rates = np.empty((realizations, drop.points[0], drop.points[1] - (not mrt)), np.float32)
    for rows in batches(realizations, batch):
        rng.standard_normal(out=work.normals, dtype=np.float32)
        rates[rows] = work.rates()
    return rates


def shared(
    drop: FigureDrop, realizations: int, *, batch: int = 64, seed: int = 0
) -> NDArray[np.float32]:
    """All points of the figure from the same channels, with all eigenvectors."""
    return _simulate(drop, realizations, batch, seed)


def low_rank(
    drop: FigureDrop, realizations: int, *, batch: int = 64, seed: int = 0
) -> NDArray[np.float32]:
    """`shared` with the eigenvectors that count."""
    return _simulate(drop.significant(), realizations, batch, seed)


def pointwise(
    drop: FigureDrop, realizations: int, *, batch: int = 64, seed: int = 0
) -> NDArray[np.float32]:
    """`shared` for each point of the figure alone, generalized MRT for each G, too."""
    values, schemes = drop.points
    rates = np.empty((realizations, values, schemes), np.float32)
    for index, scheme in np.ndindex(values, schemes):
        mrt = scheme == schemes - 1
        point = drop.split_into(index, slice(0, 0) if mrt else slice(scheme, scheme + 1))
        own_seed = (seed * values + index) * schemes + scheme
        rates[:, index, scheme] = _simulate(point, realizations, batch, own_seed, mrt)[:, 0, 0]
    return rates


def rates_of_beams(drop: FigureDrop, h: NDArray[np.complexfloating]) -> NDArray[np.float64]:
    """Sum rates (values of G, schemes) of one realization h (K, M, N), as the paper writes them."""
    rates, mrt = np.zeros(drop.points), drop.points[1] - 1
    for index, scheme in np.ndindex(rates.shape):
        gains = np.empty((drop.users, drop.users))
        for u in range(drop.users):
            if scheme == mrt:
                seen = h.reshape(drop.users, -1)
                p = np.kron(drop.mrt_azimuth[u], drop.mrt_elevation[u])
            else:
                across, down = drop.beams_of(index, u)
                seen = h[:, across, down].reshape(drop.users, -1)
                known = seen[drop.counted[index, scheme, u]]
                inner = known.T @ known.conj() + np.eye(seen.shape[1])
                p = np.linalg.solve(inner, seen[u])
                p = p / np.linalg.norm(p)
            gains[:, u] = np.abs(seen.conj() @ p) ** 2
        signal = np.diag(gains)
        rates[index, scheme] = np.log2(1 + signal / (1 + gains.sum(1) - signal)).sum()
    return rates


def loop(drop: FigureDrop, realizations: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Complex128, one realization, point and user after the other."""
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(realizations):
        parts = rng.standard_normal((2, drop.users, drop.azimuth.shape[2], drop.elevation.shape[2]))
        white = (parts[0] + 1j * parts[1]) / np.sqrt(2)
        rates.append(rates_of_beams(drop, drop.azimuth @ white @ drop.elevation.swapaxes(1, 2)))
    return np.array(rates)
