import jax
import jax.numpy as jnp
import pytest

from jaxmimo.core.randomness import complex_normal
from jaxmimo.simulation import batches
from jaxmimo.simulation.batches import batch_that_fits, power_of_two, promising_batch

KEY = jax.random.key(1)


def heavy(key):
    return jnp.sum(jnp.abs(complex_normal(key, (2**13,))))


def light(key):
    return jnp.abs(complex_normal(key, (1,)))[0]


def test_promising_batch_fits_the_budget():
    budget = batches._BUDGET["cpu"]
    size = promising_batch(jax.make_jaxpr(heavy)(KEY))
    assert 1 < size <= budget // (2**13 * 8)
    assert promising_batch(jax.make_jaxpr(jax.jit(heavy))(KEY)) == size  # seen through calls
    assert promising_batch(jax.make_jaxpr(light)(KEY)) == batches._MOST["cpu"]


@pytest.mark.parametrize(
    ("needed", "there", "expected"),
    [(1000, 1e3, 64), (1001, 1e3, 32), (10**9, 1.0, 1), (0, 1.0, 64)],
)
def test_batch_that_fits(needed, there, expected):
    assert batch_that_fits(64, needed, there) == expected


def test_power_of_two_below():
    assert [power_of_two(n) for n in (1, 2, 3, 4, 7, 1024, 1025)] == [1, 2, 2, 4, 4, 1024, 1024]
