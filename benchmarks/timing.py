"""Timing on machines that others use too: contenders in turn, minima, medians, paired ratios."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from jaxmimo.simulation.batches import usable_cores


@dataclass(frozen=True)
class Timing:
    """Repeated durations of one contender.

    Attributes:
        seconds: One duration per round [s].
        realizations: Realizations per call, over which durations are compared; a part of one, too.
    """

    seconds: tuple[float, ...]
    realizations: float = 1

    @property
    def minimum(self) -> float:
        """Shortest call [s]."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Median call [s]."""
        return float(np.median(self.seconds))

    @property
    def microseconds(self) -> float:
        """Shortest call, per realization [us]."""
        return min(self.rounds)

    @property
    def rounds(self) -> tuple[float, ...]:
        """Every call, per realization [us]."""
        return tuple(seconds / self.realizations * 1e6 for seconds in self.seconds)

    def over(self, other: "Timing") -> float:
        """How many times longer than `other`, per realization.

        The smaller of the median of ratios of the same round and the ratio of the minima: load
        that slows one contender more than the other must not make a ratio look better.
        """
        mine = np.array(self.seconds) / self.realizations
        others = np.array(other.seconds) / other.realizations
        return float(min(self.paired_ratio(other), mine.min() / others.min()))

    def paired_ratio(self, other: "Timing") -> float:
        """Median of the ratios of durations per realization in the same round."""
        ratios = np.array(self.seconds) / np.array(other.seconds)
        return float(np.median(ratios)) * other.realizations / self.realizations


@dataclass(frozen=True)
class Contender:
    """Something to time: a call that returns when its work is done, and its realizations."""

    call: Callable[[], object]
    realizations: float = 1


def side_by_side(call: Callable[[], object], realizations: float, calls: int) -> Contender:
    """The call on all cores at once, a thread each, as the engine runs its shares.

    Args:
        call: What to time.
        realizations: Of a call.
        calls: Of each thread.
    """
    threads = usable_cores()

    def all_calls(_: int) -> None:
        for _ in range(calls):
            call()

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(all_calls, range(threads)))

    return Contender(run, threads * calls * realizations)


def repeated(call: Callable[[], object], realizations: float, seconds: float) -> Contender:
    """`side_by_side`, with as many calls of each thread as take about these seconds.

    Minima of durations that are to be compared must be of equally long ones: in a short while a
    neighbour may be quiet that never is in a long one.
    """
    call()  # which compiles
    return side_by_side(call, realizations, max(1, round(seconds / _seconds(call))))


def in_turn(contenders: Mapping[str, Contender], repeats: int) -> dict[str, Timing]:
    """Time all contenders in rounds, after one warm-up call of each."""
    for contender in contenders.values():
        contender.call()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            seconds[name].append(_seconds(contender.call))
    return {
        name: Timing(tuple(times), contenders[name].realizations) for name, times in seconds.items()
    }


def fastest(contenders: Mapping[str, Contender], repeats: int = 2) -> str:
    """Name of the contender with the shortest call per realization."""
    timings = in_turn(contenders, repeats)
    return min(timings, key=lambda name: timings[name].microseconds)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
