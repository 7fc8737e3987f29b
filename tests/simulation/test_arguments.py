"""Arguments of the engine, and refusals of those that cannot be."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.randomness import complex_normal
from jaxmimo.simulation.monte_carlo import monte_carlo
from jaxmimo.simulation.sweep import simulate_points, sweep

KEY = jax.random.key(2024)


def power(key):
    """Exponential of mean 1."""
    return jnp.abs(complex_normal(key, (1,)))[0] ** 2


ENGINES = {
    "monte_carlo": (monte_carlo, {"sample": power}),
    "sweep": (sweep, {"sample": lambda key, point: point * power(key), "points": np.arange(2.0)}),
}
BAD = [
    *(("realizations", n) for n in (0, 1, -5, 2**31, True, 100.0, "100", None)),
    *(("batch_size", size) for size in (0, -1, 2.0, True)),
    *(("target_error", target) for target in (0, 1, 1.5, -0.1, np.nan)),
    *(("devices", some) for some in ("cpu", [], 1, [1], jax.devices()[0], jax.devices() * 2)),
    *((name, value) for name in ("statistic", "judged", "progress") for value in (3, "mean")),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_bad_arguments_are_refused_in_one_line(engine, name, value, monkeypatch):
    run, what = ENGINES[engine]
    arguments = {"key": KEY, "realizations": 100, "target_error": 0.1, name: value}
    # Past the type checks that only the tests install.
    points = "jaxmimo.simulation.sweep.simulate_points"
    monkeypatch.setattr(points, inspect.unwrap(simulate_points))
    with pytest.raises(ValueError, match=f"^`{name}` must ") as error:
        inspect.unwrap(run)(**what, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        (0, "jax.random.key"),
        (None, "jax.random.key"),
        (np.random.default_rng(0), "jax.random.key"),
        (jax.random.key_data(KEY), "jax.random.key"),
        (jax.random.split(KEY, 3), "jax.vmap"),
        (jax.random.key(0, impl="rbg"), "threefry2x32"),
    ],
)
@pytest.mark.parametrize("engine", [(monte_carlo, power), (simulate_points, lambda _: power, 2)])
def test_keys_of_another_kind_are_refused_in_one_line(engine, key, remedy):
    run, *what = engine  # `sweep` hands its key to `simulate_points`
    with pytest.raises(ValueError, match=f"^`key` must be a .*{remedy}") as error:
        inspect.unwrap(run)(*what, key=key, realizations=100, target_error=0.1)
    assert "\n" not in str(error.value)


def test_integers_of_numpy_are_taken():
    run = inspect.unwrap(monte_carlo)
    estimate = run(power, KEY, np.int64(100), batch_size=np.int32(16))
    assert type(estimate.realizations) is int
    np.testing.assert_allclose(estimate.mean, monte_carlo(power, KEY, 100).mean, rtol=1e-5)
