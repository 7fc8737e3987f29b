"""System 3: the simulation's promises and gradients."""

import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.systems import beamforming_3d
from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    TwoStageSLNR,
    Users,
    adjacent_groups,
    all_groups,
    captured_energy,
    deterministic_sum_rate,
    draw_users,
    equivalent_sample,
    full_dimension_slnr,
    full_dimension_zf,
    generalized_mrt,
    make_cell,
    own_group,
    rate_sample,
    simulate_sum_rate,
    sum_rate,
)
from jaxmimo.systems.beamforming_3d.cell import channel_factors, draw_channels
from jaxmimo.systems.beamforming_3d.schemes import nested
from jaxmimo.systems.beamforming_3d.simulation import (
    _limit_of_cell,
    _rate_of_fading,
    powers_of_each,
)

KEY = jax.random.key(1)
SHORT = {"drops": 4, "realizations": 3}
SCHEMES = (adjacent_groups, generalized_mrt)


def cell(azimuth_groups=4, elevation_groups=2, users=6, **other):
    return Beamforming3D(
        **{
            "azimuth_antennas": 8,
            "elevation_antennas": 4,
            "num_users": users,
            "azimuth_groups": azimuth_groups,
            "elevation_groups": elevation_groups,
            **other,
        }
    )


@cache
def together():
    return simulate_sum_rate(KEY, cell(), scheme=SCHEMES, **SHORT)


# What the simulation promises


def test_schemes_together_equal_each_alone():
    found = together()
    assert found.mean.shape == found.std_error.shape == (len(SCHEMES),)
    alone = simulate_sum_rate(KEY, cell(), scheme=adjacent_groups, **SHORT)
    np.testing.assert_allclose(found.mean[0], alone.mean, rtol=1e-4)
    np.testing.assert_allclose(found.std_error[0], alone.std_error, rtol=1e-3)
    assert alone.mean.shape == ()


def test_result_does_not_depend_on_the_batch():
    run = simulate_sum_rate(KEY, cell(), scheme=SCHEMES, batch_size=1, **SHORT)
    # Single precision: on some processors the larger batch is off by 2e-4, this one by 6e-6.
    np.testing.assert_allclose(run.mean, together().mean, rtol=1e-3)
    np.testing.assert_allclose(run.std_error, together().std_error, rtol=1e-2)


def test_numbers_of_subsectors_together_equal_each_alone():
    """8 antennas and 3 groups leave beams over."""
    run = simulate_sum_rate(KEY, cell(3), scheme=SCHEMES, azimuth_groups=(3, 4), **SHORT)
    assert run.mean.shape == (2, len(SCHEMES))
    np.testing.assert_allclose(run.mean[1], together().mean, rtol=1e-4)
    # Generalized MRT has no groups.
    np.testing.assert_allclose(run.mean[0, 1], run.mean[1, 1], rtol=1e-5)


def test_a_drop_is_the_sum_rate_of_its_users():
    system = cell()
    sample = jax.jit(rate_sample(system, scheme=SCHEMES, realizations=35))  # two chunks
    limit = equivalent_sample(system, scheme=SCHEMES)
    for i in range(2):
        key = jax.random.fold_in(KEY, i)
        users_key, fading_key = jax.random.split(key)
        users = draw_users(users_key, system)
        expected = sum_rate(fading_key, system, users, scheme=SCHEMES, realizations=35)
        np.testing.assert_allclose(sample(key), expected.mean, rtol=1e-4)
        closed = deterministic_sum_rate(system, users, scheme=SCHEMES)
        np.testing.assert_allclose(limit(key), closed, rtol=1e-4)


def test_one_compilation_for_a_curve_whatever_the_values_and_drops(kernels):
    def counted(cell):
        return own_group(cell)

    def run(drops, **other):
        system = cell(**other)
        return simulate_sum_rate(KEY, system, scheme=counted, drops=drops, realizations=2).mean

    run(4)
    assert len(kernels) == 1
    run(7)
    run(4, power=1.0, noise_power=0.5, cell_radius=800.0, path_loss_exponent=3.0)
    assert len(kernels) == 1


