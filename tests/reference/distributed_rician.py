"""Distributed MIMO uplink under Rician fading: looped float64 NumPy reference.

An independent second pair of eyes on the physics: written from the paper alone, with no code of the
package, equation by equation, with loops instead of batched algebra. It is slow on purpose.

Equation numbers are those of E. N. Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks
under Rician Fading". Not in the paper and derived here: the propagation phase, the linear MMSE
estimate, the combiner that knows its estimation errors, all closed forms.

Shapes: Q access points (APs) with S antennas each, M = Q S, K users. Links are (K, Q), antennas of
a link (K, Q, S), stacked channels (M, K) with row q S + s for antenna s of AP q. No decibels but in
noise_power. Covariances of stacked channels are (K, M, M).
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import constants, integrate, linalg, stats

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


def ap_grid(num_aps: int, side: float) -> Real:
    """Cell centres (x, y) of r rows (along y) and c = Q / r >= r columns (along x), (Q, 2)."""
    rows = max(r for r in range(1, num_aps + 1) if num_aps % r == 0 and r * r <= num_aps)
    columns = num_aps // rows
    centres = []
    for i in range(rows):
        for j in range(columns):
            centres.append(((j + 0.5) * side / columns, (i + 0.5) * side / rows))  # noqa: PERF401
    return np.array(centres)


def distances(users: Real, aps: Real, height: float) -> Real:
    """Three-dimensional distances (K, Q); height is that of the APs above the users."""
    result = np.zeros((len(users), len(aps)))
    for k, (x, y) in enumerate(users):
        for q, (ap_x, ap_y) in enumerate(aps):
            result[k, q] = np.sqrt((x - ap_x) ** 2 + (y - ap_y) ** 2 + height**2)
    return result


def azimuths(users: Real, aps: Real) -> Real:
    """Ground-plane angles (K, Q) of the users at the APs, from the boresight +x towards +y."""
    result = np.zeros((len(users), len(aps)))
    for k, (x, y) in enumerate(users):
        for q, (ap_x, ap_y) in enumerate(aps):
            result[k, q] = np.arctan2(y - ap_y, x - ap_x)
    return result


def path_gain(distance: Real, carrier: float, exponent: float, reference: float = 1.0) -> Real:
    """Linear gain, (18)-(19): log-distance law with the Friis loss at the reference distance."""
    wavelength = constants.c / carrier
    loss_0 = 20.0 * np.log10(4.0 * np.pi * reference / wavelength)  # (19)
    loss = loss_0 + 10.0 * exponent * np.log10(np.asarray(distance) / reference)  # (18)
    return np.asarray(10.0 ** (-loss / 10.0))


def noise_power(bandwidth: float, figure_db: float, psd_dbm_hz: float = -174.0) -> float:
    """Noise power in watts."""
    return float(10.0 ** ((psd_dbm_hz - 30.0 + figure_db) / 10.0) * bandwidth)


def steering(azimuth: float, antennas: int, spacing: float) -> Complex:
    """Array response of unit-modulus entries e^{-j 2 pi spacing s sin(azimuth)}, (S,)."""
    phases = [-2.0 * np.pi * spacing * s * np.sin(azimuth) for s in range(antennas)]
    return np.asarray(np.exp(1j * np.array(phases)), dtype=np.complex128)


def los_channel(
    gain: Real,
    azimuth: Real,
    antennas: int,
    spacing: float,
    distance: Real | None = None,
    wavelength: float = 1.0,
) -> Complex:
    """Line-of-sight channels (2), (K, Q, S), with e^{-j 2 pi d / wavelength} if d is given."""
    users, aps = gain.shape
    los = np.zeros((users, aps, antennas), dtype=np.complex128)
    for k in range(users):
        for q in range(aps):
            los[k, q] = np.sqrt(gain[k, q]) * steering(azimuth[k, q], antennas, spacing)
            if distance is not None:
                los[k, q] *= np.exp(-2j * np.pi * distance[k, q] / wavelength)
    return los


def angle_density(law: str, offset: Real, std: float) -> Real:
    """Density of the angle offset, with zero mean and the standard deviation std."""
    if law == "gaussian":
        return np.exp(-0.5 * (offset / std) ** 2) / (np.sqrt(2.0 * np.pi) * std)
    if law == "uniform":
        return np.where(np.abs(offset) <= np.sqrt(3.0) * std, 1.0 / (np.sqrt(12.0) * std), 0.0)
    if law == "laplace":
        return np.exp(-np.sqrt(2.0) * np.abs(offset) / std) / (np.sqrt(2.0) * std)
    raise ValueError(law)


def local_scattering_covariance(
    azimuth: float, std: float, antennas: int, spacing: float, law: str = "gaussian"
) -> Complex:
    """R = E{a a^H} over the random angle of arrival, by quadrature; no small-angle step.

    Gauss-Legendre panels on each side of the mean angle, where the Laplace density has a kink.
    """
    edge = {"gaussian": 10.0, "uniform": np.sqrt(3.0), "laplace": 26.0}[law] * std
    nodes, weights = np.polynomial.legendre.leggauss(32)
    edges = np.linspace(-edge, edge, 2 * 60 + 1)
    covariance = np.zeros((antennas, antennas), dtype=np.complex128)
    for low, high in pairwise(edges):
        half = 0.5 * (high - low)
        offsets = 0.5 * (low + high) + half * nodes
        densities = angle_density(law, offsets, std)
        for offset, weight, density in zip(offsets, weights, densities, strict=True):
            response = steering(azimuth + offset, antennas, spacing)
            covariance += half * weight * density * np.outer(response, response.conj())
    return covariance


def clustered_covariance(azimuth: Real, std: float, antennas: int, spacing: float) -> Complex:
    """Mean over clusters, at the angles azimuth (N,), of small-angle Gaussian scattering.

    With sin(phi + delta) ~ sin(phi) + delta cos(phi), the expectation over delta is the
    characteristic function of a Gaussian.
    """
    covariance = np.zeros((antennas, antennas), dtype=np.complex128)
    for row in range(antennas):
        for column in range(antennas):
            phase = 2.0 * np.pi * spacing * (row - column)
            for phi in azimuth:
                decay = np.exp(-0.5 * (phase * std * np.cos(phi)) ** 2)
                covariance[row, column] += np.exp(-1j * phase * np.sin(phi)) * decay / len(azimuth)
    return covariance


def covariance_factor(covariance: Complex) -> Complex:
    """Hermitian F with F F^H = R; rounding below zero is cut."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors @ np.diag(np.sqrt(np.maximum(values, 0.0))) @ vectors.conj().T


