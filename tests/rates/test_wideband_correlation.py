"""Correlations against quadrature, exact limits and sample correlations of 1e5 channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxmimo.channel.correlation import (
    gaussian_law,
    laplace_law,
    local_scattering_covariance,
    uniform_law,
)
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.randomness import complex_normal, uniform
from jaxmimo.rates import wideband_correlation as wideband

CARRIER = 28e9
SPACING = SPEED_OF_LIGHT / CARRIER / 2
F1, F2 = 1.5e9, -0.7e9  # a wide band, so that its effect shows with few antennas
ANTENNAS, APS, DRAWS = 3, 3, 100_000
ANGLE, STD = np.array([0.5, -0.3, 0.9]), 0.4
DISTANCES = np.array([31.0, 30.9, 31.6])
NODES, WEIGHTS = np.polynomial.legendre.leggauss(300)


def response(frequency, angle, num_antennas=ANTENNAS):
    """Responses of an array, straight from the definition; antennas last."""
    lag = np.arange(num_antennas) * SPACING * np.sin(angle)[..., None] / SPEED_OF_LIGHT
    return np.exp(-2j * np.pi * (CARRIER + frequency) * lag)


def micro(f1, f2, angle, std=STD, law=gaussian_law, num_antennas=ANTENNAS):
    with jax.enable_x64(True):
        return np.asarray(
            wideband.micro_correlation(f1, f2, num_antennas, SPACING, angle, std, CARRIER, law)
        )


def mean(frequency, angle, std=STD, law=gaussian_law, num_antennas=ANTENNAS):
    with jax.enable_x64(True):
        return np.asarray(
            wideband.mean_response(frequency, num_antennas, SPACING, angle, std, CARRIER, law)
        )


def macro(f1, f2, covariance):
    with jax.enable_x64(True):
        distances, covariance = jnp.asarray(DISTANCES), jnp.asarray(covariance, complex)
        return np.asarray(wideband.macro_correlation(f1, f2, distances, covariance))


# One array


@pytest.mark.parametrize("num_antennas", [1, 3, 16])
def test_micro_correlation_and_mean_are_those_of_quadrature(num_antennas, verified):
    for f1, f2 in ((F1, F2), (0.0, 0.0), (2e8, 0.0)):
        # Uniform about 0.4, of half width 0.8.
        first, second = (response(f, 0.4 + 0.8 * NODES, num_antennas) for f in (f1, f2))
        expected = np.einsum("q,qm,qn->mn", WEIGHTS / 2, first, second.conj())
        found = micro(f1, f2, 0.4, 0.8 / np.sqrt(3), uniform_law, num_antennas)
        verified("Ours, micro-correlation", "quadrature", found, expected, atol=1e-12)
        found = mean(f1, 0.4, 0.8 / np.sqrt(3), uniform_law, num_antennas)
        np.testing.assert_allclose(found, WEIGHTS / 2 @ first, rtol=0, atol=1e-12)


@pytest.mark.parametrize("law", [gaussian_law, uniform_law, laplace_law])
def test_at_one_frequency_it_is_local_scattering(law):
    """Within the array of wavelengths that the frequency, not the carrier, has."""
    spacing = 0.5 * (1 + F1 / CARRIER)
    found = micro(F1, F1, 0.7, 0.2, law, 12)
    with jax.enable_x64(True):
        expected = local_scattering_covariance(12, 0.7, 0.2, spacing, law)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    np.testing.assert_array_equal(np.diag(found), 1)
    np.testing.assert_array_equal(found[1:, 1:], found[:-1, :-1])
    column = mean(F1, 0.7, 0.2, law, 12)  # the first antenna is the reference
    np.testing.assert_allclose(found[:, 0], column, atol=1e-14)


def test_symmetry_and_rank_one_limit():
    forth, back = micro(F1, F2, 0.7, num_antennas=8), micro(F2, F1, 0.7, num_antennas=8)
    np.testing.assert_allclose(forth, back.conj().T, atol=1e-14)
    assert abs(np.diag(forth)[-1]) < 0.9  # the last antenna's own correlation over frequency
    direct = micro(F1, F2, 0.7, 0.0, num_antennas=8)
    angle = np.array(0.7)
    expected = np.outer(response(F1, angle, 8), response(F2, angle, 8).conj())
    np.testing.assert_allclose(direct, expected, atol=1e-12)


def test_gradients_and_batches_over_angle_and_spread():
    def function(angle, std):
        return wideband.micro_correlation(F1, F2, 4, SPACING, angle, std, CARRIER)

    with jax.enable_x64(True):
        check_grads(jax.jit(function), (0.4, 0.2), order=1, eps=1e-5)
        slope = jax.jit(jax.jacfwd(function, argnums=(0, 1)))(0.0, 0.0)
        assert all(np.isfinite(each).all() for each in slope)
    angles = jnp.linspace(-1, 1, 3)
    batch = jax.jit(jax.vmap(lambda angle: function(angle, 0.1)))(angles)
    assert batch.dtype == jnp.complex64
    for found, angle in zip(batch, angles, strict=True):
        np.testing.assert_allclose(found, micro(F1, F2, angle, 0.1, num_antennas=4), atol=3e-6)


# All APs


def draws(sample_angles, gains):
    """Channels at both frequencies, (draws, M L), stacked as the paper does by a vec operation."""
    channels = []
    for frequency in (F1, F2):
        steering = np.exp(-2j * np.pi * frequency * DISTANCES / SPEED_OF_LIGHT)
        blocks = (gains * steering)[..., None] * response(frequency, sample_angles)
        channels.append(np.stack([block.ravel(order="F") for block in blocks]))
    return channels


def assert_is_the_sample_correlation(channels, expected):
    """Every element within 5 standard errors, which are small enough to mean something."""
    first, second = channels
    products = first[:, :, None] * second[:, None, :].conj()
    for part in (np.real, np.imag):
        error = part(products).std(axis=0, ddof=1) / np.sqrt(DRAWS)
        gap = abs(part(products).mean(axis=0) - part(expected))
        assert error.max() < 0.012
        # Deterministic elements have no error but rounding.
        assert np.all(gap < 5 * error + 1e-12), (gap / error).max()


COVARIANCE = np.array([[1.0, 0.8j, 0.5], [-0.8j, 2.0, 0.1 + 0.3j], [0.5, 0.1 - 0.3j, 0.7]])


def correlated_gains(rng):
    normal = rng.standard_normal((2, DRAWS, APS)) / np.sqrt(2)
    return (normal[0] + 1j * normal[1]) @ np.linalg.cholesky(COVARIANCE).T


def test_common_angles_are_a_kronecker_product_and_match_draws():
    rng = np.random.default_rng(1)
    angles = np.repeat(ANGLE[0] + STD * rng.standard_normal((DRAWS, 1)), APS, axis=1)
    one, over_aps = micro(F1, F2, ANGLE[0]), macro(F1, F2, COVARIANCE)
    with jax.enable_x64(True):
        found = wideband.common_angles(
            jnp.asarray(np.repeat(one[None], APS, axis=0)),
            *(jnp.asarray(np.zeros((APS, ANTENNAS), complex)),) * 2,
            jnp.asarray(over_aps),
        )
    np.testing.assert_allclose(found, np.kron(one, over_aps), atol=1e-15)
    assert_is_the_sample_correlation(draws(angles, correlated_gains(rng)), np.asarray(found))


def composition(function, covariance, f1=F1, f2=F2):
    """For angles of their own, about a mean angle of each AP."""
    blocks = np.stack([micro(f1, f2, angle) for angle in ANGLE])
    means = [np.stack([mean(f, angle) for angle in ANGLE]) for f in (f1, f2)]
    parts = (blocks, *means, macro(f1, f2, covariance))
    with jax.enable_x64(True):
        return np.asarray(jax.jit(function)(*map(jnp.asarray, parts)))


def test_independent_angles_match_draws():
    rng = np.random.default_rng(2)
    angles = ANGLE + STD * rng.standard_normal((DRAWS, APS))
    found = composition(wideband.independent_angles, COVARIANCE)
    assert_is_the_sample_correlation(draws(angles, correlated_gains(rng)), found)


def test_independent_scattering_matches_draws():
    rng = np.random.default_rng(3)
    powers = np.diag(COVARIANCE).real
    angles = ANGLE + STD * rng.standard_normal((DRAWS, APS))
    normal = rng.standard_normal((2, DRAWS, APS)) * np.sqrt(powers / 2)
    found = composition(wideband.independent_scattering, COVARIANCE)
    assert_is_the_sample_correlation(draws(angles, normal[0] + 1j * normal[1]), found)
    # It is independent angles with independent gains, and a sum over APs.
    same = composition(wideband.independent_angles, np.diag(powers))
    np.testing.assert_allclose(found, same, atol=1e-15)
    steering = np.exp(-2j * np.pi * (F1 - F2) * DISTANCES / SPEED_OF_LIGHT)
    expected = sum(
        powers[ap] * steering[ap] * np.kron(micro(F1, F2, angle), np.diag(np.eye(APS)[ap]))
        for ap, angle in enumerate(ANGLE)
    )
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_all_assumptions_are_the_paper_s_composition():
    """(J_M (x) R_macro) o R_ang, with Kronecker products in the paper's order of elements."""
    over_aps = macro(F1, F2, COVARIANCE)
    blocks = [micro(F1, F2, angle) for angle in ANGLE]
    means = [np.stack([mean(f, angle) for angle in ANGLE]).T.ravel() for f in (F1, F2)]
    own = np.kron(np.ones((ANTENNAS, ANTENNAS)), np.eye(APS))
    within = sum(np.kron(block, np.diag(np.eye(APS)[ap])) for ap, block in enumerate(blocks))
    angular = within + (1 - own) * np.outer(means[0], means[1].conj())
    expected = np.kron(np.ones((ANTENNAS, ANTENNAS)), over_aps) * angular
    found = composition(wideband.independent_angles, COVARIANCE)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize(("aps", "missed"), [(2, 0.864), (3, 1.171), (5, 1.534)])