def test_mean_rates_are_their_equivalents(verified):
    """Exactly with fixed precoders; roughly by Theorem 1, with four beams to a group."""
    users = draw_users(KEY, cell())
    run = sum_rate(KEY, cell(), users, scheme=SCHEMES, realizations=4000)
    limit, exact = deterministic_sum_rate(cell(), users, scheme=SCHEMES)
    assert run.std_error[1] < 0.01 * exact
    name, error = "Ours, ergodic sum rate of generalized MRT", run.std_error[1]
    verified(name, "simulation", run.mean[1], exact, std_error=error)
    assert abs(run.mean[0] / limit - 1) < 0.15, (run.mean, limit)


def test_single_precision_is_close_to_double():
    with jax.enable_x64(True):
        double = simulate_sum_rate(KEY, cell(), scheme=SCHEMES, **SHORT).mean
    assert double.dtype == np.float64
    np.testing.assert_allclose(together().mean, double, rtol=1e-3)


def test_systems_run_under_jit_and_vmap():
    """Many antennas, so that covariances have a low rank: draws must not depend on it."""
    powers, users = jnp.array([1.0, 30.0]), draw_users(KEY, cell())
    wide = partial(cell, azimuth_antennas=24)

    @jax.jit
    @jax.vmap
    def both(power):
        system = wide(power=power)
        simulated = sum_rate(KEY, system, users, scheme=SCHEMES, realizations=35).mean
        return simulated, deterministic_sum_rate(system, users, scheme=SCHEMES)

    for found, run in zip(both(powers), (sum_rate, deterministic_sum_rate), strict=True):
        assert np.all(found[0] < found[1])
        for i in range(2):
            system = wide(power=float(powers[i]))
            if run is sum_rate:
                expected = run(KEY, system, users, scheme=SCHEMES, realizations=35).mean
            else:
                expected = run(system, users, scheme=SCHEMES)
            np.testing.assert_allclose(found[i], expected, rtol=1e-3)


# Gradients

PARAMETERS = ("power", "noise_power", "distance", "azimuth", "azimuth_spread", "elevation_spread")


def rate_of(power, noise_power, *of_users):
    values = dict(zip(PARAMETERS[2:], of_users, strict=True))
    users = Users(elevation=jnp.array([0.3, -0.4, 0.2, 0.9, -0.7, 0.5]), **values)
    system = cell(power=power, noise_power=noise_power)
    rates = deterministic_sum_rate(system, users, scheme=SCHEMES)
    return rates[0] + 0.3 * rates[1]


def point():
    users = draw_users(KEY, cell())
    spreads = [np.asarray(x, float) for x in (users.azimuth_spread, users.elevation_spread)]
    places = [np.asarray(x, float) for x in (users.distance, users.azimuth)]
    return [np.array(20.0), np.array(0.3), *places, *spreads]


@cache
def with_gradients():
    """Rates and gradients over a batch of powers."""
    run = jax.value_and_grad(rate_of, tuple(range(len(PARAMETERS))))
    return jax.jit(jax.vmap(run, (0, *[None] * 5)))


def test_gradients_of_both_modes_under_vmap_are_finite_differences():
    rng, values = np.random.default_rng(0), point()
    directions = [rng.normal(size=value.shape) * abs(value) for value in values]
    both = np.array([1.0, 0.1])  # shares of the power
    with jax.enable_x64(True):
        arguments = [jnp.asarray(value) for value in values]

        def at_both(arguments):
            return with_gradients()(arguments[0] * both, *arguments[1:])

        _, gradients = at_both(arguments)
        forward = jax.jit(lambda x, t: jax.jvp(rate_of, tuple(x), tuple(t))[1])
        for i, name in enumerate(PARAMETERS):
            ends = []
            for sign in (1, -1):
                moved = list(arguments)
                moved[i] = jnp.asarray(values[i] + sign * 3e-6 * directions[i])
                ends.append(np.asarray(at_both(moved)[0]))
            difference = (ends[0] - ends[1]) / 6e-6
            chain = both if name == "power" else np.ones(2)
            reverse = (np.asarray(gradients[i]) * directions[i]).reshape(2, -1).sum(1) * chain
            np.testing.assert_allclose(reverse, difference, rtol=1e-5, err_msg=name)
            tangents = [jnp.zeros_like(x) for x in arguments]
            tangents[i] = jnp.asarray(directions[i])
            found = forward(arguments, tangents)
            np.testing.assert_allclose(found, difference[0], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("corner", ["no spread", "at one place", "boresight"])
def test_gradients_are_finite_at_the_corners(corner):
    values = [np.asarray(value, np.float32) for value in point()]
    if corner == "at one place":
        values[2:] = [np.full(6, value[0]) for value in values[2:]]
    if corner == "boresight":
        values[3] = np.zeros(6, np.float32)
    if corner != "at one place":
        values[4], values[5] = np.zeros((2, 6), np.float32)
    values[0] = values[0] * np.ones(2, np.float32)
    rates, gradients = with_gradients()(*map(jnp.asarray, values))
    assert np.all(np.isfinite(rates))
    for name, gradient in zip(PARAMETERS, gradients, strict=True):
        assert np.all(np.isfinite(gradient)), (name, gradient)


def test_gradient_of_the_simulated_rate_is_a_finite_difference():
    users = draw_users(KEY, cell())

    def mean(power):
        return sum_rate(KEY, cell(power=power), users, realizations=4).mean

    with jax.enable_x64(True):
        run = jax.jit(jax.value_and_grad(mean))
        found = run(jnp.asarray(20.0))[1]
        ends = [float(run(jnp.asarray(20.0 + step))[0]) for step in (1e-4, -1e-4)]
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-4, rtol=1e-6)


