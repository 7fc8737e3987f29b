"""System 2: the simulation's promises, corners, gradients, errors and published values."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.units import from_db
from jaxmimo.systems import distributed_rician
from jaxmimo.systems.distributed_rician import (
    DistributedRician,
    se_of_drops,
    se_sample,
    simulate_se,
)
from jaxmimo.transceiver.combining import mmse_combiner, mr_combiner, zf_combiner

KEY = jax.random.key(1)
SHORT = {"drops": 6, "realizations": 4}


def network(num_aps=2, ap_antennas=2, users=3, **other):
    parameters = {"rician_factor": 2.0, **other}
    return DistributedRician(
        num_aps=num_aps, ap_antennas=ap_antennas, num_users=users, **parameters
    )


@cache
def alone(kappa=2.0, power=0.1, num_aps=2):
    """A short run of one network and one Rician factor."""
    system = network(num_aps, 4 // num_aps, rician_factor=kappa, power=power)
    return simulate_se(KEY, system, **SHORT)


# What the simulation promises


def test_networks_schemes_and_factors_together_equal_each_alone():
    factors = np.array([2.0, 30.0])
    systems = [network(2, 2, rician_factor=factors), network(4, 1, rician_factor=factors)]
    schemes = [mr_combiner, mmse_combiner]
    together = simulate_se(KEY, systems, combiner=schemes, **SHORT)
    assert together.mean.shape == (2, 2, 2)
    for layout, num_aps in enumerate((2, 4)):
        for sweep, kappa in enumerate((2.0, 30.0)):
            expected = alone(kappa, num_aps=num_aps)
            np.testing.assert_allclose(together.mean[layout, 1, sweep], expected.mean, rtol=1e-4)
            np.testing.assert_allclose(
                together.std_error[layout, 1, sweep], expected.std_error, rtol=1e-3
            )


def test_result_does_not_depend_on_the_batch():
    run = simulate_se(KEY, network(), batch_size=1, **SHORT)
    np.testing.assert_allclose(run.mean, alone().mean, rtol=1e-5)
    np.testing.assert_allclose(run.std_error, alone().std_error, rtol=1e-4)


def test_simulation_runs_under_jit_and_vmap_over_the_power():
    powers = jnp.array([0.001, 0.1])
    run = jax.jit(jax.vmap(lambda power: simulate_se(KEY, network(power=power), **SHORT).mean))
    found = run(powers)
    expected = [alone(power=float(power)).mean for power in (0.001, 0.1)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found[0] < found[1]


def test_one_compilation_for_a_curve_whatever_the_values_and_drops(kernels):
    def counted(h_hat, *statistics):
        return mr_combiner(h_hat)

    def run(drops, scale, **other):
        system = network(rician_factor=scale * np.array([0.1, 1.0, 10.0]), **other)
        return simulate_se(KEY, system, combiner=counted, drops=drops, realizations=4).mean

    run(70, 1.0)
    assert len(kernels) <= 2  # of short and of long chunks
    run(111, 1.0)
    run(200, 3.0, power=0.5, side=200.0, path_loss_exponent=3.0)
    assert len(kernels) <= 2


@pytest.mark.parametrize(
    ("layout", "worst", "mean"),
    [((4, 4, 10), (1e-4, 1e-3, 1e-3), 1e-5), ((1, 8, 8), (1e-4, np.inf, 2e-2), 3e-3)],
    ids=["fewer users than antennas", "as many"],
)
def test_single_precision_is_close_to_double(layout, worst, mean):
    """Nearly line of sight alone, where Gram matrices have condition numbers of up to 1e8.

    Zero forcing of as many users as antennas loses all digits in some drops.
    """
    schemes = (mr_combiner, zf_combiner, mmse_combiner)

    def run():
        system = network(*layout, rician_factor=1e4)
        return np.asarray(se_of_drops(KEY, system, combiner=schemes, drops=48, realizations=8))

    single = run()
    with jax.enable_x64(True):
        double = run()
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert np.all(abs(single - double).max(axis=(0, 2)) < worst)
    np.testing.assert_allclose(single.mean(axis=(0, 2)), double.mean(axis=(0, 2)), rtol=mean)


# Corners


@cache
def corner_run(users, schemes):
    def run(user_positions, height, power):
        system = network(
            users=users,
            rician_factor=np.array([0.0, 1.0, np.inf]),
            user_positions=user_positions,
            ap_height=height,
            user_height=0.0,
            power=power,
        )
        return se_sample(system, combiner=schemes, realizations=4)(KEY)

    return jax.jit(run)


CORNERS = {
    "generic": ([[10, 20], [80, 30], [60, 60], [35, 90]], 10.0, 0.1),
    "coincident": ([[10, 20], [10, 20], [60, 60], [60, 60]], 10.0, 0.1),
    "under the aps": ([[25, 50], [75, 50], [25, 50], [10, 10]], 10.0, 0.1),
    "at the aps": ([[25, 50], [75, 50], [25, 50], [10, 10]], 0.0, 0.1),
    "silent": ([[10, 20], [80, 30], [60, 60], [35, 90]], 10.0, 0.0),
    "loud": ([[10, 20], [80, 30], [60, 60], [10, 20]], 10.0, 1e6),
}


@pytest.mark.parametrize("corner", CORNERS)
def test_no_corner_gives_nan_with_as_many_users_as_antennas(corner):
    positions, height, power = CORNERS[corner]
    run = corner_run(4, (mr_combiner, zf_combiner, mmse_combiner))
    se = run(jnp.asarray(positions, jnp.float32), height, power)
    assert se.shape == (3, 3, 4)
    assert np.all(np.isfinite(se))
    assert np.all(se >= 0)
    if corner == "generic":
        assert np.all(se > 0)
    if corner == "silent":
        np.testing.assert_allclose(se, 0, atol=1e-9)


def test_more_users_than_antennas_are_served_by_mmse():
    positions = np.random.default_rng(0).uniform(0, 100, (7, 2))
    se = corner_run(7, (mmse_combiner,))(jnp.asarray(positions, jnp.float32), 10.0, 0.1)
    assert np.all(np.isfinite(se))
    assert np.all(se > 0)


def test_gradients_are_finite_differences_and_finite_at_the_corners():
    def mean_se(users, aps, power, kappa):
        system = network(user_positions=users, ap_positions=aps, power=power, rician_factor=kappa)
        return simulate_se(KEY, system, drops=2, realizations=2).mean

    run = jax.jit(jax.value_and_grad(mean_se, argnums=(0, 1, 2, 3)))
    rng = np.random.default_rng(1)
    generic = [np.array([[10.0, 20], [80, 30], [60, 60]]), np.array([[25.0, 50], [75, 40]])]
    generic += [np.array([0.1, 0.02, 0.3]), rng.exponential(2.0, (2, 3))]
    with jax.enable_x64(True):
        _, gradients = run(*map(jnp.asarray, generic))
        for i, gradient in enumerate(gradients):
            direction = rng.normal(size=generic[i].shape)
            step = 1e-6 * generic[i].mean()
            ends = []
            for sign in (1, -1):
                point = list(generic)
                point[i] = generic[i] + sign * step * direction
                ends.append(float(run(*map(jnp.asarray, point))[0]))
            difference = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose((gradient * direction).sum(), difference, rtol=1e-5)
        for users, power, kappa in [
            (np.array([[10.0, 20], [10, 20], [60, 60]]), 0.1, 2.0),
            (np.array([[25.0, 50], [75, 40], [25, 50]]), 0.1, 2.0),
            (generic[0], 0.0, 2.0),
            (generic[0], 0.1, 0.0),
            (generic[0], 0.1, np.inf),
        ]:
            corner = users, generic[1], np.full(3, power), np.full((2, 3), kappa)
            value, gradients = run(*map(jnp.asarray, corner))
            assert np.isfinite(value)
            assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


# Errors


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"num_aps": 0}, "num_aps"),
        ({"num_aps": 3, "ap_positions": np.zeros((2, 2))}, "ap_positions"),
        ({"ap_antennas": 0}, "ap_antennas"),
        ({"users": 0}, "num_users"),
        ({"rician_factor": -1.0}, "rician_factor"),
        ({"rician_factor": np.nan}, "rician_factor"),
        ({"rician_factor": np.ones((3, 2))}, "rician_factor"),
        ({"rician_factor": np.ones((4, 3, 2))}, "rician_factor"),
        ({"rician_factor": np.ones((1, 1, 2, 3))}, "rician_factor"),
        ({"rician_factor": np.ones(0)}, "rician_factor"),
        ({"power": -0.1}, "power"),
        ({"power": np.inf}, "power"),
        ({"power": np.ones(2)}, "power"),
        ({"noise_power": 0.0}, "noise_power"),
        ({"noise_power": np.ones(3)}, "noise_power"),
        ({"pilot_length": 2}, "pilot_length"),
        ({"side": -1.0}, "side"),
        ({"side": np.ones(2)}, "side"),
        ({"ap_height": np.nan}, "ap_height"),
        ({"user_height": np.inf}, "user_height"),
        ({"path_loss_exponent": -2.0}, "path_loss_exponent"),
        ({"carrier_hz": 0.0}, "carrier_hz"),
        ({"spacing": -0.5}, "spacing"),
        ({"ap_positions": np.full((2, 2), np.nan)}, "ap_positions"),
        ({"user_positions": np.zeros((2, 2))}, "user_positions"),
        ({"user_positions": np.zeros(3)}, "user_positions"),
    ],
)
def test_bad_parameters_are_named_in_one_line(change, parameter):
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        network(**change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("systems", "change", "parameter"),
    [
        ([], {}, "system"),
        ([network(), network(users=4)], {}, "system"),
        ([network(), network(rician_factor=np.ones(2))], {}, "system"),
        (network(), {"combiner": []}, "combiner"),
        (network(), {"realizations": 0}, "realizations"),
        (network(), {"drops": 1}, "drops"),
        (network(users=5), {"combiner": zf_combiner}, "num_users"),
    ],
    ids=lambda value: None if isinstance(value, dict | str) else "",
)
def test_bad_simulations_are_refused_in_one_line(systems, change, parameter):
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        simulate_se(KEY, systems, **{**SHORT, **change})
    assert "\n" not in str(error.value)


def test_no_drops_are_refused():
    with pytest.raises(ValueError, match="`drops`"):
        se_of_drops(KEY, network(), drops=0, realizations=2)


# Published


def test_published_trends_of_maximum_ratio():
    """One AP gains from the line of sight, sixteen without propagation phases lose by it."""
    factors = from_db(np.array([-20.0, 40.0]))
    systems = [network(q, 16 // q, 10, rician_factor=factors) for q in (1, 16)]
    run = simulate_se(jax.random.key(0), systems, combiner=mr_combiner, drops=300, realizations=16)
    assert np.all(run.std_error < 0.03)
    for found, error, expected in zip(
        run.mean.ravel(), run.std_error.ravel(), [1.42, 2.15, 1.54, 0.28], strict=True
    ):
        # The values are known to two or three digits.
        assert abs(found - expected) < 5 * error + 0.015


def test_public_names():
    for name in distributed_rician.__all__:
        assert getattr(distributed_rician, name).__doc__
