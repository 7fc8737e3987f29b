"""Functions with rules of their own under `jax.vmap`: the batch's place, and its conditions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jaxtyping import Bool, PyTree

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


def replaced_where(
    mask: Bool[Array, " *batch"], new: Callable[[], PyTree[Array]], old: PyTree[Array]
) -> PyTree[Array]:
    """Values of `new` where the mask holds, which are worked out only if it holds anywhere.

    Under `jax.vmap` too, where a condition for each element would work both out for all.

    Args:
        mask: Where to replace; it broadcasts against the arrays.
        new: What gives the new values, as a tree of the same arrays as `old`.
        old: The values that are kept elsewhere.
    """

    @jax.checkpoint
    def replaced() -> PyTree[Array]:
        return jax.tree.map(lambda new, old: jnp.where(mask, new, old), new(), old)

    return lax.cond(_holds_anywhere(mask), replaced, lambda: old)


@custom_vmap
def _holds_anywhere(mask: Array) -> Array:
    return jnp.any(mask)


@_holds_anywhere.def_vmap
def _holds_anywhere_in_batch(size: int, batched: list[bool], mask: Array) -> tuple[Array, bool]:
    return _holds_anywhere(mask), False
