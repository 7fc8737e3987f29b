"""Maxima of means: found, held to fresh draws, never outside of the domain; honest certificates."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo.distributed_rician import DistributedRician
from jaxmimo.tuning import (
    PowerLimits,
    maximize,
    maximize_expected,
    proportional_fairness,
    soft_min,
    sum_se,
    uplink_se,
)
from jaxmimo.tuning.stochastic import _ADAM, _Search
from jaxmimo.wideband_mmwave import WidebandMmwave

KEY = jax.random.key(3)
CENTRE = np.array([0.3, -1.0, 2.0])
SIZES: dict[str, Any] = {"batch": 8, "steps": 20, "held_out": 128, "evaluation": 256}


def noisy_bowl(key, x):
    """In the mean 5 - ||x - centre||^2."""
    noise = jax.random.normal(key, (3,))
    return 5.0 + 3.0 - jnp.sum((x - CENTRE + noise) ** 2)


def uplink(users=3):
    """Users at given places, so that keys draw their fading alone."""
    return DistributedRician(
        num_aps=4,
        ap_antennas=1,
        num_users=users,
        rician_factor=1.0,
        side=150.0,
        path_loss_exponent=3.67,
        propagation_phase=True,
        user_positions=np.random.default_rng(0).uniform(0.0, 150.0, (users, 2)),
    )


def fresh_fading(system, **options):
    def sample(key, power):
        return uplink_se(key, system, **options)(power)

    return sample


def test_finds_the_top_of_a_mean_and_what_it_is_worth():
    found = maximize_expected(
        noisy_bowl, KEY, jnp.zeros(3), **{**SIZES, "evaluation": 4096}, tolerance=0.1
    )
    np.testing.assert_allclose(found.parameters, CENTRE, atol=0.2)
    assert found.converged
    here = 5.0 - np.sum((found.parameters - CENTRE) ** 2)
    start = 5.0 - np.sum(CENTRE**2)
    for estimate, expected in ((found.value, here), (found.gain, here - start)):
        assert 0 < estimate.std_error < 0.15
        assert abs(estimate.mean - expected) < 5 * estimate.std_error
    assert found.path.shape == (21, 3)
    np.testing.assert_array_equal(found.path[0], 0.0)
    rest = found.path[found.rounds :]
    np.testing.assert_array_equal(rest, jnp.broadcast_to(found.parameters[None], rest.shape))
    # Draws judge each round, but a path that is judged by the mean itself hardly falls.
    values = 5.0 - np.sum((np.asarray(found.path) - CENTRE) ** 2, axis=1)
    assert np.all(np.diff(values) > -0.5)


def test_limits_hold_and_a_start_that_is_best_is_kept():
    """All powers but the first are worth the more, the larger they are."""
    limit = jnp.asarray([1.0, 0.5, 0.2])

    def sample(key, p):
        drawn = 1.0 + 0.2 * jax.random.normal(key, (3,))
        return jnp.sum(p * drawn * jnp.asarray([-1.0, 1.0, 1.0])) + 2.0

    found = maximize_expected(sample, KEY, 0.5 * limit, domain=PowerLimits(limit), **SIZES)
    assert np.all((found.parameters >= 0) & (found.parameters <= limit))
    np.testing.assert_allclose(found.parameters, limit * jnp.asarray([0, 1, 1]), atol=0.05)
    best = limit * jnp.asarray([0.0, 1.0, 1.0])
    kept = maximize_expected(sample, KEY, best, domain=PowerLimits(limit), **SIZES)
    np.testing.assert_array_equal(kept.parameters, best)
    assert kept.converged
    assert kept.gain.mean == kept.gain.std_error == 0


def test_noise_is_no_progress_and_fresh_draws_tell_no_optimism():
    """Of a mean that is flat, steps follow the noise; a maximum of their own draws would grow."""

    def sample(key, x):
        return 1.0 + x @ jax.random.normal(key, (3,))

    def search(key):
        return maximize_expected(sample, key, jnp.full(3, 0.3), domain=PowerLimits(1.0), **SIZES)

    found = jax.jit(jax.vmap(search))(jax.random.split(KEY, 64))
    deviation = found.gain.mean / jnp.where(found.gain.std_error > 0, found.gain.std_error, 1.0)
    assert np.abs(deviation).max() < 4.5
    moved = np.any(found.parameters != 0.3, axis=1)
    assert 0 < moved.mean() < 0.6  # by chance, and not by rule
    assert abs(deviation[moved].mean()) < 4 / np.sqrt(moved.sum())
    assert np.all(np.abs(found.value.mean - 1.0) < 5 * found.value.std_error)


def test_a_search_too_short_to_settle_says_so():
    found = maximize_expected(noisy_bowl, KEY, jnp.zeros(3), **SIZES, max_rounds=1)
    assert not found.converged
    assert found.rounds == 1
    assert found.path.shape == (2, 3)
    np.testing.assert_array_equal(found.path[1], found.parameters)
    assert found.gain.mean > 5 * found.gain.std_error


def test_what_is_not_finite_ends_the_search_where_it_was():
    def sample(key, x):
        return jnp.where(x > 0.5, jnp.nan, x + 0.01 * jax.random.normal(key))

    found = maximize_expected(sample, KEY, jnp.asarray(0.4), **SIZES)
    assert not found.converged
    assert found.rounds <= 2
    assert found.parameters <= 0.5
    assert np.all(np.isfinite(found.path))
    assert np.isfinite(found.gain.mean)


def test_few_draws_flatter_what_is_tuned_on_them_and_the_reported_value_does_not():
    """Maxima of 8 fixed draws against their true worth, and against what is reported."""

    def on_fixed_draws(key, x):
        return jax.vmap(noisy_bowl, in_axes=(0, None))(jax.random.split(key, 8), x).mean()

    def truth(x):
        return 5.0 - jnp.sum((x - CENTRE) ** 2, axis=-1)

    def search(key):
        tuned = maximize(lambda x: on_fixed_draws(key, x), jnp.zeros(3))
        found = maximize_expected(noisy_bowl, key, jnp.zeros(3), **SIZES, tolerance=0.1)
        return tuned.value - truth(tuned.parameters), (
            found.value.mean - truth(found.parameters)
        ) / found.value.std_error

    flattery, deviation = jax.jit(jax.vmap(search))(jax.random.split(jax.random.key(8), 64))
    error = flattery.std(ddof=1) / 8.0
    # A mean of 8 normal vectors is off by 3 / 8 in squares: too good by so much, too bad as much.
    assert error < 0.2
    assert abs(flattery.mean() - 2 * 3 / 8) < 5 * error
    assert flattery.mean() > 3 * error
    assert np.abs(deviation).max() < 4.5
    assert abs(deviation.mean()) < 4.0 / 8.0
    assert 0.7 < deviation.std() < 1.4


def test_gradients_of_a_batch_are_finite_differences():
    """What steps follow is the slope of the statistic of the batch's mean."""
    with jax.enable_x64(True):
        se = fresh_fading(uplink(), realizations=2)
        limits = PowerLimits(jnp.full(3, 0.1))
        search = _Search(se, proportional_fairness, limits, _ADAM, 3, 1, 2, 1)
        angle, way = jnp.asarray([0.7, 1.2, 0.4]), jnp.asarray([0.6, -0.5, 0.7])

        def along(t):
            return search.loss(angle + t * way, jax.random.key(0))

        step = 1e-4
        value = jax.jit(along)
        slope = jax.jit(jax.grad(search.loss))
        expected = (value(step) - value(-step)) / (2 * step)
        np.testing.assert_allclose(slope(angle, jax.random.key(0)) @ way, expected, rtol=1e-5)
        keys = jax.random.split(jax.random.key(0), 3)
        mean = jnp.stack([se(key, limits.point(angle)) for key in keys]).mean(0)
        np.testing.assert_allclose(value(0.0), -proportional_fairness(mean), rtol=1e-9)
        assert np.all(np.isfinite(slope(jnp.zeros(3), jax.random.key(0))))


