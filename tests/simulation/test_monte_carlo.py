from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.randomness import complex_normal
from jaxmimo.simulation import tally
from jaxmimo.simulation.monte_carlo import Estimate, identity, monte_carlo
from jaxmimo.studies import iqi
from jaxmimo.systems.cell_free_iqi import se_model

KEY = jax.random.key(2024)
BATCH_SIZES = (1, 3, 16, 64, 4096, None)


def power(key):
    """Exponential of mean 1."""
    return jnp.abs(complex_normal(key, (1,)))[0] ** 2


def moments(key):
    """Mean and second moment of a Gaussian of mean 2 and variance 1/2."""
    x = complex_normal(key, (1,))[0].real + 2
    return {"first": x, "second": x**2}


def rate(means):
    return jnp.log2(1 + means["first"] ** 2 / (means["second"] - means["first"] ** 2))


TRUE_RATE = np.log2(1 + 2**2 / 0.5)


@partial(jax.jit, static_argnums=(0, 2))
def draws(sample, key, realizations):
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(realizations))
    return jax.vmap(sample)(keys)


def looped_jackknife(statistic, values, blocks):
    """Delete-m_j jackknife for unequal blocks (Busing et al., 1999), in loops."""
    n = len(values)
    value = statistic(values.mean(axis=0))
    members = [np.arange(n) % blocks == j for j in range(blocks)]
    without = [statistic(values[~member].mean(axis=0)) for member in members]
    share = [n / member.sum() for member in members]
    mean = blocks * value - sum((1 - 1 / h) * w for h, w in zip(share, without, strict=True))
    variance = 0.0
    for h, w in zip(share, without, strict=True):
        pseudo = h * value - (h - 1) * w
        variance += (pseudo - mean) ** 2 / (h - 1) / blocks
    return mean, np.sqrt(variance)


# The numbers


def test_mean_and_standard_error_equal_the_plain_formulas():
    n = 64 * 1000
    values = np.asarray(draws(power, KEY, n), np.float64)
    estimate = monte_carlo(power, KEY, n)
    np.testing.assert_allclose(estimate.mean, values.mean(), rtol=1e-6)
    means = values.reshape(-1, 64).mean(0)  # realization i is in block i % 64
    np.testing.assert_allclose(estimate.std_error, means.std(ddof=1) / 8, rtol=1e-5)
    plain = values.std(ddof=1) / np.sqrt(n)
    assert abs(estimate.std_error / plain - 1) < 4 * np.sqrt(1 / (2 * 63))
    assert estimate.std_error < 0.005
    assert abs(estimate.mean - 1) < 5 * estimate.std_error
    assert estimate.degrees_of_freedom == 63


@pytest.mark.parametrize("n", [2, 3, 10, 65, 1000, 4097])
def test_equals_the_looped_jackknife_with_unequal_blocks(n):
    values = np.stack(jax.tree.leaves(draws(moments, KEY, n)), axis=-1).astype(np.float64)
    blocks = min(64, 2 ** int(np.log2(n)))

    def ratio(means):
        return means["first"] ** 2 / means["second"]

    mean, error = looped_jackknife(lambda m: m[0] ** 2 / m[1], values, blocks)
    estimate = monte_carlo(moments, KEY, n, statistic=ratio)
    np.testing.assert_allclose(estimate.mean, mean, rtol=1e-4)
    np.testing.assert_allclose(estimate.std_error, error, rtol=1e-3)
    assert estimate.degrees_of_freedom == blocks - 1
    assert estimate.realizations == n


@pytest.mark.parametrize("n", [10, 1000])
def test_batch_size_changes_nothing_but_rounding(n):
    estimates = [
        monte_carlo(moments, KEY, n, statistic=rate, batch_size=size) for size in BATCH_SIZES
    ]
    for estimate in estimates[1:]:
        np.testing.assert_allclose(estimate.mean, estimates[0].mean, rtol=1e-5)
        np.testing.assert_allclose(estimate.std_error, estimates[0].std_error, rtol=1e-3)


def test_complex_samples():
    def sample(key):
        return complex_normal(key, (2,)) * jnp.asarray([1.0, 2.0]) + 1j

    values = np.asarray(draws(sample, KEY, 6400), np.complex128)
    for estimate in (monte_carlo(sample, KEY, 6400), traced(sample, 6400)(KEY)):
        assert estimate.mean.dtype == jnp.complex64
        assert estimate.std_error.dtype == jnp.float32
        np.testing.assert_allclose(estimate.mean, values.mean(0), atol=1e-5)
        means = values.reshape(100, 64, 2).mean(0)
        np.testing.assert_allclose(estimate.std_error, means.std(0, ddof=1) / 8, rtol=1e-4)


