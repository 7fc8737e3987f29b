"""What all studies share: simulation as the command asks for it, labelled datasets, evidence."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.tree_util import Partial

from jaxmimo.simulation.batches import usable_cores
from jaxmimo.simulation.monte_carlo import (
    Estimate,
    compile_ahead,
    identity,
    monte_carlo,
    relative_error,
)
from jaxmimo.simulation.sweep import Curve, simulate_points
from jaxmimo.studies.study import Progress, Sampling
from jaxmimo.transceiver.combining import Combiner

Attributes = Mapping[str, tuple[str, str]]
"""Long name and unit of each variable and coordinate; standard errors follow from them."""


def simulate(
    sample: Partial,
    statistic: Callable[[Any], Any],
    sampling: Sampling,
    label: str = "",
    judged: Callable[[Any], Any] = identity,
) -> Estimate:
    """Run the engine as the command asked for, and pass its progress on.

    Args:
        sample: Draws one realization from its key.
        statistic: Function of the mean sample.
        sampling: Realizations, target error, progress and checkpoint.
        label: Part of the study, for the progress.
        judged: What of the statistic has to meet the target error, see `monte_carlo`.
    """
    options = _options(sampling, label, judged)
    return monte_carlo(sample, sampling.key, sampling.realizations, statistic=statistic, **options)


@dataclass(frozen=True)
class Part:
    """A part of a study that has a kernel of its own; see `simulate`."""

    sample: Partial
    statistic: Callable[[Any], Any]
    label: str = ""
    judged: Callable[[Any], Any] = identity


def simulate_all(parts: Sequence[Part], sampling: Sampling) -> list[Estimate]:
    """`simulate` part after part, while the kernels of those to come are compiled.

    One compilation does not keep two cores busy, and its tracing keeps one.
    """
    with _compiled_ahead(parts, sampling) as ready:
        estimates = []
        for part in parts:
            next(ready)
            estimates.append(
                simulate(part.sample, part.statistic, sampling, part.label, part.judged)
            )
        return estimates


@contextmanager
def _compiled_ahead(parts: Sequence[Part], sampling: Sampling) -> Iterator[Iterator[None]]:
    """Yields what can be waited for, part after part."""
    resumed = sampling.checkpoint is not None and sampling.checkpoint.records
    if resumed or len(parts) == 1 or jax.process_count() > 1:  # hosts agree on one batch at a time
        yield repeat(None)
        return
    x64 = jnp.result_type(float) == jnp.float64  # which belongs to a thread

    def compile_one(part: Part) -> None:
        with jax.enable_x64(x64):
            compile_ahead(part.sample, sampling.key, sampling.realizations)

    pool = ThreadPoolExecutor(min(len(parts), usable_cores()))
    try:
        yield pool.map(compile_one, parts)
    finally:
        pool.shutdown(cancel_futures=True)


def simulate_curve(
    sample_of: Callable[[np.ndarray], Partial],
    count: int,
    axis: int,
    sampling: Sampling,
    judged: Callable[[Any], Any] = identity,
) -> Curve:
    """Run the engine for means along a curve, whose points end when they meet the target error.

    Args:
        sample_of: From the indices of points to the sample of these points.
        count: Points of the curve.
        axis: Axis of the points in what the sample draws.
        sampling: Realizations, target error, progress and checkpoint.
        judged: What of the means has to meet the target error, see `monte_carlo`.
    """
    options = _options(sampling, "", judged)
    return simulate_points(
        sample_of, count, sampling.key, sampling.realizations, axis=axis, **options
    )


def _options(sampling: Sampling, label: str, judged: Callable[[Any], Any]) -> dict[str, Any]:
    """What the command asked for, as the engine's arguments."""

    def report(done: int, estimate: Estimate) -> None:
        error = relative_error(judged(estimate.mean), judged(estimate.std_error))
        if sampling.progress is not None:
            sampling.progress(Progress(done, sampling.realizations, error, label))

    return {
        "target_error": sampling.target_error,
        "judged": judged,
        "progress": report,
        "checkpoint": None if sampling.checkpoint is None else sampling.checkpoint.next_part(),
    }


def make_dataset(
    dimensions: Mapping[str, Any],
    variables: Mapping[str, tuple[Sequence[str], Any]],
    attributes: Attributes,
) -> xr.Dataset:
    """Dataset with long names and units on every variable and coordinate.

    Args:
        dimensions: Values along each dimension; a single value makes a scalar coordinate.
        variables: Dimensions and values of each variable.
        attributes: Long names and units.
    """
    dataset = xr.Dataset(
        {name: (tuple(dims), np.asarray(values)) for name, (dims, values) in variables.items()},
        coords={
            name: values if np.ndim(values) == 0 else list(values)
            for name, values in dimensions.items()
        },
    )
    for name in map(str, dataset.variables):
        long_name, units = attributes[name.removesuffix("_std_error")]
        if name.endswith("_std_error"):
            is_word = long_name[1:2].islower()  # unlike an abbreviation
            long_name = long_name[:1].lower() + long_name[1:] if is_word else long_name
            long_name = f"Standard error of {long_name}"
        dataset[name].attrs = {"long_name": long_name, "units": units}
    return dataset


def combiners_of(
    combiners: Mapping[str, Combiner], num_antennas: int, num_users: int
) -> tuple[dict[str, Combiner], dict[str, str]]:
    """Combiners that can serve the users, and a note for the result where one cannot.

    Args:
        combiners: Combiners by name; ZF separates no more users than there are antennas.
        num_antennas: Antennas that a user is combined from.
        num_users: Users.
    """
    if num_users <= num_antennas or "ZF" not in combiners:
        return dict(combiners), {}
    rest = {name: combiner for name, combiner in combiners.items() if name != "ZF"}
    note = f"ZF is left out: it cannot separate {num_users} users by {num_antennas} antennas."
    return rest, {"note": note}


def percent(values: xr.DataArray | np.ndarray) -> str:
    """A list of ratios as percentages."""
    return ", ".join(f"{100 * value:.1f}" for value in np.ravel(values)) + " %"
