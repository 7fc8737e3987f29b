"""Mean SE per user against the Rician factor in NumPy, as the other side of the benchmark.

- `shared`: batched complex64, written with care; one draw of fading and estimation errors serves
  all layouts and Rician factors. The reference of the goal.
- `gram`, in `numpy_rician_gram`: the fastest NumPy we know, on the same draws.
- `pointwise`: `shared`, once for every layout and Rician factor.
- `loop`: one realization at a time, complex128, on the draws of `shared`.

Care means SFC64 float32 normals drawn into preallocated buffers, arithmetic in place, stacked BLAS
products, constants that absorb the variance 2 of complex normals, and interference summed with the
own stream masked, not subtracted. All return the mean over users and realizations of each drop,
shape (drops, layouts, combiners, rician), combiners in the order of `COMBINERS`.

All of them run on one core. `in_threads` gives them more.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.rician_network import RicianNetwork

COMBINERS = ("MR", "ZF", "MMSE")

Baseline = Callable[..., NDArray[np.float32]]

_SPEED_OF_LIGHT = 299_792_458.0


def ap_positions(network: RicianNetwork, num_aps: int) -> np.ndarray:
    """Centres of the cells of the squarest grid with at most as many rows as columns [m]."""
    rows = max(r for r in range(1, num_aps + 1) if num_aps % r == 0 and r * r <= num_aps)
    columns = num_aps // rows
    x = (np.arange(columns) + 0.5) * network.side / columns
    y = (np.arange(rows) + 0.5) * network.side / rows
    return np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)


def draw_users(rng: np.random.Generator, network: RicianNetwork, drops: int) -> np.ndarray:
    """Positions of users, shape (drops, users, 2) [m]."""
    return rng.uniform(0, network.side, (drops, network.users, 2))


def line_of_sight(network: RicianNetwork, num_aps: int, users: np.ndarray) -> np.ndarray:
    """Line of sight in amplitudes relative to the noise, shape (drops, antennas, users)."""
    offset = users[:, None] - ap_positions(network, num_aps)[:, None]
    ground = np.hypot(offset[..., 0], offset[..., 1])
    distance = np.hypot(ground, network.ap_height - network.user_height)
    noise_dbm = network.noise_density + 10 * np.log10(network.bandwidth) + network.noise_figure
    friis = (_SPEED_OF_LIGHT / (4 * np.pi * network.frequency)) ** 2
    snr = 10 ** ((network.power_dbm - noise_dbm) / 10) * friis * distance**-network.exponent
    sine = offset[..., 1] / ground
    element = np.arange(network.antennas // num_aps)[:, None]
    phase = -2 * np.pi * network.spacing * element * sine[:, :, None]
    steered = np.sqrt(snr)[:, :, None] * np.exp(1j * phase)
    return steered.reshape(len(users), network.antennas, network.users)


def weights(network: RicianNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of line of sight and of fading, shape (rician,) each."""
    kappa = 10 ** (np.asarray(network.rician_db) / 10)
    return np.sqrt(kappa / (1 + kappa)), np.sqrt(1 / (1 + kappa))


@dataclass(frozen=True)
class Batch:
    """Draws of a few realizations; the arrays are overwritten by the next batch.

    Attributes:
        rows: Which realizations of the run these are.
        drop: Their drops.
        fading: White, variance 2 per entry, shape (batch, antennas, users).
        error: Estimation errors, same shape.
    """

    rows: slice
    drop: np.ndarray
    fading: NDArray[np.complex64]
    error: NDArray[np.complex64]


