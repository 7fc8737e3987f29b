"""Pilot phase and channel estimators against theory, simulation and the looped reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxmimo.core.randomness import complex_normal
from jaxmimo.transceiver.channel_estimation import (
    least_squares,
    least_squares_error_variance,
    least_squares_pilots,
    lmmse,
    perfect_csi,
)
from jaxmimo.transceiver.pilots import orthonormal_pilots
from tests.reference import distributed_rician as reference

LMMSE = jax.jit(lmmse)


def normal(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def covariance(rng, antennas, rank):
    g = normal(rng, antennas, rank)
    return g @ g.conj().T


def as_jax(array):
    return jnp.asarray(array, jnp.result_type(complex))


def assert_zero_means(samples, largest_error):
    """Two gates, for the real and imaginary part of every mean over the first axis."""
    for part in (samples.real, samples.imag):
        error = part.std(axis=0, ddof=1) / np.sqrt(len(part))
        assert error.max() < largest_error
        assert np.all(abs(part.mean(axis=0)) <= 5 * error + 1e-7)  # diagonals are real


# Least squares


@pytest.mark.parametrize("pilot_length", [3, 7])
def test_error_variance_of_simulated_pilots_is_that_of_every_user(pilot_length, assert_mean):
    power, noise_power, draws = np.array([0.5, 2.0, 9.0]), 0.3, 4000
    h = as_jax(normal(np.random.default_rng(0), 4, 3))
    keys = jax.random.split(jax.random.key(1), draws)
    run = jax.jit(
        jax.vmap(lambda key: least_squares_pilots(key, h, pilot_length, power, noise_power))
    )
    error = np.asarray(run(keys)) - np.asarray(h)
    expected = np.asarray(least_squares_error_variance(pilot_length, power, noise_power))
    np.testing.assert_allclose(expected, noise_power / (pilot_length * power), rtol=1e-6)
    for user in range(3):
        samples = abs(error[:, :, user]) ** 2 / expected[user]
        assert_mean(samples, 1.0, largest_error=0.02)


def test_as_many_pilots_as_users_leave_the_variance_of_the_paper():
    for users, power, noise in [(10, 0.1, 6e-13), (4, 1.0, 0.5)]:
        variance = least_squares_error_variance(users, power, noise)
        np.testing.assert_allclose(
            variance, reference.ls_error_variance(users, power, noise), rtol=1e-6
        )


def test_errors_are_white_circular_and_independent_of_the_channel():
    draws = 6000

    def one(key):
        channel_key, noise_key = jax.random.split(key)
        h = complex_normal(channel_key, (3, 2))
        estimate = least_squares_pilots(noise_key, h, 4, jnp.array([1.0, 3.0]), 0.8)
        return h.ravel(), (estimate - h).ravel()

    keys = jax.random.split(jax.random.key(2), draws)
    h, error = (np.asarray(x, complex) for x in jax.jit(jax.vmap(one))(keys))
    error /= np.tile(np.sqrt([0.8 / 4, 0.8 / 12]), 3)
    pairs = np.einsum("ni,nj->nij", error, error.conj())
    assert_zero_means(pairs[:, ~np.eye(6, dtype=bool)], 0.02)
    assert_zero_means(np.einsum("ni,nj->nij", error, error).reshape(draws, -1), 0.03)
    assert_zero_means(np.einsum("ni,nj->nij", h, error.conj()).reshape(draws, -1), 0.02)
    assert_zero_means(error, 0.02)


def test_pilots_without_noise_give_the_channel():
    h = as_jax(normal(np.random.default_rng(3), 5, 4))
    found = least_squares_pilots(jax.random.key(0), h, 6, np.array([0.1, 1.0, 5.0, 40.0]), 0.0)
    np.testing.assert_allclose(found, h, atol=2e-6)


def test_simulated_pilots_are_those_of_the_looped_reference(verified):
    """The loop sends complex pilots of power 1 per symbol; ours are scaled to that."""
    power, noise_power, key = 0.7, 0.2, jax.random.key(4)
    h = normal(np.random.default_rng(5), 5, 3)
    with jax.enable_x64(True):
        found = least_squares_pilots(key, as_jax(h), 4, power, noise_power)
        noise = np.sqrt(noise_power) * np.asarray(complex_normal(key, (5, 4)))
    pilots = 2.0 * orthonormal_pilots(4, 3).T
    expected = reference.pilot_phase(h, pilots.astype(complex), noise, power)
    verified(
        "Tominaga et al., least-squares estimates (5)-(6)",
        "looped NumPy",
        found,
        expected,
        rtol=1e-12,
    )


def test_too_few_pilots_are_refused():
    with pytest.raises(ValueError, match="`pilot_length`") as error:
        least_squares_pilots(jax.random.key(0), as_jax(np.ones((2, 3))), 2, 1.0, 1.0)
    assert "\n" not in str(error.value)


def test_perfect_csi_and_least_squares_are_what_they_say():
    rng = np.random.default_rng(6)
    h, y, mean = (as_jax(normal(rng, 3)) for _ in range(3))
    r = as_jax(covariance(rng, 3, 3))
    estimate, error = perfect_csi(h, y, mean, r, 0.4)
    np.testing.assert_array_equal(estimate, h)
    np.testing.assert_array_equal(error, 0)
    estimate, error = least_squares(h, y, mean, r, 0.4)
    np.testing.assert_array_equal(estimate, y)
    np.testing.assert_allclose(error, 0.4 * np.eye(3))


# Linear MMSE


@pytest.mark.parametrize(("antennas", "rank"), [(1, 1), (4, 4), (6, 2)])
@pytest.mark.parametrize("variance", [0.01, 1.0, 50.0])
def test_lmmse_is_that_of_the_looped_reference(antennas, rank, variance, verified):
    rng = np.random.default_rng(antennas)
    r, mean, y = covariance(rng, antennas, rank), normal(rng, antennas), normal(rng, antennas)
    with jax.enable_x64(True):
        estimate, error = LMMSE(*map(as_jax, (y, y, mean, r)), variance)
    expected = reference.lmmse_estimate(y[:, None], mean[:, None], r[None], variance)
    verified(
        "Tominaga et al., LMMSE estimates", "looped NumPy", estimate, expected[0][:, 0], atol=1e-11
    )
    np.testing.assert_allclose(error, expected[1][0], atol=1e-11)


def test_covariance_of_lmmse_errors_is_what_simulation_finds():
    rng = np.random.default_rng(7)
    draws, antennas, variance = 20_000, 4, 0.3
    r, mean = covariance(rng, antennas, 6) / 6, normal(rng, antennas)
    h = mean + normal(rng, draws, antennas) @ np.linalg.cholesky(r).T
    y = h + np.sqrt(variance) * normal(rng, draws, antennas)
    over_draws = jax.jit(jax.vmap(lmmse, in_axes=(0, 0, None, None, None), out_axes=(0, None)))
    estimate, expected = over_draws(*map(as_jax, (h, y, mean, r)), variance)
    error = np.asarray(estimate, complex) - h
    pairs = np.einsum("ni,nj->nij", error, error.conj())
    assert_zero_means((pairs - np.asarray(expected)).reshape(draws, -1) + 0j, 0.01)
    # The orthogonality principle: nothing about the error is left in the observation.
    assert_zero_means(np.einsum("ni,nj->nij", error, y.conj()).reshape(draws, -1), 0.02)
    least_squares_error = (abs(y - h) ** 2).sum(1) - (abs(error) ** 2).sum(1)
    spread = least_squares_error.std(ddof=1) / np.sqrt(draws)
    assert spread < 0.02
    assert least_squares_error.mean() > 5 * spread


@given(
    seed=st.integers(0, 10_000),
    rank=st.integers(0, 5),
    exponent=st.floats(-6, 6),
)
def test_lmmse_errs_less_than_least_squares_and_than_the_mean(seed, rank, exponent):
    rng = np.random.default_rng(seed)
    r, variance = covariance(rng, 4, rank), 10.0**exponent
    zero = as_jax(np.zeros(4))
    with jax.enable_x64(True):
        error = np.asarray(LMMSE(zero, zero, zero, as_jax(r), variance)[1])
    rounding = 1e-12 * (variance + np.trace(r).real)
    np.testing.assert_allclose(error, error.conj().T, atol=rounding)
    for smaller, larger in [(0 * r, error), (error, variance * np.eye(4)), (error, r)]:
        assert np.linalg.eigvalsh(larger - smaller).min() >= -rounding


def test_lmmse_without_scattering_is_the_mean():
    rng = np.random.default_rng(8)
    y, mean = as_jax(normal(rng, 4)), as_jax(normal(rng, 4))
    estimate, error = LMMSE(y, y, mean, as_jax(np.zeros((4, 4))), 0.1)
    np.testing.assert_array_equal(estimate, mean)
    np.testing.assert_array_equal(error, 0)


def test_lmmse_with_nothing_but_noise_is_the_mean():
    rng = np.random.default_rng(9)
    y, mean, r = normal(rng, 4), normal(rng, 4), covariance(rng, 4, 4)
    estimate, error = LMMSE(*map(as_jax, (y, y, mean, r)), 1e12)
    np.testing.assert_allclose(estimate, mean, atol=1e-6)
    np.testing.assert_allclose(error, r, rtol=1e-5, atol=1e-6)


def test_lmmse_with_hardly_any_noise_is_the_observation():
    rng = np.random.default_rng(10)
    y, mean, r = normal(rng, 4), normal(rng, 4), covariance(rng, 4, 6)
    with jax.enable_x64(True):
        estimate, error = LMMSE(*map(as_jax, (y, y, mean, r)), 1e-12)
    np.testing.assert_allclose(estimate, y, atol=1e-10)
    np.testing.assert_allclose(error, 1e-12 * np.eye(4), atol=1e-20)


@pytest.mark.parametrize("scattering", ["none", "rank one"])
def test_lmmse_has_finite_gradients_for_singular_covariances(scattering):
    r = np.zeros((4, 4)) if scattering == "none" else np.ones((4, 4))
    y = as_jax(normal(np.random.default_rng(11), 4))

    @jax.jit
    def total(scale, variance):
        estimate, error = lmmse(y, y, 0 * y, scale * as_jax(r), variance)
        return jnp.abs(estimate).sum() + error.real.sum()

    gradients = jax.grad(total, argnums=(0, 1))(jnp.asarray(1.0), jnp.asarray(0.1))
    assert all(np.isfinite(g) for g in gradients)
