"""Means over random realizations, and functions of them, with standard errors.

A model is one function, `sample(key) -> pytree`, for one realization. The engine draws realization
i from `fold_in(key, i)` and nothing else, so that the draws do not depend on batches, devices or
restarts. Realizations are processed in batches; realization i is added to block `i % blocks`, and
only the block sums are kept. The delete-one-block jackknife turns these into a standard error for
any smooth function of the means, and removes the leading term of its bias.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Key, PyTree

from jaxmimo.core.checks import described, function, integer, is_traced, on_device, require
from jaxmimo.core.programs import found
from jaxmimo.simulation.batches import power_of_two
from jaxmimo.simulation.block_sums import block_sums, joined
from jaxmimo.simulation.checkpoint import Part, open_checkpoint
from jaxmimo.simulation.chunks import Kernel
from jaxmimo.simulation.jackknife import block_counts, num_blocks, student
from jaxmimo.simulation.model import Model
from jaxmimo.simulation.shares import quantile_of, with_unseen
from jaxmimo.simulation.tally import Tally, accumulate


class Estimate(eqx.Module):
    """A simulated quantity.

    Attributes:
        mean: Estimate, free of bias to first order in 1 / realizations.
        std_error: Its standard error, from a delete-one-block jackknife. Of a share of which all
            draws agree, such as an outage that has not occurred, it is what Wilson's interval says.
        realizations: Realizations drawn.
    """

    mean: PyTree[Array]
    std_error: PyTree[Array]
    realizations: int = eqx.field(static=True)

    @property
    def degrees_of_freedom(self) -> int:
        """Degrees of freedom of the standard error: one less than the blocks."""
        return num_blocks(self.realizations) - 1

    @property
    def relative_error(self) -> float:
        """Largest standard error relative to its mean."""
        return relative_error(self.mean, self.std_error)

    def __repr__(self) -> str:
        if any(np.ndim(leaf) for leaf in jax.tree.leaves(self.mean)) or is_traced(self.mean):
            return super().__repr__()
        values = jax.tree.map(lambda m, e: f"{m:.6g} \u00b1 {e:.2g}", self.mean, self.std_error)
        return f"Estimate({values}, realizations={self.realizations})"

    def interval(self, level: float = 0.95) -> tuple[PyTree[Array], PyTree[Array]]:
        """Two-sided confidence interval, by Student's law."""
        width = student(self.realizations, level)
        low = jax.tree.map(lambda m, e: m - width * e, self.mean, self.std_error)
        high = jax.tree.map(lambda m, e: m + width * e, self.mean, self.std_error)
        return low, high


def relative_error(mean: PyTree[Array], std_error: PyTree[Array]) -> float:
    """Largest standard error relative to its mean; what is exactly known does not count."""
    ratios = jax.tree.map(relative_errors, mean, std_error)
    return float(np.max([leaf.max() for leaf in jax.tree.leaves(ratios)]))


