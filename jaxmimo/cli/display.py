"""What the command prints: progress, tables of results, and last what to know at the least."""

import io
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import rich.progress
import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxmimo.cli.tables import result_tables
from jaxmimo.core.checks import require
from jaxmimo.core.text import printable
from jaxmimo.simulation.jackknife import MOST_BLOCKS
from jaxmimo.studies.study import Claim, Progress, Study

VERDICTS = {"holds": "green", "undecided": "yellow", "does not hold": "bold red"}
"""Verdicts on claims, with their styles."""

LINE_INTERVAL = 5.0
"""Seconds between lines of progress, where there are no bars."""


def make_console(*, quiet: bool = False) -> Console:
    """Console on the standard output; wide where no window limits it, as in a log."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII log must not fail at a plus-minus sign
    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if limited else 200, highlight=False, quiet=quiet)


def progress_display(console: Console) -> AbstractContextManager[Callable[[Progress], None]]:
    """Show a study's progress: bars on a terminal, elsewhere a line every few seconds."""
    return _bars(console) if console.is_terminal else _lines(console)


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[Progress], None]]:
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[rate]}"),
        rich.progress.TextColumn("{task.fields[error]}"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as bars:
        waiting = bars.add_task("compiling", total=None, rate="", error="")
        tasks: dict[str, rich.progress.TaskID] = {}
        rates: dict[str, _Rate] = {}

        def update(now: Progress) -> None:
            bars.update(waiting, visible=False)
            if now.label not in tasks:
                name = now.label or "simulating"
                tasks[now.label] = bars.add_task(name, total=None, rate="", error="")
                rates[now.label] = _Rate(now.done)
            rate, error = rates[now.label].text(now), _error_text(now)
            bars.update(
                tasks[now.label], completed=now.done, total=now.total, rate=rate, error=error
            )

        yield update
        for task in bars.tasks:  # a part that met its target early is complete, too
            bars.update(task.id, total=task.completed)


@contextmanager
def _lines(console: Console) -> Iterator[Callable[[Progress], None]]:
    last: Progress | None = None
    rate, printed = _Rate(0), time.monotonic()

    def log(*, ended: bool) -> None:
        if last is None:
            return
        count = f"{last.done} realizations" if ended else f"{last.done} of {last.total}"
        parts = [f"{last.label or 'simulated'}: {count}", rate.text(last), _error_text(last)]
        if not ended:
            parts.insert(2, rate.remaining(last))
        console.print(", ".join(filter(None, parts)), markup=False, soft_wrap=True)

    def update(now: Progress) -> None:
        nonlocal last, rate, printed
        if last is None or last.label != now.label:
            log(ended=True)
            rate, printed = _Rate(now.done), time.monotonic()
        last = now
        if time.monotonic() > printed + LINE_INTERVAL and now.done < now.total:
            printed = time.monotonic()
            log(ended=False)

    yield update
    log(ended=True)


class _Rate:
    """Realizations per second since the first report of a part of a study."""

    def __init__(self, done: int) -> None:
        self._done, self._since = done, time.monotonic()

    def _per_second(self, now: Progress) -> float:
        return (now.done - self._done) / max(time.monotonic() - self._since, 1e-9)

    def text(self, now: Progress) -> str:
        rate = self._per_second(now)
        return f"{rate:.3g} per second" if now.done > self._done else ""

    def remaining(self, now: Progress) -> str:
        rate = self._per_second(now)
        return f"{(now.total - now.done) / rate:.0f} s left" if rate > 0 else ""


def _error_text(now: Progress) -> str:
    if not math.isfinite(now.relative_error):
        return "standard error not known yet"
    return f"standard error {100 * now.relative_error:.2g} %"


def require_points(points: int | None) -> None:
    """Refuse curves of one point or none."""
    require(
        points is None or points >= 2,
        f"`--points` must be at least 2, but got {points}. Both ends of a curve are shown.",
    )


def print_tables(
    console: Console, study: Study, dataset: xr.Dataset, points: int | None = None
) -> None:
    """Print the name of a result and its tables.

    Args:
        console: Where to print.
        study: The study it comes from.
        dataset: The result.
        points: Points to show along a dimension, evenly spaced; None for all.
    """
    console.print(f"{study.name}: {study.summary}", markup=False, style="bold")
    for table in result_tables(dataset, console.width, points):
        console.print(table)


def print_summary(
    console: Console, study: Study, dataset: xr.Dataset, files: Iterable[Path]
) -> None:
    """Print what to know of a result at the least: claims, files, what is missing, how long."""
    claims = study.claims(dataset)
    if claims:
        console.print(_claims_table(claims))
        if changed := study.changed(dataset):
            others = ", ".join(
                f"{name} = {used} ({usual})" for name, (used, usual) in changed.items()
            )
            console.print(
                f"Not the paper's parameters (its own in brackets): {others}", markup=False
            )
    made = dataset.attrs
    if "note" in made:
        console.print(made["note"], markup=False)
    if made["realizations"] < MOST_BLOCKS:
        console.print(f"Error bars are too short: draw at least {MOST_BLOCKS} realizations.")
    if "error_reached" in made:
        console.print(_missed(made), markup=False)
    for file in files:
        console.print(printable(f"Wrote {file}"), markup=False, soft_wrap=True)
    console.print(
        f"{made['realizations']} realizations, {made['precision']} precision, seed {made['seed']}, "
        f"{made['device_kind']} x {made['device_count']}, {made['wall_time_s']:.1f} s",
        markup=False,
    )


def _missed(made: Mapping[str, Any]) -> str:
    """What a run lacks that ended before it met its target error."""
    reached, target = made["error_reached"], made["target_error"]
    text = f"`--target-error` {target:g} is missed: standard errors are up to "
    if not math.isfinite(reached):
        return f"{text}more than the mean. Raise `--realizations`."
    needed = math.ceil(made["realizations"] * (reached / target) ** 2)
    return (
        f"{text}{100 * reached:.2g} %. Add `--resume` with `--realizations {needed:.1e}` or so; "
        "what is drawn counts."
    )


def _claims_table(claims: list[Claim]) -> Table:
    table = Table("claim", "", "evidence", show_lines=True)
    for claim in claims:
        verdict = Text(claim.verdict, VERDICTS[claim.verdict])
        table.add_row(Text(claim.text), verdict, Text(claim.evidence))
    return table
