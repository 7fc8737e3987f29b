"""What a run knows, and the loop that adds chunk after chunk to it."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from jaxmimo.simulation.chunks import Chunk, Kernel

FIRST_MILESTONE = 256
"""Realizations before which a standard error is too rough to stop a run."""


@dataclass
class Tally:
    """Sums of the first realizations of a run, in double precision.

    Attributes:
        realizations: How many they are.
        sums: Their sums per block; realization i belongs to block `i % blocks`.
    """

    realizations: int
    sums: PyTree[np.ndarray]

    @classmethod
    def empty(cls, shapes: PyTree[jax.ShapeDtypeStruct], blocks: int) -> "Tally":
        """The tally of no realizations, of these shapes."""

        def zeros(shape: jax.ShapeDtypeStruct) -> np.ndarray:
            is_complex = jnp.issubdtype(shape.dtype, jnp.complexfloating)
            return np.zeros((blocks, *shape.shape), np.complex128 if is_complex else np.float64)

        return cls(0, jax.tree.map(zeros, shapes))

    def add(self, chunk: Chunk, sums: PyTree[np.ndarray]) -> None:
        """Add the sums of the chunk that follows."""

        def add(total: np.ndarray, part: np.ndarray) -> None:
            rows = chunk.rows(len(total))
            total[rows] += part[rows]

        jax.tree.map(add, self.sums, sums)
        self.realizations = chunk.stop


def is_milestone(realizations: int) -> bool:
    """Whether a run may stop here, if it is precise enough: at 4, 5, 6, 7, 8, 10, ... times 2^n.

    Fixed, so that a run stops at the same realization everywhere.
    """
    quarter = 2 ** max(0, realizations.bit_length() - 3)
    return realizations >= FIRST_MILESTONE and realizations % quarter == 0


class Pace:
    """Says when something is due that costs time, so that it takes a small share of a run."""

    def __init__(self, share: float, interval: float) -> None:
        self._share, self._interval = share, interval
        self._next = time.monotonic()

    def due(self) -> bool:
        """Whether it is time again."""
        return time.monotonic() >= self._next

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Time the body, and put off the next one accordingly."""
        start = time.monotonic()
        yield
        end = time.monotonic()
        self._next = end + max(self._interval, (end - start) / self._share)


def accumulate(
    kernel: Kernel,
    tally: Tally,
    realizations: int,
    *,
    met: Callable[[Tally], bool] | None = None,
    report: Callable[[Tally], None] | None = None,
    save: Callable[[Tally], None] | None = None,
) -> None:
    """Add realizations to the tally.

    Args:
        kernel: Draws and sums them.
        tally: What is known so far; it grows.
        realizations: How many it shall have.
        met: Asked at milestones whether they suffice.
        report: Called now and then.
        save: Called now and then, and before an interruption takes effect.

    Raises:
        FloatingPointError: If a realization is not finite.
        KeyboardInterrupt: After the chunk during which Ctrl-C was pressed.
    """
    reports, saves = Pace(share=0.01, interval=0.1), Pace(share=0.01, interval=1.0)
    if met is not None and is_milestone(tally.realizations) and met(tally):
        return
    with _interrupts() as interrupted:
        for chunk, sums in kernel.sums(tally.realizations, realizations):
            check_chunk(kernel, chunk, sums)
            tally.add(chunk, sums)
            if interrupted():
                if save is not None:
                    save(tally)
                raise KeyboardInterrupt
            if met is not None and is_milestone(chunk.stop) and met(tally):
                break
            if report is not None and reports.due():
                with reports.spent():
                    report(tally)
            if save is not None and saves.due():
                with saves.spent():
                    save(tally)


def check_chunk(kernel: Kernel, chunk: Chunk, sums: PyTree[np.ndarray]) -> None:
    """Refuse a chunk with a realization that is not finite, and tell which one."""
    if all(np.isfinite(leaf[chunk.rows(len(leaf))]).all() for leaf in jax.tree.leaves(sums)):
        return
    count, first = kernel.non_finite(chunk)
    remedy = "Check for parameters at the edge of their range, or repeat with x64 enabled."
    if count == 0:
        raise FloatingPointError(
            f"the sum of realizations {chunk.start} to {chunk.stop - 1} is not finite, though each "
            f"of them is. {remedy}"
        )
    raise FloatingPointError(
        f"{count} of realizations {chunk.start} to {chunk.stop - 1} "
        f"{'is' if count == 1 else 'are'} not finite, the first is number {first}: "
        f"`sample(jax.random.fold_in(key, {first}))` draws it again. {remedy}"
    )


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back, and tell on every host whether one of them has it; a second one is felt."""
    pressed = False

    def hold(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(number, signal.default_int_handler)

    def interrupted() -> bool:
        if jax.process_count() == 1:
            return pressed
        return bool(np.any(multihost_utils.process_allgather(np.asarray(pressed))))

    felt = signal.getsignal(signal.SIGINT) not in (None, signal.SIG_IGN)
    if not felt or threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    previous = signal.signal(signal.SIGINT, hold)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
