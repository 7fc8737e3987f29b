"""What the cases share: how much to measure, and the measures that every row has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.fresh import fresh_runs
from benchmarks.timing import Contender, Timing
from benchmarks.workloads import Workload


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        realizations: Of a jaxmimo run.
        numpy_realizations: Of the baselines `shared` and `split`; a multiple of 128.
        pointwise_realizations: Of `pointwise`; a multiple of 128.
        loop_realizations: Of `loop`; a multiple of 16.
        drops_at_once: Drops of a jaxmimo run of system 4.
        repeats: Rounds.
        floor_batches: In how many sizes of batches the parts of floors are tried, the most
            promising first; the fastest counts.
        floor_seconds: How long a part of a floor is timed at a time.
        memory_small: Realizations at which the memory of a small network is compared.
        memory_figure: The same for figure 2.
        fresh: Whether to start fresh processes, for compile times and memory.
    """

    realizations: int = 4096
    numpy_realizations: int = 256
    pointwise_realizations: int = 128
    loop_realizations: int = 16
    drops_at_once: int = 16
    repeats: int = 5
    floor_batches: int = 1
    floor_seconds: float = 0.05
    memory_small: tuple[int, int] = (10**4, 10**6)
    memory_figure: tuple[int, int] = (10**3, 10**4)
    fresh: bool = True


QUICK = Effort()
BRIEF = Effort(
    realizations=8192,
    drops_at_once=64,
    floor_batches=4,
    memory_figure=(10**3, 10**5),
)
"""Long runs of jaxmimo, short ones of NumPy: for accelerators, which are lent by the minute."""
FULL = Effort(
    realizations=8192,
    numpy_realizations=1024,
    pointwise_realizations=256,
    loop_realizations=32,
    drops_at_once=64,
    repeats=15,
    floor_batches=4,
    floor_seconds=0.2,
    memory_figure=(10**3, 10**5),
)


def basics(steady: Timing, relative_error: float) -> dict[str, float]:
    """Measures of a steady run, and how long it would take to a relative error of 0.5 %."""
    per_realization = steady.minimum / steady.realizations
    needed = steady.realizations * (relative_error / 0.005) ** 2
    return {
        "steady_s": steady.minimum,
        "median_s": steady.median,
        "realizations_per_s": 1 / per_realization,
        "seconds_to_half_percent": needed * per_realization,
    }


def fresh_measures(name: str, effort: Effort, realizations: int) -> dict[str, float]:
    """Compile times and peak memory of fresh processes, if these are wanted."""
    if not effort.fresh:
        return {}
    runs = fresh_runs(name, realizations)
    return {
        "compile_cold_s": runs.compile_cold_s,
        "compile_cached_s": runs.compile_cached_s,
        "peak_bytes": runs.peak_bytes,
    }


def each(timings: Mapping[str, Timing]) -> dict[str, Any]:
    """Every contender's minimum and median per realization [us], and realizations per call."""
    return {
        "contenders": {
            name: {
                "minimum_us": timing.microseconds,
                "median_us": timing.median / timing.realizations * 1e6,
                "realizations": timing.realizations,
            }
            for name, timing in timings.items()
        }
    }


def jax_realizations(effort: Effort) -> int:
    """An accelerator needs more work to show its speed."""
    return effort.realizations * (1 if jax.default_backend() == "cpu" else 64)


def pooled(workload: Workload, realizations: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its standard error of independent runs, by the program that is then timed."""
    estimates = [workload(realizations, seed=seed) for seed in range(runs)]
    mean = np.mean([estimate.mean for estimate in estimates], axis=0)
    variance = np.mean([np.square(estimate.std_error) for estimate in estimates], axis=0)
    return mean, np.sqrt(variance / runs)


def jax_contender(workload: Callable[[int], object], realizations: int) -> Contender:
    """A workload of jaxmimo as a contender."""
    return Contender(partial(workload, realizations), realizations)
