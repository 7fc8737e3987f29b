"""Tuned groups: the relaxation against Theorem 1, and the groups against all assignments."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    Groups,
    adjacent_groups,
    all_groups,
    deterministic_sum_rate,
    draw_users,
    full_dimension_zf,
    generalized_mrt,
    make_cell,
    own_group,
    sum_rate,
)
from jaxmimo.systems.beamforming_3d.schemes import stream_in_the_limit
from jaxmimo.tuning.groups import annealed_groups, greedy_groups, soft_rates, tune_groups

AZIMUTH_GROUPS, ELEVATION_GROUPS = 3, 2
PAIRS = AZIMUTH_GROUPS * ELEVATION_GROUPS
USERS, DROPS = 4, 4
EVERY = np.array(list(np.ndindex(*[PAIRS] * USERS)), np.int32)
"""All assignments."""
CORNERS = {
    "nobody hears": {"reference_distance": 1e-3},
    "one direction": {"azimuth_limit": 0.0, "azimuth_spread_limit": 0.0, "elevation_limit": 0.0},
    "50 dB": {"power": 1e5},
}


def system_of(**other):
    """A small cell whose users all hear enough to disturb each other."""
    return Beamforming3D(
        **{
            "azimuth_antennas": 6,
            "elevation_antennas": 4,
            "num_users": USERS,
            "azimuth_groups": AZIMUTH_GROUPS,
            "elevation_groups": ELEVATION_GROUPS,
            "reference_distance": 400.0,
            **other,
        }
    )


def cell_of(seed, **other):
    system = system_of(**other)
    return make_cell(system, draw_users(jax.random.key(seed), system))


def groups_of(pair):
    pair = jnp.asarray(pair, jnp.int32)
    counts = AZIMUTH_GROUPS, ELEVATION_GROUPS
    return Groups(pair // ELEVATION_GROUPS, pair % ELEVATION_GROUPS, *counts)


def pairs_of(groups):
    return np.asarray(groups.azimuth * ELEVATION_GROUPS + groups.elevation)


@eqx.filter_jit
def rates_of(cell, pair, scheme=adjacent_groups):
    return scheme(cell.with_groups(groups_of(pair))).rates_in_the_limit()


@eqx.filter_jit
def value_and_slope(cell, logits, scheme=adjacent_groups):
    """The sum of soft rates, and its gradient in the logits of the shares."""

    def total(logits):
        return soft_rates(cell, jax.nn.softmax(logits), scheme=scheme).sum()

    return jax.value_and_grad(total)(logits)


def soft_sum_rate(cell, shares, scheme=adjacent_groups):
    with np.errstate(divide="ignore"):
        logits = jnp.asarray(np.maximum(np.log(shares), -1e4))
    return float(value_and_slope(cell, logits, scheme)[0])


@pytest.fixture(scope="module")
def cells():
    """Usual cells, then one of each corner, along a first axis."""
    each = [cell_of(seed) for seed in range(DROPS)]
    each += [cell_of(0, **other) for other in CORNERS.values()]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


@pytest.fixture(scope="module")
def found(cells):
    """Pairs (cells, users) of the tuned groups."""
    return pairs_of(jax.jit(jax.vmap(tune_groups))(cells))


@pytest.fixture(scope="module")
def rates(cells):
    """Sum rates (drops, *pairs of every user) of all assignments."""

    def of_cell(cell):
        return jax.lax.map(lambda pair: rates_of(cell, pair).sum(), EVERY, batch_size=144)

    usual = jax.tree.map(lambda leaf: leaf[:DROPS], cells)
    every = jax.jit(lambda cells: jax.lax.map(of_cell, cells))(usual)
    return np.asarray(every).reshape(DROPS, *[PAIRS] * USERS)


# The relaxation


def test_hard_shares_have_the_sum_rate_of_theorem_1():
    with jax.enable_x64(True):
        cell = cell_of(0)
        for pair in ([0, 0, 0, 0], [0, 1, 2, 5], [3, 3, 4, 1]):
            soft = soft_sum_rate(cell, np.eye(PAIRS)[pair])
            np.testing.assert_allclose(soft, rates_of(cell, pair).sum(), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme", [own_group, partial(adjacent_groups, diagonal=False, wrap=False), all_groups]
)
def test_hard_shares_have_the_rates_of_theorem_1_for_each_user(scheme):
    with jax.enable_x64(True):
        cell = cell_of(0)
        soft = jax.jit(partial(soft_rates, scheme=scheme))
        for pair in ([0, 0, 0, 0], [0, 1, 2, 5], [3, 3, 4, 1]):
            shares = jax.nn.one_hot(jnp.asarray(pair), PAIRS)
            expected = rates_of(cell, pair, scheme)
            np.testing.assert_allclose(soft(cell, shares), expected, rtol=1e-9)


def test_gradients_of_the_relaxation_are_central_differences():
    """Along directions in which all logits move, at equal shares and at nearly hard ones."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        cell = cell_of(1)
        for scale in (0.0, 1.0, 4.0):
            logits = scale * rng.normal(size=(USERS, PAIRS))
            _, slope = value_and_slope(cell, jnp.asarray(logits))
            direction, step = rng.normal(size=logits.shape), 1e-4
            ends = [
                float(value_and_slope(cell, jnp.asarray(logits + each * direction))[0])
                for each in (step, -step)
            ]
            expected = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose((slope * direction).sum(), expected, rtol=1e-6)