# Other


def test_rank_rules_decide_what_counts():
    users = draw_users(KEY, cell())
    few = make_cell(cell(rank_rule=lambda values: captured_energy(values, 0.5)), users)
    many = make_cell(cell(rank_rule=lambda values: captured_energy(values, 0.9999)), users)
    assert np.all(few.azimuth_directions.rank <= many.azimuth_directions.rank)
    assert np.any(few.azimuth_directions.rank < many.azimuth_directions.rank)


def in_a_plus(cell):
    return adjacent_groups(cell, diagonal=False)


def any_users(cell):
    counted = jax.random.bernoulli(jax.random.key(5), shape=(cell.num_users, cell.num_users))
    return TwoStageSLNR(cell, counted)


def regrouped(cell):
    """As `own_group`, in groups of its own."""
    return own_group(cell.with_groups(cell.split_into(2, 1).groups))


def test_sets_of_counted_users_share_work_only_where_they_are_nested():
    given = make_cell(cell(), draw_users(KEY, cell()))
    schemes = (any_users, all_groups, in_a_plus, generalized_mrt, own_group, adjacent_groups)
    precodings = [scheme(given) for scheme in (*schemes, regrouped)]
    assert sorted(numbers for numbers, _ in nested(precodings)) == [[0], [4, 2, 1], [5], [6]]
    for numbers, chain in nested(precodings):
        assert not np.any(chain.counted[:-1] & ~chain.counted[1:]), numbers


@pytest.mark.parametrize("size", [(2, 1), (4, 2)], ids=["few beams", "fewer than users"])
def test_powers_of_all_precodings_together_equal_each_alone(size):
    given = make_cell(cell(users=9), draw_users(KEY, cell(users=9)))
    cells = given.split_into(*size), given.split_into(1, 1), given.split_into(1, 2)
    two_stage = (all_groups, own_group, any_users, in_a_plus, adjacent_groups, regrouped)
    schemes = (*two_stage, generalized_mrt)
    precodings = [[scheme(split) for scheme in schemes] for split in cells]
    together = jax.jit(lambda h: powers_of_each(precodings, h))
    alone = jax.jit(lambda h: [[p.powers(h) for p in of_cell] for of_cell in precodings])
    h = draw_channels(KEY, channel_factors(given))
    for found, expected in zip(together(h), alone(h), strict=True):
        np.testing.assert_allclose(np.stack(found), np.stack(expected), rtol=2e-3, atol=2e-5)


def test_kernels_compile_without_lapack():
    given = make_cell(cell(), draw_users(KEY, cell()))
    every = (*SCHEMES, own_group, full_dimension_slnr, full_dimension_zf)
    fading = partial(_rate_of_fading, cell=given, schemes=every, keep_axis=True)
    schemes = (adjacent_groups, own_group)
    for kernel, argument in (
        (jax.vmap(fading), jax.random.split(KEY, 2)),
        (rate_sample(cell(), scheme=SCHEMES, realizations=4), KEY),
        (lambda given: _limit_of_cell(given, schemes), given),
    ):
        text = jax.jit(kernel).lower(argument).compile().as_text()
        names = re.findall(r'custom_call_target="([^"]*)"', text)
        assert "lapack" not in " ".join(names).lower()


def test_public_names():
    for name in beamforming_3d.__all__:
        assert getattr(beamforming_3d, name).__doc__
