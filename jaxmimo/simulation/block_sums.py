"""Sums of realizations per block, drawn in batches that fit a memory budget."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import PyTree

_MEMORY_BUDGET = {"cpu": 3 * 2**19, "default": 2**30}
"""Bytes that a batch may occupy; on a CPU what a core's own cache holds, where it runs fastest."""

_SHARES = 8
"""Shares of a run that the cores of a CPU work through side by side.

A fixed number, so that the sums round alike on all machines."""


def share_alignment(realizations: int, blocks: int) -> int:
    """What the realizations must be a multiple of at which shares of a run begin.

    Whole blocks, unless there are too few of these for all shares.
    """
    enough = realizations >= _SHARES * blocks or jax.default_backend() != "cpu"
    return blocks if enough else min(blocks, 8)


def sums_in_double(
    sample: Callable[[Array], PyTree[Array]],
    key: Array,
    start: int,
    stop: int,
    blocks: int,
    batch_size: int | None,
    alignment: int,
) -> PyTree[np.ndarray]:
    """`block_sums` of concrete arguments, in shares that are added up in double precision.

    On a CPU each share runs on a thread of its own. XLA's threads, which split single operations,
    make less of two cores than this does, by a factor of 1.4 to 2.
    """
    ends = [jnp.asarray(end) for end in _share_ends(start, stop, alignment)]
    bounds = list(pairwise(ends))
    # An empty share tells whether functions close over traced values: its sums are then no numbers.
    options = blocks, batch_size, alignment
    empty = _jitted_block_sums(sample, key, ends[0], ends[0], *options)
    jax.tree.map(_to_double, empty)
    # Looked up here: other threads do not know this one's configuration, such as x64.
    run = _jitted_block_sums.lower(sample, key, *bounds[0], *options).compile()

    def of_share(bounds: tuple[Array, Array]) -> PyTree[np.ndarray]:
        return jax.tree.map(_to_double, run(sample, key, *bounds, *options))

    if len(bounds) == 1 or "custom_call_target" in run.compiled.as_text():
        # LAPACK and BLAS calls of two programs can block each other for ever on two cores.
        return reduce(lambda a, b: jax.tree.map(np.add, a, b), map(of_share, bounds))
    with ThreadPoolExecutor(min(len(bounds), os.cpu_count() or 1)) as pool:
        return reduce(lambda a, b: jax.tree.map(np.add, a, b), pool.map(of_share, bounds))


def _share_ends(start: int, stop: int, alignment: int) -> list[int]:
    """Where shares begin and end, aligned; one share where a GPU takes it all."""
    if jax.default_backend() != "cpu":
        return [start, stop]
    length = math.ceil((stop - start) / (_SHARES * alignment)) * alignment
    return [*range(start, stop, length), stop]


def _to_double(array: Array) -> np.ndarray:
    wide = np.complex128 if jnp.iscomplexobj(array) else np.float64
    return np.asarray(array).astype(wide)


def block_sums(
    sample: Callable[[Array], PyTree[Array]],
    key: Array,
    start: int | Array,
    stop: int | Array,
    blocks: int,
    batch_size: int | None,
    alignment: int | None = None,
) -> PyTree[Array]:
    """Sums of realizations start ... stop - 1 per block; `start` is a multiple of `alignment`.

    The alignment is that of whole blocks, or a power of two that bounds the batches.
    """
    shapes = jax.eval_shape(sample, key)
    size = 2 ** ((batch_size or _batch_within_budget(sample, key)).bit_length() - 1)
    if alignment is not None and alignment < blocks:
        size = min(size, alignment)
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


_jitted_block_sums = eqx.filter_jit(block_sums)


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
