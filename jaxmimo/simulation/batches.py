"""How many realizations a kernel processes side by side: what a memory budget holds."""

import math
import os
from functools import lru_cache
from typing import Any

import jax

from jaxmimo.core.memory import memory_of

_BUDGET = {"cpu": 3 * 2**19, "default": 2**30}
"""Bytes that a batch may occupy; on a CPU what a core's own cache holds, where it runs fastest."""

_MOST = {"cpu": 2**10, "default": 2**14}
"""Realizations of a batch beyond which nothing is gained."""


def promising_batch(jaxpr: Any) -> int:
    """Batch size, a power of two, whose largest arrays, a handful at a time, fit the budget.

    The kernel is fast at about this size, be it a little more or less; what it needs of memory is
    known only once it is compiled, see `batch_that_fits`.
    """
    realization = 4 * _most_bytes(jaxpr)
    platform = jax.default_backend()
    most = _MOST.get(platform, _MOST["default"])
    return power_of_two(max(1, min(most, _BUDGET.get(platform, _BUDGET["default"]) // realization)))


def batch_that_fits(batch_size: int, temporary_bytes: int, available_bytes: float) -> int:
    """The largest power of two, up to `batch_size`, whose temporary arrays fit.

    Args:
        batch_size: Batch that was compiled.
        temporary_bytes: What the compiler says that it needs.
        available_bytes: What there is.
    """
    share = available_bytes / max(temporary_bytes, 1)
    return batch_size if share >= 1.0 else max(1, power_of_two(max(1, int(batch_size * share))))


def available_bytes(device: Any) -> float:
    """Memory of a device for a program's temporary arrays; each core of a CPU runs a program."""
    programs = usable_cores() if device.platform == "cpu" else 1
    return 0.6 * memory_of(device) / programs


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def power_of_two(number: int) -> int:
    """The largest power of two up to `number`."""
    return 2 ** (number.bit_length() - 1)


@lru_cache(maxsize=64)  # traces are kept by JAX as well
def _most_bytes(jaxpr: Any) -> int:
    return _largest_array_bytes(getattr(jaxpr, "jaxpr", jaxpr))


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