@pytest.mark.slow
def test_one_user_gains_nothing_by_being_soft():
    """Convexity in the shares of one user, where weights are fixed: all leakage is counted."""
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        cell = cell_of(2)
        for user in range(USERS):
            shares = rng.dirichlet(np.ones(PAIRS), (2, USERS))
            shares[1] = np.where(np.arange(USERS)[:, None] == user, shares[1], shares[0])
            low, high = (soft_sum_rate(cell, each, all_groups) for each in shares)
            middle = soft_sum_rate(cell, shares.mean(0), all_groups)
            assert middle < (low + high) / 2


# The groups


def test_tuned_groups_are_never_worse_than_those_of_2d_fqug(cells, found, rates):
    before = np.array([rates[i][tuple(pairs_of(cells.groups)[i])] for i in range(DROPS)])
    after = np.array([rates[i][tuple(found[i])] for i in range(DROPS)])
    assert np.all(after >= before * (1 - 1e-5))
    assert np.any(after > 1.01 * before)


def test_tuned_groups_are_near_the_best_of_all(found, rates):
    for drop in range(DROPS):
        assert rates[drop][tuple(found[drop])] > 0.98 * rates[drop].max()


def test_no_move_of_one_user_is_left_that_helps(found, rates):
    for drop in range(DROPS):
        here = rates[drop][tuple(found[drop])]
        for user in range(USERS):
            to = [slice(None) if k == user else p for k, p in enumerate(found[drop])]
            assert rates[drop][tuple(to)].max() < (1 + 2e-4) * here


def test_corners_have_groups(found):
    assert np.all((found >= 0) & (found < PAIRS))


@pytest.mark.slow
def test_corners_are_finite(cells):
    for i, _ in enumerate(CORNERS):
        cell = jax.tree.map(lambda leaf, i=i: leaf[DROPS + i], cells)
        value, slope = value_and_slope(cell, jnp.zeros((USERS, PAIRS)))
        assert np.isfinite(value)
        assert np.all(np.isfinite(slope))


@pytest.mark.slow
def test_one_user_and_one_pair():
    for other in ({"num_users": 1}, {"azimuth_groups": 1, "elevation_groups": 1}):
        cell = cell_of(0, **other)
        groups = jax.jit(tune_groups)(cell)
        before, after = (
            adjacent_groups(cell.with_groups(each)).rates_in_the_limit().sum()
            for each in (cell.groups, groups)
        )
        assert after >= before > 0


def test_no_power_is_below_zero_where_a_user_is_not_seen():
    """There covariances are rounding, of which precoders of unit norm make full streams."""
    system = Beamforming3D(
        azimuth_antennas=64, elevation_antennas=12, num_users=20, azimuth_groups=8
    )
    key, _ = jax.random.split(jax.random.fold_in(jax.random.key(0), 70))
    cell = make_cell(system, draw_users(key, system))
    streams = jax.jit(jax.vmap(stream_in_the_limit, (None, None, None, 0, 0)))
    pair = np.arange(32, dtype=np.int32)
    powers = streams(cell, jnp.asarray(11), jnp.ones(20), pair // 4, pair % 4)
    assert float(powers.min()) >= 0.0


# Given groups, bad arguments


def test_equivalent_of_given_groups(rates):
    system = system_of()
    users = draw_users(jax.random.key(0), system)
    rate = deterministic_sum_rate(system, users, groups=groups_of([3, 0, 0, 5]))
    np.testing.assert_allclose(rate, rates[0, 3, 0, 0, 5], rtol=1e-5)
    with pytest.raises(ValueError, match="`groups` must be those of the 4 users"):
        deterministic_sum_rate(system, users, groups=groups_of([0, 1]))


@pytest.mark.slow
def test_simulation_of_given_groups():
    system = system_of()
    users = draw_users(jax.random.key(0), system)
    start = make_cell(system, users).groups
    usual, same, other = (
        sum_rate(jax.random.key(6), system, users, groups=groups, realizations=64).mean
        for groups in (None, start, groups_of([3, 0, 0, 5]))
    )
    assert usual == same
    assert abs(other - usual) > 0.01 * usual


def test_bad_arguments_are_told(cells):
    cell = jax.tree.map(lambda leaf: leaf[0], cells)
    for function in (tune_groups, greedy_groups, annealed_groups):
        for scheme in (generalized_mrt, full_dimension_zf):
            with pytest.raises(ValueError, match="`scheme` must be a two-stage one") as error:
                function(cell, scheme=scheme)
            assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"`shares` must have the shape \(users, pairs\)"):
        soft_rates(cell, jnp.ones((USERS, PAIRS - 1)))