def channel(los: Complex, factor: Complex, white: Complex, gain: Real, kappa: Real) -> Complex:
    """Stacked channel matrix H (7) of the Rician links (1)-(4), (M, K).

    los (2) includes the gain; factor is F, F F^H = R, (K, Q, S, S); white has CN(0, 1) entries.
    """
    users, aps, antennas = los.shape
    h = np.zeros((aps * antennas, users), dtype=np.complex128)
    for k in range(users):
        for q in range(aps):
            nlos = np.sqrt(gain[k, q]) * factor[k, q] @ white[k, q]  # (3), (4)
            specular = np.sqrt(kappa[k, q] / (1.0 + kappa[k, q])) * los[k, q]
            diffuse = np.sqrt(1.0 / (1.0 + kappa[k, q])) * nlos
            h[q * antennas : (q + 1) * antennas, k] = specular + diffuse  # (1)
    return h


def channel_mean(los: Complex, kappa: Real) -> Complex:
    """E{H} at fixed positions and phases, (M, K)."""
    users, aps, antennas = los.shape
    mean = np.zeros((aps * antennas, users), dtype=np.complex128)
    for k in range(users):
        for q in range(aps):
            scale = np.sqrt(kappa[k, q] / (1.0 + kappa[k, q]))
            mean[q * antennas : (q + 1) * antennas, k] = scale * los[k, q]
    return mean


def channel_covariance(covariance: Complex, gain: Real, kappa: Real) -> Complex:
    """Block-diagonal covariance of every user's stacked channel about its mean, (K, M, M)."""
    users, aps = gain.shape
    result = []
    for k in range(users):
        blocks = [gain[k, q] / (1.0 + kappa[k, q]) * covariance[k, q] for q in range(aps)]
        result.append(linalg.block_diag(*blocks))
    return np.array(result, dtype=np.complex128)


