"""3D massive MIMO with two-stage beamforming: looped float64 NumPy reference.

An independent second pair of eyes on the physics: everything is formed explicitly (M N x M N
matrices, Kronecker products, lists of users), with no code of the package. It is slow on purpose.

Equation numbers are those of L. Fan et al., "A low-complexity 3D massive MIMO scheme jointly using
statistical and instantaneous CSIT" (2016). Not in the paper and derived here: the exact ergodic
rate of fixed precoders, the margins of the grouping, full-dimensional SLNR and ZF.

Shapes: M azimuth and N elevation antennas, element m N + n; K users; G azimuth and L elevation
groups, from 0, of b_az = floor(M / G) and b_el = floor(N / L) beams. Channels and precoders are
(K, M N), received as h_k^H a. Angles are in radians, powers linear.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import integrate

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integer = NDArray[np.int64]
Kept = Callable[[Real], int]


class Drop(NamedTuple):
    """Users of one drop: angles (K,), path gains beta (K,), correlations (K, M, M), (K, N, N)."""

    distance: Real
    beta: Real
    angle_az: Real
    spread_az: Real
    angle_el: Real
    spread_el: Real
    r_az: Complex
    r_el: Complex


class Split(NamedTuple):
    """Array and groups: M, N antennas, G azimuth groups, L elevation groups."""

    antennas_az: int
    antennas_el: int
    groups_az: int
    groups_el: int

    @property
    def beams(self) -> int:
        """Dimension b = floor(M / G) floor(N / L) of the effective channel."""
        return (self.antennas_az // self.groups_az) * (self.antennas_el // self.groups_el)


# Channel model, Section 2.1


def path_gain(distance: Real, exponent: float = 3.8, reference: float = 100.0) -> Real:
    """(2), with the distances in units of a reference."""
    return (distance / reference) ** -exponent


def one_ring(num_antennas: int, angle: float, spread: float, spacing: float = 0.5) -> Complex:
    """(4) by quadrature: E exp(-j 2 pi D (m - p) sin(angle + a)), a uniform in +-spread.

    No spread leaves the rank-one correlation of a plane wave.
    """
    lags = np.zeros(num_antennas, dtype=np.complex128)
    for lag in range(num_antennas):
        wave = 2.0 * np.pi * spacing * lag
        if spread == 0.0:
            lags[lag] = np.exp(-1j * wave * np.sin(angle))
            continue

        def real(a: float, wave: float = wave) -> float:
            return float(np.cos(wave * np.sin(angle + a)))

        def imaginary(a: float, wave: float = wave) -> float:
            return float(-np.sin(wave * np.sin(angle + a)))

        options = {"limit": 500, "epsabs": 1e-14, "epsrel": 1e-13}
        even, _ = integrate.quad(real, -spread, spread, **options)
        odd, _ = integrate.quad(imaginary, -spread, spread, **options)
        lags[lag] = (even + 1j * odd) / (2.0 * spread)
    correlation = np.zeros((num_antennas, num_antennas), dtype=np.complex128)
    for m in range(num_antennas):
        for p in range(num_antennas):
            correlation[m, p] = lags[m - p] if m >= p else np.conj(lags[p - m])
    return correlation


def draw_drop(
    rng: np.random.Generator,
    users: int,
    antennas_az: int,
    antennas_el: int,
    *,
    nearest: float = 100.0,
    farthest: float = 1600.0,
    exponent: float = 3.8,
    reference: float = 100.0,
    spread_az: float = 20.0,
    spread_el: float = 10.0,
    spacing: float = 0.5,
) -> Drop:
    """Users with the parameters of Section 5; the largest spreads are half-widths in degrees."""
    distance = rng.uniform(nearest, farthest, users)
    angle_az = np.deg2rad(rng.uniform(-180.0, 180.0, users))
    width_az = np.deg2rad(rng.uniform(0.0, spread_az, users))
    angle_el = np.deg2rad(rng.uniform(-90.0, 90.0, users))
    width_el = np.deg2rad(rng.uniform(0.0, spread_el, users))
    r_az = np.zeros((users, antennas_az, antennas_az), dtype=np.complex128)
    r_el = np.zeros((users, antennas_el, antennas_el), dtype=np.complex128)
    for k in range(users):
        r_az[k] = one_ring(antennas_az, angle_az[k], width_az[k], spacing)
        r_el[k] = one_ring(antennas_el, angle_el[k], width_el[k], spacing)
    beta = path_gain(distance, exponent, reference)
    return Drop(distance, beta, angle_az, width_az, angle_el, width_el, r_az, r_el)


def square_root(correlation: Complex) -> Complex:
    """Hermitian F with F F^H = R; rounding below zero is cut."""
    values, vectors = np.linalg.eigh(correlation)
    return vectors @ np.diag(np.sqrt(np.maximum(values, 0.0))) @ vectors.conj().T


def channels(r_az: Complex, r_el: Complex, beta: Real, white: Complex) -> Complex:
    """(1) with (3), (K, M N), from CN(0, 1) entries white (K, M N)."""
    h = np.zeros(white.shape, dtype=np.complex128)
    for k in range(len(white)):
        factor = np.kron(square_root(r_az[k]), square_root(r_el[k]))
        h[k] = np.sqrt(beta[k]) * factor @ white[k]
    return h


# Prebeamforming and grouping, Sections 3.1 and 3.2


def dft_prebeamformer(num_antennas: int, num_groups: int, group: int) -> Complex:
    """Columns of the unitary DFT matrix of one group, (antennas, floor(antennas / groups))."""
    beams = num_antennas // num_groups
    result = np.zeros((num_antennas, beams), dtype=np.complex128)
    for m in range(num_antennas):
        for i in range(beams):
            p = group * beams + i
            result[m, i] = np.exp(-2j * np.pi * m * p / num_antennas) / np.sqrt(num_antennas)
    return result


def prebeamformer(split: Split, group_az: int, group_el: int) -> Complex:
    """B_{l,g} = B_az (x) B_el, (M N, b)."""
    b_az = dft_prebeamformer(split.antennas_az, split.groups_az, group_az)
    b_el = dft_prebeamformer(split.antennas_el, split.groups_el, group_el)
    return np.kron(b_az, b_el)


def eigen(correlation: Complex) -> tuple[Real, Complex]:
    """Eigenvalues, descending, and their eigenvectors in columns."""
    values, vectors = np.linalg.eigh(correlation)
    return values[::-1].copy(), vectors[:, ::-1].copy()


def num_kept(values: Real, threshold: float = 1e-2) -> int:
    """How many eigenvalues exceed threshold times the largest."""
    return sum(1 for value in values if value > threshold * values[0])


def num_kept_energy(values: Real, fraction: float = 0.99) -> int:
    """The fewest largest eigenvalues that sum to the fraction of the trace."""
    total = 0.0
    for count, value in enumerate(values, start=1):
        total += value
        if total >= fraction * np.sum(values):
            return count
    return len(values)


def eigenspace(correlation: Complex, kept: Kept = num_kept) -> Complex:
    """Eigenvectors U (antennas, r) of the kept eigenvalues."""
    values, vectors = eigen(correlation)
    return vectors[:, : kept(values)]


def projector_distance(u: Complex, b: Complex) -> float:
    """||U U^H - B B^H||_F^2."""
    return float(np.linalg.norm(u @ u.conj().T - b @ b.conj().T) ** 2)


def smallest(values: Sequence[float]) -> tuple[int, float]:
    """Index of the smallest value and how far the second smallest lies above it."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    if len(values) == 1:
        return 0, np.inf
    return order[0], values[order[1]] - values[order[0]]


