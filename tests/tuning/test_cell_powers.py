"""Powers of a cell's streams: against eigenvectors, random search and simulation."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo.beamforming_3d import (
    Beamforming3D,
    adjacent_groups,
    draw_users,
    full_dimension_zf,
    generalized_mrt,
    make_cell,
    user_rates,
    with_shares,
)
from jaxmimo.systems.beamforming_3d.cell import channel_factors, draw_channels
from jaxmimo.tuning import (
    TotalPower,
    balanced_split,
    cell_se,
    max_min,
    maximize,
    proportional_fairness,
    sum_se,
)

USERS = 5
ONES = jnp.ones(USERS)


def system_of(**other):
    """A small cell whose users all hear enough to disturb each other."""
    return Beamforming3D(
        **{
            "azimuth_antennas": 6,
            "elevation_antennas": 4,
            "num_users": USERS,
            "azimuth_groups": 3,
            "elevation_groups": 2,
            "reference_distance": 300.0,
            **other,
        }
    )


def users_of(seed):
    return draw_users(jax.random.key(seed), system_of())


def cell_of(seed, **other):
    return make_cell(system_of(**other), users_of(seed))


@eqx.filter_jit
def se_of(cell, scheme=adjacent_groups):
    return cell_se(cell, scheme)


@cache
def tuned(seed):
    """Shares of the largest sum rate, and of the fairest."""
    se = se_of(cell_of(seed))
    searches = [
        maximize(Partial(value_of, se, objective=objective), ONES, domain=TotalPower(USERS))
        for objective in (sum_se, proportional_fairness)
    ]
    return se, *searches, balanced_split(se, USERS, USERS)


def value_of(se, shares, *, objective):
    return objective(se(shares))


def perron(powers):
    """Max-min SINR for powers (streams, users) of an equal split, by the eigenvalue."""
    coupling = (powers - np.diag(np.diag(powers))).T
    extended = (coupling + 1.0 / USERS) / np.diag(powers)[:, None]
    values, vectors = np.linalg.eig(extended)
    largest = np.argmax(values.real)
    vector = np.abs(vectors[:, largest].real)
    return 1.0 / values[largest].real, USERS * vector / vector.sum()


@pytest.mark.parametrize("seed", [0, 1])
def test_balanced_shares_are_the_perron_eigenvector(seed, verified):
    with jax.enable_x64(True):
        cell = cell_of(seed)
        powers = np.asarray(
            eqx.filter_jit(lambda c: adjacent_groups(c).powers_in_the_limit())(cell)
        )
        sinr, shares = perron(powers)
        found = balanced_split(se_of(cell), USERS, USERS, tolerance=1e-7)
        assert bool(found.converged)
        verified(
            "Ours, max-min SE of a cell",
            "Perron eigenvector",
            found.se,
            np.log2(1 + sinr),
            rtol=1e-6,
        )
        np.testing.assert_allclose(found.powers, shares, rtol=1e-5)
        assert float(found.powers.sum()) == pytest.approx(USERS, rel=1e-12)


def test_max_min_by_gradient_finds_the_same():
    se, *_, balanced = tuned(0)
    found = max_min(se, ONES, domain=TotalPower(USERS))
    assert found.converged
    np.testing.assert_allclose(found.value, balanced.se.min(), rtol=3e-3)


def test_max_min_of_fixed_precoders_is_bounded_from_both_sides():
    """Ergodic rates are no functions of one SINR; no shares of a random search pass the largest."""
    se = se_of(cell_of(0), generalized_mrt)
    found = balanced_split(se, USERS, USERS, tolerance=1e-4)
    assert found.converged
    assert float(found.se.min()) > float(jnp.min(se(ONES)))
    near = found.powers[None] * jnp.exp(0.3 * jax.random.normal(jax.random.key(0), (500, USERS)))
    near = USERS * near / near.sum(1, keepdims=True)
    best = jax.jit(jax.vmap(se))(near).min(1).max()
    assert 0.9 * found.se.min() < best <= found.se.max()


@pytest.mark.parametrize("seed", range(2))
def test_tuned_shares_beat_the_equal_split_and_a_random_search(seed):
    se, total, fair, balanced = tuned(seed)
    assert total.converged
    assert fair.converged
    tried = USERS * jax.random.dirichlet(jax.random.key(0), jnp.ones(USERS), (20_000,))
    rates = jax.vmap(se)(jnp.concatenate([ONES[None], tried]))
    cases = (
        (sum_se, total.value, total.gap),
        (proportional_fairness, fair.value, fair.gap),
        (jnp.min, balanced.se.min(), balanced.se.max() - balanced.se.min()),
    )
    for objective, value, gap in cases:
        every = jax.vmap(objective)(rates)
        assert value >= every[0]
        assert value + gap >= every.max()
    for shares in (total.parameters, fair.parameters, balanced.powers):
        assert np.all(np.asarray(shares) >= 0)
        assert float(jnp.sum(shares)) <= USERS * (1 + 1e-6)


def test_the_equivalent_knows_the_means_of_powers_with_any_shares():
    """Theorem 1 is about powers: rates of their simulated means are met with shares as without."""
    cell = cell_of(0, power=10.0, azimuth_antennas=24, elevation_antennas=8)
    precoding, factors = adjacent_groups(cell), channel_factors(cell)

    @jax.jit
    def mean_powers(key):
        keys = jax.random.split(key, 300)
        return jax.lax.map(lambda key: precoding.powers(draw_channels(key, factors)), keys).mean(0)

    powers = np.asarray(mean_powers(jax.random.key(1)), np.float64)
    se = se_of(cell)
    own = np.diag(powers)
    for shares in (ONES, jnp.asarray([0.2, 2.0, 0.5, 1.8, 0.5])):
        received = shares @ powers
        expected = np.log2(1 + shares * own / (1 + received - shares * own))
        np.testing.assert_allclose(se(shares).sum(), expected.sum(), rtol=0.03)


def test_tuned_shares_raise_on_fading_what_they_were_tuned_for():
    """Beams are few here and the equivalent rough; fairness is wanted in rates, not in powers."""
    _, total, fair, balanced = tuned(0)
    schemes = [
        with_shares(adjacent_groups, shares)
        for shares in (ONES, total.parameters, fair.parameters, balanced.powers)
    ]
    found = user_rates(
        jax.random.key(2), system_of(), users_of(0), scheme=schemes, realizations=1500
    )
    assert found.mean.shape == (4, USERS)
    equal, for_sum, for_all, for_weakest = found.mean
    # From the same draws, so that gains are known far better than rates.
    assert for_sum.sum() > 1.01 * equal.sum()
    assert proportional_fairness(for_all) > 1.01 * proportional_fairness(equal)
    assert for_weakest.min() > 1.5 * equal.min()


def test_cells_batch_by_vmap():
    users = [users_of(seed) for seed in range(3)]
    cells = [make_cell(system_of(), each) for each in users]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cells)

    def search(cell):
        return balanced_split(cell_se(cell), USERS, USERS)

    found = jax.jit(jax.vmap(search))(together)
    assert np.all(found.converged)
    alone = balanced_split(se_of(cells[2]), USERS, USERS)
    np.testing.assert_allclose(found.se[2], alone.se, rtol=2e-3)


@pytest.mark.parametrize("budget", [1e-6, 1.0, 1e6])
def test_one_user_gets_all_and_a_user_nobody_hears_breaks_nothing(budget):
    alone = balanced_split(lambda powers: jnp.log2(1 + powers), budget, 1)
    np.testing.assert_allclose(alone.powers, budget, rtol=1e-6)
    deaf = Partial(lambda gain, powers: jnp.log2(1 + gain * powers), jnp.asarray([0.0, 1.0]))
    found = balanced_split(deaf, budget, 2)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    np.testing.assert_allclose(found.powers.sum(), budget, rtol=1e-6)


def test_full_dimension_is_refused():
    with pytest.raises(ValueError, match="`scheme`") as error:
        cell_se(cell_of(0), full_dimension_zf)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"budget": 0.0}, "budget"),
        ({"budget": np.ones(2)}, "budget"),
        ({"num_users": 0}, "num_users"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"max_steps": 0}, "max_steps"),
    ],
)
def test_bad_arguments_are_named_in_one_line(change, parameter):
    arguments = {"budget": 1.0, "num_users": 2, **change}
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        balanced_split(jnp.log1p, **arguments)
    assert "\n" not in str(error.value)