def relative_errors(mean: ArrayLike, std_error: ArrayLike) -> np.ndarray:
    """Standard errors relative to their means: zero where exact, infinite where the mean is 0."""
    value, error = np.abs(np.asarray(mean)), np.asarray(std_error)
    with np.errstate(divide="ignore"):
        return np.where(error == 0, 0.0, error / np.where(error == 0, 1.0, value))


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
    judged: Callable[[PyTree[Array]], PyTree[Array]] = identity,
    progress: Callable[[int, Estimate], None] | None = None,
    checkpoint: str | os.PathLike[str] | Part | None = None,
    devices: Sequence[Any] | None = None,
) -> Estimate:
    """Estimate `statistic(E[sample(key)])`.

    The memory of a run does not grow with its realizations, nor does its compilation. A function of
    your own is traced at every call, as it is then: it may read what changes between calls. It is
    compiled anew where its trace has changed; give arrays that change as a
    `jax.tree_util.Partial` over them to compile once for many calls. Under `jit`, `grad` or `vmap`
    the engine is a pure function: it then runs in one piece on one device, without `target_error`,
    `progress` and `checkpoint`. Functions that close over traced values work too.

    Args:
        sample: Draws one realization from its key: a pytree of real, complex or boolean arrays.
        key: Typed key of the run.
        realizations: Realizations to draw, fewer than 2^31; with a `target_error` the most to draw.
        statistic: Function of the mean sample, for quantities that are functions of means. Outside
            of transformations it is evaluated in double precision.
        batch_size: Realizations processed side by side, at most, rounded down to a power of two.
            None takes what fits a memory budget. It does not change the draws.
        target_error: Stop as soon as every value has this relative standard error. What depends on
            the key by yes and no alone, as an indicator does, is not known while all draws agree;
            any other value of exactly zero without any spread, as the SE at zero power, is.
        judged: What of the statistic has to meet the target: a distribution function, say, never
            meets a relative one in its tail.
        progress: Called now and then, and at the end, with the realizations so far and the
            estimate.
        checkpoint: File to keep what is known in, every few seconds. If it exists, the run goes on
            from it, and ends with the bits of a run that was never interrupted. It stays when the
            run ends: the same call then returns at once, and one for more realizations extends it.
        devices: Devices of JAX to share the run; None takes all, those of other processes too.

    Returns:
        The estimate with its standard error, in JAX's default precision.

    Raises:
        ValueError: If there are fewer than 2 realizations, the target is not in (0, 1), or the
            checkpoint is one of another model.
        FloatingPointError: If a realization or the estimate is not finite.
        KeyboardInterrupt: On Ctrl-C, when the chunk at work and the checkpoint are done.
    """
    realizations, batch_size = checked_arguments(realizations, batch_size, target_error)
    devices = checked_devices(devices)
    check_functions(statistic, judged, progress)
    model = Model(sample, key)
    traced = partial(_traced_run, model, realizations, statistic, batch_size)
    if model.is_traced or is_traced(statistic, on_device(np.zeros(()))):
        return traced()
    if checkpoint is not None and not isinstance(checkpoint, Part):
        checkpoint = open_checkpoint(checkpoint).next_part()

    def met(now: Estimate) -> bool:
        return relative_error(judged(now.mean), judged(now.std_error)) <= (target_error or 0.0)

    run = Run(
        realizations,
        statistic,
        None if target_error is None else met,
        progress,
        batch_size,
        devices,
    )
    try:
        result = run.estimate(model, run.of(model, checkpoint))
    except jax.errors.TracerArrayConversionError:  # the statistic closes over a tracer
        return traced()
    check_finite((result.mean, result.std_error))
    if progress is not None:
        progress(result.realizations, result)
    return result


def compile_ahead(
    sample: Callable[[Key[Array, ""]], PyTree[Array]], key: Key[Array, ""], realizations: int
) -> None:
    """Compile what a run of `monte_carlo` with these arguments begins with, and then finds."""
    Kernel(Model(sample, key), realizations, num_blocks(realizations)).compile_first()


def checked_arguments(
    realizations: object, batch_size: object, target_error: Any
) -> tuple[int, int | None]:
    """Realizations and batch size as integers, or a complaint."""
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
        target_error is None
        or (isinstance(target_error, float | int | np.floating) and bool(0 < target_error < 1)),
        f"`target_error` must lie between 0 and 1, but got {described(target_error)}. Use 0.002 "
        "for 0.2 %.",
    )
    return realizations, batch_size


def checked_devices(devices: object) -> list[Any]:
    """Devices as a list, all where None is given, or a complaint."""
    if devices is None:
        return jax.devices()
    several = list(devices) if isinstance(devices, Sequence) else [devices]
    require(
        isinstance(devices, Sequence)
        and 0 < len(set(map(id, several))) == len(several)
        and all(isinstance(device, jax.Device) for device in several),
        f"`devices` must be a list of different devices of JAX, but is {described(devices)}. Use "
        "`jax.devices()` or a part of it.",
    )
    return several


def check_functions(statistic: object, judged: object, progress: object) -> None:
    """Refuse what is no function."""
    function("statistic", statistic, "`jnp.sqrt`, or leave it out for the mean itself")
    function("judged", judged, "a function of the estimate, or leave it out for all of it")
    if progress is not None:
        function("progress", progress, "a function of realizations and estimate")


