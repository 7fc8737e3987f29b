"""The budget that powers have together: what it allows, and what is left to gain in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo.tuning import TotalPower, maximize


def linear(slope, powers):
    return jnp.sum(slope * powers)


def bowl(centre, powers):
    """Concave, with its top of 1 at the centre."""
    return 1.0 - jnp.sum((powers - centre) ** 2)


def projected(point, budget):
    """The nearest point of {p >= 0, sum p <= budget}, by bisection of the water level."""
    if np.maximum(point, 0.0).sum() <= budget:
        return np.maximum(point, 0.0)
    low, high = 0.0, np.max(point)
    for _ in range(100):
        level = 0.5 * (low + high)
        over = np.maximum(point - level, 0.0).sum() > budget
        low, high = (level, high) if over else (low, level)
    return np.maximum(point - level, 0.0)


def test_any_coordinates_are_allowed_and_points_inside_are_kept():
    domain = TotalPower(2.0)
    with jax.enable_x64(True):
        coordinates = 3 * jax.random.normal(jax.random.key(0), (200, 4))
        points = np.asarray(jax.vmap(domain.point)(coordinates))
        sums = points.sum(1)
        assert np.all(points >= 0)
        assert sums.max() <= 2.0 * (1 + 1e-12)
        assert sums.max() > 1.99
        assert sums.min() < 0.2
        inside = points[(sums < 1.999) & np.all(points > 1e-3, axis=1)]
        assert len(inside) > 10
        kept = jax.vmap(lambda point: domain.point(domain.coordinates(point)))(jnp.asarray(inside))
        np.testing.assert_allclose(kept, inside, rtol=1e-6)


@pytest.mark.parametrize("share", [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
def test_searches_leave_corners_that_they_start_on(share):
    """Where slopes of the coordinates vanish, but not those of the objective."""
    top = jnp.asarray([0.2, 0.9, 0.4])
    found = maximize(
        Partial(bowl, top), 2.0 * jnp.asarray(share), domain=TotalPower(2.0), tolerance=1e-4
    )
    assert found.converged
    np.testing.assert_allclose(found.parameters, top, atol=3e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_powers_within_a_budget_are_found(seed):
    """Optima on faces of the set: a budget that is spent, powers of zero."""
    centre = np.random.default_rng(seed).normal(0.5, 1.0, 5)
    expected = projected(centre, 1.0)
    assert np.any(expected == 0)
    assert expected.sum() == pytest.approx(1.0)
    objective = Partial(bowl, jnp.asarray(centre, jnp.float32))
    found = maximize(objective, jnp.full(5, 0.2), domain=TotalPower(1.0), tolerance=1e-4)
    np.testing.assert_allclose(found.parameters, expected, atol=0.02)
    best = 1.0 - np.sum((expected - centre) ** 2)
    rounding = 1e-5 * max(1.0, abs(best))
    assert found.value <= best + rounding
    assert best <= found.value + found.gap + rounding  # concave: a true bound


@pytest.mark.parametrize("slope", [[0.5, 2.0, -1.0], [-1.0, -0.5, -2.0]])
def test_gain_is_exact_for_linear_objectives(slope):
    """The best of the corners: all of the budget to one power, or none at all."""
    rng = np.random.default_rng(1)
    slope, domain = np.array(slope), TotalPower(1.5)
    best = max(1.5 * slope.max(), 0.0)
    for _ in range(3):
        point = 1.5 * rng.dirichlet(np.ones(4))[:3]
        gain = domain.gain(jnp.asarray(point), jnp.asarray(slope))
        np.testing.assert_allclose(slope @ point + gain, best, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("budget", [0.0, 3.0])
def test_corners_are_finite(budget):
    domain = TotalPower(budget)
    for point in (jnp.zeros(3), jnp.asarray([budget, 0.0, 0.0])):
        found = maximize(Partial(linear, jnp.asarray([1.0, 2.0, 0.0])), point, domain=domain)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
        np.testing.assert_allclose(found.value, 2 * budget, rtol=2e-3)
    slope = jax.jacobian(domain.point)(jnp.zeros(3))
    assert np.all(np.isfinite(slope))
    one = maximize(jnp.sum, jnp.asarray([0.1]), domain=TotalPower(0.7))
    np.testing.assert_allclose(one.parameters, 0.7, rtol=2e-3)


def test_cells_batch_by_vmap():
    slopes = jnp.asarray([[1.0, 0.5], [0.2, 0.3]])

    def search(slope, budget):
        return maximize(Partial(linear, slope), jnp.zeros(2), domain=TotalPower(budget))

    found = jax.vmap(search)(slopes, jnp.asarray([1.0, 2.0]))
    np.testing.assert_allclose(found.value, [1.0, 0.6], rtol=2e-3)


@pytest.mark.parametrize(
    ("budget", "parameter"), [(-1.0, "budget"), (np.ones(2), "budget"), (0.9, "init")]
)
def test_bad_arguments_are_named_in_one_line(budget, parameter):
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        maximize(jnp.sum, jnp.asarray([0.5, 0.5]), domain=TotalPower(budget))
    assert "\n" not in str(error.value)


def test_negative_powers_are_refused():
    with pytest.raises(ValueError, match="`init`"):
        maximize(jnp.sum, jnp.asarray([0.5, -0.1]), domain=TotalPower(1.0))