def grouping_2d(
    r_az: Complex, r_el: Complex, azimuth_groups: int, elevation_groups: int, kept: Kept = num_kept
) -> tuple[Integer, Integer, Real, Real]:
    """(10) and (11): azimuth groups, elevation groups (K,), and the margins of both choices."""
    az, el, margin_az, margin_el = [], [], [], []
    for k in range(len(r_az)):
        for r, groups, chosen, margins in (
            (r_az[k], azimuth_groups, az, margin_az),
            (r_el[k], elevation_groups, el, margin_el),
        ):
            u = eigenspace(r, kept)
            found = [
                projector_distance(u, dft_prebeamformer(len(r), groups, g)) for g in range(groups)
            ]
            index, margin = smallest(found)
            chosen.append(index)
            margins.append(margin)
    return np.array(az), np.array(el), np.array(margin_az), np.array(margin_el)


def grouping_overall(
    r_az: Complex, r_el: Complex, azimuth_groups: int, elevation_groups: int, kept: Kept = num_kept
) -> tuple[Integer, Integer, Real]:
    """(12) with U = U_az (x) U_el: azimuth groups, elevation groups and margins, (K,)."""
    az, el, margins = [], [], []
    split = Split(r_az.shape[1], r_el.shape[1], azimuth_groups, elevation_groups)
    for k in range(len(r_az)):
        u = np.kron(eigenspace(r_az[k], kept), eigenspace(r_el[k], kept))
        pairs, found = [], []
        for g in range(azimuth_groups):
            for i in range(elevation_groups):
                pairs.append((g, i))
                found.append(projector_distance(u, prebeamformer(split, g, i)))
        index, margin = smallest(found)
        az.append(pairs[index][0])
        el.append(pairs[index][1])
        margins.append(margin)
    return np.array(az), np.array(el), np.array(margins)