def test_a_silent_user_stays_finite_and_the_other_goes_to_full_power():
    limit = jnp.asarray([0.1, 0.0])
    found = maximize_expected(
        fresh_fading(uplink(users=2), realizations=4),
        KEY,
        0.1 * limit,
        statistic=sum_se,
        domain=PowerLimits(limit),
        **{**SIZES, "held_out": 64, "evaluation": 64},
        max_rounds=4,
    )
    assert np.all(np.isfinite(found.path))
    assert found.parameters[0] > 0.09
    assert found.parameters[1] == 0
    assert found.gain.mean > 5 * found.gain.std_error


def test_powers_over_a_wide_band_gain_on_fresh_multipath():
    """System 4 with users at given places: from a fiftieth of the power there is much to gain."""
    system = WidebandMmwave(
        num_aps=2,
        ap_antennas=2,
        num_users=2,
        num_subcarriers=4,
        side=60.0,
        num_rays=1,
        user_positions=np.array([[14.0, 30.0], [17.0, 45.0]]),
    )
    limit = jnp.full(2, 0.2)
    found = maximize_expected(
        fresh_fading(system, subcarriers=2),
        KEY,
        0.02 * limit,
        statistic=sum_se,
        domain=PowerLimits(limit),
        **{**SIZES, "held_out": 64, "evaluation": 64},
        max_rounds=3,
    )
    assert np.all((found.parameters >= 0) & (found.parameters <= limit))
    assert found.gain.mean > 3 * found.gain.std_error


@pytest.mark.slow
def test_mmse_powers_gain_in_several_searches_at_once_on_fresh_draws():
    limit = jnp.full(6, 0.1)
    se = fresh_fading(uplink(users=6), realizations=16)

    def search(key):
        return maximize_expected(
            se,
            key,
            limit,
            statistic=Partial(soft_min, temperature=0.1),
            domain=PowerLimits(limit),
            batch=1,
            steps=15,
            held_out=32,
            evaluation=64,
            tolerance=0.02,
            max_rounds=4,
        )

    found = jax.jit(jax.vmap(search))(jax.random.split(KEY, 4))
    assert np.all((found.parameters >= 0) & (found.parameters <= 0.1))
    assert np.all(found.gain.mean > 3 * found.gain.std_error)
    # Draws that no search has seen agree with what is reported.
    keys = jax.random.split(jax.random.key(99), 512)
    each = jax.jit(lambda p: jax.lax.map(lambda key: se(key, p), keys))
    for i in range(2):
        values = each(found.parameters[i]).mean(0)
        error = found.value.std_error[i]
        assert abs(soft_min(values, 0.1) - found.value.mean[i]) < 5 * error < 0.5


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"statistic": lambda mean: mean[None]}, "statistic"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"batch": 0}, "batch"),
        ({"steps": 0}, "steps"),
        ({"held_out": 1}, "held_out"),
        ({"evaluation": 1}, "evaluation"),
        ({"domain": PowerLimits(0.1), "init": jnp.full(3, 0.5)}, "init"),
    ],
)
def test_bad_arguments_are_named_in_one_line(change, parameter):
    arguments: dict[str, Any] = {"init": jnp.zeros(3), **change}
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        maximize_expected(noisy_bowl, KEY, arguments.pop("init"), **arguments)
    assert "\n" not in str(error.value)