def test_kronecker_product_fails_for_independent_angles(aps, missed):
    """By a share sqrt(L - 1) of its norm with equal gains and no mean: 100 % for two APs.

    Here the angles come from all around, and antennas this close keep some of their mean.
    """
    for std, expected in ((0.0, 0.0), (3.0, missed)):
        one = micro(0.0, 0.0, 0.5, std, gaussian_law, 12)
        its_mean = mean(0.0, 0.5, std, gaussian_law, 12)
        blocks, means = (np.repeat(each[None], aps, axis=0) for each in (one, its_mean))
        for its, found_share in ((means, expected), (0 * means, np.sqrt(aps - 1))):
            with jax.enable_x64(True):
                parts = [jnp.asarray(each) for each in (blocks, its, its)]
                ones = jnp.ones((aps, aps), complex)
                found = np.asarray(wideband.independent_angles(*parts, ones))
            gap = np.linalg.norm(found - np.kron(one, np.ones((aps, aps))))
            share = gap / np.linalg.norm(found)
            np.testing.assert_allclose(share, found_share, rtol=1e-3, atol=1e-12)


def test_different_arrays_have_no_common_angles():
    blocks = jnp.asarray(np.stack([micro(F1, F2, angle) for angle in ANGLE]), jnp.complex64)
    with pytest.raises(ValueError, match="`micro` must be the same for all APs"):
        wideband.common_angles(blocks, blocks[0], blocks[0], jnp.eye(APS, dtype=jnp.complex64))


