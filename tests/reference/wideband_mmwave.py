"""Spatial-wideband effects in cell-free mmWave uplinks: looped float64 NumPy reference.

An independent second pair of eyes on the physics: written from the paper and our own derivation,
with no code of the package, with loops instead of batched algebra. It is slow on purpose.

Equation numbers are those of S. Ahn et al., "On the Spatial-Wideband Effects in Millimeter-Wave
Cell-Free Massive MIMO". Not in the paper and derived here: excess delays, combining, the OFDM link
with a short cyclic prefix, the correlations. Path loss is that of 3GPP TR 38.901, UMi.

Shapes: K users, L access points (APs) of M antennas, N paths per link, P subcarriers. Links are
(K, L), paths (K, L, N), responses of links (K, L, M), stacked channels (L M, K), antenna m of AP l
in row m L + l as in (7). Frequencies are offsets f from the carrier [Hz], spacings are in
wavelengths of the carrier. Users' channels are in units of noise: power 1, noise 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import constants

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]
Combiner = Callable[[Complex], Complex]


# --- Channel ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paths:
    """Paths of a drop: gains alpha with the carrier's phase, angles [rad], delays [s], (K, L, N).

    distances are (K, L) [m]; excess delays come on top of d / c.
    """

    gains: Complex
    angles: Real
    distances: Real
    excess: Real
    carrier: float
    spacing: float
    antennas: int


def random_paths(
    rng: np.random.Generator,
    users: int,
    aps: int,
    paths: int,
    antennas: int,
    *,
    carrier: float = 28e9,
    spacing: float = 0.5,
    side: float = 500.0,
    delay_spread: float = 65e-9,
) -> Paths:
    """Any drop will do for identities: links of mean gain near one, angles all around."""
    shape = users, aps, paths
    parts = rng.standard_normal((2, *shape))
    angles = rng.uniform(-np.pi, np.pi, shape)
    distances = rng.uniform(10.0, side, shape[:2])
    excess = rng.exponential(delay_spread, shape)
    scattered = (parts[0] + 1j * parts[1]) / np.sqrt(2 * paths)
    gains = path_gains(scattered, distances, carrier)
    return Paths(gains, angles, distances, excess, carrier, spacing, antennas)


def path_gains(scattered: Complex, distances: Real, carrier: float) -> Complex:
    """alpha of alphabar, below (5): the carrier's phase over the distance."""
    result = np.zeros(scattered.shape, dtype=np.complex128)
    for k, q, n in np.ndindex(scattered.shape):
        turns = distances[k, q] * carrier / constants.c
        result[k, q, n] = scattered[k, q, n] * np.exp(-2j * np.pi * turns)
    return result


def delay(paths: Paths, k: int, q: int, m: int, n: int) -> float:
    """Delay (1) of path n from user k at antenna m of AP q [s], with the path's excess delay."""
    across = m * paths.spacing / paths.carrier * np.sin(paths.angles[k, q, n])
    return float(paths.distances[k, q] / constants.c + paths.excess[k, q, n] + across)


def link_responses(paths: Paths, f: float, squint: bool = True) -> Complex:
    """Responses (6) of all links at offset f, (K, L, M); without squint antennas see f_c only."""
    users, aps, count = paths.gains.shape
    result = np.zeros((users, aps, paths.antennas), dtype=np.complex128)
    for k, q, m, n in np.ndindex(users, aps, paths.antennas, count):
        elements = m * paths.spacing * np.sin(paths.angles[k, q, n])
        turns = elements + f * (paths.distances[k, q] / constants.c + paths.excess[k, q, n])
        if squint:
            turns += f * elements / paths.carrier
        result[k, q, m] += paths.gains[k, q, n] * np.exp(-2j * np.pi * turns)
    return result


def stacked(links: Complex) -> Complex:
    """Stacked channels (7) of links (K, L, M), by columns: (L M, K)."""
    return np.array([link.flatten(order="F") for link in links]).T


