"""`maximize` and its domains: certificates, limits, batches, corners."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from jaxmimo.tuning import (
    ApPowerBudget,
    PowerLimits,
    Unconstrained,
    maximize,
    maximize_from_each,
)

CENTRE = np.array([0.3, -1.0, 2.0])


def bowl(centre, x):
    """Concave, with its top of 1 at the centre."""
    return 1.0 - jnp.sum((x - centre) ** 2)


@pytest.mark.parametrize("optimizer", [None, optax.adam(0.05)], ids=["default", "adam"])
def test_finds_the_top_without_constraints(optimizer):
    options = {} if optimizer is None else {"optimizer": optimizer}
    found = maximize(Partial(bowl, jnp.asarray(CENTRE)), jnp.zeros(3), **options)
    np.testing.assert_allclose(found.parameters, CENTRE, atol=1e-3)
    assert found.converged
    assert 0 <= found.gap <= 1e-3 * found.value
    assert found.history.shape == (401,)
    assert np.all(np.diff(found.history) >= 0)
    assert found.history[-1] == found.history[found.steps] == pytest.approx(1.0, abs=1e-5)


def test_stops_at_limits_of_powers_and_bounds_what_is_left():
    """The optimum is elementary: every power goes to the end nearest to the top."""
    limit = jnp.asarray([1.0, 1.0, 1.5])
    objective, domain = Partial(bowl, jnp.asarray(CENTRE)), PowerLimits(limit)
    expected = np.clip(CENTRE, 0.0, limit)
    best = float(objective(expected))
    found = maximize(objective, limit, domain=domain)
    np.testing.assert_allclose(found.parameters, expected, atol=2e-3)
    assert found.converged
    assert np.all((found.parameters >= 0) & (found.parameters <= limit))
    early = maximize(objective, 0.5 * limit, domain=domain, max_steps=1)
    assert not early.converged
    assert best - early.value > 1e-3 * best
    assert early.value <= best <= early.value + early.gap


def test_budget_of_each_ap_holds_and_its_optimum_is_matched_to_the_slope():
    slope = np.random.default_rng(0).standard_normal((4, 3))
    slope[2] = 0.0
    objective = Partial(lambda slope, a: jnp.sum(slope * a), jnp.asarray(slope))
    found = maximize(objective, jnp.full((4, 3), 0.2), domain=ApPowerBudget(), tolerance=1e-4)
    norms = np.linalg.norm(slope, axis=1)
    assert found.converged
    np.testing.assert_allclose(found.value, norms.sum(), rtol=1e-4)
    assert np.all(np.sum(found.parameters**2, 1) <= 1 + 1e-6)
    np.testing.assert_allclose(found.value + found.gap, norms.sum(), rtol=1e-5)  # linear: exact


@pytest.mark.parametrize("domain", [PowerLimits(0.7), ApPowerBudget()], ids=["limits", "budget"])
def test_any_coordinates_are_allowed_and_points_inside_are_kept(domain):
    with jax.enable_x64(True):
        coordinates = 10 * jax.random.normal(jax.random.key(0), (50, 3))
        points = domain.point(coordinates)
        norms = np.sum(points**2, 1)
        if isinstance(domain, ApPowerBudget):
            assert norms.max() <= 1 + 1e-12
            inside = points[norms < 0.999]
        else:
            assert np.all((points >= 0) & (points <= 0.7))
            inside = points[np.all((points > 0.001) & (points < 0.699), axis=1)]
        assert len(inside) > 10
        np.testing.assert_allclose(domain.point(domain.coordinates(inside)), inside, rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_searches_leave_limits_that_they_start_on(share):
    """Where slopes of the coordinates vanish, but not those of the objective."""
    limits = maximize(
        Partial(bowl, jnp.full(3, 0.5)), jnp.full(3, share), domain=PowerLimits(jnp.ones(3))
    )
    np.testing.assert_allclose(limits.parameters, 0.5, atol=2e-3)
    top = jnp.asarray([[0.3, 0.4], [0.0, 0.2]])
    start = share * jnp.eye(2)
    budget = maximize(Partial(bowl, top), start, domain=ApPowerBudget())
    np.testing.assert_allclose(budget.parameters, top, atol=2e-3)


def test_a_start_on_a_limit_that_is_optimal_is_returned_itself():
    limit = jnp.asarray([0.1, 0.2])
    found = maximize(Partial(bowl, jnp.ones(2)), limit, domain=PowerLimits(limit))
    np.testing.assert_array_equal(found.parameters, limit)
    assert found.converged
    assert found.gap == 0


def test_networks_batch_by_vmap_and_each_stops_by_itself():
    centres = jnp.asarray(CENTRE)[None] * jnp.asarray([[0.0], [1.0], [5.0]])

    def search(centre):
        return maximize(Partial(bowl, centre), jnp.zeros(3))

    together = jax.jit(jax.vmap(search))(centres)
    assert np.all(together.converged)
    assert together.steps[0] == 0 < together.steps[1]
    np.testing.assert_allclose(together.parameters, centres, atol=1e-3)


def test_gap_of_no_constraint_counts_every_leaf():
    slopes = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray(-0.5)}
    assert Unconstrained().gain(slopes, slopes) == 3.5


def test_best_of_several_starts_is_the_global_maximum():
    def two_tops(x):
        return jnp.exp(-((x - 1.0) ** 2)) + 2 * jnp.exp(-((x + 3.0) ** 2))

    found = maximize_from_each(two_tops, jnp.asarray([2.0, -2.0, 0.5]))
    assert found.value == pytest.approx(2.0, abs=1e-3)
    assert found.parameters == pytest.approx(-3.0, abs=1e-2)


def test_an_objective_that_breaks_ends_the_search_at_what_was_found():
    def breaks(x):
        return jnp.where(x > 0.5, jnp.nan, x)

    found = maximize(breaks, jnp.asarray(0.0), optimizer=optax.sgd(0.2), max_steps=50)
    assert not found.converged
    assert found.value == pytest.approx(0.4, abs=1e-6)
    assert found.steps < 10
    assert np.all(np.isfinite(found.history))


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"objective": lambda x: x}, "objective"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"max_steps": 0}, "max_steps"),
        ({"domain": PowerLimits(0.1)}, "init"),
    ],
)
def test_bad_arguments_are_named_in_one_line(change, parameter):
    arguments = {"objective": jnp.sum, "init": jnp.full(3, 0.5), **change}
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        maximize(arguments.pop("objective"), arguments.pop("init"), **arguments)
    assert "\n" not in str(error.value)


def test_starts_over_budget_are_refused():
    with pytest.raises(ValueError, match="`init`"):
        maximize_from_each(jnp.sum, jnp.ones((2, 4, 3)), domain=ApPowerBudget())
