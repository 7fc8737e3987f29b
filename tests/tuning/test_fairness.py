"""Max-min powers: against cones, bisection and each other; certificates; corners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo import IQImbalance
from jaxmimo.cell_free_iqi import CellFreeIQI
from jaxmimo.distributed_rician import DistributedRician, maximum_ratio_drop, mr_combiner
from jaxmimo.tuning import (
    ApPowerBudget,
    PowerLimits,
    balanced_powers,
    downlink_se,
    equal_split,
    fractional_power_control,
    max_min,
    max_min_downlink,
    uplink_se,
    with_amplitudes,
)
from jaxmimo.wideband_mmwave import WidebandMmwave
from tests.reference import max_min as reference

PILOT_POWER, DATA_POWER = 0.1, 0.2


def ngo_system(beta, hardware=None, **other):
    """Single antennas, orthogonal pilots, powers of Ngo et al."""
    hardware = IQImbalance() if hardware is None else hardware
    parameters = {
        "beta": beta,
        "receive": hardware,
        "transmit": hardware,
        "user_antennas": 1,
        "coherence_length": 200,
        "pilot_snr": PILOT_POWER,
        "data_snr": DATA_POWER,
        "ap_antennas": 1,
    }
    return CellFreeIQI(**{**parameters, **other})


def largest_of_cones(beta):
    """Max-min SE by cvxpy."""
    users = beta.shape[1]
    gamma = reference.estimate_power(beta, users * PILOT_POWER)
    sinr, _ = reference.max_min_downlink(beta, gamma, DATA_POWER)
    return (1 - users / 200) * np.log2(1 + sinr)


@jax.jit
@jax.vmap
def solved_downlink(beta):
    system = ngo_system(beta)
    found = max_min_downlink(system)
    return found, downlink_se(system)(found.parameters)


def assert_downlink_is_optimal(verified, seeds, aps, users):
    pytest.importorskip("cvxpy")
    networks = np.stack([reference.three_slope_network(seed, aps, users) for seed in seeds])
    found, se = solved_downlink(jnp.asarray(networks))
    best = np.array([largest_of_cones(beta) for beta in networks])
    assert np.all(found.converged)
    np.testing.assert_allclose(se.min(1), found.value, rtol=1e-5)
    name, cones = "Ours, max-min SE of downlinks", "bisection with second-order cones"
    verified(name, cones, found.value, best, rtol=2e-3)
    assert np.all(found.value + found.gap >= best * (1 - 1e-4))  # the bound is one
    assert np.all(found.gap <= 1e-3 * found.value * 1.01)
    assert np.all(se.max(1) <= 1.01 * se.min(1))
    assert np.all((found.parameters**2).sum(-1) <= 1 + 1e-6)


def test_downlink_is_that_of_second_order_cones(verified):
    assert_downlink_is_optimal(verified, range(3), 15, 5)


@pytest.mark.slow
def test_downlink_is_that_of_second_order_cones_in_a_hundred_networks(verified):
    assert_downlink_is_optimal(verified, range(100), 50, 10)


def test_gradient_balances_any_hardware_and_finds_what_the_fixed_point_does():
    beta = reference.three_slope_network(5, 10, 4)
    proven = max_min_downlink(ngo_system(beta), tolerance=1e-4)

    @jax.jit
    @jax.vmap
    def by_gradient(amplitude, phase):
        system = ngo_system(beta, IQImbalance(amplitude=amplitude, phase=phase))
        se, start = downlink_se(system), equal_split(system)
        found = max_min(se, start, domain=ApPowerBudget())
        return found, se(found.parameters), se(start), se(proven.parameters)

    hardware = jnp.asarray([1.0, 0.7]), jnp.asarray([0.0, 0.2])
    found, rates, at_start, for_matched = by_gradient(*hardware)
    np.testing.assert_allclose(found.value, rates.min(1), rtol=1e-6)
    assert np.all(found.converged)
    assert np.all(rates.max(1) < 1.01 * rates.min(1))
    assert np.all(np.diff(found.history) >= 0)
    np.testing.assert_allclose(found.value[0], proven.value, rtol=3e-3)
    assert found.value[0] <= proven.value + proven.gap * 1.01
    assert max(2 * at_start[1].min(), for_matched[1].min()) < found.value[1] < proven.value


def test_the_fixed_point_refuses_other_hardware():
    with pytest.raises(ValueError, match="`system`"):
        max_min_downlink(ngo_system(np.ones((3, 2)), IQImbalance(amplitude=0.7)))


def test_several_antennas_only_scale_what_the_fixed_point_sees():
    """More AP antennas help, and users with two antennas have streams of half the power."""
    beta = reference.three_slope_network(7, 10, 4)
    for antennas in ({"ap_antennas": 3}, {"user_antennas": 2}):
        system = ngo_system(beta, **antennas)
        found = max_min_downlink(system)
        assert found.converged
        np.testing.assert_allclose(
            downlink_se(system)(found.parameters).min(), found.value, rtol=1e-5
        )


@pytest.mark.parametrize(
    "beta",
    [np.ones((1, 3)), np.ones((3, 1)), np.zeros((2, 2)), np.array([[1.0, 0.0], [2.0, 0.0]])],
    ids=["one AP", "one user", "nobody heard", "one unheard"],
)
def test_corners_of_the_downlink_are_finite(beta):
    found = max_min_downlink(ngo_system(beta))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    assert found.converged
    assert found.value == 0.0 if np.any(beta.sum(0) == 0) else found.value > 0.0


def test_one_ap_serves_users_by_what_they_need():
    """Alike users share the power equally, at full power."""
    found = max_min_downlink(ngo_system(np.ones((1, 3))))
    np.testing.assert_allclose(found.parameters, 3**-0.5, rtol=1e-4)


def affine_se(coupling, power):
    """SE of an uplink whose receivers know statistics only."""
    return jnp.log2(1 + power / (coupling @ power + 1e-2))


def test_uplink_is_that_of_bisection_and_of_the_gradient(verified):
    rng = np.random.default_rng(0)
    limit = rng.uniform(0.05, 0.1, 5)
    networks = 0.3 * rng.exponential(size=(4, 5, 5))
    solve = jax.vmap(lambda coupling: balanced_powers(Partial(affine_se, coupling), limit))
    found = solve(jnp.asarray(networks))
    assert np.all(found.converged)
    for network, se, powers in zip(networks, found.se, found.powers, strict=True):
        best, _ = reference.max_min_uplink(np.ones(5), network, np.full(5, 1e-2), limit)
        assert se.min() <= np.log2(1 + best) * (1 + 1e-5)
        verified("Ours, max-min SE of uplinks", "bisection", se, np.log2(1 + best), rtol=1.2e-3)
        assert np.all(powers <= limit * (1 + 1e-6))
        assert np.max(powers / limit) == pytest.approx(1.0, rel=1e-6)
    by_gradient = max_min(
        Partial(affine_se, jnp.asarray(networks[0])), limit, domain=PowerLimits(limit)
    )
    assert by_gradient.converged
    np.testing.assert_allclose(by_gradient.value, found.se[0].min(), rtol=3e-3)


def test_uplink_whose_pilots_share_the_powers_is_bounded_from_both_sides():
    """No powers of a random search pass the largest SE of balanced ones."""
    system = DistributedRician(
        num_aps=4, ap_antennas=2, num_users=3, rician_factor=1.0, noise_power=1e-8
    )
    drop = maximum_ratio_drop(jax.random.key(2), system)
    limit = jnp.full(3, 0.1)
    found = balanced_powers(drop.se, limit, tolerance=1e-4)
    assert found.converged
    tried = 0.1 * jax.random.uniform(jax.random.key(0), (20_000, 3)) ** 2
    best = jax.vmap(drop.se)(tried).min(1).max()
    assert 0.9 * found.se.min() < best <= found.se.max()


@pytest.mark.parametrize("kind", ["rician", "wideband"])
def test_simulated_uplinks_are_balanced(kind):
    if kind == "rician":
        system = DistributedRician(
            num_aps=2, ap_antennas=2, num_users=3, rician_factor=1.0, propagation_phase=True
        )
        se = uplink_se(jax.random.key(1), system, combiner=mr_combiner, realizations=16)
    else:
        system = WidebandMmwave(
            num_aps=2, ap_antennas=2, num_users=3, num_subcarriers=8, side=50.0, num_rays=1
        )
        se = uplink_se(jax.random.key(1), system, subcarriers=2, combiner=mr_combiner)
    se, limit = jax.jit(se), jnp.full(3, 0.1)
    found = balanced_powers(se, limit)
    assert found.converged
    assert found.se.max() <= 1.001 * found.se.min()
    assert found.se.min() > 1.01 * se(limit).min()


def test_corners_of_the_uplink_are_finite():
    silent = Partial(lambda gain, power: jnp.log2(1 + gain * power), jnp.asarray([0.0, 1.0]))
    found = balanced_powers(silent, np.ones(2))
    assert np.all(found.powers <= 1.0)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))


def test_fractional_power_control_makes_up_for_a_part_of_the_loss():
    gain = jnp.asarray([1.0, 4.0, 100.0])
    np.testing.assert_allclose(fractional_power_control(gain, 0.2), 0.2 / np.sqrt(gain), rtol=1e-6)
    np.testing.assert_allclose(fractional_power_control(gain, 0.2, exponent=0.0), 0.2)
    received = gain * fractional_power_control(gain, 0.2, exponent=1.0)
    np.testing.assert_allclose(received, 0.2, rtol=1e-6)
    assert np.all(np.isfinite(fractional_power_control(jnp.asarray([0.0, 1.0]), 0.2)))
    assert np.all(np.isfinite(fractional_power_control(jnp.zeros(2), 0.2)))


def test_amplitudes_are_replaced():
    system = ngo_system(np.ones((2, 3)))
    assert system.amplitudes is None
    np.testing.assert_allclose(
        downlink_se(system)(0.5 * equal_split(system)),
        downlink_se(with_amplitudes(system, equal_split(system)))(0.5 * equal_split(system)),
    )


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"limit": 0.1}, "limit"),
        ({"limit": np.array([0.1, 0.0])}, "limit"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"max_steps": 0}, "max_steps"),
    ],
)
def test_bad_arguments_are_named_in_one_line(change, parameter):
    arguments = {"limit": np.ones(2), **change}
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        balanced_powers(jnp.log1p, **arguments)
    assert "\n" not in str(error.value)


def test_starts_outside_of_the_domain_are_refused():
    with pytest.raises(ValueError, match="`init`"):
        max_min(jnp.log1p, jnp.ones(3), domain=PowerLimits(0.5))