def stacked_by_vec(paths: Paths, f: float) -> Complex:
    """Stacked channels by (8)-(11), (L M, K); excess delays join the macro-steering vector."""
    users, aps, count = paths.gains.shape
    result = np.zeros((aps * paths.antennas, users), dtype=np.complex128)
    for k in range(users):
        for n in range(count):
            alpha = paths.gains[k, :, n]  # (8)
            d = np.exp(-2j * np.pi * f * paths.distances[k] / constants.c)  # (9)
            d = d * np.exp(-2j * np.pi * f * paths.excess[k, :, n])
            theta = np.zeros((aps, paths.antennas), dtype=np.complex128)
            for q in range(aps):
                for m in range(paths.antennas):
                    spacing = paths.spacing * constants.c / paths.carrier
                    lag = m * spacing * np.sin(paths.angles[k, q, n]) / constants.c
                    scale = 1.0 + f / paths.carrier
                    theta[q, m] = np.exp(-2j * np.pi * paths.carrier * scale * lag)  # (10)
            result[:, k] += (np.diag(alpha * d) @ theta).flatten(order="F")  # (11)
    return result


def subcarriers(count: int, bandwidth: float) -> Real:
    """Offsets (p - (P - 1) / 2) W / P, which are symmetric about the carrier [Hz]."""
    return np.array([(p - (count - 1) / 2) * bandwidth / count for p in range(count)])


# --- Combining across all APs ----------------------------------------------------------------


def mr_combiner(h: Complex) -> Complex:
    """Maximum ratio."""
    return h.copy()


def zf_combiner(h: Complex) -> Complex:
    """Zero forcing."""
    return np.asarray(np.linalg.pinv(h).conj().T, dtype=np.complex128)


def mmse_combiner(h: Complex) -> Complex:
    """MMSE by the antennas' covariance, for unit powers and noise."""
    covariance = np.eye(len(h), dtype=np.complex128)
    for column in h.T:
        covariance += np.outer(column, column.conj())
    return np.asarray(np.linalg.solve(covariance, h), dtype=np.complex128)


COMBINERS: dict[str, Combiner] = {"MR": mr_combiner, "ZF": zf_combiner, "MMSE": mmse_combiner}


def spectral_efficiencies(v: Complex, h: Complex) -> Real:
    """SE of every user [bit/s/Hz] with the combiners v on the channels h, (L M, K) both."""
    users = h.shape[1]
    result = np.zeros(users)
    for k in range(users):
        powers = [abs(np.vdot(v[:, k], h[:, i])) ** 2 for i in range(users)]
        noise = np.linalg.norm(v[:, k]) ** 2
        result[k] = np.log2(1.0 + powers[k] / (sum(powers) - powers[k] + noise))
    return result


def design_channel(paths: Paths, f: float, design: str) -> Complex:
    """What a combiner takes for the channel at f: all, at f without squint, or that at f_c."""
    links = {
        "subcarrier": lambda: link_responses(paths, f),
        "no squint": lambda: link_responses(paths, f, squint=False),
        "carrier": lambda: link_responses(paths, 0.0),
    }[design]()
    return stacked(links)


def band_se(paths: Paths, offsets: Real, combiner: Combiner, design: str) -> Real:
    """SE of every subcarrier and user, (P, K)."""
    rows = []
    for f in offsets:
        v = combiner(design_channel(paths, float(f), design))
        rows.append(spectral_efficiencies(v, stacked(link_responses(paths, float(f)))))
    return np.array(rows)


# --- OFDM with any cyclic prefix -------------------------------------------------------------


def dft_matrix(size: int) -> Complex:
    """Unitary."""
    matrix = np.zeros((size, size), dtype=np.complex128)
    for p in range(size):
        for t in range(size):
            matrix[p, t] = np.exp(-2j * np.pi * p * t / size) / np.sqrt(size)
    return matrix


