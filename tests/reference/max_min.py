"""Optima that power tuning is measured against, in float64 NumPy and SciPy, sharing no code.

Downlink: bisection with second-order cone feasibility (Ngo, Ashikhmin, Yang, Larsson, Marzetta,
"Cell-Free Massive MIMO Versus Small Cells", IEEE TWC 2017, Section IV). Uplink: bisection over the
least solution of p = t I(p), which is linear for SINRs of use-and-then-forget bounds. Any
objective: L-BFGS from random starts.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Real = NDArray[np.float64]

NOISE = 1.380649e-23 * 290.0 * 20e6 * 10**0.9
"""Of 20 MHz at a noise figure of 9 dB [W]."""


def three_slope_network(seed: int, aps: int, users: int, side: float = 1000.0) -> Real:
    """Large-scale gains over the noise [1/W], (aps, users), of Ngo et al., Section VI-A.

    Hata's model with three slopes, wrapped around at the edges; shadowing of 8 dB, uncorrelated,
    beyond 50 m.
    """
    rng = np.random.default_rng(seed)
    ap, user = rng.uniform(0, side, (aps, 2)), rng.uniform(0, side, (users, 2))
    offset = np.abs(ap[:, None] - user[None])
    distance = np.linalg.norm(np.minimum(offset, side - offset), axis=-1)
    carrier, ap_height, user_height = 1900.0, 15.0, 1.65
    loss = 46.3 + 33.9 * np.log10(carrier) - 13.82 * np.log10(ap_height)
    loss -= (1.1 * np.log10(carrier) - 0.7) * user_height - (1.56 * np.log10(carrier) - 0.8)
    d_km, d0, d1 = distance / 1000.0, 0.01, 0.05
    far = 35 * np.log10(np.maximum(d_km, d1))
    middle = 15 * np.log10(d1) + 20 * np.log10(np.maximum(d_km, d0))
    shadowing = np.where(d_km > d1, 8.0 * rng.standard_normal(distance.shape), 0.0)
    gain_db = -loss - np.where(d_km > d1, far, middle) + shadowing
    return 10 ** (gain_db / 10) / NOISE


def estimate_power(beta: Real, pilot_energy: float) -> Real:
    """gamma, the power of the MMSE estimates with orthogonal pilots, Ngo et al., eq. (8)."""
    return pilot_energy * beta**2 / (1.0 + pilot_energy * beta)


def downlink_sinr(eta: Real, beta: Real, gamma: Real, snr: float) -> Real:
    """Ngo et al., eq. (24) for orthogonal pilots, looped."""
    aps, users = beta.shape
    sinr = np.zeros(users)
    for k in range(users):
        signal = snr * sum(np.sqrt(eta[m, k]) * gamma[m, k] for m in range(aps)) ** 2
        interference = sum(
            eta[m, j] * gamma[m, j] * beta[m, k] for m in range(aps) for j in range(users)
        )
        sinr[k] = signal / (snr * interference + 1.0)
    return sinr


def max_min_downlink(
    beta: Real, gamma: Real, snr: float, *, accuracy: float = 1e-3, solver: str = "CLARABEL"
) -> tuple[float, Real]:
    """Largest SINR that all users can have, and its eta, by bisection to a relative accuracy.

    In amplitudes a = sqrt(eta gamma) the SINR of user k is at least t if
    sqrt(snr) sum_m a_mk sqrt(gamma_mk) >= sqrt(t) ||(sqrt(snr beta_mk) r_m, 1)||, ||a_m|| <= r_m.
    Feasible is what leaves a slack that is not negative.
    """
    import cvxpy as cp

    aps, users = beta.shape
    amplitude = cp.Variable((aps, users), nonneg=True)
    spent = cp.Variable(aps)
    root, slack = cp.Parameter(nonneg=True), cp.Variable()
    constraints = [cp.norm(amplitude, axis=1) <= spent, spent <= 1]
    for k in range(users):
        # Over the norm at full power, which keeps the solver's numbers near one.
        scale = np.sqrt(snr * beta[:, k].sum() + 1.0)
        signal = np.sqrt(snr * gamma[:, k]) / scale @ amplitude[:, k]
        interference = cp.multiply(np.sqrt(snr * beta[:, k]) / scale, spent)
        norm = cp.norm(cp.hstack([interference, np.full(1, 1.0 / scale)]))
        constraints.append(signal >= root * norm + slack)
    # Always feasible, so that the solver does not give up near the optimum of the bisection.
    problem = cp.Problem(cp.Maximize(slack), constraints)

    full = np.broadcast_to(1.0 / gamma.sum(1, keepdims=True), gamma.shape)
    best, eta = float(downlink_sinr(full, beta, gamma, snr).min()), np.array(full)
    high = float(min(snr * np.sqrt(gamma[:, k]).sum() ** 2 for k in range(users)))
    while high > best * (1.0 + accuracy):
        middle = np.sqrt(best * high)
        root.value = np.sqrt(middle)
        problem.solve(solver=solver)
        if slack.value >= 0:
            found = np.maximum(amplitude.value, 0.0)
            found /= np.maximum(1.0, np.linalg.norm(found, axis=1, keepdims=True))
            eta, best = found**2 / gamma, middle
        else:
            high = middle
    return best, eta


def uplink_sinr(power: Real, signal: Real, coupling: Real, noise: Real) -> Real:
    """p_k s_k / (sum_i C_ki p_i + n_k)."""
    return power * signal / (coupling @ power + noise)


def max_min_uplink(
    signal: Real, coupling: Real, noise: Real, limit: Real, *, accuracy: float = 1e-9
) -> tuple[float, Real]:
    """Largest SINR of all users: bisection over the least solution of p = t I(p)."""
    low, high = 0.0, float(np.min(signal * limit / noise))
    power = np.array(limit)
    scaled = coupling / signal[:, None]
    while high - low > accuracy * high:
        t = 0.5 * (low + high)
        system = np.eye(limit.size) - t * scaled
        needed = np.linalg.solve(system, t * noise / signal)
        stable = t * np.max(np.abs(np.linalg.eigvals(scaled))) < 1
        if stable and np.all((needed >= 0) & (needed <= limit)):
            low, power = t, needed
        else:
            high = t
    return low, power


def best_of_restarts(
    cost_and_slope: Callable[[Real], tuple[float, Real]], limit: Real, *, starts: int, seed: int
) -> float:
    """Largest value of a function of powers in a box that L-BFGS-B finds from random starts."""
    rng = np.random.default_rng(seed)
    box = [(0.0, each) for each in limit]
    found = [
        -minimize(cost_and_slope, limit * rng.uniform(size=limit.size), jac=True, bounds=box).fun
        for _ in range(starts)
    ]
    return float(max(found))