def pilot_phase(h: Complex, pilots: Complex, noise: Complex, power: float) -> Complex:
    """Sends orthogonal pilots and returns the least-squares estimate of H, (M, K).

    pilots (K, tau) are mutually orthogonal rows of mean symbol power 1; noise is (M, tau).
    """
    users, length = pilots.shape
    received = noise.astype(np.complex128)
    for k in range(users):
        received = received + np.sqrt(power) * np.outer(h[:, k], pilots[k])
    estimate = np.zeros(h.shape, dtype=np.complex128)
    for k in range(users):
        estimate[:, k] = received @ pilots[k].conj() / (np.sqrt(power) * length)
    return estimate


def ls_error_variance(users: int, power: float, noise: float) -> float:
    """Variance sigma_e^2 = 1 / (K rho) (6), rho = power / noise: K pilot symbols per user."""
    return 1.0 / (users * power / noise)


def ls_error(white: Complex, power: float, noise: float) -> Complex:
    """Estimation errors e of (5), estimate = h + e, from CN(0, 1) entries (M, K)."""
    return np.sqrt(ls_error_variance(white.shape[1], power, noise)) * white


def lmmse_estimate(
    observation: Complex, mean: Complex, covariance: Complex, variance: float
) -> tuple[Complex, Complex]:
    """Phase-aware linear MMSE estimate from y = h + e, e ~ CN(0, variance I).

    Returns the estimates (M, K) and their error covariances (K, M, M).
    """
    antennas, users = observation.shape
    estimate = np.zeros(observation.shape, dtype=np.complex128)
    error = np.zeros(covariance.shape, dtype=np.complex128)
    for k in range(users):
        r = covariance[k]
        weight = r @ np.linalg.inv(r + variance * np.eye(antennas))
        estimate[:, k] = mean[:, k] + weight @ (observation[:, k] - mean[:, k])
        error[k] = r - weight @ r
    return estimate, error


def mrc_combiner(estimate: Complex) -> Complex:
    """Maximum-ratio combiner of (12), (M, K)."""
    return estimate.copy()


def zf_combiner(estimate: Complex) -> Complex:
    """Zero-forcing combiner of (12), (M, K)."""
    return estimate @ np.linalg.inv(estimate.conj().T @ estimate)


def mmse_combiner(estimate: Complex, ratio: float, error: Complex | None = None) -> Complex:
    """MMSE combiner of (12) by the M x M form; ratio is noise / p.

    error is the sum over the users of their error covariances, (M, M), if the combiner knows it.
    """
    matrix = estimate @ estimate.conj().T + ratio * np.eye(len(estimate))
    return np.linalg.inv(matrix if error is None else matrix + error) @ estimate


def mmse_combiner_gram(estimate: Complex, ratio: float) -> Complex:
    """MMSE combiner of (12) by the K x K form (push-through identity)."""
    gram = estimate.conj().T @ estimate
    return estimate @ np.linalg.inv(gram + ratio * np.eye(gram.shape[0]))


def sinr(v: Complex, h: Complex, powers: Real, noise: float) -> Real:
    """SINR (11) of every user, with the power of user i in powers[i], (K,)."""
    users = h.shape[1]
    result = np.zeros(users)
    for k in range(users):
        signal = powers[k] * abs(np.vdot(v[:, k], h[:, k])) ** 2
        interference = 0.0
        for i in range(users):
            if i != k:
                interference += powers[i] * abs(np.vdot(v[:, k], h[:, i])) ** 2
        result[k] = signal / (interference + noise * np.linalg.norm(v[:, k]) ** 2)
    return result


def se(ratio: Real) -> Real:
    """Spectral efficiency of one channel draw, inside the expectation of (13)."""
    return np.asarray(np.log2(1.0 + ratio))


def mmse_sinr_perfect(h: Complex, powers: Real, noise: float) -> Real:
    """Largest SINR with the channel known, p_k h_k^H (sum_{i != k} p_i h_i h_i^H + noise I)^-1 h_k.

    The combiner of (12) with estimate = h reaches it when all powers are the same.
    """
    antennas, users = h.shape
    result = np.zeros(users)
    for k in range(users):
        matrix = noise * np.eye(antennas, dtype=np.complex128)
        for i in range(users):
            if i != k:
                matrix += powers[i] * np.outer(h[:, i], h[:, i].conj())
        result[k] = powers[k] * np.real(np.vdot(h[:, k], np.linalg.solve(matrix, h[:, k])))
    return result


