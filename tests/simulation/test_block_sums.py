from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.randomness import complex_normal
from jaxmimo.simulation.block_sums import block_sums, non_finite
from jaxmimo.simulation.monte_carlo import monte_carlo

KEY = jax.random.key(2024)
sums_of = partial(jax.jit, static_argnums=(0, 5, 6))(block_sums)


def power(key):
    return jnp.abs(complex_normal(key, (1,)))[0] ** 2


def index_of(key):
    """The realization, not its key, as sums of few small integers are exact."""
    match = jnp.all(jax.random.key_data(key)[None] == KEYS, axis=1)
    return jnp.sum(match * jnp.arange(1024.0))


KEYS = jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(1024)))


@pytest.mark.parametrize("size", [1, 4, 16, 4096])
@pytest.mark.parametrize("blocks", [4, 64])
@pytest.mark.parametrize(
    ("first", "start", "stop"), [(0, 0, 1000), (128, 128, 1001), (64, 64, 70), (64, 77, 130)]
)
def test_hold_each_realization_once(size, blocks, first, start, stop):
    sums = sums_of(index_of, KEY, first // size * size, start, stop, blocks, size)
    numbers = np.arange(start, stop)
    np.testing.assert_array_equal(sums, np.bincount(numbers % blocks, numbers, minlength=blocks))


def test_last_realizations_below_the_limit_are_drawn_right():
    stop = 2**31 - 5
    start = stop // 4096 * 4096 - 4096
    sums = sums_of(power, KEY, start, start, stop, 64, 4096)
    index = np.arange(start, stop)
    values = jax.vmap(lambda i: power(jax.random.fold_in(KEY, i)))(jnp.asarray(index, jnp.uint32))
    np.testing.assert_allclose(sums, np.bincount(index % 64, values, minlength=64), rtol=1e-5)


@pytest.mark.parametrize(
    ("start", "stop", "expected"), [(0, 200, (3, 50)), (51, 200, (2, 90)), (0, 50, (0, 50))]
)
def test_non_finite_counts_and_finds_the_first(start, stop, expected):
    def sample(key):
        i = index_of(key)
        bad = jnp.where(i == 50, jnp.nan, jnp.where((i == 90) | (i == 150), jnp.inf, 1.0))
        return {"good": i, "bad": jnp.stack([i, bad])}

    first = start // 16 * 16
    count, index = jax.jit(non_finite, static_argnums=(0, 5))(sample, KEY, first, start, stop, 16)
    assert (count, index) == expected


@pytest.mark.parametrize("offset", [0, 2_000_000_000, -2_000_000_000])
def test_large_integers_keep_their_spread(offset):
    def sample(key):
        die = jax.random.randint(key, (), 0, 10)
        return {"die": offset + die, "small": (3 + 0 * die).astype(jnp.int8)}

    found = monte_carlo(sample, KEY, 5000)
    spread = np.sqrt(99 / 12 / 5000)
    assert abs(found.std_error["die"] / spread - 1) < 0.3  # of 64 blocks, to 9 %
    assert abs(np.float64(found.mean["die"]) - offset - 4.5) < 64 + 5 * spread  # of a float's step
    assert (found.mean["small"], found.std_error["small"]) == (3, 0)
    traced = jax.jit(lambda key: monte_carlo(sample, key, 5000).mean["die"])(KEY)
    np.testing.assert_allclose(traced, offset + 4.5, rtol=1e-5, atol=5 * spread)
