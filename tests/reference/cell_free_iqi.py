"""Cell-free massive MIMO downlink under I/Q imbalance: looped float64 NumPy reference.

The purpose is an independent second pair of eyes on the physics: this file is written from the
paper alone, shares no code with the package, and follows the equations one by one, with loops
over access points, users and antennas instead of batched algebra. It is slow on purpose.

Equation numbers are those of J. A. C. Sutton, H. Q. Ngo and M. Matthaiou, "Cell-Free Massive MIMO
with Multiple-Antenna Users under I/Q Imbalance". The widely linear estimator and the closed form
of Theorem 1 are not in the paper; they are derived here.

Shapes: M access points (APs) with L antennas, K users with N antennas. beta is (M, K); I/Q
amplitudes, phases and coefficients are (M, L); channels, projected pilots and channel estimates
are (M, L, K, N). A pair of I/Q coefficients is always (direct, image): (K1, K2) or (A1, A2).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]
Coefficients = tuple[Complex, Complex]
Estimator = Callable[[Complex, Real, Coefficients, float], Complex]


@dataclass(frozen=True)
class Network:
    """Everything that Theorem 1 depends on, in linear units.

    Attributes:
        beta: Large-scale fading, (M, K).
        receive: I/Q coefficients (K1, K2) of the AP receivers, (M, L) each.
        transmit: I/Q coefficients (A1, A2) of the AP transmitters, (M, L) each.
        user_antennas: N.
        rho_p: Signal-to-noise ratio of a pilot symbol.
        rho_d: Signal-to-noise ratio of a data symbol.
        tau: Pilot length, at least K N.
        coherence: Coherence interval T in symbols.
    """

    beta: Real
    receive: Coefficients
    transmit: Coefficients
    user_antennas: int
    rho_p: float
    rho_d: float
    tau: int
    coherence: int

    @property
    def s(self) -> float:
        """Amplitude sqrt(tau rho_p) of a projected pilot."""
        return float(np.sqrt(self.tau * self.rho_p))

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """The sizes (M, L, K, N)."""
        aps, users = self.beta.shape
        return aps, self.receive[0].shape[1], users, self.user_antennas


def iq_coefficients(amplitude: Real, phase: Real) -> Coefficients:
    """Coefficients of the asymmetrical I/Q imbalance model, text below (3) and below (12).

    Args:
        amplitude: Amplitude mismatch, g or f, any shape.
        phase: Phase mismatch in radians, theta or alpha, same shape.

    Returns:
        The direct coefficient (1 + g e^{-j theta}) / 2 and the image one (1 - g e^{+j theta}) / 2.
    """
    direct = 0.5 * (1.0 + amplitude * np.exp(-1j * phase))
    image = 0.5 * (1.0 - amplitude * np.exp(1j * phase))
    return np.asarray(direct, dtype=np.complex128), np.asarray(image, dtype=np.complex128)


def complex_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Complex:
    """Draws independent CN(0, 1) entries."""
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2.0)


def real_pilots(rng: np.random.Generator, tau: int, streams: int) -> Real:
    """Draws real orthonormal pilots [Phi_1 ... Phi_K], (tau, K N) with N columns per user."""
    return np.linalg.qr(rng.standard_normal((tau, streams)))[0]


def draw_channel(rng: np.random.Generator, network: Network) -> Complex:
    """Draws the channels (1): G_mk = sqrt(beta_mk) H_mk, (M, L, K, N)."""
    aps, _, users, _ = network.sizes
    g_channel = complex_normal(rng, network.sizes)
    for m in range(aps):
        for k in range(users):
            g_channel[m, :, k, :] *= np.sqrt(network.beta[m, k])
    return g_channel


def pilot_phase(
    g_channel: Complex, receive: Coefficients, pilots: Real, noise: Complex, s: float
) -> Complex:
    """Full uplink training, (2) and (3), and the projection Y_imb,mk = Y_imb,m Phi_k above (4).

    Args:
        g_channel: Channels, (M, L, K, N).
        receive: Receive coefficients (K1, K2).
        pilots: Real orthonormal pilots [Phi_1 ... Phi_K], (tau, K N).
        noise: W_m with CN(0, 1) entries, (M, L, tau).
        s: sqrt(tau rho_p).

    Returns:
        The projected pilot signals Y_imb,mk, (M, L, K, N).
    """
    aps, _, users, streams = g_channel.shape
    phi = [pilots[:, k * streams : (k + 1) * streams] for k in range(users)]
    projected = np.zeros(g_channel.shape, dtype=np.complex128)
    for m in range(aps):
        received = noise[m].astype(np.complex128)
        for k in range(users):
            received = received + s * g_channel[m, :, k, :] @ phi[k].conj().T
        k1, k2 = np.diag(receive[0][m]), np.diag(receive[1][m])
        impaired = k1 @ received + k2 @ received.conj()
        for k in range(users):
            projected[m, :, k, :] = impaired @ phi[k]
    return projected


def projected_pilot_phase(
    g_channel: Complex, receive: Coefficients, noise: Complex, s: float
) -> Complex:
    """Uplink training after the projection, (4).

    Args:
        g_channel: Channels, (M, L, K, N).
        receive: Receive coefficients (K1, K2).
        noise: W_mk = W_m Phi_k with CN(0, 1) entries, (M, L, K, N).
        s: sqrt(tau rho_p).

    Returns:
        The projected pilot signals Y_imb,mk, (M, L, K, N).
    """
    aps, _, users, _ = g_channel.shape
    projected = np.zeros(g_channel.shape, dtype=np.complex128)
    for m in range(aps):
        k1, k2 = np.diag(receive[0][m]), np.diag(receive[1][m])
        for k in range(users):
            g, w = g_channel[m, :, k, :], noise[m, :, k, :]
            impaired_noise = k1 @ w + k2 @ w.conj()
            projected[m, :, k, :] = s * k1 @ g + s * k2 @ g.conj() + impaired_noise
    return projected


def linear_mmse_estimate(y: Complex, beta: Real, receive: Coefficients, s: float) -> Complex:
    """The paper's (linear) MMSE estimate by the matrix formula (6) with (28)-(30), not by (8).

    Args:
        y: Projected pilots, (M, L, K, N).
        beta: Large-scale fading, (M, K).
        receive: Receive coefficients (K1, K2).
        s: sqrt(tau rho_p).

    Returns:
        The estimates, (M, L, K, N).
    """
    aps, antennas, users, streams = y.shape
    eye = np.eye(streams)
    estimate = np.zeros(y.shape, dtype=np.complex128)
    for m in range(aps):
        k1, k2 = np.diag(receive[0][m]), np.diag(receive[1][m])
        k1_bar = np.kron(eye, k1)
        noise_cov = np.kron(eye, k1 @ k1.conj().T) + np.kron(eye, k2 @ k2.conj().T)  # (29)
        for k in range(users):
            image_cov = s**2 * beta[m, k] * np.kron(eye, k2 @ k2.conj().T) + noise_cov  # (28), (30)
            covariance = s**2 * beta[m, k] * k1_bar @ k1_bar.conj().T + image_cov
            vec_y = y[m, :, k, :].reshape(-1, order="F")
            vec_g = beta[m, k] * s * k1_bar.conj().T @ np.linalg.inv(covariance) @ vec_y  # (6)
            estimate[m, :, k, :] = vec_g.reshape((antennas, streams), order="F")
    return estimate


def linear_mmse_weight(beta: float, k1: complex, k2: complex, s: float) -> complex:
    """The weight omega_mkl (8) of one antenna, which (6) must reduce to."""
    return beta * s * np.conj(k1) / ((s**2 * beta + 1.0) * (abs(k1) ** 2 + abs(k2) ** 2))


def linear_mmse_variance(beta: float, k1: complex, k2: complex, s: float) -> float:
    """The variance gamma_mkl (9) of one entry of the linear MMSE estimate (real)."""
    return float(np.real(beta * s * k1 * linear_mmse_weight(beta, k1, k2, s)))


def widely_linear_mmse_estimate(y: Complex, beta: Real, receive: Coefficients, s: float) -> Complex:
    """Widely linear MMSE estimate, antenna by antenna (not in the paper).

    The pilot signal y = K1 z + K2 z* with z = s g + w is improper, so that the MMSE estimate uses
    y and y*: ghat = E{g [y*, y]} R^+ [y, y*]^T with the augmented covariance R of [y, y*]^T. The
    pseudoinverse covers g cos(theta) = 0, where y* is a phase rotation of y and R has rank one.

    Args:
        y: Projected pilots, (M, L, K, N).
        beta: Large-scale fading, (M, K).
        receive: Receive coefficients (K1, K2).
        s: sqrt(tau rho_p).

    Returns:
        The estimates, (M, L, K, N).
    """
    aps, antennas, users, streams = y.shape
    estimate = np.zeros(y.shape, dtype=np.complex128)
    for m in range(aps):
        for ell in range(antennas):
            k1, k2 = receive[0][m, ell], receive[1][m, ell]
            mixing = np.array([[k1, k2], [np.conj(k2), np.conj(k1)]])  # [y, y*] from [z, z*]
            for k in range(users):
                covariance = (s**2 * beta[m, k] + 1.0) * mixing @ mixing.conj().T
                cross = s * beta[m, k] * np.array([1.0, 0.0]) @ mixing.conj().T
                weights = cross @ np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)
                for n in range(streams):
                    augmented = np.array([y[m, ell, k, n], np.conj(y[m, ell, k, n])])
                    estimate[m, ell, k, n] = weights @ augmented
    return estimate


def composite_gains(estimator: Estimator, network: Network) -> Coefficients:
    """Gains (p, q) of ghat = p z + q z*, z = s g + w, of an antenna-by-antenna estimator.

    The estimator is real-linear in y, hence in z, so that its answers to z = 1 (p + q) and to
    z = j (j p - j q) determine p and q, each (M, L, K).
    """
    aps, antennas, users, _ = network.sizes
    ones = np.ones((aps, antennas, users, 1), dtype=np.complex128)
    zeros = np.zeros_like(ones)
    answers = []
    for unit in (1.0, 1.0j):
        y = projected_pilot_phase(zeros, network.receive, unit * ones, network.s)
        answers.append(estimator(y, network.beta, network.receive, network.s)[..., 0])
    to_one, to_j = answers
    return 0.5 * (to_one - 1j * to_j), 0.5 * (to_one + 1j * to_j)


def second_moments(gains: Coefficients, beta: Real, s: float) -> Real:
    """Second moments E{|ghat|^2} = (|p|^2 + |q|^2) (s^2 beta + 1) per antenna, (M, L, K)."""
    p, q = gains
    aps, antennas, users = p.shape
    moments = np.zeros((aps, antennas, users))
    for m in range(aps):
        for ell in range(antennas):
            for k in range(users):
                power = abs(p[m, ell, k]) ** 2 + abs(q[m, ell, k]) ** 2
                moments[m, ell, k] = power * (s**2 * beta[m, k] + 1.0)
    return moments


def mr_scaling(moments: Real, user_antennas: int) -> Real:
    """Scalars c_mk of maximum-ratio precoding W_mk = c_mk Ghat_mk, (14).

    Each user gets the same power of an AP: E{tr(W_mk W_mk^H)} = 1 / K, which gives (11).

    Args:
        moments: E{|ghat_mkl|^2}, (M, L, K); gamma_mkl of (9) for the linear estimator.
        user_antennas: N.

    Returns:
        The scalars, (M, K).
    """
    aps, antennas, users = moments.shape
    scaling = np.zeros((aps, users))
    for m in range(aps):
        for k in range(users):
            trace = sum(user_antennas * moments[m, ell, k] for ell in range(antennas))
            scaling[m, k] = 1.0 / np.sqrt(users * trace)
    return scaling


@dataclass(frozen=True)
class Precoding:
    """Statistics of maximum-ratio precoding with estimates ghat = p z + q z*, z = s g + w.

    Attributes:
        p: Gain of z, (M, L, K).
        q: Gain of z*, (M, L, K).
        moments: E{|ghat|^2}, (M, L, K).
        scaling: c_mk, (M, K).
    """

    p: Complex
    q: Complex
    moments: Real
    scaling: Real


def precoding(network: Network, estimator: Estimator) -> Precoding:
    """Collects the statistics of the precoder that an estimator leads to."""
    p, q = composite_gains(estimator, network)
    moments = second_moments((p, q), network.beta, network.s)
    return Precoding(p, q, moments, mr_scaling(moments, network.user_antennas))


def effective_channels(
    g_channel: Complex, estimate: Complex, scaling: Real, transmit: Coefficients
) -> Coefficients:
    """Effective channels after precoding, as in (36) and (37).

    Upsilon_kk',1 = sum_m G_mk^H A1 W_mk' and Upsilon_kk',2 = sum_m G_mk^H A2 W_mk'^*. (The text
    below (27) loses part of the definition of Upsilon_kk',1; (23) and (37) have it.)

    Args:
        g_channel: Channels, (M, L, K, N).
        estimate: Channel estimates, (M, L, K, N).
        scaling: c_mk, (M, K).
        transmit: Transmit coefficients (A1, A2).

    Returns:
        Upsilon_1 and Upsilon_2, (K, K, N, N) each: receiving user k, intended user k'.
    """
    aps, _, users, streams = g_channel.shape
    upsilon1 = np.zeros((users, users, streams, streams), dtype=np.complex128)
    upsilon2 = np.zeros_like(upsilon1)
    for k in range(users):
        for k_prime in range(users):
            for m in range(aps):
                g_hermitian = g_channel[m, :, k, :].conj().T
                precoder = scaling[m, k_prime] * estimate[m, :, k_prime, :]
                a1, a2 = np.diag(transmit[0][m]), np.diag(transmit[1][m])
                upsilon1[k, k_prime] += g_hermitian @ a1 @ precoder
                upsilon2[k, k_prime] += g_hermitian @ a2 @ precoder.conj()
    return upsilon1, upsilon2


def theorem1_se(mean: Complex, second: Complex, rho_d: float, tau: int, coherence: int) -> Real:
    """Theorem 1: achievable spectral efficiency of every user, (24)-(27).

    Args:
        mean: E{Upsilon_kk,1}, (K, N, N).
        second: sum over k' and i of E{Upsilon_kk',i Upsilon_kk',i^H}, (K, N, N).
        rho_d: Downlink signal-to-noise ratio.
        tau: Pilot length.
        coherence: Coherence interval T.

    Returns:
        R_k in bit/s/Hz, (K,).
    """
    users, streams, _ = mean.shape
    rates = np.zeros(users)
    for k in range(users):
        c_sr = np.sqrt(rho_d) * mean[k].conj().T  # (25)
        c_rr = rho_d * second[k] + np.eye(streams)  # (26)
        c_rs = c_sr.conj().T  # (27)
        information = np.eye(streams) + c_sr @ np.linalg.inv(c_rr - c_rs @ c_sr) @ c_rs
        rates[k] = (coherence - tau) / coherence * np.log2(abs(np.linalg.det(information)))  # (24)
    return rates


def draw_upsilons(
    rng: np.random.Generator,
    network: Network,
    scaling: Real,
    pilots: Real | None,
    estimator: Estimator,
) -> Coefficients:
    """Draws one realization of (Upsilon_1, Upsilon_2); without pilots by the projection (4)."""
    aps, antennas, _, _ = network.sizes
    g_channel = draw_channel(rng, network)
    if pilots is None:
        noise = complex_normal(rng, network.sizes)
        y = projected_pilot_phase(g_channel, network.receive, noise, network.s)
    else:
        noise = complex_normal(rng, (aps, antennas, network.tau))
        y = pilot_phase(g_channel, network.receive, pilots, noise, network.s)
    estimate = estimator(y, network.beta, network.receive, network.s)
    return effective_channels(g_channel, estimate, scaling, network.transmit)


def simulate_moments(
    rng: np.random.Generator,
    network: Network,
    *,
    realizations: int,
    full_pilots: bool,
    estimator: Estimator,
) -> Coefficients:
    """Averages Upsilon_kk,1 and the sum of all Upsilon Upsilon^H over realizations.

    Args:
        rng: Source of the channels, the pilots and the noise.
        network: The network.
        realizations: Number of independent channel and noise draws.
        full_pilots: Whether to simulate (2)-(3) with explicit pilots, or the projection (4).
        estimator: linear_mmse_estimate or widely_linear_mmse_estimate.

    Returns:
        The two averages, (K, N, N) each, in the form that theorem1_se takes.
    """
    _, _, users, streams = network.sizes
    scaling = precoding(network, estimator).scaling
    pilots = real_pilots(rng, network.tau, users * streams) if full_pilots else None
    mean = np.zeros((users, streams, streams), dtype=np.complex128)
    second = np.zeros_like(mean)
    for _ in range(realizations):
        upsilons = draw_upsilons(rng, network, scaling, pilots, estimator)
        for k in range(users):
            mean[k] += upsilons[0][k, k]
            for k_prime in range(users):
                for upsilon in upsilons:
                    second[k] += upsilon[k, k_prime] @ upsilon[k, k_prime].conj().T
    return mean / realizations, second / realizations


def simulate(
    rng: np.random.Generator,
    network: Network,
    *,
    realizations: int,
    full_pilots: bool,
    estimator: Estimator,
) -> Real:
    """Spectral efficiency of every user by simulation, (K,); arguments as in simulate_moments."""
    mean, second = simulate_moments(
        rng, network, realizations=realizations, full_pilots=full_pilots, estimator=estimator
    )
    return theorem1_se(mean, second, network.rho_d, network.tau, network.coherence)


def coherent_gains(network: Network, precoder: Precoding) -> Coefficients:
    """Diagonal entries xi_1 and xi_2 of E{Upsilon_kk,1} and E{Upsilon_kk,2}, (K,) each.

    With ghat = p z + q z* and z = s g + w: E{g* ghat} = p s beta and E{g* ghat*} = q* s beta.
    For the linear estimator these are (17) and (21).
    """
    aps, antennas, users, _ = network.sizes
    xi1 = np.zeros(users, dtype=np.complex128)
    xi2 = np.zeros(users, dtype=np.complex128)
    for k in range(users):
        for m in range(aps):
            gain = precoder.scaling[m, k] * network.s * network.beta[m, k]
            for ell in range(antennas):
                xi1[k] += network.transmit[0][m, ell] * gain * precoder.p[m, ell, k]
                xi2[k] += network.transmit[1][m, ell] * gain * np.conj(precoder.q[m, ell, k])
    return xi1, xi2


def interference_power(network: Network, precoder: Precoding, k: int, k_prime: int) -> float:
    """Diagonal entry of the sum over i of E{Upsilon_kk',i Upsilon_kk',i^H}, k' not k.

    G_mk is independent of the precoder of another user, so that every AP, antenna and stream adds
    E{|g|^2} |A_i|^2 c^2 E{|ghat|^2} on its own.
    """
    aps, antennas, _, streams = network.sizes
    power = 0.0
    for m in range(aps):
        for ell in range(antennas):
            radiated = precoder.scaling[m, k_prime] ** 2 * precoder.moments[m, ell, k_prime]
            for coefficient in network.transmit:
                power += streams * network.beta[m, k] * abs(coefficient[m, ell]) ** 2 * radiated
    return float(power)


def own_fluctuation(network: Network, precoder: Precoding, k: int) -> float:
    """Diagonal entry of the sum over i of E{Upsilon_kk,i Upsilon_kk,i^H}, less the |xi_i|^2.

    A stream n' other than n adds E{|g|^2} E{|ghat|^2}, as between users. Stream n adds the variance
    of g* ghat (i = 1) or g* ghat* (i = 2). By Isserlis' theorem E{|g|^2 |ghat|^2} = beta V +
    |E{g* ghat}|^2 + |E{g ghat}|^2, where V = E{|ghat|^2}, E{g* ghat} = p s beta and
    E{g ghat} = q s beta; subtracting |E{g* ghat}|^2 or |E{g* ghat*}|^2 leaves the variance.
    """
    aps, antennas, _, streams = network.sizes
    power = 0.0
    for m in range(aps):
        for ell in range(antennas):
            direct = abs(precoder.p[m, ell, k] * network.s * network.beta[m, k]) ** 2
            image = abs(precoder.q[m, ell, k] * network.s * network.beta[m, k]) ** 2
            product = network.beta[m, k] * precoder.moments[m, ell, k]
            for coefficient, mean_power in zip(network.transmit, (direct, image), strict=True):
                variance = product + direct + image - mean_power
                amplitude = abs(coefficient[m, ell]) * precoder.scaling[m, k]
                power += amplitude**2 * ((streams - 1) * product + variance)
    return float(power)


def closed_form_moments(network: Network, estimator: Estimator) -> Coefficients:
    """Exact moments that Theorem 1 takes, both scaled identities (not in the paper).

    Entries of G_mk and Ghat_mk at distinct positions are independent with mean zero, so that
    off-diagonal entries vanish, and APs and antennas add without cross terms except in the means.

    Args:
        network: The network.
        estimator: linear_mmse_estimate or widely_linear_mmse_estimate.

    Returns:
        E{Upsilon_kk,1} and the sum over k' and i of E{Upsilon Upsilon^H}, (K, N, N) each.
    """
    _, _, users, streams = network.sizes
    precoder = precoding(network, estimator)
    xi1, xi2 = coherent_gains(network, precoder)
    mean = np.zeros((users, streams, streams), dtype=np.complex128)
    second = np.zeros_like(mean)
    for k in range(users):
        total = abs(xi1[k]) ** 2 + abs(xi2[k]) ** 2 + own_fluctuation(network, precoder, k)
        for k_prime in range(users):
            if k_prime != k:
                total += interference_power(network, precoder, k, k_prime)
        mean[k] = xi1[k] * np.eye(streams)
        second[k] = total * np.eye(streams)
    return mean, second


def closed_form(network: Network, estimator: Estimator) -> Real:
    """Spectral efficiency of every user, exact, (K,): Theorem 1 with closed_form_moments."""
    mean, second = closed_form_moments(network, estimator)
    return theorem1_se(mean, second, network.rho_d, network.tau, network.coherence)