def batches(
    rng: np.random.Generator, network: RicianNetwork, drops: int, batch: int
) -> Iterator[Batch]:
    """Realizations of all drops in turn, the same ones for any batch size."""
    total = drops * network.realizations
    if total % batch:
        raise ValueError(
            f"`drops` x realizations must be a multiple of the batch, but got {total} and {batch}. "
            "Choose a batch that divides it."
        )
    normals = np.empty((batch, 2, network.antennas, 2 * network.users), np.float32)
    fading, error = (normals[:, part].view(np.complex64) for part in (0, 1))
    for start in range(0, total, batch):
        rng.standard_normal(out=normals, dtype=np.float32)
        error *= np.float32(np.sqrt(0.5 / network.users))
        rows = slice(start, start + batch)
        yield Batch(rows, np.arange(start, start + batch) // network.realizations, fading, error)


def all_lines_of_sight(network: RicianNetwork, users: np.ndarray) -> np.ndarray:
    """Of every layout in single precision, shape (drops, layouts, antennas, users)."""
    layouts = [line_of_sight(network, num_aps, users) for num_aps in network.num_aps]
    return np.stack(layouts, 1).astype(np.complex64)


def mean_over_realizations(network: RicianNetwork, se: np.ndarray) -> np.ndarray:
    """From one row per realization to one per drop."""
    return se.reshape(-1, network.realizations, *se.shape[1:]).mean(1)


def sum_parts(rows: np.ndarray) -> np.ndarray:
    """Sum over the last axis as one BLAS product, which beats NumPy's sum of short rows."""
    length = rows.shape[-1]
    return (rows.reshape(-1, length) @ np.ones(length, rows.dtype)).reshape(rows.shape[:-1])


def mean_se(gains: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Mean over users; overwrites `gains` (..., users, users) and `noise` (..., users)."""
    users = noise.shape[-1]
    powers = gains.view(np.float32)
    powers *= powers
    parts = powers.reshape(*gains.shape, 2)
    own = np.einsum("...kkp->...kp", parts)  # a view
    signal = own[..., 0] + own[..., 1]
    own[...] = 0
    noise += sum_parts(powers)
    signal /= noise
    signal += 1
    np.log2(signal, out=signal)
    return signal @ np.full(users, 1 / users, np.float32)


def empty_se(network: RicianNetwork, drops: int) -> NDArray[np.float32]:
    """A row (layouts, combiners, rician) for every realization of all drops."""
    axes = len(network.num_aps), len(COMBINERS), len(network.rician_db)
    return np.empty((drops * network.realizations, *axes), np.float32)


def diagonal(matrices: np.ndarray) -> np.ndarray:
    """A view of the diagonals that can be written to."""
    return np.einsum("...kk->...k", matrices)


def adjoint(matrices: np.ndarray) -> np.ndarray:
    """Conjugate transposes."""
    return matrices.conj().swapaxes(-1, -2)


class _Pointwise:
    """Buffers of `shared`, and what it does with the channels of one layout and Rician factor."""

    def __init__(self, batch: int, antennas: int, users: int):
        self.channel = np.empty((batch, antennas, 2 * users), np.complex64)
        self.estimate, self.truth = self.channel[..., :users], self.channel[..., users:]
        self.scratch = np.empty((batch, antennas, users), np.complex64)
        self.products = np.empty((batch, users, 2 * users), np.complex64)
        self.gains = np.empty((batch, len(COMBINERS), users, users), np.complex64)
        self.noise = np.empty((batch, len(COMBINERS), users), np.float32)
        self.regularized, self.filtered = np.empty((2, batch, users, users), np.complex64)
        self.eye = np.eye(users, dtype=np.float32)

    def set_channels(
        self, seen: np.ndarray, fading: np.ndarray, error: np.ndarray, a: np.float32, b: np.float32
    ) -> None:
        np.multiply(seen, a, out=self.truth)
        np.multiply(fading, b, out=self.scratch)
        np.add(self.truth, self.scratch, out=self.truth)
        np.add(self.truth, error, out=self.estimate)

    def mean_se(self) -> np.ndarray:
        """Of every realization and combiner, shape (batch, combiners)."""
        gains, noise, users = self.gains, self.noise, len(self.eye)
        np.conjugate(self.estimate, out=self.scratch)
        np.matmul(self.scratch.swapaxes(1, 2), self.channel, out=self.products)
        gram, cross = self.products[..., :users], self.products[..., users:]
        np.add(gram, self.eye, out=self.regularized)
        zf, mmse = np.linalg.inv(gram), np.linalg.inv(self.regularized)
        gains[:, 0] = cross
        np.matmul(zf, cross, out=gains[:, 1])
        np.matmul(mmse, cross, out=gains[:, 2])
        np.matmul(mmse, gram, out=self.filtered)
        parts = self.filtered.view(np.float32)
        parts *= mmse.view(np.float32)  # what sums to the diagonal of the product with mmse^H
        noise[:, 0], noise[:, 1] = np.real(diagonal(gram)), np.real(diagonal(zf))
        noise[:, 2] = sum_parts(parts)
        return mean_se(gains, noise)


def shared(
    network: RicianNetwork, drops: int, *, batch: int = 64, seed: int = 0
) -> NDArray[np.float32]:
    """Batched complex64; one draw serves all layouts and Rician factors."""
    rng = np.random.Generator(np.random.SFC64(seed))
    los = all_lines_of_sight(network, draw_users(rng, network, drops))
    scale = np.abs(los) * np.float32(np.sqrt(0.5))
    work = _Pointwise(batch, network.antennas, network.users)
    se = empty_se(network, drops)
    for draw in batches(rng, network, drops, batch):
        for layout in range(len(network.num_aps)):
            seen = los[draw.drop, layout]
            fading = scale[draw.drop, layout] * draw.fading
            for point, (a, b) in enumerate(zip(*weights(network), strict=True)):
                work.set_channels(seen, fading, draw.error, np.float32(a), np.float32(b))
                se[draw.rows, layout, :, point] = work.mean_se()
    return mean_over_realizations(network, se)


def pointwise(
    network: RicianNetwork, drops: int, *, batch: int = 64, seed: int = 0
) -> NDArray[np.float32]:
    """`shared` anew for every layout and Rician factor."""
    axes = len(network.num_aps), len(network.rician_db)
    se = np.empty((drops, axes[0], len(COMBINERS), axes[1]), np.float32)
    for number, (layout, point) in enumerate(np.ndindex(axes)):
        values = network.num_aps[layout], network.rician_db[point]
        only = replace(network, num_aps=values[:1], rician_db=values[1:])
        alone = shared(only, drops, batch=batch, seed=seed + number)
        se[:, layout, :, point] = alone[:, 0, :, 0]
    return se


def loop(network: RicianNetwork, drops: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Loops over realizations, layouts and Rician factors in complex128."""
    rng = np.random.Generator(np.random.SFC64(seed))
    users = draw_users(rng, network, drops)
    los = [line_of_sight(network, num_aps, users) for num_aps in network.num_aps]
    se = empty_se(network, drops)
    for draw in batches(rng, network, drops, 1):
        white, error = draw.fading[0].astype(complex) / np.sqrt(2), draw.error[0].astype(complex)
        for layout, seen in enumerate(los):
            line = seen[draw.drop[0]]
            for point, (a, b) in enumerate(zip(*weights(network), strict=True)):
                channel = a * line + b * np.abs(line) * white
                se[draw.rows, layout, :, point] = _realization_se(channel, channel + error)
    return mean_over_realizations(network, se)


def _realization_se(channel: np.ndarray, estimate: np.ndarray) -> list[float]:
    gram = adjoint(estimate) @ estimate
    inverses = (np.eye(len(gram)), np.linalg.inv(gram), np.linalg.inv(gram + np.eye(len(gram))))
    means = []
    for inverse in inverses:
        combiner = estimate @ inverse
        powers = np.abs(adjoint(combiner) @ channel) ** 2
        signal = np.diag(powers).copy()
        np.fill_diagonal(powers, 0)
        noise = (np.abs(combiner) ** 2).sum(0)
        means.append(np.log2(1 + signal / (powers.sum(1) + noise)).mean())
    return means


def in_threads(
    baseline: Baseline, network: RicianNetwork, drops: int, *, threads: int = 2, seed: int = 0
) -> NDArray[np.float32]:
    """Shares the drops of a baseline out among threads, which NumPy lets run at the same time."""
    if drops % threads:
        raise ValueError(
            f"`drops` must be a multiple of `threads`, but got {drops} and {threads}. Round it up."
        )
    with ThreadPoolExecutor(threads) as pool:
        runs = [
            pool.submit(baseline, network, drops // threads, seed=seed + number)
            for number in range(threads)
        ]
        return np.concatenate([run.result() for run in runs])