def symbol_matrix(taps: Complex, delays: list[int], size: int, prefix: int, symbol: int) -> Complex:
    """What the window of symbol 0 sees of another symbol, subcarriers to subcarriers, (P, P).

    Symbol i is sent at i (P + C), ..., its last C samples first; the window starts at C. A path of
    delay tau is heard at time t as it was sent at t - tau.
    """
    heard = np.zeros((size, size), dtype=np.complex128)
    for t in range(size):
        for tap, lag in zip(taps, delays, strict=True):
            which, position = divmod(prefix + t - lag, size + prefix)
            if which == symbol:
                heard[t, (position - prefix) % size] += tap
    dft = dft_matrix(size)
    return dft @ heard @ dft.conj().T


def tap_responses(taps: Complex, delays: NDArray[np.int64], size: int) -> Complex:
    """Frequency responses (P, A, K) of taps and delays (K, A, T) of users at antennas."""
    users, antennas, count = taps.shape
    result = np.zeros((size, antennas, users), dtype=np.complex128)
    for p, a, k, n in np.ndindex(size, antennas, users, count):
        result[p, a, k] += taps[k, a, n] * np.exp(-2j * np.pi * p * delays[k, a, n] / size)
    return result


def link_powers(
    taps: Complex, delays: NDArray[np.int64], size: int, prefix: int, combiners: Complex
) -> dict[str, Real]:
    """Powers (P, K) after combining, by the matrices of a brute-force OFDM link.

    Of white symbols of power 1 on all subcarriers of all users: what is desired, the user's own
    other subcarriers, its own other symbols, all that other users send, and noise of power 1.
    combiners are (P, A, K), of v^H y; taps and delays, in samples, (K, A, T).
    """
    users, antennas, _ = taps.shape
    reach = int(np.abs(delays).max()) // (size + prefix) + 1
    names = ("desired", "inter-carrier", "inter-symbol", "inter-user", "noise")
    powers = {name: np.zeros((size, users)) for name in names}
    for i in range(users):
        for symbol in range(-reach, reach + 1):
            matrices = np.array(
                [symbol_matrix(taps[i, a], list(delays[i, a]), size, prefix, symbol)
                 for a in range(antennas)]
            )  # fmt: skip
            for p in range(size):
                for k in range(users):
                    row = np.abs(combiners[p, :, k].conj() @ matrices[:, p]) ** 2
                    if i != k:
                        powers["inter-user"][p, k] += row.sum()
                    elif symbol != 0:
                        powers["inter-symbol"][p, k] += row.sum()
                    else:
                        powers["desired"][p, k] = row[p]
                        powers["inter-carrier"][p, k] = np.delete(row, p).sum()
    for p in range(size):
        for k in range(users):
            powers["noise"][p, k] = np.linalg.norm(combiners[p, :, k]) ** 2
    return powers


def link_sinr(powers: dict[str, Real]) -> Real:
    """SINR of every subcarrier and user, (P, K)."""
    return powers["desired"] / sum(power for name, power in powers.items() if name != "desired")


def window_powers(amplitudes: Complex, delays: Real, size: int, prefix: int) -> Real:
    """Desired, inter-carrier and inter-symbol power of one stream, in closed form, (3,).

    amplitudes v^H h_n(p) are those of the paths after combining at subcarrier p, delays in samples
    at most P early or P late. Number the P data samples of a symbol from the first of the prefix:
    of a path that is e late the last e are replaced by the previous symbol's, of one that is e
    early the first e behind the prefix by the next one's. In every symbol the paths have the phases
    of amplitudes, so what they bring of one data sample adds up coherently, and data samples add
    their powers. Exact for integer delays.
    """
    late = np.clip(delays - prefix, 0.0, size)
    early = np.clip(-delays, 0.0, size)
    desired = abs(np.sum(amplitudes * (1.0 - (late + early) / size))) ** 2
    current = other = 0.0
    ends = {0.0, float(prefix % size), float(size), *(size - late), *((prefix + early) % size)}
    for low, high in pairwise(sorted(ends)):
        middle = 0.5 * (low + high)
        before, after = middle > size - late, (middle - prefix) % size < early
        share = (high - low) / size
        current += share * abs(np.sum(amplitudes[~before & ~after])) ** 2
        other += share * abs(np.sum(amplitudes[before])) ** 2
        other += share * abs(np.sum(amplitudes[after])) ** 2
    return np.array([desired, current - desired, other])