# Over the APs


def test_macro_steering(verified):
    frequencies = np.array([[0.0, 2e8], [-1e8, 3e6]])
    expected = np.exp(-2j * np.pi * frequencies[..., None] * DISTANCES / SPEED_OF_LIGHT)
    with jax.enable_x64(True):
        found = wideband.macro_steering(frequencies, jnp.asarray(DISTANCES))
    verified("Ours, macro-steering over the APs", "its definition", found, expected, atol=1e-12)
    single = wideband.macro_steering(np.float32(frequencies), jnp.asarray(DISTANCES, jnp.float32))
    np.testing.assert_allclose(single, expected, atol=5e-4)
    same = macro(F1, F1, COVARIANCE)
    np.testing.assert_allclose(np.diag(same), np.diag(COVARIANCE), atol=1e-14)
    np.testing.assert_allclose(same, same.conj().T, atol=1e-14)


def test_frequency_correlation_is_that_of_exponential_delays(assert_mean):
    spread, difference = 50e-9, np.array([0.0, 1e6, 3e6, -3e6, 1e8])
    found = np.asarray(wideband.frequency_correlation(difference, spread))
    delays = -spread * np.log(np.asarray(uniform(jax.random.key(5), (DRAWS,)), float))
    for value, df in zip(found[1:4], difference[1:4], strict=True):
        wave = np.exp(-2j * np.pi * df * delays)
        assert_mean(wave.real, value.real, largest_error=3e-3)
        assert_mean(wave.imag, value.imag, largest_error=3e-3)
    assert found[0] == 1
    np.testing.assert_allclose(abs(found[4]), 1 / (2 * np.pi * 1e8 * spread), rtol=1e-3)
    slope = jax.grad(lambda s: jnp.abs(wideband.frequency_correlation(1e6, s)))(0.0)
    assert np.isfinite(slope)


