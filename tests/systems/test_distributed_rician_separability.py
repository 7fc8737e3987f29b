"""System 2: correlation and condition number of the users' channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.channel.antennas import ula_steering
from jaxmimo.systems.distributed_rician import (
    DistributedRician,
    ScatteringClusters,
    simulate_condition,
    simulate_correlation,
    single_ap_correlation,
    uncorrelated,
)
from jaxmimo.systems.distributed_rician.drop import draw_drop, draw_fading
from jaxmimo.systems.distributed_rician.separability import condition_sample, correlation_sample
from tests.reference import distributed_rician as reference

KEY = jax.random.key(3)
FACTORS = np.array([0.0, 0.1, 1.0, 10.0, 1e4, np.inf])


def network(num_aps=1, ap_antennas=4, users=2, **other):
    parameters = {"rician_factor": FACTORS, **other}
    return DistributedRician(
        num_aps=num_aps, ap_antennas=ap_antennas, num_users=users, **parameters
    )


@pytest.mark.parametrize("antennas", [1, 2, 5, 16])
def test_one_ap_follows_the_closed_form(antennas):
    with jax.enable_x64(True):
        system = network(1, antennas)
        drop = draw_drop(jax.random.split(KEY)[0], system)
        unit = drop.los.merged() / drop.scattered_amplitude
        closed = single_ap_correlation(unit[:, 0], unit[:, 1], jnp.asarray(FACTORS))
        found = correlation_sample(system)(KEY)
    np.testing.assert_allclose(found, np.abs(closed), atol=1e-9)


def test_closed_form_is_that_of_the_reference(verified):
    with jax.enable_x64(True):
        u, v = ula_steering(6, 0.3), ula_steering(6, -0.8)
        for kappa in (0.2, 3.0, 50.0):
            expected = reference.one_ap_correlation(np.asarray(u), np.asarray(v), kappa, kappa)
            found = single_ap_correlation(u, v, jnp.asarray(kappa))
            verified(
                "Tominaga et al., correlation at one AP",
                "matrix roots",
                found,
                expected,
                rtol=1e-10,
            )


@pytest.mark.parametrize("phase", [False, True])
@pytest.mark.parametrize("covariance", [uncorrelated, ScatteringClusters()])
def test_several_aps_follow_the_definition(covariance, phase, verified):
    factors = FACTORS[1:4, None, None] * np.array([1.0, 2.0, 0.5])[:, None] * np.array([1.0, 3.0])
    with jax.enable_x64(True):
        system = network(
            3, 4, rician_factor=factors, covariance=covariance, propagation_phase=phase
        )
        drop = draw_drop(jax.random.split(KEY)[0], system)
        los, roots = drop.los.merged(), np.moveaxis(drop.scattered_factor().merged(), -1, 0)
        expected = []
        for a, b in zip(drop.los_amplitude, drop.nlos_amplitude, strict=True):
            x, y = (
                np.outer(a[:, u] * los[:, u], np.conj(a[:, u] * los[:, u]))
                + (b[:, u, None] * roots[u]) @ np.conj(b[:, u, None] * roots[u]).T
                for u in (0, 1)
            )
            cross = np.outer(a[:, 0] * los[:, 0], np.conj(a[:, 1] * los[:, 1]))
            expected.append(abs(reference.vector_correlation(x, y, cross)))
        found = correlation_sample(system)(KEY)
    verified(
        "Tominaga et al., correlation (15)-(16)",
        "matrix roots of the definition",
        found,
        expected,
        rtol=1e-6,
    )


def test_correlation_lies_between_none_and_full():
    estimate = simulate_correlation(KEY, [network(1, 2), network(2, 1)], drops=200)
    assert estimate.mean.shape == (2, 6)
    assert np.all(estimate.mean[:, 0] == 0)  # Rayleigh fading
    assert np.all((estimate.mean >= 0) & (estimate.mean <= 1 + 1e-5))
    np.testing.assert_allclose(estimate.mean[1, -1], 1.0, atol=1e-5)  # all in phase, no scattering


def test_correlation_needs_two_users():
    with pytest.raises(ValueError, match="`num_users` must be at least 2"):
        simulate_correlation(KEY, network(users=1), drops=4)


def test_gradient_of_the_correlation_is_finite_for_users_at_one_place():
    def mean(positions):
        system = network(2, 2, rician_factor=2.0, user_positions=positions)
        return simulate_correlation(KEY, system, drops=2).mean

    for second in (20.0, 80.0):
        gradient = jax.grad(mean)(jnp.array([[10.0, 20.0], [10.0, second]]))
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("users", [3, 4, 6])
def test_condition_numbers_are_those_of_numpy(users):
    system = network(2, 2, users, rician_factor=np.array([0.1, 100.0]))
    averages, distribution = condition_sample(system, realizations=5)(KEY)
    drop_key, fading_key = jax.random.split(KEY)
    drop = draw_drop(drop_key, system)
    draws = drop.draws(*draw_fading(fading_key, 4, users, 0, 5, drop.always), 0.0)
    for sweep, (a, b) in enumerate(zip(draws.los_amplitude, draws.nlos_amplitude, strict=True)):
        channels = np.moveaxis(np.asarray(draws.channel(a, b).merged()), -1, 0)
        expected = np.linalg.cond(channels.astype(complex))
        np.testing.assert_allclose(averages.mean[sweep], expected.mean(), rtol=1e-3)
        np.testing.assert_allclose(averages.log10_mean[sweep], np.log10(expected).mean(), rtol=1e-3)
        assert distribution[sweep, 0] == 0
        assert distribution[sweep, -1] == 1


def test_median_of_the_condition_number_is_that_of_the_draws():
    system = network(1, 4, 3, rician_factor=np.array([0.1, 10.0]))
    estimate = simulate_condition(KEY, system, drops=400, realizations=4)
    sample = jax.jit(lambda i: condition_sample(system, realizations=1)(jax.random.fold_in(KEY, i)))
    draws = np.array([sample(i)[0].mean for i in range(400)])  # one realization of each drop
    deviation = 1.2533 * np.log10(draws).std(0) / np.sqrt(400)  # of a median, roughly
    assert np.all(deviation < 0.05)
    difference = np.log10(estimate.mean.median) - np.log10(np.median(draws, axis=0))
    assert np.all(np.abs(difference) < 5 * deviation)
    assert np.all(estimate.mean.median < estimate.mean.mean)
    assert np.all(estimate.std_error.median > 0)
