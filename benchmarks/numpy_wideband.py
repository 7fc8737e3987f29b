r"""Responses and SE of one drop of system 4 in NumPy, as the other side of the benchmark.

The response at antenna m and offset f is the sum over paths of
alpha e^{-j 2 pi (m s (1 + f / f_c) + f T)}, s = spacing sin(angle) and T the path's delay. Its
phase has a term in m f, so antennas and subcarriers do not separate.

- `shared`: batched complex64, written with care; phases advance from antenna to antenna by one
  product. The reference of the goal.
- `factored`: the fastest NumPy we know. At one antenna of a link, phases of subcarrier
  p = p1 P2 + p2 are a factor in p1 times one in p2, so the sum over paths is a matrix product.
- `pointwise`: subcarrier by subcarrier, with the exponential of every phase.
- `loop`: one subcarrier and user at a time, complex128.

`response_*` return the responses (subcarriers, users, aps, antennas), as a view where another order
is natural. `se_*` return the mean SE over users of every combiner of `COMBINERS` and subcarrier,
with channels in units of noise that the combiners know.

Care means phases reduced to a turn in double precision before the cosine of single precision,
few of them (the rest are products), links in chunks that stay in cache, and Gram matrices scaled
to a unit diagonal before they are inverted.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COMBINERS = ("MR", "ZF", "MMSE")

_SPEED_OF_LIGHT = 299_792_458.0


@dataclass(frozen=True)
class WidebandDrop:
    """Paths of a drop and the grid of subcarriers.

    Attributes:
        gains: Gains alpha with the carrier's phase, in units of noise, shape (users, aps, paths).
        angles: Angles of arrival [rad], same shape.
        distances: Between users and APs [m], shape (users, aps).
        excess: Delays on top of the distance [s], shape (users, aps, paths).
        antennas: Antennas M of an AP.
        subcarriers: P.
        first: Offset of the first subcarrier from the carrier [Hz].
        step: Spacing of the subcarriers [Hz].
        carrier: [Hz].
        spacing: Antenna spacing [wavelengths of the carrier].
    """

    gains: NDArray[np.complexfloating]
    angles: NDArray[np.floating]
    distances: NDArray[np.floating]
    excess: NDArray[np.floating]
    antennas: int
    subcarriers: int
    first: float
    step: float
    carrier: float = 28e9
    spacing: float = 0.5

    @property
    def delays(self) -> np.ndarray:
        """Of every path at the first antenna [s], in double precision."""
        return np.asarray(self.distances, float)[..., None] / _SPEED_OF_LIGHT + self.excess

    @property
    def elements(self) -> np.ndarray:
        """Turns from antenna to antenna at the carrier, in double precision."""
        return self.spacing * np.sin(np.asarray(self.angles, float))

    @property
    def fine(self) -> int:
        """P2, the divisor of P that is next to its square root from above."""
        count = self.subcarriers
        return min(d for d in range(math.isqrt(count - 1) + 1, count + 1) if count % d == 0)


def phasors(turns: np.ndarray) -> NDArray[np.complex64]:
    """e^{-j 2 pi t} of many turns, in double precision, or of at most one, in single precision."""
    if turns.dtype == np.float64:
        turns = (turns - np.rint(turns)).astype(np.float32)
    angles = np.float32(-2 * np.pi) * turns
    result = np.empty(angles.shape, np.complex64)
    np.cos(angles, out=result.real)
    np.sin(angles, out=result.imag)
    return result


class _Links:
    """All links, user by user, and the two factors that a grid of subcarriers splits into.

    Attributes:
        most: Links that are worked through at once.
        gains: Shape (links, paths).
        elements: Turns from antenna to antenna at the carrier, (links, paths).
        delays: [s], (links, paths).
        coarse: Offsets of the first factor [Hz], (P1,).
        fine: Offsets on top of it [Hz], (P2,).
    """

    def __init__(self, drop: WidebandDrop, most: int):
        self.antennas, self.carrier, self.aps = drop.antennas, drop.carrier, drop.gains.shape[1]
        self.most = min(most, self.aps)
        shape = -1, drop.gains.shape[2]
        self.gains = np.asarray(drop.gains, np.complex64).reshape(shape)
        self.elements, self.delays = drop.elements.reshape(shape), drop.delays.reshape(shape)
        self.coarse = drop.first + drop.step * drop.fine * np.arange(drop.subcarriers // drop.fine)
        self.fine = drop.step * np.arange(drop.fine)

    def chunks(self) -> Iterator[slice]:
        """Slices of links, never of two users."""
        for start in range(0, len(self.gains), self.aps):
            for link in range(start, start + self.aps, self.most):
                yield slice(link, min(link + self.most, start + self.aps))


class _Shared(_Links):
    def __init__(self, drop: WidebandDrop, most: int = 8):
        super().__init__(drop, most)
        shape = self.most, drop.gains.shape[2], len(self.coarse), len(self.fine)
        self.waves, self.advance = np.empty((2, *shape), np.complex64)
        self.ones = np.ones((1, shape[1]), np.complex64)

    def respond(self, links: slice, out: np.ndarray) -> None:
        """Writes the responses (links, antennas, subcarriers)."""
        turn, delay = self.elements[links, :, None], self.delays[links, :, None]
        waves, advance = self.waves[: len(turn)], self.advance[: len(turn)]
        single = turn.astype(np.float32)
        slope = single * np.float32(1 / self.carrier)
        one = self.gains[links][..., None] * phasors(delay * self.coarse)
        np.multiply(one[..., None], phasors(delay * self.fine)[..., None, :], out=waves)
        one = phasors(single + slope * self.coarse.astype(np.float32))
        other = phasors(slope * self.fine.astype(np.float32))
        np.multiply(one[..., None], other[..., None, :], out=advance)
        rows = waves.reshape(*waves.shape[:2], -1)
        for antenna in range(self.antennas):
            np.matmul(self.ones, rows, out=out[:, antenna, None])  # beats NumPy's sum
            waves *= advance


class _Factored(_Links):
    """Both parts of X Y by one real product: X as it lies in memory, times rows Y and j Y."""

    def __init__(self, drop: WidebandDrop, most: int = 32):
        super().__init__(drop, most)
        paths = drop.gains.shape[2]
        shape = self.most, self.antennas
        self.x = np.empty((*shape, len(self.coarse), paths), np.complex64)
        self.y = np.empty((*shape, paths, 2, len(self.fine)), np.complex64)
        self.down = np.empty(self.y[:, 0].shape, np.complex64)

    def respond(self, links: slice, out: np.ndarray) -> None:
        """Writes the responses (links, antennas, subcarriers)."""
        turn, delay = self.elements[links], self.delays[links]
        x, y, down = (part[: len(turn)] for part in (self.x, self.y, self.down))
        single = turn.astype(np.float32)
        slope = single * np.float32(1 / self.carrier)
        coarse = self.coarse[:, None]
        across = phasors(single[:, None] + slope[:, None] * coarse.astype(np.float32))
        np.multiply(self.gains[links][:, None], phasors(delay[:, None] * coarse), out=x[:, 0])
        y[:, 0, :, 0] = phasors(delay[..., None] * self.fine)
        np.multiply(y[:, 0, :, 0], np.complex64(1j), out=y[:, 0, :, 1])
        down[...] = phasors(slope[..., None] * self.fine.astype(np.float32))[:, :, None]
        for antenna in range(1, self.antennas):
            np.multiply(x[:, antenna - 1], across, out=x[:, antenna])
            np.multiply(y[:, antenna - 1], down, out=y[:, antenna])
        rows = y.view(np.float32).reshape(*y.shape[:2], 2 * y.shape[2], -1)
        parts = out.view(np.float32).reshape(*x.shape[:3], -1)
        np.matmul(x.view(np.float32), rows, out=parts)


def _response(drop: WidebandDrop, work: _Shared | _Factored) -> NDArray[np.complex64]:
    users, aps, _ = drop.gains.shape
    result = np.empty((users * aps, drop.antennas, drop.subcarriers), np.complex64)
    for links in work.chunks():
        work.respond(links, result[links])
    return np.moveaxis(result.reshape(users, aps, drop.antennas, drop.subcarriers), -1, 0)


def response_shared(drop: WidebandDrop) -> NDArray[np.complex64]:
    """Phases that advance from antenna to antenna."""
    return _response(drop, _Shared(drop))


def response_factored(drop: WidebandDrop) -> NDArray[np.complex64]:
    """Matrix products over the paths of every link and antenna."""
    return _response(drop, _Factored(drop))


def _responses_in_turn(drop: WidebandDrop) -> Iterator[np.ndarray]:
    """Of every subcarrier, shape (users, aps, antennas)."""
    elements, delays = drop.elements, drop.delays
    antennas = np.arange(drop.antennas)[:, None]
    for p in range(drop.subcarriers):
        f = drop.first + p * drop.step
        steering = np.exp(-2j * np.pi * (1 + f / drop.carrier) * antennas * elements[:, :, None])
        waves = drop.gains * np.exp(-2j * np.pi * f * delays)
        yield (steering @ waves[..., None])[..., 0].astype(np.complex64)


def response_pointwise(drop: WidebandDrop) -> NDArray[np.complex64]:
    """The exponential of every phase."""
    return np.stack(list(_responses_in_turn(drop)))


def response_loop(drop: WidebandDrop) -> NDArray[np.complex128]:
    """Loops over subcarriers and users."""
    users, aps, _ = drop.gains.shape
    elements, delays = drop.elements, drop.delays
    antennas = np.arange(drop.antennas)[:, None]
    result = np.zeros((drop.subcarriers, users, aps, drop.antennas), complex)
    for p in range(drop.subcarriers):
        f = drop.first + p * drop.step
        for k in range(users):
            turns = antennas * elements[k, :, None] * (1 + f / drop.carrier)
            turns = turns + f * delays[k, :, None]
            paths = drop.gains[k, :, None] * np.exp(-2j * np.pi * turns)
            result[p, k] = paths.sum(-1)
    return result


def _gram(channels: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Users' Gram matrices of (subcarriers, users, antennas), conjugates taken in cache."""
    count, users, _ = channels.shape
    result = np.empty((count, users, users), np.complex64)
    for start in range(0, count, 8):
        block = channels[start : start + 8]
        np.matmul(block.conj(), block.swapaxes(1, 2), out=result[start : start + 8])
    return result