# Precoding, Section 3.3


def neighbours(group: int, step: int, groups: int, wrap: bool) -> list[int]:
    """The group that lies step away, none beyond an edge without wrap-around."""
    if wrap:
        return [(group + step) % groups]
    return [group + step] if 0 <= group + step < groups else []


def leakage_set(
    k: int, groups_az: Integer, groups_el: Integer, num_az: int, num_el: int, rule: str
) -> list[int]:
    """Users in the Gram matrix of user k, ascending, user k left out.

    Rules: "own" (17), "adjacent" (15) with all 3 x 3 neighbours, "plus" with the four nearest,
    either also with "-no-wrap", "all" (16).
    """
    if rule == "all":
        return [u for u in range(len(groups_az)) if u != k]
    wrap = not rule.endswith("-no-wrap")
    shape = rule.removesuffix("-no-wrap")
    steps = {
        "own": [(0, 0)],
        "plus": [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)],
        "adjacent": [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)],
    }[shape]
    cells = set()  # a set: with two groups the neighbours on both sides are the same
    for i, j in steps:
        for g in neighbours(int(groups_az[k]), i, num_az, wrap):
            for m in neighbours(int(groups_el[k]), j, num_el, wrap):
                cells.add((g, m))
    users = range(len(groups_az))
    return [u for u in users if u != k and (int(groups_az[u]), int(groups_el[u])) in cells]


def slnr_precoders(
    h: Complex,
    split: Split,
    groups_az: Integer,
    groups_el: Integer,
    rho: float,
    sigma2: float,
    rule: str,
) -> Complex:
    """(15), (16) or (17): a_k = B_k p_k, (K, M N), of unit norm."""
    alpha = sigma2 / rho
    a = np.zeros(h.shape, dtype=np.complex128)
    for k in range(len(h)):
        b = prebeamformer(split, int(groups_az[k]), int(groups_el[k]))
        gram = alpha * np.eye(b.shape[1], dtype=np.complex128)
        for u in leakage_set(k, groups_az, groups_el, split.groups_az, split.groups_el, rule):
            x = b.conj().T @ h[u]
            gram += np.outer(x, x.conj())
        p = np.linalg.inv(gram) @ b.conj().T @ h[k]
        a[k] = b @ p / np.linalg.norm(p)
    return a


