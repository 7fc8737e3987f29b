"""Batches that stay last under `vmap`, and what of them is kept in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jaxmimo.core.batching import batch_stays_last


def read_twice(matrices: Array) -> Array:
    """A function of matrices (rows, columns, batch) with two readers of them."""
    return jnp.cumsum(matrices, 0) * jnp.cumsum(matrices, 1)


ALWAYS = {"kept": lambda matrices: jnp.sum(matrices**2) >= 0, "not kept": None}


@pytest.mark.parametrize("kept", ALWAYS)
def test_maps_add_to_the_batch(kept):
    matrices = jax.random.normal(jax.random.key(0), (2, 5, 3, 4, 6))
    function = batch_stays_last(read_twice, 2, always=ALWAYS[kept])
    mapped = jax.vmap(jax.vmap(function))(matrices)
    np.testing.assert_allclose(mapped, jax.vmap(jax.vmap(read_twice))(matrices), rtol=1e-6)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices need no branch")
@pytest.mark.parametrize("kept", ALWAYS)
def test_what_is_kept_lies_behind_a_branch(kept):
    function = jax.vmap(batch_stays_last(read_twice, 2, always=ALWAYS[kept]))
    compiled = jax.jit(function).lower(jnp.ones((5, 3, 4, 6))).compile().as_text()
    assert ("conditional(" in compiled) == (kept == "kept")
