"""Functions of batches of small matrices whose batch lies last, also under `jax.vmap`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap

from jaxmimo.core.split import computed_once


def batch_stays_last(
    function: Callable[[Any], Any],
    first_batch_axis: int,
    *,
    always: Callable[[Any], Array] | None = None,
) -> Callable:
    """Make `jax.vmap` of a function of matrices add to their batch instead of a first axis.

    So one realization's kernel is as fast under `vmap` as a batch that was laid out by hand. All
    batch axes reach the function as one.

    Args:
        function: From matrices (rows, columns, batch), real, `Parts` or a tree of them with the
            same batch, to arrays whose last axis is the batch. It is not differentiated: give what
            calls it a rule.
        first_batch_axis: Where the batch begins in its result.
        always: From its argument to a condition that always holds. If given, what has been laid
            out is kept in memory, for functions that read it more than once: XLA on CPUs lays it
            out again for every reader.
    """

    @custom_vmap
    def with_batch(a: Any) -> Any:
        batch = jax.tree.leaves(a)[0].shape[2:]
        if always is not None:
            holds = always(a)
            a = jax.tree.map(lambda leaf: computed_once(leaf, holds), a)
        result = function(jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:2], -1), a))
        return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-1], *batch), result)

    @with_batch.def_vmap
    def over_one_more(size: int, batched: list[Any], a: Any) -> tuple[Any, Any]:
        def into_batch(leaf: Array, batched: bool) -> Array:
            if batched:
                return jnp.moveaxis(leaf, 0, 2)
            return jnp.broadcast_to(leaf[:, :, None], (*leaf.shape[:2], size, *leaf.shape[2:]))

        result = with_batch(jax.tree.map(into_batch, a, batched[0]))
        result = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, first_batch_axis, 0), result)
        return result, jax.tree.map(lambda _: True, result)

    return with_batch