def minimum_prefix(paths: Paths, bandwidth: float) -> Real:
    """Samples W (max tau - min tau) of every user over all APs, antennas and paths (15), (K,)."""
    users, aps, count = paths.gains.shape
    result = np.zeros(users)
    for k in range(users):
        ranges = np.ndindex(aps, paths.antennas, count)
        values = [delay(paths, k, q, m, n) for q, m, n in ranges]
        result[k] = bandwidth * (max(values) - min(values))
    return result


def minimum_prefix_of_distances(distances: Real, bandwidth: float) -> Real:
    """The approximation of (15): W (max d - min d) / c of every user, (K,)."""
    return np.array([bandwidth * (max(d) - min(d)) / constants.c for d in distances])


# --- Correlation -----------------------------------------------------------------------------


def angle_rule(law: str, mean: float, std: float) -> tuple[Real, Real]:
    """Nodes and weights of a quadrature over the angle of a path, with total weight 1.

    Gauss-Legendre panels on each side of the mean, where the Laplace density has a kink.
    """
    edge = {"normal": 10.0, "uniform": np.sqrt(3.0), "laplace": 26.0}[law] * std
    nodes, weights = np.polynomial.legendre.leggauss(24)
    offsets, masses = [], []
    for low, high in pairwise(np.linspace(-edge, edge, 2 * 50 + 1)):
        x = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        density = {
            "normal": np.exp(-0.5 * (x / std) ** 2) / (np.sqrt(2 * np.pi) * std),
            "uniform": np.full(x.shape, 1.0 / (np.sqrt(12.0) * std)),
            "laplace": np.exp(-np.sqrt(2.0) * np.abs(x) / std) / (np.sqrt(2.0) * std),
        }[law]
        offsets.append(x)
        masses.append(0.5 * (high - low) * weights * density)
    return mean + np.concatenate(offsets), np.concatenate(masses)


def steering(antennas: int, spacing: float, angle: float, f: float, carrier: float) -> Complex:
    """Array response with squint at offset f, (M,)."""
    turns = [m * spacing * (1.0 + f / carrier) * np.sin(angle) for m in range(antennas)]
    return np.exp(-2j * np.pi * np.array(turns))


def micro_mean(
    antennas: int, spacing: float, rule: tuple[Real, Real], f: float, carrier: float
) -> Complex:
    """mu = E{a(theta, f)}, (M,)."""
    result = np.zeros(antennas, dtype=np.complex128)
    for angle, mass in zip(*rule, strict=True):
        result += mass * steering(antennas, spacing, angle, f, carrier)
    return result


def micro_correlation(
    antennas: int, spacing: float, rule: tuple[Real, Real], f1: float, f2: float, carrier: float
) -> Complex:
    """R_micro = E{a(theta, f1) a(theta, f2)^H}, (M, M)."""
    result = np.zeros((antennas, antennas), dtype=np.complex128)
    for angle, mass in zip(*rule, strict=True):
        one = steering(antennas, spacing, angle, f1, carrier)
        other = steering(antennas, spacing, angle, f2, carrier)
        result += mass * np.outer(one, other.conj())
    return result


def macro_correlation(gains: Complex, distances: Real, f1: float, f2: float) -> Complex:
    """R_macro = C_alpha o d(f1) d(f2)^H of one user, with C_alpha = E{alpha alpha^H}, (L, L)."""
    one = np.exp(-2j * np.pi * f1 * distances / constants.c)
    other = np.exp(-2j * np.pi * f2 * distances / constants.c)
    return gains * np.outer(one, other.conj())


