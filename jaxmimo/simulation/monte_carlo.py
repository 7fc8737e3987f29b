"""Means over random realizations, and functions of them, with standard errors.

A model is one function, `sample(key) -> pytree`, for one realization. The engine draws realization
i from `fold_in(key, i)` and nothing else, so that the draws do not depend on batches, devices or
restarts. Realizations are processed in batches; realization i is added to block `i % blocks`, and
only the block sums are kept. The delete-one-block jackknife turns these into a standard error for
any smooth function of the means, and removes the leading term of its bias.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Key, PyTree

from jaxmimo.core.checks import integer, is_traced, require

MOST_BLOCKS = 64
"""Blocks of the jackknife: the standard error itself is then known to 9 %."""

_MEMORY_BUDGET = {"cpu": 2**24, "default": 2**30}
"""Bytes that a batch may occupy; on a CPU, what its caches hold."""


class Estimate(eqx.Module):
    """A simulated quantity.

    Attributes:
        mean: Estimate, free of bias to first order in 1 / realizations.
        std_error: Its standard error, from a delete-one-block jackknife.
        realizations: Realizations drawn.
    """

    mean: PyTree[Array]
    std_error: PyTree[Array]
    realizations: int = eqx.field(static=True)

    @property
    def degrees_of_freedom(self) -> int:
        """Of the standard error: one less than the blocks."""
        return _num_blocks(self.realizations) - 1

    @property
    def relative_error(self) -> float:
        """Largest standard error relative to its mean."""
        ratios = jax.tree.map(
            lambda mean, error: jnp.max(jnp.where(error == 0, 0, error / jnp.abs(mean))),
            self.mean,
            self.std_error,
        )
        return float(np.max(jax.tree.leaves(ratios)))

    def interval(self, level: float = 0.95) -> tuple[PyTree[Array], PyTree[Array]]:
        """Two-sided confidence interval, by Student's law."""
        from scipy.stats import t

        width = float(t.ppf(0.5 + level / 2, self.degrees_of_freedom))
        low = jax.tree.map(lambda m, e: m - width * e, self.mean, self.std_error)
        high = jax.tree.map(lambda m, e: m + width * e, self.mean, self.std_error)
        return low, high


def identity(means: PyTree[Array]) -> PyTree[Array]:
    """The statistic of a plain mean."""
    return means


def monte_carlo(
    sample: Callable[[Key[Array, ""]], PyTree[Array]],
    key: Key[Array, ""],
    realizations: int,
    *,
    statistic: Callable[[PyTree[Array]], PyTree[Array]] = identity,
    batch_size: int | None = None,
    target_error: float | None = None,
    progress: Callable[[int, Estimate], None] | None = None,
) -> Estimate:
    """Estimate `statistic(E[sample(key)])`.

    The whole run is one compilation, whatever the number of realizations, and its memory does not
    grow with them. Give functions that stay the same object between calls (module-level functions,
    or `jax.tree_util.Partial` of them over arrays) to compile once for many calls. Under `jit`,
    `grad` or `vmap` the engine is a pure function: it then runs in one piece, without
    `target_error` and `progress`. Functions that close over traced values work too, but are slower
    to start, as the engine does not see these values before it has run.

    Args:
        sample: Draws one realization from its key: a pytree of real, complex or boolean arrays.
        key: Typed key of the run.
        realizations: Realizations to draw, fewer than 2^31; with a `target_error` the most to draw.
        statistic: Function of the mean sample, for quantities that are functions of means. Outside
            of transformations it is evaluated in double precision.
        batch_size: Realizations processed side by side, rounded down to a power of two. None takes
            what fits a memory budget. It does not change the draws.
        target_error: Stop as soon as every value has this relative standard error.
        progress: Called after every part of the run with the realizations so far and the estimate.

    Returns:
        The estimate with its standard error, in JAX's default precision.

    Raises:
        ValueError: If there are fewer than 2 realizations, or the target is not in (0, 1).
        FloatingPointError: If the estimate is not finite.
    """
    realizations, batch_size = _checked_arguments(realizations, batch_size, target_error)
    traced = partial(_traced_run, sample, key, realizations, statistic, batch_size)
    if is_traced(sample, key, statistic):
        return traced()
    try:
        return _concrete_run(
            sample, key, realizations, statistic, batch_size, target_error, progress
        )
    except jax.errors.TracerArrayConversionError:  # a function closes over a tracer
        return traced()


def _checked_arguments(
    realizations: object, batch_size: object, target_error: float | None
) -> tuple[int, int | None]:
    realizations = integer("realizations", realizations)
    require(
        realizations >= 2,
        f"`realizations` must be at least 2 for a standard error, but got {realizations}. "
        "Use a few hundred or more.",
    )
    require(
        realizations < 2**31,
        f"`realizations` must be less than 2^31, but got {realizations}. Average several runs.",
    )
    if batch_size is not None:
        batch_size = integer("batch_size", batch_size)
        require(
            batch_size >= 1,
            f"`batch_size` must be at least 1, but got {batch_size}. Leave it out for a default.",
        )
    require(
        target_error is None or 0 < target_error < 1,
        f"`target_error` must lie between 0 and 1, but got {target_error}. Use 0.002 for 0.2 %.",
    )
    return realizations, batch_size