def _traced_run(
    model: Model,
    realizations: int,
    statistic: Callable[[PyTree[Array]], PyTree[Array]],
    batch_size: int | None,
) -> Estimate:
    """The run as a pure function, in one piece."""
    blocks = num_blocks(realizations)
    size = power_of_two(batch_size or model.promising_batch)
    sums = block_sums(model.sample, model.key, 0, 0, realizations, blocks, size)
    sums = joined(model.shapes, sums)
    counts = block_counts(realizations, blocks)
    quantile = quantile_of(model.is_share, realizations)
    mean, error, _ = with_unseen(statistic, sums, counts, quantile, model.is_share)
    return Estimate(mean, error, realizations)


@dataclass(frozen=True)
class Run:
    """How to simulate one model: all that `monte_carlo` was told, but the model.

    Attributes:
        realizations: How many to draw at most.
        statistic: Function of the mean sample.
        met: Whether an estimate is precise enough; None to draw all realizations.
        progress: Told the realizations so far and the estimate.
        batch_size: Realizations side by side, None for a default.
        devices: Devices that share it.
    """

    realizations: int
    statistic: Callable[[PyTree[Array]], PyTree[Array]]
    met: Callable[[Estimate], bool] | None
    progress: Callable[[int, Estimate], None] | None
    batch_size: int | None
    devices: Sequence[Any]
    _jackknives: dict[Any, Callable[..., Any]] = field(default_factory=dict)

    def of(self, model: Model, part: Part | None, known: Tally | None = None) -> Tally:
        """Simulate in chunks, whose sums are added in double precision on the host.

        Args:
            model: What to simulate.
            part: Where the tally is kept, and taken from if it is there.
            known: What is known if it is not there.
        """
        blocks = num_blocks(self.realizations)
        tally = part.load(model, blocks, self.realizations) if part is not None else None
        tally = tally or known or Tally.empty(model.shapes, blocks)
        options = {"batch_size": self.batch_size, "devices": self.devices}
        kernel = Kernel(model, self.realizations, blocks, **options)
        met, progress = self.met, self.progress
        accumulate(
            kernel,
            tally,
            self.realizations,
            met=None if met is None else lambda tally: met(self.for_stopping(model, tally)),
            report=None
            if progress is None
            else lambda tally: progress(tally.realizations, self.estimate(model, tally)),
            save=None if part is None else partial(part.save, model),
        )
        if part is not None:
            part.save(model, tally)
        return tally

    def estimate(self, model: Model, tally: Tally) -> Estimate:
        """The estimate from a tally; the statistic is evaluated in double precision."""
        mean, error, _ = self._estimated(model, tally)
        return Estimate(mean, error, tally.realizations)

    def for_stopping(self, model: Model, tally: Tally) -> Estimate:
        """The same, with infinite errors where a share is in it of which all draws agree."""
        mean, error, doubt = self._estimated(model, tally)
        error = jax.tree.map(lambda e, d: jnp.where(d > 0.0, jnp.inf, e), error, doubt)
        return Estimate(mean, error, tally.realizations)

    def _estimated(self, model: Model, tally: Tally) -> tuple[PyTree[Array], ...]:
        """Mean, standard error, and what shares without spread contribute to it."""
        blocks = num_blocks(self.realizations)
        with jax.enable_x64(True):
            counts = block_counts(tally.realizations, blocks)
            quantile = quantile_of(model.is_share, tally.realizations)
            arguments = self.statistic, tally.sums, counts, quantile, model.is_share
            shapes = tuple(leaf.shape for leaf in jax.tree.leaves(tally.sums))
            if shapes not in self._jackknives:  # the statistic stays as it is in the first estimate
                self._jackknives[shapes] = found(with_unseen, *arguments)
            wide = jax.tree.map(np.asarray, self._jackknives[shapes](*arguments))
        return jax.tree.map(on_device, wide)


def check_finite(values: PyTree[Array | np.ndarray]) -> None:
    """Refuse results that are not finite."""
    for leaf in jax.tree.leaves(values):
        if not np.all(np.isfinite(leaf)):
            raise FloatingPointError(
                "the simulated mean is not finite. Check for parameters at the edge of their "
                "range, or repeat with x64 enabled."
            )