def full_slnr(h: Complex, alpha: float) -> Complex:
    """SLNR precoders on all antennas against all users, (K, M N)."""
    a = np.zeros(h.shape, dtype=np.complex128)
    for k in range(len(h)):
        matrix = alpha * np.eye(h.shape[1], dtype=np.complex128)
        for u in range(len(h)):
            if u != k:
                matrix += np.outer(h[u], h[u].conj())
        a[k] = np.linalg.solve(matrix, h[k])
        a[k] /= np.linalg.norm(a[k])
    return a


def full_zf(h: Complex) -> Complex:
    """Zero forcing on all antennas, (K, M N): h_u^H a_k = 0 for u != k."""
    columns = h.T @ np.linalg.inv(h.conj() @ h.T)
    a = np.zeros(h.shape, dtype=np.complex128)
    for k in range(len(h)):
        a[k] = columns[:, k] / np.linalg.norm(columns[:, k])
    return a


def mrt_precoders(r_az: Complex, r_el: Complex) -> Complex:
    """Generalized MRT u_az (x) u_el of the principal eigenvectors, (K, M N)."""
    return np.array(
        [
            np.kron(eigen(r_az[k])[1][:, 0], eigen(r_el[k])[1][:, 0])  #
            for k in range(len(r_az))
        ]
    )


def sinr(h: Complex, a: Complex, rho: float, sigma2: float) -> Real:
    """(27), (K,)."""
    result = np.zeros(len(h))
    for k in range(len(h)):
        signal = rho * abs(np.vdot(h[k], a[k])) ** 2
        interference = 0.0
        for u in range(len(h)):
            if u != k:
                interference += rho * abs(np.vdot(h[k], a[u])) ** 2
        result[k] = signal / (sigma2 + interference)
    return result


def sum_rate(ratio: Real) -> float:
    """(26) for one channel draw, in bit/s/Hz."""
    return float(sum(np.log2(1.0 + value) for value in ratio))


# Deterministic equivalent, Theorem 1


def resolvent(theta: list[Complex], delta: Real, alpha: float, size: int) -> Complex:
    """(31): T for the given delta_s."""
    matrix = alpha * np.eye(size, dtype=np.complex128)
    for s, theta_s in enumerate(theta):
        matrix += theta_s / (1.0 + delta[s])
    return np.linalg.inv(matrix)


def real_trace(matrix: Complex) -> float:
    """Real part of the trace."""
    return float(np.real(np.trace(matrix)))


def jacobian(theta: list[Complex], t: Complex, delta: Real) -> Real:
    """J_st = tr(Theta_s T Theta_t T) / (1 + delta_t)^2, the derivative of (32) in delta_t."""
    result = np.zeros((len(theta), len(theta)))
    for i, theta_i in enumerate(theta):
        for j, theta_j in enumerate(theta):
            result[i, j] = real_trace(theta_i @ t @ theta_j @ t) / (1.0 + delta[j]) ** 2
    return result


def fixed_point(theta: list[Complex], alpha: float, size: int) -> tuple[Complex, Real]:
    """(31) and (32): T and delta_s = tr(Theta_s T), to 1e-13 or as far as rounding allows.

    Plain iteration, which always converges but may contract by only 0.99 a step, until the steps
    fall below 1e-4, then Newton's method.
    """
    delta = np.full(len(theta), 1.0 / alpha)
    plain, previous = True, np.inf
    for _ in range(100_000):
        t = resolvent(theta, delta, alpha, size)
        image = np.array([real_trace(theta_s @ t) for theta_s in theta])
        if plain:
            following = image
        else:
            identity = np.eye(len(theta))
            step = np.linalg.solve(identity - jacobian(theta, t, delta), image - delta)
            following = delta + step
        change = max((abs(following - delta) / following).tolist(), default=0.0)
        delta = following
        if change < 1e-13 or (not plain and change < 1e-10 and change >= previous):
            return resolvent(theta, delta, alpha, size), delta
        previous = change
        if plain and change < 1e-4:
            plain, previous = False, np.inf
        elif not plain and change > 0.5:  # no quadratic convergence yet
            plain = True
    raise ArithmeticError("no fixed point")


