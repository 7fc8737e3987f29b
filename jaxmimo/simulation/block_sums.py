"""Sums of realizations per block, drawn in batches that fit a memory budget."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import PyTree

_MEMORY_BUDGET = {"cpu": 6 * 2**20, "default": 2**30}
"""Bytes that a batch may occupy; on a CPU what a core's caches hold, where batches run fastest."""


def block_sums(
    sample: Callable[[Array], PyTree[Array]],
    key: Array,
    start: int | Array,
    stop: int | Array,
    blocks: int,
    batch_size: int | None,
) -> PyTree[Array]:
    """Sums of realizations start ... stop - 1 per block; `start` is a multiple of `blocks`."""
    shapes = jax.eval_shape(sample, key)
    size = 2 ** ((batch_size or _batch_within_budget(sample, key)).bit_length() - 1)
    width = min(size, blocks)

    def add_batch(batch: int | Array, sums: PyTree[Array]) -> PyTree[Array]:
        first = start + batch * size
        # Unsigned: the last batch may reach beyond 2^31.
        index = jnp.asarray(first, jnp.uint32) + jnp.arange(size, dtype=jnp.uint32)
        drawn = index < jnp.asarray(stop, jnp.uint32)
        draws = jax.vmap(lambda i: sample(jax.random.fold_in(key, i)))(index)
        slot = (first % blocks) // width

        def add(total: Array, values: Array) -> Array:
            counted = drawn.reshape(size, *(1,) * (values.ndim - 1))
            values = jnp.where(counted, values, 0).astype(total.dtype)
            return total.at[slot].add(values.reshape(size // width, *total.shape[1:]).sum(0))

        return jax.tree.map(add, sums, draws)

    def zeros(value: jax.ShapeDtypeStruct) -> Array:
        dtype = jnp.promote_types(value.dtype, jnp.result_type(float))
        return jnp.zeros((blocks // width, width, *value.shape), dtype)

    empty = jax.tree.map(zeros, shapes)
    sums = lax.fori_loop(0, (stop - start + size - 1) // size, jax.checkpoint(add_batch), empty)
    return jax.tree.map(lambda s: s.reshape(blocks, *s.shape[2:]), sums)


def _batch_within_budget(sample: Callable[[Array], PyTree[Array]], key: Array) -> int:
    """Batch size whose largest arrays, a handful at a time, fit the memory budget."""
    jaxpr = jax.make_jaxpr(sample)(key)
    realization = 4 * _largest_array_bytes(jaxpr.jaxpr)
    budget = _MEMORY_BUDGET.get(jax.default_backend(), _MEMORY_BUDGET["default"])
    return max(1, min(2**14, budget // realization))


def _largest_array_bytes(jaxpr: Any) -> int:
    sizes = [1]
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            shape, dtype = (
                getattr(variable.aval, "shape", ()),
                getattr(variable.aval, "dtype", None),
            )
            sizes.append(math.prod(shape) * getattr(dtype, "itemsize", 8))
        inner = jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr)
        sizes += [_largest_array_bytes(getattr(j, "jaxpr", j)) for j in inner if _is_jaxpr(j)]
    return max(sizes)


def _is_jaxpr(value: object) -> bool:
    return hasattr(getattr(value, "jaxpr", value), "eqns")
