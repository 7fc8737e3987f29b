"""Curves: many points from the same draws, each simulated until it is precise enough."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Key, PyTree

from jaxmimo.core.checks import require
from jaxmimo.simulation.checkpoint import Part, open_checkpoint
from jaxmimo.simulation.model import Model
from jaxmimo.simulation.monte_carlo import (
    Estimate,
    Run,
    check_finite,
    check_functions,
    checked_arguments,
    checked_devices,
    identity,
    monte_carlo,
    relative_errors,
)
from jaxmimo.simulation.tally import Tally


class Curve(Estimate):
    """Simulated points of a curve.

    Attributes:
        mean: As for `Estimate`, with an axis of points.
        std_error: Likewise.
        realizations: Realizations of the point that has the fewest.
        point_realizations: Those of each point.
    """

    point_realizations: tuple[int, ...] = eqx.field(static=True)


SampleOf = Callable[[np.ndarray], Callable[[Array], PyTree[Array]]]
"""From the indices of some points of a curve to the sample of these points."""


def sweep(
    sample: Callable[[Key[Array, ""], PyTree[Array]], PyTree[Array]],
    key: Key[Array, ""],
    points: PyTree[ArrayLike],
    realizations: int,
    *,
    statistic: Callable[[PyTree[Array]], PyTree[Array]] = identity,
    batch_size: int | None = None,
    target_error: float | None = None,
    judged: Callable[[PyTree[Array]], PyTree[Array]] = identity,
    progress: Callable[[int, Estimate], None] | None = None,
    checkpoint: str | os.PathLike[str] | Part | None = None,
    devices: Sequence[Any] | None = None,
) -> Curve:
    """Estimate `statistic(E[sample(key, point)])` for each point, by one kernel.

    All points share their draws (common random numbers), and what does not depend on the point is
    computed once. With a target error, points that meet it leave the kernel: it is compiled anew
    for the rest whenever half of its points have met it.

    Args:
        sample: Draws one realization of one point, from a key: a pytree of arrays.
        key: Typed key of the run.
        points: Parameters of the points, a pytree of arrays with a leading axis of points.
        realizations: Realizations to draw of each point; with a `target_error` the most to draw.
        statistic: Function of the mean sample of one point.
        batch_size: As for `monte_carlo`, as are the following.
        target_error: Relative standard error at which a point is done.
        judged: What of the statistic of a point has to meet the target.
        progress: Told the realizations so far and the estimate of the points at work.
        checkpoint: File to go on from.
        devices: Devices to share the run.

    Returns:
        The estimate, whose arrays have a leading axis of points.

    Raises:
        ValueError: If there are no points, or as many parameters do not have as many of them; and
            as `monte_carlo`.
    """
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(points)}
    require(
        len(sizes) == 1 and sizes not in ({()}, {(0,)}),
        "`points` must be arrays with equally long leading axes, one entry for each point, but "
        f"these have the lengths {sorted(size[0] if size else 0 for size in sizes)}. Stack what "
        "differs between the points.",
    )
    check_functions(statistic, judged, progress)
    ((count,),) = sizes
    points = jax.tree.map(jnp.asarray, points)

    def sample_of(chosen: np.ndarray) -> Partial:
        return Partial(_at_points, sample, jax.tree.map(lambda leaf: leaf[chosen], points))

    return simulate_points(
        sample_of,
        count,
        key,
        realizations,
        statistic=Partial(_mapped, statistic),
        batch_size=batch_size,
        target_error=target_error,
        judged=judged,
        progress=progress,
        checkpoint=checkpoint,
        devices=devices,
    )


def _at_points(
    sample: Callable[[Array, PyTree[Array]], PyTree[Array]], points: PyTree[Array], key: Array
) -> PyTree[Array]:
    return jax.vmap(lambda point: sample(key, point))(points)


def _mapped(function: Callable[[PyTree[Array]], PyTree[Array]], means: PyTree[Array]) -> Any:
    return jax.vmap(function)(means)


def simulate_points(
    sample_of: SampleOf,
    count: int,
    key: Key[Array, ""],
    realizations: int,
    *,
    axis: int = 0,
    statistic: Callable[[PyTree[Array]], PyTree[Array]] = identity,
    batch_size: int | None = None,
    target_error: float | None = None,
    judged: Callable[[PyTree[Array]], PyTree[Array]] = identity,
    progress: Callable[[int, Estimate], None] | None = None,
    checkpoint: str | os.PathLike[str] | Part | None = None,
    devices: Sequence[Any] | None = None,
) -> Curve:
    """`sweep` for samples that draw many points at once in a way of their own.

    Args:
        sample_of: From the indices of points, increasing, to the sample of these points.
        count: Points of the curve.
        key: Typed key of the run.
        realizations: Realizations to draw of each point, at most.
        axis: Axis of points in every array of the sample, and of what the statistic and `judged`
            make of it.
        statistic: Function of the mean sample of some of the points.
        batch_size: As for `sweep`, as are the following.
        target_error: Relative standard error at which a point is done.
        judged: What of the statistic has to meet the target.
        progress: Told the realizations so far and the estimate of the points at work.
        checkpoint: File to go on from.
        devices: Devices to share the run.
    """
    everything = sample_of(np.arange(count))
    if target_error is None or Model(everything, key).is_traced:
        options = {"batch_size": batch_size, "progress": progress, "checkpoint": checkpoint}
        whole = monte_carlo(
            everything, key, realizations, statistic=statistic, devices=devices, **options
        )
        return Curve(whole.mean, whole.std_error, realizations, (realizations,) * count)
    realizations, batch_size = checked_arguments(realizations, batch_size, target_error)
    devices = checked_devices(devices)
    if checkpoint is not None and not isinstance(checkpoint, Part):
        checkpoint = open_checkpoint(checkpoint).next_part()

    def errors(now: Estimate) -> np.ndarray:
        return _errors(judged(now.mean), judged(now.std_error), axis)

    def half_met(now: Estimate) -> bool:
        return bool(np.median(errors(now)) <= target_error)

    run = Run(realizations, statistic, half_met, progress, batch_size, devices)
    active, known = np.arange(count), None
    finished: list[_Finished] = []
    while len(active):
        model = Model(sample_of(active), key)
        tally = run.of(model, checkpoint, known)
        now = run.estimate(model, tally)
        check_finite((now.mean, now.std_error))
        if progress is not None:
            progress(tally.realizations, now)
        done = (errors(run.for_stopping(model, tally)) <= target_error) | (
            tally.realizations == realizations
        )
        mean, std_error = _rows((now.mean, now.std_error), done, axis)
        finished.append(_Finished(active[done], mean, std_error, tally.realizations))
        active, known = active[~done], Tally(tally.realizations, _rows(tally.sums, ~done, axis + 1))
        checkpoint = checkpoint and checkpoint.checkpoint.next_part()
    return _joined(finished, axis)


@dataclass(frozen=True)
class _Finished:
    """Points that are done, and what they took."""

    points: np.ndarray
    mean: PyTree[np.ndarray]
    std_error: PyTree[np.ndarray]
    realizations: int


def _errors(mean: PyTree[Array], std_error: PyTree[Array], axis: int) -> np.ndarray:
    """Largest relative standard error of each point."""

    def of_leaf(mean: Array, error: Array) -> np.ndarray:
        ratios = np.moveaxis(relative_errors(mean, error), axis, 0)
        return ratios.reshape(len(ratios), -1).max(1)

    return np.max(jax.tree.leaves(jax.tree.map(of_leaf, mean, std_error)), axis=0)


def _rows(values: PyTree[Any], chosen: np.ndarray, axis: int) -> PyTree[np.ndarray]:
    """Some of the points."""
    return jax.tree.map(lambda leaf: np.compress(chosen, np.asarray(leaf), axis), values)


def _joined(parts: list[_Finished], axis: int) -> Curve:
    """One estimate of all points, in their order."""
    order = np.argsort(np.concatenate([part.points for part in parts]))

    def join(*leaves: np.ndarray) -> Array:
        return jnp.asarray(np.take(np.concatenate(leaves, axis), order, axis))

    counts = np.concatenate([np.full(len(part.points), part.realizations) for part in parts])
    return Curve(
        jax.tree.map(join, *(part.mean for part in parts)),
        jax.tree.map(join, *(part.std_error for part in parts)),
        int(counts.min()),
        tuple(counts[order].tolist()),
    )
