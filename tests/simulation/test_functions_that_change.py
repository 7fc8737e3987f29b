"""What looks like a plain function behaves like one: after it changed, it gives its new answer.

Programs are found by what was traced, not by the function object, which stays the same when what
it reads has changed.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo import monte_carlo, sweep, tuning
from jaxmimo.channel.correlation import uncorrelated
from jaxmimo.core import traces
from jaxmimo.core.programs import found, kept_jit, programs_kept_in
from jaxmimo.core.randomness import complex_normal
from jaxmimo.distributed_rician import DistributedRician, se_of_drops, simulate_se

KEY = jax.random.key(0)
SNRS = (1.0, 10.0, 100.0)
MEANS = (0.86035, 2.9064, 5.8841)
"""Means of log2(1 + snr |h|^2) by exp(1 / snr) E1(1 / snr) / ln 2."""

snr = 1.0


def rate(key):
    return jnp.log2(1 + snr * jnp.abs(complex_normal(key, (1,)))[0] ** 2)


def with_snr(value, function, *args):
    global snr
    snr = value
    return function(*args)


class Link:
    def __init__(self, snr):
        self.snr = snr

    def rate(self, key):
        return jnp.log2(1 + self.snr * jnp.abs(complex_normal(key, (1,)))[0] ** 2)


def test_means_are_those_of_the_closed_form():
    from scipy.special import exp1

    x = 1 / np.asarray(SNRS)
    np.testing.assert_allclose(np.exp(x) * exp1(x) / np.log(2), MEANS, rtol=1e-4)


def assert_follows(values):
    np.testing.assert_allclose(values, MEANS, rtol=0.05)


def test_a_variable_of_the_module():
    values = [
        float(with_snr(value, monte_carlo, rate, KEY, 2000).mean) for value in (*SNRS, SNRS[0])
    ]
    assert_follows(values[:3])
    assert values[3] == values[0]


def test_an_attribute_behind_a_bound_method():
    link, values = Link(1.0), []
    for link.snr in SNRS:
        values.append(monte_carlo(link.rate, KEY, 2000).mean)
    assert_follows(values)


@pytest.mark.parametrize("jitted", [False, True])
def test_an_array_that_is_changed_in_place(jitted):
    array, values = np.ones(1, np.float32), []

    def sample(key):
        def draw(key):
            return jnp.log2(1 + array[0] * jnp.abs(complex_normal(key, (1,)))[0] ** 2)

        return (jax.jit(draw) if jitted else draw)(key)

    for array[0] in (*SNRS, SNRS[0]):
        values.append(float(monte_carlo(sample, KEY, 2000).mean))
    assert_follows(values[:3])
    assert values[3] == values[0]


def test_a_program_is_not_found_by_an_array_that_has_been_changed():
    """The trace that is remembered may hold the array itself, not what was in it."""

    def doubled(array):
        return kept_jit(_times)(lambda x: x * array, jnp.ones(64))

    def changed():
        first = np.full(64, 2.0, np.float32)
        before = doubled(first)
        first[:] = 3.0
        return before, doubled(np.full(64, 2.0, np.float32)), doubled(first)

    assert [value[0] for value in changed()] == [2.0, 2.0, 3.0]


def _times(function, x):
    return function(x)


def test_a_statistic():
    link, values = Link(1.0), []
    link.scaled = lambda mean: link.snr * mean
    for link.snr in (1.0, 3.0):
        values.append(float(monte_carlo(rate, KEY, 500, statistic=link.scaled).mean))
    assert values[1] == pytest.approx(3 * values[0])


def test_a_sweep():
    points = jnp.array([1.0, 2.0])
    curves = [with_snr(value, sweep, _rate_of_point, KEY, points, 2000).mean for value in SNRS]
    assert_follows([curve[0] for curve in curves])
    assert all(curve[1] > curve[0] for curve in curves)


def _rate_of_point(key, gain):
    return jnp.log2(1 + gain * snr * jnp.abs(complex_normal(key, (1,)))[0] ** 2)


@pytest.mark.parametrize("within", ["scan", "while_loop", "cond", "checkpoint", "jit"])
def test_a_function_within_one(within):
    """JAX remembers the traces of bodies and branches by their objects as well."""
    link = Link(1.0)

    def draw(key):
        return jnp.log2(1 + link.snr * jnp.abs(complex_normal(key, (1,)))[0] ** 2)

    def step(carry, key):
        return carry + draw(key), None

    def advance(state):
        count, key, total = state
        return count + 1, key, total + draw(key)

    def unfinished(state):
        return state[0] < 1

    samples = {
        "scan": lambda key: jax.lax.scan(step, 0.0, key[None])[0],
        "while_loop": lambda key: jax.lax.while_loop(unfinished, advance, (0, key, 0.0))[2],
        "cond": lambda key: jax.lax.cond(jnp.ones(()) > 0, draw, draw, key),
        "checkpoint": lambda key: jax.checkpoint(draw)(key),
        "jit": lambda key: jax.jit(draw)(key),
    }
    values = []
    for link.snr in SNRS:
        values.append(monte_carlo(samples[within], KEY, 2000).mean)
    assert_follows(values)


def test_under_transformations():
    link, values = Link(1.0), []
    for link.snr in SNRS:
        of_gain = jax.vmap(
            lambda gain: monte_carlo(Partial(_scaled, link.rate, gain), KEY, 2000).mean
        )
        values.append(of_gain(jnp.array([1.0, 2.0])))
    assert_follows([value[0] for value in values])
    np.testing.assert_allclose([value[1] / value[0] for value in values], 2.0, rtol=1e-6)


def _scaled(sample, gain, key):
    return gain * sample(key)


def test_a_checkpoint_of_the_function_before_it_changed_is_refused(tmp_path):
    link = Link(1.0)
    monte_carlo(link.rate, KEY, 300, checkpoint=tmp_path / "run")
    link.snr = 10.0
    with pytest.raises(ValueError, match="another model"):
        monte_carlo(link.rate, KEY, 300, checkpoint=tmp_path / "run")


def test_a_checkpoint_tells_constants_of_functions_within(tmp_path):
    """Constants of a function that is jitted by itself do not show in the text of the trace."""

    def sample_with(array):
        @jax.jit
        def draw(key):
            return array * jnp.abs(complex_normal(key, (3,))) ** 2

        return lambda key: draw(key).sum()

    monte_carlo(sample_with(jnp.arange(3.0)), KEY, 300, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="another model"):
        monte_carlo(sample_with(jnp.arange(3.0) + 1), KEY, 300, checkpoint=tmp_path / "run")


@pytest.mark.parametrize("kept", [False, True])
def test_a_covariance_function_of_ones_own(kept, tmp_path):
    scattering, values = SimpleNamespace(correlation=0.0), []

    def covariance(key, num_antennas, angle, spacing):
        lag = jnp.abs(jnp.arange(num_antennas)[:, None] - jnp.arange(num_antennas)[None])
        return (scattering.correlation**lag).astype(complex)

    network = DistributedRician(
        num_aps=1, ap_antennas=4, num_users=2, rician_factor=0.0, covariance=covariance
    )
    plain = DistributedRician(
        num_aps=1, ap_antennas=4, num_users=2, rician_factor=0.0, covariance=uncorrelated
    )

    def simulated(network):
        se = simulate_se(KEY, network, drops=8, realizations=8).mean
        np.testing.assert_allclose(
            se_of_drops(KEY, network, drops=8, realizations=8).mean(), se, rtol=1e-4
        )
        return float(se)

    def both():
        for scattering.correlation in (0.0, 0.9):
            values.append(simulated(network))
        values.append(simulated(plain))

    if kept:
        with programs_kept_in(tmp_path / "kept"):
            both()
    else:
        both()
    assert values[0] == pytest.approx(values[2], rel=1e-5)
    assert values[1] < values[0] - 0.2


def test_an_objective():
    target = SimpleNamespace()

    def objective(x):
        return -jnp.sum((x - target.point) ** 2)

    maxima = []
    for target.point in (1.0, 2.0):
        maxima.append(tuning.maximize(objective, jnp.zeros(2)).parameters)
    np.testing.assert_allclose(maxima, [[1.0, 1.0], [2.0, 2.0]], atol=1e-3)


def test_functions_that_are_called_back_are_told_apart():
    """A trace shows of a function that is called back no more than its name."""

    def sample_adding(number):
        def add(x):
            return np.asarray(x + number, np.float32)

        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return lambda key: jax.pure_callback(add, shape, power(key), vmap_method="sequential")

    def power(key):
        return jnp.abs(complex_normal(key, (1,)))[0] ** 2

    one, five = (float(monte_carlo(sample_adding(n), KEY, 64).mean) for n in (1, 5))
    assert five == pytest.approx(one + 4)


def test_own_functions_over_arrays_are_not_traced_again(monkeypatch):
    network = DistributedRician(num_aps=1, ap_antennas=2, num_users=2, rician_factor=1.0)
    first = simulate_se(KEY, network, drops=4, realizations=2)

    def refuse(*_):
        raise AssertionError("traced again")

    monkeypatch.setattr("jaxmimo.core.traces.trace", refuse)
    monkeypatch.setattr("jaxmimo.simulation.model.trace", refuse)
    monkeypatch.setattr("jaxmimo.core.programs.trace", refuse)
    assert simulate_se(KEY, network, drops=4, realizations=2).mean == first.mean


def test_traces_are_let_go():
    for number in range(traces.MOST + 5):
        found(_times, lambda x, number=number: x * number, jnp.ones(2))
    assert len(traces._TRACES) <= traces.MOST


def test_functions_without_a_module_are_not_taken_for_ours():
    space: dict = {"jnp": jnp, "complex_normal": complex_normal}
    exec(
        "sample = lambda key: jnp.log2(1 + snr * jnp.abs(complex_normal(key, (1,)))[0] ** 2)", space
    )
    values = []
    for space["snr"] in SNRS:
        values.append(monte_carlo(space["sample"], KEY, 2000).mean)
    assert_follows(values)