def _traced_run(
    sample: Callable[[Array], PyTree[Array]],
    key: Array,
    realizations: int,
    statistic: Callable[[PyTree[Array]], PyTree[Array]],
    batch_size: int | None,
) -> Estimate:
    """The run as a pure function, in one piece."""
    blocks = _num_blocks(realizations)
    sums = _block_sums(sample, key, 0, realizations, blocks, batch_size)
    mean, error = _jackknife(statistic, sums, _block_counts(realizations, blocks))
    return Estimate(mean, error, realizations)


def _concrete_run(
    sample: Callable[[Array], PyTree[Array]],
    key: Array,
    realizations: int,
    statistic: Callable[[PyTree[Array]], PyTree[Array]],
    batch_size: int | None,
    target_error: float | None,
    progress: Callable[[int, Estimate], None] | None,
) -> Estimate:
    """The run in parts, whose sums are added in double precision on the host."""
    blocks = _num_blocks(realizations)
    whole = not (target_error or progress)
    total, estimate = None, None
    for start, stop in _parts(realizations, blocks, whole=whole):
        bounds = jnp.asarray(start), jnp.asarray(stop)  # traced, or each part would compile
        part = _jitted_block_sums(sample, key, *bounds, blocks, batch_size)
        part = jax.tree.map(_to_double, part)
        _check_finite(part)
        total = part if total is None else jax.tree.map(np.add, total, part)
        if whole and stop < realizations:
            continue
        estimate = _estimate_in_double(statistic, total, stop, blocks)
        if progress is not None:
            progress(stop, estimate)
        if target_error is not None and estimate.relative_error <= target_error:
            break
    assert estimate is not None
    _check_finite((estimate.mean, estimate.std_error))
    return estimate


def _num_blocks(realizations: int) -> int:
    return min(MOST_BLOCKS, 2 ** (realizations.bit_length() - 1))


def _parts(realizations: int, blocks: int, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Split a run where it may stop or report.

    The split depends on nothing but the arguments, so that a run that stops at a target error
    stops at the same realization everywhere. Parts also bound how much is summed in single
    precision before it goes into the double precision total.
    """
    start = 0
    while start < realizations:
        step = 2**16 if whole else max(4 * blocks, min(start // 4, realizations // 50))
        stop = min(start + math.ceil(step / blocks) * blocks, realizations)
        yield start, stop
        start = stop


def _block_counts(realizations: int, blocks: int) -> np.ndarray:
    return (realizations - np.arange(blocks) + blocks - 1) // blocks


def _block_sums(
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


@eqx.filter_jit
def _jitted_block_sums(
    sample: Callable[[Array], PyTree[Array]],
    key: Array,
    start: Array,
    stop: Array,
    blocks: int,
    batch_size: int | None,
) -> PyTree[Array]:
    return _block_sums(sample, key, start, stop, blocks, batch_size)


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


def _to_double(array: Array) -> np.ndarray:
    wide = np.complex128 if jnp.iscomplexobj(array) else np.float64
    return np.asarray(array).astype(wide)


def _estimate_in_double(
    statistic: Callable[[PyTree[Array]], PyTree[Array]],
    sums: PyTree[np.ndarray],
    realizations: int,
    blocks: int,
) -> Estimate:
    with jax.enable_x64(True):
        counts = jnp.asarray(_block_counts(realizations, blocks))
        mean, error = _jitted_jackknife(statistic, jax.tree.map(jnp.asarray, sums), counts)
        wide = jax.tree.map(np.asarray, (mean, error))
    mean, error = jax.tree.map(jnp.asarray, wide)
    return Estimate(mean, error, realizations)


def _jackknife(
    statistic: Callable[[PyTree[Array]], PyTree[Array]], sums: PyTree[Array], counts: Any
) -> tuple[PyTree[Array], PyTree[Array]]:
    """Bias-corrected value and standard error, for blocks whose sizes may differ by one.

    References:
        Busing, Meijer, van der Leeden, "Delete-m jackknife for unequal m", Statistics and
        Computing 9, 1999.
    """
    blocks, total = len(counts), counts.sum()
    real = jnp.result_type(float)
    everything = jax.tree.map(lambda s: s.sum(0), sums)
    value = statistic(jax.tree.map(lambda s: s / total, everything))

    def without(block_sum: PyTree[Array], count: Array) -> PyTree[Array]:
        rest = total - count
        return statistic(jax.tree.map(lambda a, b: (a - b) / rest, everything, block_sum))

    replicates = jax.vmap(without)(sums, jnp.asarray(counts))
    inverse_share = jnp.asarray(total / counts, real)

    def combine(value: Array, replicates: Array) -> tuple[Array, Array]:
        h = inverse_share.reshape(blocks, *(1,) * value.ndim)
        pseudo = h * value - (h - 1) * replicates
        mean = (pseudo / h).sum(0)
        deviation = pseudo - mean
        variance = ((deviation * deviation.conj()).real / (h - 1)).mean(0)
        return mean, _sqrt(variance)

    pairs = jax.tree.map(combine, value, replicates)
    return jax.tree.transpose(jax.tree.structure(value), jax.tree.structure((0, 0)), pairs)


_jitted_jackknife = eqx.filter_jit(_jackknife)


def _sqrt(variance: Array) -> Array:
    """Square root with a zero, not NaN, gradient at zero."""
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)


def _check_finite(values: PyTree[Array | np.ndarray]) -> None:
    for leaf in jax.tree.leaves(values):
        if not np.all(np.isfinite(leaf)):
            raise FloatingPointError(
                "the simulated mean is not finite. Check for parameters at the edge of their "
                "range, or repeat with x64 enabled."
            )