def test_boolean_and_integer_samples():
    def sample(key):
        outage = power(key) < 0.1
        return outage, jnp.where(outage, jnp.int8(100), jnp.int8(0))

    n = 20_000
    count = int(draws(sample, KEY, n)[0].sum())
    for estimate in (monte_carlo(sample, KEY, n), traced(sample, n)(KEY)):
        np.testing.assert_allclose(estimate.mean[0], count / n, rtol=1e-5)
        np.testing.assert_allclose(estimate.mean[1], 100 * count / n, rtol=1e-5)


def test_pytrees_in_and_out():
    def statistic(means):
        return (means["first"], {"ratio": means["second"] / jnp.asarray([1.0, 2.0])})

    estimate = monte_carlo(moments, KEY, 100, statistic=statistic)
    assert jax.tree.structure(estimate.mean) == jax.tree.structure((0, {"ratio": 0}))
    assert jax.tree.structure(estimate.std_error) == jax.tree.structure(estimate.mean)
    assert estimate.mean[1]["ratio"].shape == (2,)
    low, high = estimate.interval()
    assert low[0] < estimate.mean[0] < high[0]


def test_double_precision():
    values = np.asarray(draws(power, KEY, 1000), np.float64)
    with jax.enable_x64(True):
        double = monte_carlo(power, KEY, 1000)
        under_jit = traced(power, 1000)(KEY)
        exact = np.asarray(draws(power, KEY, 1000))
        assert double.mean.dtype == double.std_error.dtype == jnp.float64
        np.testing.assert_allclose(double.mean, exact.mean(), rtol=1e-14)
        np.testing.assert_allclose(under_jit.mean, double.mean, rtol=1e-14)
        np.testing.assert_allclose(under_jit.std_error, double.std_error, rtol=1e-11)
    single = monte_carlo(power, KEY, 1000)
    assert single.mean.dtype == single.std_error.dtype == jnp.float32
    np.testing.assert_allclose(single.mean, values.mean(), rtol=1e-6)
    np.testing.assert_allclose(single.mean, double.mean, rtol=1e-6)  # the same draws


def test_interval_is_that_of_student():
    estimate = Estimate(jnp.asarray(1.0), jnp.asarray(0.1), 4)  # 4 blocks, 3 degrees of freedom
    np.testing.assert_allclose(estimate.interval(0.95), (1 - 0.31824, 1 + 0.31824), rtol=1e-4)
    np.testing.assert_allclose(estimate.interval(0.5), (1 - 0.07649, 1 + 0.07649), rtol=1e-4)


# The statistics


@pytest.fixture(scope="module")
def many_runs():
    """400 small runs, whose plain plug-in is far off, and the same with no jackknife."""
    keys = jax.random.split(jax.random.key(7), 400)
    run = jax.jit(jax.vmap(lambda key: monte_carlo(moments, key, 100, statistic=rate)))
    plug_in = jax.jit(
        jax.vmap(lambda key: rate(jax.tree.map(lambda x: x.mean(), draws(moments, key, 100))))
    )
    return run(keys), np.asarray(plug_in(keys), np.float64)


def test_bias_is_removed(many_runs, assert_mean):
    estimate, plug_in = many_runs
    assert_mean(estimate.mean, TRUE_RATE, largest_error=0.012)
    bias, error = plug_in.mean() - TRUE_RATE, plug_in.std(ddof=1) / 20
    assert bias > 1.5 * error
    assert abs(np.mean(estimate.mean) - TRUE_RATE) < bias / 2


def test_standard_error_has_the_right_size(many_runs):
    estimate, _ = many_runs
    ratio = np.mean(estimate.std_error) / np.std(estimate.mean, ddof=1)
    assert abs(ratio - 1) < 0.1, ratio


def test_intervals_cover_the_truth(many_runs):
    low, high = many_runs[0].interval(0.95)
    covered = np.mean((low < TRUE_RATE) & (high > TRUE_RATE))
    assert 0.91 < covered < 0.99, covered


@pytest.mark.parametrize("realizations", [4, 8, 30, 64, 256])
def test_intervals_of_the_iqi_study_cover_its_closed_form(realizations):
    """As many of a thousand 95 % intervals as should, however few realizations they are from."""
    hardware = iqi.perfect_and_impaired(0.3, 15.0)
    system = iqi.make_system(
        iqi.IqiParameters(),
        num_aps=10,
        num_users=4,
        ap_antennas=1,
        user_antennas=1,
        hardware=hardware,
    )
    sample, _ = se_model(system, estimator=tuple(iqi.ESTIMATORS.values()))
    statistic = jax.tree_util.Partial(iqi.sum_se, system)

    @jax.jit
    def runs(keys):
        def run(key):
            return monte_carlo(sample, key, realizations, statistic=statistic, batch_size=8)

        return jax.lax.map(run, keys)

    low, high = runs(jax.random.split(jax.random.key(realizations), 1000)).interval(0.95)
    truth = iqi.sum_se_closed_form(system)[None]
    covered = np.mean((low < truth) & (truth < high), axis=0)
    assert (covered >= 0.93).all(), covered
    assert (covered <= 0.97).all(), covered


