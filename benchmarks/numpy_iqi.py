r"""Figure 2 of system 1 in NumPy, four times, as the other side of the benchmark.

- `shared`: batched complex64, written with care; sums over AP segments of one draw serve the whole
  curve. The reference of `ratio_numpy_shared`.
- `split`: the same in real arithmetic. The parts of channels and pilots lie in planes, four real
  products give all products of parts, and imbalance is applied at the very end, to a Gram matrix
  per user. The fastest NumPy we know; possible only for hardware common to all antennas.
- `pointwise`: `shared`, once for every point of the curve.
- `loop`: one realization, one point, one pair of users at a time, complex128.

Care means SFC64 float32 normals drawn into preallocated buffers, arithmetic in place, BLAS products
of stacked matrices, the normals' variance of 2 per complex number absorbed into constants, totals
in float64. All return moments per block of realizations, from which `sum_se` takes the sum SE by
Theorem 1 with a jackknife error. Stream `k * N + n` belongs to user k.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.iqi_network import IqiNetwork

BLOCKS = 16
"""Blocks of the jackknife; realizations must be a multiple of blocks times batch size."""


@dataclass(frozen=True)
class Moments:
    r"""Sums over realizations, shape (blocks, points, users, N, N).

    Attributes:
        desired: Of $\Upsilon_{kk,1}$ (25).
        received: Of $\sum_{k',i} \Upsilon_{kk',i} \Upsilon_{kk',i}^H$ (26).
        realizations: Realizations.
    """

    desired: NDArray[np.complex128]
    received: NDArray[np.complex128]
    realizations: int


Baseline = Callable[[IqiNetwork, int], Moments]


def sum_se(network: IqiNetwork, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Sum SE [bit/s/Hz] per point by Theorem 1, bias removed, and its jackknife standard error."""
    blocks = len(moments.desired)
    desired, received = moments.desired.sum(0), moments.received.sum(0)
    value = _theorem1(network, desired / moments.realizations, received / moments.realizations)
    rest = moments.realizations * (1 - 1 / blocks)
    replicates = _theorem1(
        network, (desired - moments.desired) / rest, (received - moments.received) / rest
    )
    mean = blocks * value - (blocks - 1) * replicates.mean(0)
    variance = (blocks - 1) * np.var(replicates, axis=0)
    return mean, np.sqrt(variance)


def _theorem1(network: IqiNetwork, desired: np.ndarray, received: np.ndarray) -> np.ndarray:
    noise = np.eye(network.user_antennas) / network.data_snr
    signal = desired @ desired.conj().swapaxes(-1, -2)
    _, total = np.linalg.slogdet(received + noise)
    _, interference = np.linalg.slogdet(received + noise - signal)
    return network.prelog * (total - interference).sum(-1) / np.log(2)


@dataclass(frozen=True)
class _Coefficients:
    """Imbalance (K1, K2), the same for transmitters, and the precoder W = a Z + b Z*."""

    direct: complex
    image: complex
    a: complex
    b: complex


def _coefficients(network: IqiNetwork) -> _Coefficients:
    energy = network.streams * network.pilot_snr
    turn = np.exp(-1j * network.phase)
    direct = complex((1 + network.amplitude * turn) / 2)
    image = complex((1 - network.amplitude / turn) / 2)
    power = abs(direct) ** 2 + abs(image) ** 2
    omega = np.sqrt(energy) * direct.conjugate() / ((energy + 1) * power)
    estimate_power = abs(omega) ** 2 * power * (energy + 1)
    scale = omega / np.sqrt(network.streams * network.ap_antennas * estimate_power)
    return _Coefficients(direct, image, complex(scale * direct), complex(scale * image))


def _zeros(network: IqiNetwork) -> np.ndarray:
    antennas = network.user_antennas
    shape = (BLOCKS, len(network.num_aps), network.users, antennas, antennas)
    return np.zeros(shape, np.complex128)


def _batch_blocks(realizations: int, batch: int) -> Iterator[int]:
    if realizations % (batch * BLOCKS):
        raise ValueError(
            f"`realizations` must be a multiple of batch x blocks = {batch * BLOCKS}, but got "
            f"{realizations}. Round it up."
        )
    return (number % BLOCKS for number in range(realizations // batch))


def _row_segments(network: IqiNetwork) -> list[slice]:
    antennas = network.ap_antennas
    return [slice(a * antennas, b * antennas) for a, b in pairwise((0, *network.num_aps))]


def shared(network: IqiNetwork, realizations: int, *, batch: int = 8, seed: int = 0) -> Moments:
    """Batched complex64; one draw of the largest network serves the curve."""
    rng = np.random.Generator(np.random.SFC64(seed))
    c, energy = _coefficients(network), np.float32(np.sqrt(network.streams * network.pilot_snr))
    users, antennas, streams = network.users, network.user_antennas, network.streams
    segments, user = _row_segments(network), np.arange(users)
    g_parts = np.empty((batch, network.rows, 2 * streams), np.float32)
    z_parts, scratch = np.empty_like(g_parts), np.empty_like(g_parts)
    g, z, t = (array.view(np.complex64) for array in (g_parts, z_parts, scratch))
    # G^T (A1 W)^* and G^T A2^* W are the conjugates of the effective channels: G is not copied.
    sent = np.empty((batch, network.rows, 2 * streams), np.complex64)
    first, second = sent[..., :streams], sent[..., streams:]
    # The batch goes after the stream, so that one product per user sums over it too.
    effective = np.empty((streams, batch, 2 * streams), np.complex64)
    new, conjugate = np.empty_like(effective), np.empty_like(effective)
    desired, received = _zeros(network), _zeros(network)
    for block in _batch_blocks(realizations, batch):
        rng.standard_normal(out=g_parts, dtype=np.float32)
        rng.standard_normal(out=z_parts, dtype=np.float32)
        np.multiply(g_parts, energy, out=scratch)
        z_parts += scratch
        np.multiply(z, np.complex64(c.a / 2), out=second)
        np.conjugate(z, out=t)
        t *= np.complex64(c.b / 2)
        second += t
        np.conjugate(second, out=first)
        first *= np.complex64(c.direct.conjugate())
        second *= np.complex64(c.image.conjugate())
        effective[...] = 0
        for point, rows in enumerate(segments):
            np.matmul(g[:, rows].swapaxes(1, 2), sent[:, rows], out=new.swapaxes(0, 1))
            effective += new
            np.conjugate(effective, out=conjugate)
            of_user = conjugate.reshape(users, antennas, -1)
            received[block, point] += of_user @ effective.reshape(of_user.shape).swapaxes(1, 2)
            own = conjugate.reshape(users, antennas, batch, 2, users, antennas)
            desired[block, point] += own[user, :, :, 0, user].sum(2)
    return Moments(desired, received, realizations)


def split(network: IqiNetwork, realizations: int, *, batch: int = 8, seed: int = 0) -> Moments:
    """Batched float32; as `shared`, with products of parts and imbalance applied to moments."""
    rng = np.random.Generator(np.random.SFC64(seed))
    energy = np.float32(np.sqrt(network.streams * network.pilot_snr))
    users, antennas, streams = network.users, network.user_antennas, network.streams
    segments, user = _row_segments(network), np.arange(users)
    g = np.empty((batch, 2, network.rows, streams), np.float32)
    z = np.empty_like(g)
    products = np.empty((streams, 2, 2, batch, streams), np.float32)
    new = np.empty_like(products)
    gram = np.zeros((BLOCKS, len(segments), users, 4 * antennas, 4 * antennas))
    own = np.zeros((BLOCKS, len(segments), users, antennas, 2, 2, antennas))
    for block in _batch_blocks(realizations, batch):
        rng.standard_normal(out=g, dtype=np.float32)
        rng.standard_normal(out=z, dtype=np.float32)
        g *= energy
        z += g
        products[...] = 0
        for point, rows in enumerate(segments):
            left = g[:, :, None, rows].swapaxes(-1, -2)
            np.matmul(left, z[:, None, :, rows], out=new.transpose(3, 1, 2, 0, 4))
            products += new
            of_user = products.reshape(users, 4 * antennas, -1)
            gram[block, point] += of_user @ of_user.swapaxes(1, 2)
            blocks = products.reshape(users, antennas, 2, 2, batch, users, antennas)
            own[block, point] += blocks[user, :, :, :, :, user].sum(4)
    return _moments_of_parts(network, own, gram, realizations)


def _moments_of_parts(
    network: IqiNetwork, own: np.ndarray, gram: np.ndarray, realizations: int
) -> Moments:
    """Moments of effective channels from those of products of parts `g[p] z[q]`."""
    c, antennas = _coefficients(network), network.user_antennas
    plain, conjugate = np.array([[1, 1j], [-1j, 1]]), np.array([[1, -1j], [-1j, -1]])
    scale = 2 * np.sqrt(network.streams * network.pilot_snr)
    one = c.direct * (c.a * plain + c.b * conjugate) / scale
    two = c.image * (c.a.conjugate() * conjugate + c.b.conjugate() * plain) / scale
    parts = gram.reshape(*gram.shape[:3], antennas, 4, antennas, 4)
    received = sum(
        np.einsum("...nimj,i,j->...nm", parts, map_.ravel(), map_.ravel().conj())
        for map_ in (one, two)
    )
    return Moments(np.einsum("...npqm,pq->...nm", own, one), np.asarray(received), realizations)


def pointwise(network: IqiNetwork, realizations: int, *, batch: int = 8, seed: int = 0) -> Moments:
    """`shared` anew for every point."""
    points = [
        shared(_only(network, aps), realizations, batch=batch, seed=seed + i)
        for i, aps in enumerate(network.num_aps)
    ]
    desired = np.concatenate([point.desired for point in points], axis=1)
    received = np.concatenate([point.received for point in points], axis=1)
    return Moments(desired, received, realizations)


def _only(network: IqiNetwork, num_aps: int) -> IqiNetwork:
    return IqiNetwork(**{**vars(network), "num_aps": (num_aps,)})


def loop(network: IqiNetwork, realizations: int, *, seed: int = 0) -> Moments:
    """Loops over points, realizations and pairs of users; NumPy's defaults otherwise."""
    rng = np.random.default_rng(seed)
    desired, received = _zeros(network), _zeros(network)
    for point, num_aps in enumerate(network.num_aps):
        for block in _batch_blocks(realizations, 1):
            _add_realization(rng, network, num_aps, desired[block, point], received[block, point])
    return Moments(desired, received, realizations)


def _add_realization(
    rng: np.random.Generator,
    network: IqiNetwork,
    num_aps: int,
    desired: np.ndarray,
    received: np.ndarray,
) -> None:
    c, energy = _coefficients(network), network.streams * network.pilot_snr
    shape = (network.users, num_aps * network.ap_antennas, network.user_antennas)
    g, noise = (
        (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)
        for _ in range(2)
    )
    z = np.sqrt(energy) * g + noise
    w = c.a * z + c.b * z.conj()
    direct, image = c.direct * w, c.image * w.conj()
    for k in range(network.users):
        channel = g[k].conj().T
        for other in range(network.users):
            one, two = channel @ direct[other], channel @ image[other]
            received[k] += one @ one.conj().T + two @ two.conj().T
            if other == k:
                desired[k] += one