def _mean_se(gram: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Mean over users, (combiners, ...), of Gram matrices (..., users, users), overwritten."""
    users = gram.shape[-1]
    norm = np.einsum("...kk->...k", gram).real.copy()
    powers = gram.real**2 + gram.imag**2
    np.einsum("...kk->...k", powers)[...] = 0
    mr = norm**2 / (powers.sum(-1) + norm)
    scale = 1 / np.sqrt(norm)
    gram *= scale[..., :, None] * scale[..., None, :]
    zf = norm / _inverse_diagonal(gram)
    np.einsum("...kk->...k", gram)[...] += 1 / norm
    mmse = norm / _inverse_diagonal(gram)  # of I + G, which is 1 + SINR
    se = np.log2(np.stack([1 + mr, 1 + zf, mmse]))
    return se @ np.full(users, 1 / users, np.float32)


def _inverse_diagonal(matrices: np.ndarray) -> np.ndarray:
    return np.einsum("...kk->...k", np.linalg.inv(matrices)).real


def _se(drop: WidebandDrop, work: _Shared | _Factored) -> NDArray[np.float32]:
    """Turned so that the antennas of a subcarrier lie side by side, while still in cache."""
    users, aps, _ = drop.gains.shape
    channels = np.empty((drop.subcarriers, users, aps * drop.antennas), np.complex64)
    response = np.empty((work.most, drop.antennas, drop.subcarriers), np.complex64)
    for links in work.chunks():
        rows = response[: links.stop - links.start]
        work.respond(links, rows)
        user, ap = divmod(links.start, aps)
        start = ap * drop.antennas
        rows = rows.reshape(-1, drop.subcarriers)
        channels[:, user, start : start + len(rows)] = rows.T
    return _mean_se(_gram(channels))


def se_shared(drop: WidebandDrop) -> NDArray[np.float32]:
    """SE (combiners, subcarriers) from `shared` responses."""
    return _se(drop, _Shared(drop))


def se_factored(drop: WidebandDrop) -> NDArray[np.float32]:
    """SE (combiners, subcarriers) from `factored` responses."""
    return _se(drop, _Factored(drop))


def se_pointwise(drop: WidebandDrop) -> NDArray[np.float32]:
    """SE (combiners, subcarriers), subcarrier by subcarrier."""
    channels = (h.reshape(1, len(h), -1) for h in _responses_in_turn(drop))
    return np.concatenate([_mean_se(_gram(h)) for h in channels], axis=-1)


def se_loop(drop: WidebandDrop) -> NDArray[np.float64]:
    """SE (combiners, subcarriers) of combiners that are formed, subcarrier by subcarrier."""
    result = np.zeros((len(COMBINERS), drop.subcarriers))
    for p, response in enumerate(response_loop(drop)):
        h = response.reshape(len(response), -1).T
        gram = h.conj().T @ h
        eye = np.eye(len(gram))
        for c, inverse in enumerate((eye, np.linalg.inv(gram), np.linalg.inv(gram + eye))):
            combiner = h @ inverse
            powers = np.abs(combiner.conj().T @ h) ** 2
            signal = np.diag(powers).copy()
            np.fill_diagonal(powers, 0)
            noise = (np.abs(combiner) ** 2).sum(0)
            result[c, p] = np.log2(1 + signal / (powers.sum(1) + noise)).mean()
    return result