# Stopping and reporting


def test_target_error_stops_early_and_always_at_the_same_realization():
    estimates = [
        monte_carlo(power, KEY, 10**6, target_error=0.02, batch_size=size)
        for size in (64, 1024, None)
    ]
    assert len({estimate.realizations for estimate in estimates}) == 1
    estimate = estimates[0]
    assert 1000 < estimate.realizations < 20_000  # 2500 of relative deviation 1 give 0.02
    assert 0.005 < estimate.relative_error <= 0.02
    same = monte_carlo(power, KEY, estimate.realizations)
    np.testing.assert_allclose(estimate.mean, same.mean, rtol=1e-6)
    np.testing.assert_allclose(estimate.std_error, same.std_error, rtol=1e-4)


def test_target_error_has_a_cap():
    estimate = monte_carlo(power, KEY, 1000, target_error=1e-4)
    assert estimate.realizations == 1000
    assert estimate.relative_error > 1e-4


def test_target_error_ignores_values_that_are_exactly_zero():
    estimate = monte_carlo(
        lambda key: power(key) * jnp.asarray([0.0, 1.0]), KEY, 10**6, target_error=0.05
    )
    assert estimate.realizations < 10**5


def test_progress_reports_increasing_counts(monkeypatch):
    monkeypatch.setattr(tally, "Pace", Always)
    calls = []
    estimate = monte_carlo(power, KEY, 5000, progress=lambda *call: calls.append(call))
    counts = [count for count, _ in calls]
    assert counts[:3] == [64, 128, 192]
    assert counts[:-1] == sorted(set(counts))
    assert counts[-2:] == [5000, 5000]  # once as a part, once as the result
    assert all(report.realizations == count for count, report in calls)
    assert calls[4][1].std_error > 2 * calls[-1][1].std_error
    np.testing.assert_allclose(estimate.mean, monte_carlo(power, KEY, 5000).mean, rtol=1e-6)


class Always(tally.Pace):
    def due(self):
        return True


def test_a_mean_of_zero_never_meets_a_target_and_warns_of_nothing():
    estimate = Estimate(jnp.asarray([0.0, 2.0]), jnp.asarray([0.1, 0.1]), 64)
    assert estimate.relative_error == np.inf


# Cost


@pytest.mark.parametrize("batch_size", [None, 64])
def test_traces_once_a_call_and_compiles_whatever_the_realizations_are_few(batch_size, kernels):
    traces = []

    def sample(key):
        traces.append(key)
        return power(key) * (1.25 + (batch_size or 0))  # a program that no other test has made

    run = partial(monte_carlo, sample, KEY, batch_size=batch_size)
    run(100)
    assert len(kernels) == 1  # the kernel of short chunks
    run(300)
    run(64)
    assert len(kernels) == 1
    run(100_000)
    long = len(kernels)
    assert long <= 2  # the kernel of long chunks
    run(20_000, progress=lambda *_: None)
    run(20_000, target_error=0.5)
    monte_carlo(sample, jax.random.key(5), 5000, batch_size=batch_size, statistic=jnp.log2)
    assert len(kernels) == long
    assert len(traces) == 7


@pytest.mark.parametrize("batch_size", [16, 256])
def test_memory_does_not_grow_with_the_realizations(batch_size):
    def memory(realizations):
        compiled = jax.jit(gradient, static_argnums=1).lower(1.0, realizations).compile()
        analysis = compiled.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    def gradient(scale, realizations):
        def mean(scale):
            sample = jax.tree_util.Partial(scaled_powers, scale)
            return jnp.sum(monte_carlo(sample, KEY, realizations, batch_size=batch_size).mean)

        return jax.value_and_grad(mean)(scale)

    small, large = memory(2**10), memory(2**17)
    assert small > batch_size * 100 * 4
    assert large < small + 4 * 2**17 / batch_size + 4096  # at most the number of each batch


def scaled_powers(scale, key):
    return jnp.log2(1 + scale * jnp.abs(complex_normal(key, (100,))) ** 2)


# Transformations


def traced(sample, realizations, statistic=identity):
    return jax.jit(lambda key: monte_carlo(sample, key, realizations, statistic=statistic))