def derivative(theta: list[Complex], t: Complex, delta: Real, s: Complex) -> Complex:
    """T'(S), the equivalent of Q S Q where T is that of Q: (33)-(36), (37)-(42), (43)-(46)."""
    v = np.array([real_trace(theta_s @ t @ s @ t) for theta_s in theta])
    slope = np.linalg.solve(np.eye(len(theta)) - jacobian(theta, t, delta), v)
    inner = s.astype(np.complex128)
    for i, theta_i in enumerate(theta):
        inner = inner + theta_i * slope[i] / (1.0 + delta[i]) ** 2
    return t @ inner @ t


def theorem1_powers(
    r_az: Complex,
    r_el: Complex,
    beta: Real,
    split: Split,
    groups_az: Integer,
    groups_el: Integer,
    rho: float,
    sigma2: float,
    rule: str,
) -> Real:
    """Equivalents of |h_k^H a_u|^2 in row k and column u, (K, K)."""
    users, alpha = len(beta), sigma2 / rho
    powers = np.zeros((users, users))
    for u in range(users):
        b = prebeamformer(split, int(groups_az[u]), int(groups_el[u]))
        theta = [
            beta[k] * (b.conj().T @ np.kron(r_az[k], r_el[k]) @ b)  #
            for k in range(users)
        ]
        inside = leakage_set(u, groups_az, groups_el, split.groups_az, split.groups_el, rule)
        within = [theta[s] for s in inside]
        t, delta = fixed_point(within, alpha, b.shape[1])
        norm = 1.0 / real_trace(theta[u] @ derivative(within, t, delta, np.eye(b.shape[1])))
        leak = derivative(within, t, delta, theta[u])
        for k in range(users):
            if k == u:
                powers[k, u] = norm * real_trace(theta[u] @ t) ** 2
            elif k in inside:
                own = delta[inside.index(k)]
                powers[k, u] = norm * real_trace(theta[k] @ leak) / (1.0 + own) ** 2
            else:
                powers[k, u] = norm * real_trace(theta[k] @ leak)
    return powers


def sinr_of_powers(powers: Real, rho: float, sigma2: float) -> Real:
    """(27) from powers (K, K), of the precoder u at the user k in row k and column u."""
    result = np.zeros(len(powers))
    for k in range(len(powers)):
        interference = sum(powers[k, u] for u in range(len(powers)) if u != k)
        result[k] = rho * powers[k, k] / (sigma2 + rho * interference)
    return result


def theorem1_sinr(
    r_az: Complex,
    r_el: Complex,
    beta: Real,
    split: Split,
    groups_az: Integer,
    groups_el: Integer,
    rho: float,
    sigma2: float,
    rule: str,
) -> Real:
    """Theorem 1, (30): deterministic equivalent of the SINR, (K,)."""
    powers = theorem1_powers(r_az, r_el, beta, split, groups_az, groups_el, rho, sigma2, rule)
    return sinr_of_powers(powers, rho, sigma2)


# Precoders that do not depend on the channel draw


def projected_correlation(r_az: Complex, r_el: Complex, beta: float, a: Complex) -> Complex:
    """Covariance beta A^H R A of the received (a_1^H h, ..., a_K^H h) of one user."""
    columns = a.T
    return beta * (columns.conj().T @ np.kron(r_az, r_el) @ columns)


