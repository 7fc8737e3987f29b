"""Parts of floors: what is chained is called as often as is said."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.floor import chained


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_every_call_of_a_chain_follows_from_the_one_before(calls):
    halved = chained(lambda x, factor: (x * factor, x), calls)
    found, given = halved(jnp.ones((2, 3)), jnp.asarray(0.5))
    expected = np.full((2, 3), 0.5)  # but for the first number, which is passed on
    expected[0, 0] = 0.5**calls
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(given, 2 * expected)