def correlation_common_angles(macro: Complex, micro: Complex) -> Complex:
    """All APs see the same angle: R_micro (x) R_macro, row m L + l, (L M, L M)."""
    return np.asarray(np.kron(micro, macro), dtype=np.complex128)


def correlation_independent_angles(macro: Complex, means: list, micros: list) -> Complex:
    """APs see independent angles: blocks [R_macro]_ll' mu_l mu_l'^H off the diagonal.

    means holds (mu_l(f1), mu_l(f2)), micros R_micro,l(f1, f2); (L M, L M), row m L + l. A diagonal
    C_alpha is independent scattering: sum_l beta_l R_micro,l (x) e_l e_l^T.
    """
    aps, antennas = len(macro), len(micros[0])
    result = np.zeros((aps * antennas, aps * antennas), dtype=np.complex128)
    for i, j in np.ndindex(aps, aps):
        block = micros[i] if i == j else np.outer(means[i][0], means[j][1].conj())
        for m, n in np.ndindex(antennas, antennas):
            result[m * aps + i, n * aps + j] = macro[i, j] * block[m, n]
    return result


def jitter_correlation(
    user: Real, one: Real, other: Real, height: float, half_width: float, frequency: float
) -> complex:
    """E{e^{-j 2 pi f (d - d') / c}} of two APs as the user is shifted within a small square."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    total = 0.0 + 0.0j
    for x, a in zip(nodes, weights, strict=True):
        for y, b in zip(nodes, weights, strict=True):
            place = user + half_width * np.array([x, y])
            lengths = [np.sqrt(np.sum((place - ap) ** 2) + height**2) for ap in (one, other)]
            turns = frequency * (lengths[0] - lengths[1]) / constants.c
            total += 0.25 * a * b * np.exp(-2j * np.pi * turns)
    return complex(total)


def frequency_correlation(offset: float, delay_spread: float) -> complex:
    """E{e^{-j 2 pi df tau}} of an exponential delay, by quadrature; 1 / (1 + j 2 pi df tau_rms)."""
    nodes, weights = np.polynomial.legendre.leggauss(32)
    total = 0.0 + 0.0j
    for low, high in pairwise(np.linspace(0.0, 40.0, 401)):
        x = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        values = np.exp(-x - 2j * np.pi * offset * delay_spread * x)
        total += 0.5 * (high - low) * np.sum(weights * values)
    return complex(total)


# --- Large-scale fading ----------------------------------------------------------------------


def umi_path_loss(
    ground: float, carrier: float, line_of_sight: bool, ap_height: float, user_height: float
) -> float:
    """Path loss [dB] over a distance on the ground [m], TR 38.901 table 7.4.1-1, UMi."""
    distance = np.sqrt(ground**2 + (ap_height - user_height) ** 2)
    breakpoint_ = 4.0 * (ap_height - 1.0) * (user_height - 1.0) * carrier / constants.c
    loss = 32.4 + 20.0 * np.log10(carrier / 1e9)
    if ground <= breakpoint_:
        loss += 21.0 * np.log10(distance)
    else:
        corner = np.log10(breakpoint_**2 + (ap_height - user_height) ** 2)
        loss += 40.0 * np.log10(distance) - 9.5 * corner
    if line_of_sight:
        return float(loss)
    scattered = 22.4 + 35.3 * np.log10(distance) + 21.3 * np.log10(carrier / 1e9)
    return float(max(loss, scattered - 0.3 * (user_height - 1.5)))


def umi_line_of_sight_probability(ground: float) -> float:
    """TR 38.901 table 7.4.2-1, UMi, outdoor users."""
    if ground <= 18.0:
        return 1.0
    return float(18.0 / ground + np.exp(-ground / 36.0) * (1.0 - 18.0 / ground))