def fixed_rate(
    r_az: Complex, r_el: Complex, beta: Real, a: Complex, rho: float, sigma2: float
) -> Real:
    """E{log2(1 + SINR_k)} of fixed precoders a (K, M N), (K,), by quadrature.

    The rate is E ln(1 + X) - E ln(1 + Y), X the received power over the noise and Y that without
    the signal, both quadratic forms of Gaussians. With E ln(1 + X) = int e^-t (1 - E e^-tX) / t dt
    and E e^-tX = 1 / det(I + t C) the integrals over ln t are combined.
    """
    rates = np.zeros(len(beta))
    for k in range(len(beta)):
        c = rho / sigma2 * projected_correlation(r_az[k], r_el[k], beta[k], a)
        others = [u for u in range(len(beta)) if u != k]
        total = np.maximum(np.linalg.eigvalsh(c), 0.0)
        rest = np.maximum(np.linalg.eigvalsh(c[np.ix_(others, others)]), 0.0)

        def integrand(y: float, total: Real = total, rest: Real = rest) -> float:
            log_total = sum(np.log1p(np.exp(y) * value) for value in total)
            log_rest = sum(np.log1p(np.exp(y) * value) for value in rest)
            return float(-np.exp(-np.exp(y) - log_rest) * np.expm1(log_rest - log_total))

        for low in range(-60, 6, 6):
            part, _ = integrate.quad(integrand, low, low + 6, epsabs=1e-12, epsrel=1e-11, limit=200)
            rates[k] += part / np.log(2.0)
    return rates


def ratio_of_means(
    r_az: Complex, r_el: Complex, beta: Real, a: Complex, rho: float, sigma2: float
) -> Real:
    """(27) of fixed precoders with every power replaced by its mean, (K,)."""
    powers = np.zeros((len(beta), len(beta)))
    for k in range(len(beta)):
        received = projected_correlation(r_az[k], r_el[k], beta[k], a)
        for u in range(len(beta)):
            powers[k, u] = np.real(received[u, u])
    return sinr_of_powers(powers, rho, sigma2)


# Complexity, with every complex operation one FLOP


def flops_grouping_2d(split: Split, ranks_az: Sequence[int], ranks_el: Sequence[int]) -> int:
    """(13), from the ranks of every user's correlations."""
    m, n = split.antennas_az, split.antennas_el
    b_az, b_el = m // split.groups_az, n // split.groups_el
    total = 0
    for r_az, r_el in zip(ranks_az, ranks_el, strict=True):
        total += (2 * r_el + 2 * b_el + 1) * n**2 - 1
        total += (2 * r_az + 2 * b_az + 1) * m**2 - 1
        total += n**3 + m**3
    return total


def flops_grouping_overall(split: Split, ranks_az: Sequence[int], ranks_el: Sequence[int]) -> int:
    """(14)."""
    m, n = split.antennas_az, split.antennas_el
    total = 0
    for r_az, r_el in zip(ranks_az, ranks_el, strict=True):
        total += (2 * r_az * r_el + 2 * split.beams + 1) * (m * n) ** 2 - 1
        total += m**3 * n**3
    return total


def flops_slnr(split: Split, counts: Sequence[int]) -> float:
    """(23), from the number x_k of channels in every user's Gram matrix."""
    mn, b = split.antennas_az * split.antennas_el, split.beams
    total = 0.0
    for x in counts:
        total += b / 2  # alpha I added
        total += b**3 + b**2 + b  # inverse
        total += 2 * b * mn - b  # B^H h
        total += 2 * b**2 - b  # inverse times B^H h
        total += 2 * b + 1  # lambda
        total += b  # scaling
        total += b * x * (2 * mn - 1)  # B^H H
        total += b**2 * (2 * x - 1)  # its Gram matrix
    return total


def flops_mrt(split: Split, users: int) -> int:
    """Two eigenvalue decompositions and one Kronecker product per user."""
    m, n = split.antennas_az, split.antennas_el
    return users * (m**3 + n**3 + m * n)
