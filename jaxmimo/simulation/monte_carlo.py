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
from jax import Array
from jaxtyping import Key, PyTree

from jaxmimo.core.checks import integer, is_traced, require
from jaxmimo.simulation.block_sums import block_sums, share_alignment, sums_in_double
from jaxmimo.simulation.jackknife import block_counts, jackknife, num_blocks


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
        return num_blocks(self.realizations) - 1

    @property
    def relative_error(self) -> float:
        """Largest standard error relative to its mean."""
        ratios = jax.tree.map(
            lambda mean, error: jnp.max(jnp.where(error == 0, 0, error / jnp.abs(mean))),
            self.mean,
            self.std_error,
        )
        return float(np.max(jax.tree.leaves(ratios)))

    def __repr__(self) -> str:
        if any(np.ndim(leaf) for leaf in jax.tree.leaves(self.mean)) or is_traced(self.mean):
            return super().__repr__()
        values = jax.tree.map(lambda m, e: f"{m:.6g} \u00b1 {e:.2g}", self.mean, self.std_error)
        return f"Estimate({values}, realizations={self.realizations})"

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
    realizations: object, batch_size: object, target_error: Any
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
    blocks = num_blocks(realizations)
    sums = block_sums(sample, key, 0, realizations, blocks, batch_size)
    mean, error = jackknife(statistic, sums, block_counts(realizations, blocks))
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
    blocks = num_blocks(realizations)
    alignment = share_alignment(realizations, blocks)
    whole = not (target_error or progress)
    total, estimate = None, None
    for start, stop in _parts(realizations, blocks, whole=whole):
        part = sums_in_double(sample, key, start, stop, blocks, batch_size, alignment)
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


def _estimate_in_double(
    statistic: Callable[[PyTree[Array]], PyTree[Array]],
    sums: PyTree[np.ndarray],
    realizations: int,
    blocks: int,
) -> Estimate:
    with jax.enable_x64(True):
        counts = jnp.asarray(block_counts(realizations, blocks))
        mean, error = _jitted_jackknife(statistic, jax.tree.map(jnp.asarray, sums), counts)
        wide = jax.tree.map(np.asarray, (mean, error))
    mean, error = jax.tree.map(jnp.asarray, wide)
    return Estimate(mean, error, realizations)


_jitted_jackknife = eqx.filter_jit(jackknife)


def _check_finite(values: PyTree[Array | np.ndarray]) -> None:
    for leaf in jax.tree.leaves(values):
        if not np.all(np.isfinite(leaf)):
            raise FloatingPointError(
                "the simulated mean is not finite. Check for parameters at the edge of their "
                "range, or repeat with x64 enabled."
            )
