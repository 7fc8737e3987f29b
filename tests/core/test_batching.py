"""Batches that stay last under `vmap`, and what of them is kept in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jaxmimo.core.batching import batch_stays_last, replaced_where


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


def test_values_are_replaced_where_the_mask_holds_under_maps_and_gradients():
    def doubled_if_negative(x):
        return replaced_where(x < 0, lambda: 2.0 * x, x)

    x = jnp.asarray([[1.0, -2.0], [-3.0, 4.0], [5.0, 6.0]])
    expected = jnp.where(x < 0, 2.0, 1.0)
    np.testing.assert_array_equal(jax.vmap(doubled_if_negative)(x), expected * x)
    slope = jax.grad(lambda x: jax.vmap(doubled_if_negative)(x).sum())(x)
    np.testing.assert_array_equal(slope, expected)


def test_replacements_are_not_worked_out_where_a_whole_batch_needs_none():
    drawn = []

    def with_replacement(x):
        def new():
            jax.debug.callback(lambda: drawn.append(1))
            return 0.0 * x

        return replaced_where(x < 0, new, x)

    mapped = jax.jit(jax.vmap(with_replacement))
    mapped(jnp.ones((3, 2))).block_until_ready()
    jax.effects_barrier()
    assert not drawn
    mapped(jnp.ones((3, 2)).at[1, 1].set(-1.0)).block_until_ready()
    jax.effects_barrier()
    assert drawn
