"""System 3: streams of unequal powers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    SharedPower,
    adjacent_groups,
    deterministic_sum_rate,
    draw_users,
    full_dimension_slnr,
    full_dimension_zf,
    generalized_mrt,
    make_cell,
    rate_sample,
    sum_rate,
    user_rates,
    with_shares,
)
from jaxmimo.systems.beamforming_3d.cell import channel_factors, draw_channels

USERS = 4
SHARES = np.array([0.3, 2.1, 0.0, 1.2])


def system_of(**other):
    """A small cell whose users all hear enough to disturb each other."""
    return Beamforming3D(
        **{
            "azimuth_antennas": 6,
            "elevation_antennas": 4,
            "num_users": USERS,
            "azimuth_groups": 3,
            "elevation_groups": 2,
            "reference_distance": 400.0,
            **other,
        }
    )


def users_of(system, seed=0):
    return draw_users(jax.random.key(seed), system)


@eqx.filter_jit
def rates_by_shares(cell, scheme):
    return scheme(cell).rates_by_shares()


@pytest.mark.parametrize("scheme", [adjacent_groups, generalized_mrt])
def test_ones_are_the_equal_split(scheme):
    system = system_of()
    users = users_of(system)
    both = (scheme, with_shares(scheme, np.ones(USERS)))
    expected, found = deterministic_sum_rate(system, users, scheme=both)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


@pytest.mark.parametrize("scheme", [adjacent_groups, full_dimension_slnr])
def test_every_stream_has_its_share_of_the_power(scheme):
    """By loops over users and streams, from the powers of an equal split in one realization."""
    with jax.enable_x64(True):
        system = system_of()
        cell = make_cell(system, users_of(system))
        h = draw_channels(jax.random.key(3), channel_factors(cell))
        equal = np.asarray(scheme(cell).powers(h))
        found = np.asarray(with_shares(scheme, SHARES)(cell).powers(h))
    for stream in range(USERS):
        for user in range(USERS):
            expected = SHARES[stream] * equal[stream, user]
            np.testing.assert_allclose(found[stream, user], expected, rtol=1e-12)


def test_equivalent_has_the_sinr_of_the_shares():
    @jax.jit
    def equivalent(cell):
        rates = with_shares(adjacent_groups, SHARES)(cell).rates_in_the_limit()
        return adjacent_groups(cell).powers_in_the_limit(), rates

    system = system_of()
    powers, rates = map(np.asarray, equivalent(make_cell(system, users_of(system))))
    for user in range(USERS):
        others = sum(SHARES[u] * powers[u, user] for u in range(USERS) if u != user)
        sinr = SHARES[user] * powers[user, user] / (1 + others)
        np.testing.assert_allclose(rates[user], np.log2(1 + sinr), rtol=1e-5)
    assert rates[2] == 0


def test_shares_of_fixed_precoders_scale_the_power_and_zero_leaves_a_user_out():
    """Exact: generalized MRT depends on nobody else."""
    with jax.enable_x64(True):
        system = system_of()
        users = users_of(system)
        thrice = with_shares(generalized_mrt, np.full(USERS, 3.0))
        np.testing.assert_allclose(
            deterministic_sum_rate(system, users, scheme=thrice),
            deterministic_sum_rate(system_of(power=300.0), users, scheme=generalized_mrt),
            rtol=1e-10,
        )
        without = with_shares(generalized_mrt, np.array([1.0, 1.0, 1.0, 0.0]))
        first = jax.tree.map(lambda leaf: leaf[:3], users)
        fewer = deterministic_sum_rate(system_of(num_users=3), first, scheme=generalized_mrt)
        found = without(make_cell(system, users)).rates_in_the_limit()
        np.testing.assert_allclose(found[:3].sum(), fewer, rtol=1e-10)
        assert 0 <= found[3] < 1e-25


def test_simulation_of_generalized_mrt_meets_its_ergodic_rates():
    system = system_of()
    users = users_of(system)
    scheme = with_shares(generalized_mrt, np.array([0.01, 3.9, 0.09, 0.0]))
    found = sum_rate(jax.random.key(5), system, users, scheme=scheme, realizations=4000)
    expected = deterministic_sum_rate(system, users, scheme=scheme)
    assert found.std_error < 0.01 * expected
    assert abs(found.mean - expected) < 5 * found.std_error
    equal = deterministic_sum_rate(system, users, scheme=generalized_mrt)
    assert abs(expected - equal) > 20 * found.std_error


def test_schemes_with_and_without_shares_are_simulated_from_the_same_draws():
    system = system_of()
    shared = [with_shares(full_dimension_zf, shares) for shares in (np.ones(USERS), SHARES)]
    found = sum_rate(
        jax.random.key(6),
        system,
        users_of(system),
        scheme=(full_dimension_zf, *shared),
        realizations=8,
    )
    np.testing.assert_allclose(found.mean[0], found.mean[1], rtol=1e-5)
    assert found.mean[2] < found.mean[0]  # somebody is silent
    each = user_rates(jax.random.key(6), system, users_of(system), scheme=shared[1], realizations=8)
    assert each.mean.shape == (USERS,)
    assert each.mean[2] == 0
    np.testing.assert_allclose(each.mean.sum(), found.mean[2], rtol=1e-5)


def test_a_scheme_may_find_shares_for_the_users_of_each_drop():
    """Half of the power to the user who is heard best: a scheme of your own, in a simulation."""

    def shares_of(cell):
        best = jnp.argmax(cell.snr)
        return jnp.full(USERS, 0.5 * USERS / (USERS - 1)).at[best].set(0.5 * USERS)

    def spoiling(cell):
        return SharedPower(full_dimension_zf(cell), shares_of(cell))

    system, key = system_of(), jax.random.key(7)
    users_key, fading_key = jax.random.split(key)
    users = draw_users(users_key, system)
    scheme = with_shares(full_dimension_zf, shares_of(make_cell(system, users)))
    expected = sum_rate(fading_key, system, users, scheme=scheme, realizations=4)
    found = jax.jit(rate_sample(system, scheme=spoiling, realizations=4))(key)
    np.testing.assert_allclose(found, expected.mean, rtol=1e-4)


@pytest.mark.parametrize("scheme", [adjacent_groups, generalized_mrt])
@pytest.mark.parametrize("change", [{}, {"reference_distance": 1e-3}, {"power": 1e5}])
def test_rates_and_slopes_are_finite_in_the_corners(scheme, change):
    """Silent users, all of the power to one, no power at all; in single precision."""
    system = system_of(**change)
    cell = make_cell(system, users_of(system))
    rates = rates_by_shares(cell, scheme)
    both = jax.jit(lambda shares: (rates(shares), jax.jacobian(rates)(shares)))
    for shares in (np.zeros(USERS), USERS * np.eye(USERS)[1], SHARES):
        found, slope = both(jnp.asarray(shares, jnp.float32))
        assert np.all(np.isfinite(found))
        assert np.all(np.isfinite(slope))
        assert np.all(found >= 0)
        assert np.all(found[shares == 0] < 1e-6)
        if not change:  # not taken for zero where a user is silent
            assert np.all(np.diagonal(slope) > 1e-3)


def test_full_dimension_has_no_equivalent():
    system = system_of()
    for scheme in (full_dimension_slnr, full_dimension_zf):
        with pytest.raises(ValueError, match="`scheme`") as error:
            deterministic_sum_rate(system, users_of(system), scheme=with_shares(scheme, SHARES))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("shares", [-SHARES, np.ones(3), 1.0, np.full(USERS, np.nan)])
def test_bad_shares_are_named_in_one_line(shares):
    system = system_of()
    with pytest.raises(ValueError, match="`shares`") as error:
        deterministic_sum_rate(
            system, users_of(system), scheme=with_shares(adjacent_groups, shares)
        )
    assert "\n" not in str(error.value)
