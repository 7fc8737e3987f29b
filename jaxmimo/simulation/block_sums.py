"""Sums of realizations per block: the kernel of the engine, a pure function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import PyTree

from jaxmimo.core.checks import is_traced
from jaxmimo.simulation.model import traced_once


def block_sums(
    sample: Callable[[Array], PyTree[Array]],
    key: Array,
    first: int | Array,
    start: int | Array,
    stop: int | Array,
    blocks: int,
    batch_size: int,
) -> PyTree[Array]:
    """Sums of the realizations start ... stop - 1 per block, drawn in batches from `first` on.

    Realization i belongs to block `i % blocks`.

    Args:
        sample: Draws one realization from its key.
        key: Typed key of the run.
        first: Where batches begin, at most `start`: a multiple of the batch size.
        start: First realization that counts.
        stop: The first that does not count any more.
        blocks: Blocks, a power of two.
        batch_size: Realizations side by side, a power of two.

    Returns:
        Sums with a leading axis of blocks, in JAX's default precision. Integers of more digits
        than it has are sums of their upper and of their lower half, which `joined` puts together.
    """
    size, width = batch_size, min(batch_size, blocks)
    draw = traced_once(sample)
    shapes = jax.eval_shape(lambda key: jax.tree.map(_resolved, draw(key)), key)

    def add_batch(batch: int | Array, sums: PyTree[Array]) -> PyTree[Array]:
        lowest = first + batch * size
        index, drawn = _indices(lowest, size, start, stop)
        draws = _side_by_side(lambda i: draw(jax.random.fold_in(key, i)), index)
        slot = (lowest % blocks) // width

        def add(total: Array, values: Array) -> Array:
            counted = drawn.reshape(size, *(1,) * (values.ndim - 1))
            values = jnp.where(counted, values, 0).astype(total.dtype)
            return total.at[slot].add(values.reshape(size // width, *total.shape[1:]).sum(0))

        return jax.tree.map(add, sums, jax.tree.map(_resolved, draws))

    def zeros(value: jax.ShapeDtypeStruct) -> Array:
        dtype = jnp.promote_types(value.dtype, jnp.result_type(float))
        return jnp.zeros((blocks // width, width, *value.shape), dtype)

    empty = jax.tree.map(zeros, shapes)
    batches = (stop - first + size - 1) // size
    sums = lax.fori_loop(0, batches, jax.checkpoint(add_batch), empty)
    return jax.tree.map(lambda s: s.reshape(blocks, *s.shape[2:]), sums)


def joined(shapes: PyTree[jax.ShapeDtypeStruct], sums: PyTree[Any]) -> PyTree[Any]:
    """Sums of realizations of these shapes, as NumPy arrays in double precision.

    Traced sums stay in JAX's precision.
    """

    def join(shape: jax.ShapeDtypeStruct, sums: Any) -> Any:
        if not _has_halves(shape.dtype):
            return sums
        upper, lower = sums if is_traced(sums) else (half.astype(np.float64) for half in sums)
        return upper * 2.0 ** _half_of(shape.dtype) + lower

    return jax.tree.map(join, shapes, sums)


def _resolved(values: Array) -> Array | tuple[Array, Array]:
    """The values, or as halves what JAX's default precision would round to one number."""
    if not _has_halves(values.dtype):
        return values
    upper = values >> _half_of(values.dtype)
    return upper, values - (upper << _half_of(values.dtype))


def _has_halves(dtype: Any) -> bool:
    is_integer = jnp.issubdtype(dtype, jnp.integer)
    return is_integer and jnp.iinfo(dtype).bits > jnp.finfo(jnp.result_type(float)).nmant + 1


def _half_of(dtype: Any) -> int:
    return jnp.iinfo(dtype).bits // 2


def non_finite(
    sample: Callable[[Array], PyTree[Array]],
    key: Array,
    first: int | Array,
    start: int | Array,
    stop: int | Array,
    batch_size: int,
) -> tuple[Array, Array]:
    """How many of the realizations start ... stop - 1 are not finite, and the first of them.

    Arguments as for `block_sums`. The first is `stop` where all are finite.
    """
    draw = traced_once(sample)

    def is_bad(index: Array) -> Array:
        leaves = jax.tree.leaves(draw(jax.random.fold_in(key, index)))
        return ~jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))

    def look_at(batch: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        count, lowest = found
        index, drawn = _indices(first + batch * batch_size, batch_size, start, stop)
        bad = _side_by_side(is_bad, index) & drawn
        here = jnp.min(jnp.where(bad, index, jnp.asarray(stop, jnp.uint32)))
        return count + bad.sum(dtype=jnp.uint32), jnp.minimum(lowest, here)

    nothing = jnp.uint32(0), jnp.asarray(stop, jnp.uint32)
    return lax.fori_loop(0, (stop - first + batch_size - 1) // batch_size, look_at, nothing)


def _side_by_side(function: Callable[[Array], PyTree[Array]], index: Array) -> PyTree[Array]:
    """The function of each realization; of one alone without `vmap`, whose tracing takes time."""
    if index.size > 1:
        return jax.vmap(function)(index)
    return jax.tree.map(lambda value: value[None], function(index[0]))


def _indices(
    lowest: int | Array, size: int, start: int | Array, stop: int | Array
) -> tuple[Array, Array]:
    """The realizations of a batch, and which of them are asked for."""
    # Unsigned: the last batch may reach beyond 2^31.
    index = jnp.asarray(lowest, jnp.uint32) + jnp.arange(size, dtype=jnp.uint32)
    begun = index >= jnp.asarray(start, jnp.uint32)
    return index, begun & (index < jnp.asarray(stop, jnp.uint32))