def test_position_jitter_ends_macro_correlation(verified):
    """5 cm are 4.7 wavelengths: 9e-4 is left where distances vary on their own."""
    with jax.enable_x64(True):
        bearings = jnp.asarray([0.0, np.pi / 2, np.pi / 2, np.pi])
        left = np.asarray(wideband.position_correlation(CARRIER, CARRIER, bearings, 0.05))
        none = np.asarray(wideband.position_correlation(CARRIER, CARRIER, bearings, 0.0))
    phase = 2 * np.pi * 0.05 * CARRIER / SPEED_OF_LIGHT
    verified(
        "Ours, correlation of uncertain positions",
        "closed form for orthogonal bearings",
        left[0, 1],
        (np.sin(phase) / phase) ** 2,
        rtol=1e-9,
    )
    np.testing.assert_allclose(left[0, 1], 8.913e-4, rtol=1e-3)
    np.testing.assert_allclose(left[0, 3], 0.0144, rtol=1e-2)  # opposite: twice the difference
    np.testing.assert_allclose(left[1, 2], 1)  # from one direction the phases vary alike
    np.testing.assert_allclose(left, left.T)
    np.testing.assert_array_equal(none, 1)


def test_position_correlation_is_that_of_random_places(assert_mean):
    bearings, jitter = np.array([0.3, 1.0]), 0.004
    places = jitter * (2 * np.random.default_rng(6).random((DRAWS, 2)) - 1)
    aps = 80 * np.stack([np.cos(bearings), np.sin(bearings)], axis=1)
    distances = np.linalg.norm(aps - places[:, None], axis=-1)
    frequencies = np.array([CARRIER + F1, CARRIER + F2])
    phases = -2 * np.pi * frequencies * (distances - 80) / SPEED_OF_LIGHT
    wave = np.exp(1j * (phases[:, 0] - phases[:, 1]))
    left = wideband.position_correlation(*frequencies, jnp.asarray(bearings), jitter)
    assert_mean(wave.real, float(left[0, 1]), largest_error=3e-3)
    assert_mean(wave.imag, 0.0, largest_error=3e-3)
    assert abs(left[0, 1]) > 0.1


def test_correlations_of_a_drop_hold_together():
    """Of a channel at several frequencies, one large positive semidefinite correlation."""
    frequencies = (F1, 0.0, F2)
    key = jax.random.key(7)
    gains = np.asarray(complex_normal(key, (4, APS)), complex)
    covariance = gains.T @ gains.conj()
    whole = np.block(
        [
            [composition(wideband.independent_angles, covariance, f1, f2) for f2 in frequencies]
            for f1 in frequencies
        ]
    )
    np.testing.assert_allclose(whole, whole.conj().T, atol=1e-12)
    assert np.linalg.eigvalsh(whole)[0] > -1e-12
