r"""Sum rate of one drop of system 3 in NumPy, as the other side of the benchmark.

- `shared`: batched complex64, written with care; factors that lead to the beams of groups that hold
  users, taken once per drop, and every user's SLNR precoder from one stacked call. The reference of
  the goal.
- `low_rank`, in `numpy_beams_low_rank`: the fastest NumPy we know.
- `antennas`: `shared` with channels at the antennas and a DFT of every realization.

Care means SFC64 float32 normals drawn into preallocated buffers, factors that absorb path gain and
the variance 2 of complex normals, one large BLAS product per user for all realizations of a batch,
and Gram matrices of only those users that a precoder counts, or of beams where these are fewer.

Leakage is counted to the user itself, too, which scales the precoder and does not turn it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BeamsDrop:
    """A drop of K users before an array of M x N antennas, split into G x L groups of beams.

    Attributes:
        azimuth: Factors A of the users' covariances R = A A^H in azimuth, shape (K, M, M).
        elevation: Likewise in elevation, shape (K, N, N).
        beta: Path gains, shape (K,).
        azimuth_group: Group g of every user.
        elevation_group: Group l of every user.
        counted: Entry (u, s) tells whether the precoder of user u counts leakage to user s.
        azimuth_groups: G.
        elevation_groups: L.
        alpha: Noise over transmit power.
    """

    azimuth: NDArray[np.complex64]
    elevation: NDArray[np.complex64]
    beta: NDArray[np.floating]
    azimuth_group: NDArray[np.integer]
    elevation_group: NDArray[np.integer]
    counted: NDArray[np.bool_]
    azimuth_groups: int
    elevation_groups: int
    alpha: float

    @property
    def users(self) -> int:
        """K."""
        return len(self.beta)

    @property
    def antennas(self) -> tuple[int, int]:
        """M and N."""
        return self.azimuth.shape[-1], self.elevation.shape[-1]

    @property
    def beams(self) -> tuple[int, int]:
        """Beams of a group in azimuth and elevation."""
        across, down = self.antennas
        return across // self.azimuth_groups, down // self.elevation_groups

    def beams_of(self, azimuth_group: int, elevation_group: int) -> tuple[slice, slice]:
        """Which beams a group has, in azimuth and elevation."""
        across, down = self.beams
        return (
            slice(azimuth_group * across, (azimuth_group + 1) * across),
            slice(elevation_group * down, (elevation_group + 1) * down),
        )


class SumRate(NamedTuple):
    """Mean sum rate [bit/s/Hz] and its standard error."""

    mean: float
    std_error: float


Baseline = Callable[..., NDArray[np.float32]]
"""Function of a drop and a number of realizations to the sum rate of each realization."""


def estimate(rates: np.ndarray) -> SumRate:
    """Mean and standard error of the sum rates of all realizations."""
    error = rates.std(ddof=1, dtype=np.float64) / np.sqrt(len(rates))
    return SumRate(float(rates.mean(dtype=np.float64)), float(error))


def batches(realizations: int, batch: int) -> Iterator[slice]:
    """Which realizations come together."""
    if realizations % batch:
        raise ValueError(
            f"`realizations` must be a multiple of the batch, but got {realizations} and {batch}. "
            "Round it up."
        )
    return (slice(start, start + batch) for start in range(0, realizations, batch))


def sum_rates(signal: np.ndarray, powers: np.ndarray, alpha: float) -> np.ndarray:
    """From the users' own powers (batch, users) and those of all other streams; overwrites both."""
    powers += np.float32(alpha)
    signal /= powers
    signal += 1
    np.log2(signal, out=signal)
    return signal @ np.ones(signal.shape[-1], np.float32)


def in_beams(drop: BeamsDrop) -> BeamsDrop:
    """The drop with factors that lead to beams: only those of groups that hold users."""
    across, down = drop.antennas
    used, groups = np.unique(drop.azimuth_group, return_inverse=True)
    used_down, groups_down = np.unique(drop.elevation_group, return_inverse=True)
    return replace(
        drop,
        azimuth=_beam_rows(across, drop.beams[0], used) @ drop.azimuth,
        elevation=_beam_rows(down, drop.beams[1], used_down) @ drop.elevation,
        azimuth_group=groups,
        elevation_group=groups_down,
    )


def _beam_rows(size: int, beams: int, groups: np.ndarray) -> np.ndarray:
    """Rows of the DFT, one per beam of the groups."""
    rows = (groups[:, None] * beams + np.arange(beams)).reshape(-1)
    return _dft(size)[rows]


def _dft(size: int) -> np.ndarray:
    return np.fft.ifft(np.eye(size), norm="ortho").astype(np.complex64)


class _Channels:
    """Buffers of `shared`, and the channels that the factors of a drop make of what is drawn.

    The normals lie (users, M, batch, N), so that both factors, each a few large matrices, take
    them as they are.
    """

    def __init__(self, drop: BeamsDrop, batch: int):
        across, down = drop.antennas
        self.normals = np.empty((drop.users, across, batch, down, 2), np.float32)
        self.white = self.normals.view(np.complex64)[..., 0]  # variance 2
        scale = np.sqrt(drop.beta / 2)[:, None, None]
        self.azimuth = (scale * drop.azimuth).astype(np.complex64)
        self.elevation = drop.elevation.swapaxes(-1, -2).astype(np.complex64)
        rows, columns = self.azimuth.shape[1], self.elevation.shape[2]
        self.half = np.empty((drop.users, rows, batch * down), np.complex64)
        self.channels = np.empty((drop.users, rows, batch, columns), np.complex64)

    def set_channels(self) -> np.ndarray:
        """Channels (users, M, batch, N) of what lies in `white`."""
        users, across, _, down = self.white.shape
        columns = self.channels.shape[-1]
        np.matmul(self.azimuth, self.white.reshape(users, across, -1), out=self.half)
        out = self.channels.reshape(users, -1, columns)
        np.matmul(self.half.reshape(users, -1, down), self.elevation, out=out)
        return self.channels


