"""Shares of which all draws agree, samples that ignore their key, and what intervals cover."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, t

from jaxmimo.core.randomness import complex_normal
from jaxmimo.simulation.jackknife import block_counts, jackknife, num_blocks, student
from jaxmimo.simulation.model import Model
from jaxmimo.simulation.monte_carlo import monte_carlo
from jaxmimo.simulation.shares import errors_of_distribution, interval_of_share
from jaxmimo.simulation.sweep import sweep

KEY = jax.random.key(1)


def gain(key):
    return abs(complex_normal(key, (1,))[0]) ** 2


def outage(key):
    return gain(key) < 1e-4


@pytest.mark.parametrize(
    "sample",
    [
        outage,
        lambda key: ~outage(key),
        lambda key: outage(key).astype(float),
        lambda key: jnp.where(outage(key), 1.0, 0.0),
        lambda key: jnp.stack([outage(key)] * 3).mean(),
        lambda key: jax.jit(outage)(key).astype(float),
        jax.random.bernoulli,
    ],
)
def test_choices_are_known_as_such(sample):
    assert Model(sample, KEY).is_share == (True,)


@pytest.mark.parametrize(
    "sample", [gain, lambda key: gain(key) * 0.0, lambda key: outage(key) * gain(key)]
)
def test_values_are_known_as_such(sample):
    assert Model(sample, KEY).is_share == (False,)


def test_an_outage_that_has_not_occurred_is_not_known():
    """Of 20 seeds 18 ended after 256 realizations with 0 and an error of 0."""
    for seed in range(4):
        key = jax.random.key(seed)
        estimate = monte_carlo(outage, key, 2000, target_error=0.05)
        assert estimate.realizations == 2000
        low, high = estimate.interval()
        assert low <= 1e-4 <= high


def test_an_outage_of_one_is_not_known_either():
    estimate = monte_carlo(lambda key: ~outage(key), KEY, 1000, target_error=0.05)
    assert estimate.mean == 1.0
    assert estimate.realizations == 1000
    assert 1.0 - estimate.interval()[0] == pytest.approx(4 / 1000, rel=0.01)  # Wilson's


def test_points_of_a_sweep_are_known_one_by_one():
    curve = sweep(
        lambda key, threshold: gain(key) < threshold,
        KEY,
        jnp.asarray([1e-5, 0.5, 0.6, 0.7, 100.0]),
        4000,
        target_error=0.1,
    )
    assert curve.point_realizations[0] == curve.point_realizations[-1] == 4000
    assert max(curve.point_realizations[1:-1]) < 1000
    assert np.all(np.asarray(curve.std_error) > 0.0)


def test_what_is_zero_by_its_value_is_known():
    curve = sweep(
        lambda key, power: jnp.log2(1.0 + power * gain(key)),
        KEY,
        jnp.asarray([0.0, 1.0, 2.0]),
        10**5,
        target_error=0.05,
    )
    assert max(curve.point_realizations) < 5000
    assert curve.std_error[0] == 0.0


def test_doubt_goes_through_statistics_and_transformations():
    plain = monte_carlo(outage, KEY, 100)
    twice = monte_carlo(outage, KEY, 100, statistic=lambda share: 2.0 * share)
    assert plain.mean == 0.0
    assert twice.std_error == pytest.approx(2.0 * plain.std_error)
    inside = jax.jit(lambda key: monte_carlo(outage, key, 100).std_error)(KEY)
    assert inside == pytest.approx(plain.std_error)


@pytest.mark.parametrize(
    "sample",
    [
        lambda key: jnp.asarray(np.random.default_rng().standard_normal()),
        lambda key: jnp.ones(3),
        lambda key: {"a": jax.random.normal(jax.random.key(0))},
    ],
)
def test_a_sample_that_ignores_its_key_is_refused(sample):
    with pytest.raises(ValueError, match="`sample` must depend on its key") as error:
        monte_carlo(sample, KEY, 100)
    assert "\n" not in str(error.value)


def test_some_results_may_be_constant():
    mean = monte_carlo(lambda key: (jnp.ones(3), gain(key)), KEY, 100).mean
    assert np.all(mean[0] == 1.0)


def test_callbacks_may_depend_on_anything():
    def sample(key):
        return jax.pure_callback(lambda: np.float32(1.0), jax.ShapeDtypeStruct((), jnp.float32))

    assert Model(sample, KEY).is_share == (False,)


# Coverage of 95 % intervals


def jackknifed(statistic, draws):
    """Estimates and standard errors of many repeats, by the engine's own code."""
    count = draws.shape[1]
    blocks = num_blocks(count)
    index = np.arange(count) % blocks
    sums = np.zeros((len(draws), blocks, *draws.shape[2:]))
    for block in range(blocks):
        sums[:, block] = draws[:, index == block].sum(1)
    with jax.enable_x64(True):
        one = jax.jit(
            jax.vmap(lambda each: jackknife(statistic, each, block_counts(count, blocks)))
        )
        return tuple(np.asarray(each) for each in one(sums))