def test_jit_and_vmap_equal_plain_runs():
    keys = jax.random.split(KEY, 3)
    plain = [monte_carlo(moments, key, 300, statistic=rate) for key in keys]
    vmapped = jax.vmap(lambda key: monte_carlo(moments, key, 300, statistic=rate))(keys)
    jitted = [traced(moments, 300, rate)(key) for key in keys]
    assert vmapped.realizations == 300
    for i, estimate in enumerate(plain):
        for other in (jax.tree.map(lambda x, i=i: x[i], vmapped), jitted[i]):
            np.testing.assert_allclose(other.mean, estimate.mean, rtol=1e-4)
            np.testing.assert_allclose(other.std_error, estimate.std_error, rtol=1e-3)


def smooth(scale, key):
    x = complex_normal(key, (1,))[0].real
    return {"first": 2 + jnp.sin(scale * x), "second": (2 + jnp.sin(scale * x)) ** 2}


@pytest.mark.parametrize("part", ["mean", "std_error"])
def test_gradient_equals_finite_differences(part):
    def value(scale, batch_size=1024):
        sample = jax.tree_util.Partial(smooth, scale)
        estimate = monte_carlo(sample, KEY, 1000, statistic=rate, batch_size=batch_size)
        return getattr(estimate, part)

    step = 1e-5
    with jax.enable_x64(True):
        expected = (value(jnp.asarray(0.7 + step)) - value(jnp.asarray(0.7 - step))) / (2 * step)
        gradient = jax.jit(jax.grad(value), static_argnums=1)
        np.testing.assert_allclose([gradient(0.7), gradient(0.7, 16)], expected, rtol=1e-7)


@pytest.mark.parametrize("transform", [jax.grad, jax.jit])
def test_functions_may_close_over_traced_values(transform):
    def by_closure(scale):
        return monte_carlo(lambda key: scale * power(key), KEY, 200).mean

    def by_statistic(scale):
        return monte_carlo(power, KEY, 200, statistic=lambda mean: scale * mean).mean

    mean = monte_carlo(power, KEY, 200).mean
    expected = transform(lambda scale: scale * mean)(1.5)
    np.testing.assert_allclose(transform(by_closure)(1.5), expected, rtol=1e-4)
    np.testing.assert_allclose(transform(by_statistic)(1.5), expected, rtol=1e-4)


def test_runs_under_jit_without_traced_arguments():
    jitted = jax.jit(lambda: monte_carlo(power, KEY, 200).mean)()
    np.testing.assert_allclose(jitted, monte_carlo(power, KEY, 200).mean, rtol=1e-5)


def test_gradient_of_the_standard_error_of_a_constant_is_zero():
    def error(scale):
        sample = jax.tree_util.Partial(lambda scale, key: scale + 0.0 * power(key), scale)
        return monte_carlo(sample, KEY, 128).std_error

    assert jax.grad(error)(1.0) == 0


# Errors


def bad_at(key, first_bad):
    index = jnp.argmax(jnp.all(jax.random.key_data(key)[None] == BAD_KEYS, axis=1))
    return jnp.where(index >= first_bad, jnp.nan, 1.0)


BAD_KEYS = jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(256)))


def test_nan_raises_where_it_is_drawn_only_and_says_where():
    sample = jax.tree_util.Partial(bad_at, first_bad=100)
    estimate = monte_carlo(sample, KEY, 100, batch_size=256)
    assert estimate.mean == 1
    assert 0 < estimate.std_error < 0.05  # 100 draws say no more of what is decided by the key
    with pytest.raises(FloatingPointError) as error:
        monte_carlo(sample, KEY, 110, batch_size=256)
    message = str(error.value)
    assert "\n" not in message
    assert "10 of realizations 96 to 109 are not finite, the first is number 100" in message
    assert "`sample(jax.random.fold_in(key, 100))` draws it again" in message
    assert jnp.isnan(sample(jax.random.fold_in(KEY, 100)))
    with pytest.raises(FloatingPointError, match="1 of realizations 96 to 100 is not finite"):
        monte_carlo(sample, KEY, 101)


def test_sums_that_overflow_raise():
    def large(key):
        return 3e38 * jnp.ones(2) + 0 * power(key)

    with pytest.raises(FloatingPointError, match="though each of them is"):
        monte_carlo(large, KEY, 128 * 64)


def test_statistic_that_is_not_finite_raises():
    with pytest.raises(FloatingPointError, match="the simulated mean is not finite"):
        monte_carlo(power, KEY, 100, statistic=lambda mean: jnp.log2(-mean))


def test_models_with_lapack_calls_finish():
    """Two programs with LAPACK calls side by side hang jax 0.10 on two cores."""

    def log_determinant(key):
        h = complex_normal(key, (4, 4))
        return jnp.linalg.slogdet(jnp.eye(4) + h @ h.conj().T)[1]

    for seed in range(3):
        estimate = monte_carlo(log_determinant, jax.random.key(seed), 10_000)
        np.testing.assert_allclose(estimate.mean, 5.11, atol=0.05)