class _Transform:
    """Buffers of `antennas`, and the beams of channels (users, M, batch, N)."""

    def __init__(self, channels: np.ndarray):
        self.across, self.down = _dft(channels.shape[1]), _dft(channels.shape[3])
        self.half, self.beams = np.empty_like(channels), np.empty_like(channels)

    def __call__(self, channels: np.ndarray) -> np.ndarray:
        rows = *channels.shape[:2], -1
        np.matmul(self.across, channels.reshape(rows), out=self.half.reshape(rows))
        flat = -1, channels.shape[3]
        np.matmul(self.half.reshape(flat), self.down, out=self.beams.reshape(flat))
        return self.beams


class _Precoding:
    """Buffers of `shared`, and the users' precoders and rates from the beams of all channels."""

    def __init__(self, drop: BeamsDrop, batch: int):
        self.drop, users = drop, drop.users
        across, down = drop.beams
        counted = drop.counted | np.eye(users, dtype=bool)
        most = int(counted.sum(1).max())
        # The counted users of each, the user itself first, and others to fill the row.
        self.order = np.argsort(~counted - np.eye(users), axis=1, kind="stable")[:, :most]
        self.filler = np.take_along_axis(~counted, self.order, 1)
        self.all = np.empty((batch, users, users, across * down), np.complex64)
        self.by_users = most <= across * down
        size = most if self.by_users else across * down
        self.noise = np.float32(drop.alpha) * np.eye(size, dtype=np.float32)
        self.rows = np.arange(users)[:, None]

    def rates(self, beams: np.ndarray) -> np.ndarray:
        """Sum rates of all realizations, from beams (users, M, batch, N)."""
        drop, batch = self.drop, len(self.all)
        for user, group in enumerate(zip(drop.azimuth_group, drop.elevation_group, strict=True)):
            across, down = drop.beams_of(*group)
            own = self.all[:, user].reshape(batch, drop.users, *drop.beams)
            own[...] = beams[:, across, :, down].transpose(2, 0, 1, 3)
        precoders = self._precoders()
        gains = np.matmul(self.all, precoders.conj())[..., 0]  # (batch, stream, user), conjugate
        norm = np.square(precoders.view(np.float32)).sum((-2, -1))
        powers = np.square(gains.real) + np.square(gains.imag)
        powers /= norm[..., None]
        own_powers = np.einsum("buu->bu", powers)
        signal = own_powers.copy()
        own_powers[...] = 0
        return sum_rates(signal, powers.sum(1), drop.alpha)

    def _precoders(self) -> np.ndarray:
        """Precoders (batch, users, beams, 1) up to their norms, one stacked solution for all."""
        counted = self.all[:, self.rows, self.order]
        counted[:, self.filler] = 0
        if self.by_users:
            gram = np.matmul(counted.conj(), counted.swapaxes(-1, -2))
            own = np.zeros((*gram.shape[:-1], 1), np.complex64)
            own[..., 0, 0] = 1
            return np.matmul(counted.swapaxes(-1, -2), np.linalg.solve(gram + self.noise, own))
        gram = np.matmul(counted.swapaxes(-1, -2), counted.conj())
        return np.linalg.solve(gram + self.noise, counted[:, :, 0, :, None])


def shared(
    drop: BeamsDrop, realizations: int, *, batch: int = 16, seed: int = 0
) -> NDArray[np.float32]:
    """Batched complex64; factors that lead to beams are taken once."""
    rng = np.random.Generator(np.random.SFC64(seed))
    drop = in_beams(drop)
    channels, precoding = _Channels(drop, batch), _Precoding(drop, batch)
    rates = np.empty(realizations, np.float32)
    for rows in batches(realizations, batch):
        rng.standard_normal(out=channels.normals, dtype=np.float32)
        rates[rows] = precoding.rates(channels.set_channels())
    return rates


def antennas(
    drop: BeamsDrop, realizations: int, *, batch: int = 16, seed: int = 0
) -> NDArray[np.float32]:
    """`shared` by way of the antennas, on the same draws."""
    rng = np.random.Generator(np.random.SFC64(seed))
    channels, precoding = _Channels(drop, batch), _Precoding(drop, batch)
    transform = _Transform(channels.channels)
    rates = np.empty(realizations, np.float32)
    for rows in batches(realizations, batch):
        rng.standard_normal(out=channels.normals, dtype=np.float32)
        rates[rows] = precoding.rates(transform(channels.set_channels()))
    return rates


def in_threads(
    baseline: Baseline, drop: BeamsDrop, realizations: int, *, threads: int = 2, seed: int = 0
) -> NDArray[np.float32]:
    """Shares realizations out among threads, which NumPy lets run at the same time."""
    if realizations % threads:
        raise ValueError(
            f"`realizations` must be a multiple of `threads`, but got {realizations} and "
            f"{threads}. Round it up."
        )
    with ThreadPoolExecutor(threads) as pool:
        runs = [
            pool.submit(baseline, drop, realizations // threads, seed=seed + number)
            for number in range(threads)
        ]
        return np.concatenate([run.result() for run in runs])