def mmse_sinr_perfect_gram(h: Complex, powers: Real, noise: float) -> Real:
    """The same by 1 / [(I + P^{1/2} H^H H P^{1/2} / noise)^-1]_kk - 1, P the diagonal of powers."""
    scaled = h @ np.diag(np.sqrt(powers / noise))
    inverse = np.linalg.inv(np.eye(h.shape[1]) + scaled.conj().T @ scaled)
    return np.asarray(1.0 / np.real(np.diag(inverse)) - 1.0, dtype=np.float64)


def zf_sinr_perfect(h: Complex, powers: Real, noise: float) -> Real:
    """SINR of zero forcing with the channel known, p_k / (noise [(H^H H)^-1]_kk)."""
    return np.asarray(powers / (noise * np.real(np.diag(np.linalg.inv(h.conj().T @ h)))))


def zf_sinr_law(antennas: int, users: int, gain: float, power: float, noise: float) -> Any:
    """Law of zf_sinr_perfect if the user's antennas are i.i.d. CN(0, gain): a Gamma law.

    1 / [(H^H H)^-1]_kk is the squared norm of h_k outside the span of the K - 1 other columns, of
    whatever law: a sum of M - K + 1 exponentials of mean gain.
    """
    return stats.gamma(antennas - users + 1, scale=power * gain / noise)


def zf_mean_se(antennas: int, users: int, gain: float, power: float, noise: float) -> float:
    """E{log2(1 + SINR)} of zf_sinr_law, by quadrature over the quantiles."""
    law = zf_sinr_law(antennas, users, gain, power, noise)
    value, _ = integrate.quad(lambda u: np.log2(1.0 + law.ppf(u)), 0.0, 1.0, limit=400)
    return float(value)


def vector_correlation(sigma_x: Complex, sigma_y: Complex, sigma_xy: Complex) -> complex:
    """Correlation coefficient (15) of two random vectors, by its definition."""
    root = covariance_factor(sigma_x)
    product = root @ sigma_y @ root
    values = np.linalg.eigvalsh(0.5 * (product + product.conj().T))
    return complex(np.trace(sigma_xy) / np.sum(np.sqrt(np.maximum(values, 0.0))))


def rician_correlation(mean: Complex, covariance: Complex, j: int, k: int) -> complex:
    """The coefficient (15) of users j (X) and k (Y): uncentred moments at fixed positions."""
    sigma_x = np.outer(mean[:, j], mean[:, j].conj()) + covariance[j]
    sigma_y = np.outer(mean[:, k], mean[:, k].conj()) + covariance[k]
    return vector_correlation(sigma_x, sigma_y, np.outer(mean[:, j], mean[:, k].conj()))


def one_ap_correlation(u: Complex, v: Complex, kappa_u: float, kappa_v: float) -> complex:
    """Closed form of (15) for one AP and R = I; u and v are steering vectors of squared norm S.

    Sigma_X Sigma_Y is b_u b_v times the identity outside span{u, v}. Inside, its eigenvalues have
    the sum t and the product d^2, and (sqrt(l_1) + sqrt(l_2))^2 = t + 2 d. Holds from S = 1 on.
    """
    antennas = len(u)
    a_u, b_u = kappa_u / (1.0 + kappa_u), 1.0 / (1.0 + kappa_u)
    a_v, b_v = kappa_v / (1.0 + kappa_v), 1.0 / (1.0 + kappa_v)
    c = np.vdot(v, u)
    t = a_u * a_v * abs(c) ** 2 + antennas * (a_u * b_v + a_v * b_u) + 2.0 * b_u * b_v
    d = np.sqrt(b_u * b_v * (b_u + antennas * a_u) * (b_v + antennas * a_v))
    denominator = (antennas - 2) * np.sqrt(b_u * b_v) + np.sqrt(t + 2.0 * d)
    return complex(np.sqrt(a_u * a_v) * c / denominator)


def condition_number(h: Complex) -> float:
    """Ratio of the largest to the smallest singular value (17)."""
    return float(np.linalg.cond(h, 2))