def coverage(statistic, draws, truth):
    mean, error = jackknifed(statistic, draws)
    return np.mean(abs(mean - truth) <= student(draws.shape[1]) * error)


def users(rng, repeats, drops, count, correlation):
    """Normal variables of users, of which those of a drop are correlated."""
    own = rng.standard_normal((repeats, drops, count), dtype=np.float32)
    shared = rng.standard_normal((repeats, drops, 1), dtype=np.float32)
    return np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * own


LEVELS = np.array([0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99])


def coverage_of_distribution(drawn):
    """Averaged over the 5 %, 50 % and 95 % points."""
    below = np.stack([(drawn <= norm.ppf(level)).mean(2) for level in LEVELS], -1)
    mean, error = jackknifed(lambda share: share, below)
    drops = drawn.shape[1]
    low, high = interval_of_share(mean, errors_of_distribution(mean, error, drops), drops)
    return np.mean(((low <= LEVELS) & (high >= LEVELS))[:, [1, 5, 9]])


def check_coverage(repeats):
    slack = 3 * np.sqrt(0.05 * 0.95 / repeats)  # of a share of so many repeats
    rng = np.random.default_rng(2)
    for drops in (30, 64, 200):
        rates = rng.gamma(4.0, size=(repeats, drops, 2))
        assert abs(coverage(lambda m: m[0], rates, 4.0) - 0.95) < 0.02 + slack
        assert abs(coverage(lambda m: m[0] / m[1], rates, 1.0) - 0.95) < 0.02 + slack
        for count, correlation in ((4, 0.0), (10, 0.6), (10, 0.99), (40, 0.3)):
            covered = coverage_of_distribution(users(rng, repeats, drops, count, correlation))
            assert abs(covered - 0.95) < 0.03 + slack, (drops, count, correlation, covered)


def test_intervals_cover():
    check_coverage(150)


@pytest.mark.slow
def test_intervals_cover_in_2000_repeats():
    check_coverage(2000)


def test_a_share_without_exception_has_an_interval():
    """Of 5 and of 30 drops that agree, as at the ends of a distribution function."""
    for drops in (5, 30):
        shares = np.array([0.0, 0.5, 1.0])
        error = errors_of_distribution(shares, np.array([0.0, 0.1, 0.0]), drops)
        low, high = interval_of_share(shares, error, drops)
        z = t.ppf(0.975, num_blocks(drops) - 1)
        assert low[0] == 0.0
        assert high[2] == 1.0
        assert high[0] == pytest.approx(1.0 - low[2])
        assert 0.0 < high[0] <= z**2 / (drops + z**2) + 1e-9
        alone = errors_of_distribution(shares[:1], np.zeros(1), drops)
        assert interval_of_share(0.0, alone, drops)[1] == pytest.approx(z**2 / (drops + z**2))
