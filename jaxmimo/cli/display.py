"""What the command prints: progress, tables of results, claims."""

import io
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import rich.progress
import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxmimo.plotting import axis_label
from jaxmimo.studies.study import Claim, Progress, Study

MAX_ROWS = 120
"""Rows a table may have; the file holds them all."""


def make_console() -> Console:
    """Console on the standard output; wide where no window limits it, as in a log."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII log must not fail at a plus-minus sign
    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if limited else 200, highlight=False)


def progress_display(console: Console) -> AbstractContextManager[Callable[[Progress], None]]:
    """Show a study's progress: bars on a terminal, elsewhere a line for each part it finished."""
    return _bars(console) if console.is_terminal else _lines(console)


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[Progress], None]]:
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[error]}"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as bars:
        waiting = bars.add_task("compiling", total=None, error="")
        tasks: dict[str, rich.progress.TaskID] = {}

        def update(now: Progress) -> None:
            bars.update(waiting, visible=False)
            if now.label not in tasks:
                tasks[now.label] = bars.add_task(now.label or "simulating", total=None, error="")
            bars.update(
                tasks[now.label], completed=now.done, total=now.total, error=_error_text(now)
            )

        yield update
        for task in bars.tasks:  # a part that met its target early is complete, too
            bars.update(task.id, total=task.completed)


@contextmanager
def _lines(console: Console) -> Iterator[Callable[[Progress], None]]:
    last: Progress | None = None

    def log() -> None:
        if last is not None:
            text = f"{last.label or 'simulated'}: {last.done} realizations, {_error_text(last)}"
            console.print(text, markup=False)

    def update(now: Progress) -> None:
        nonlocal last
        if last is not None and last.label != now.label:
            log()
        last = now

    yield update
    log()


def _error_text(now: Progress) -> str:
    if not math.isfinite(now.relative_error):
        return "standard error not known yet"
    return f"standard error {100 * now.relative_error:.2g} %"


def print_result(console: Console, study: Study, dataset: xr.Dataset) -> None:
    """Print the tables of a result, the paper's claims, and how the result was made."""
    console.print(f"{study.name}: {study.summary}", markup=False, style="bold")
    for table in _result_tables(dataset):
        console.print(table)
    claims = study.claims(dataset)
    if claims:
        console.print(_claims_table(claims))
    made = dataset.attrs
    console.print(
        f"{made['realizations']} realizations, {made['precision']} precision, seed {made['seed']}, "
        f"{made['device_kind']} x {made['device_count']}, {made['wall_time_s']:.1f} s",
        markup=False,
    )


def _claims_table(claims: list[Claim]) -> Table:
    table = Table("the paper claims", "", "evidence", show_lines=True)
    for claim in claims:
        verdict = Text("holds", "green") if claim.holds else Text("does not hold", "bold red")
        table.add_row(Text(claim.text), verdict, Text(claim.evidence))
    return table


def _result_tables(dataset: xr.Dataset) -> Iterator[Table]:
    """A table for each set of dimensions; a variable with fewer of them joins a larger set."""
    groups: list[tuple[set, list]] = []
    for name in sorted(dataset.data_vars, key=lambda name: -dataset[name].ndim):
        dims = set(dataset[name].dims)
        home = next((names for larger, names in groups if dims <= larger), None)
        if home is None:
            groups.append((dims, [name]))
        else:
            home.append(name)
    for _, names in groups:
        yield _result_table(dataset[[name for name in dataset.data_vars if name in names]])


def _result_table(dataset: xr.Dataset) -> Table:
    """One row a point; a variable and its standard error share a column."""
    frame = dataset.to_dataframe().dropna(how="all", subset=list(dataset.data_vars)).reset_index()
    shown = frame.head(MAX_ROWS)
    table = Table()
    cells = []
    for name in (name for name in frame.columns if not str(name).endswith("_std_error")):
        title = axis_label(dataset[name]) if name in dataset.variables else str(name)
        table.add_column(Text(title), justify="right")
        error = f"{name}_std_error"
        errors = shown[error] if error in shown else [math.nan] * len(shown)
        cells.append(map(_cell, shown[name], errors))
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    if len(frame) > MAX_ROWS:
        table.caption = f"{len(frame) - MAX_ROWS} more rows are in the file."
    return table


def _cell(value: object, std_error: float) -> str:
    """A value, rounded to two digits of its standard error if it has one; empty for NaN."""
    if not isinstance(value, float | np.floating):
        return str(value)
    if math.isnan(value):
        return ""
    if not (math.isfinite(std_error) and std_error > 0.0):
        return f"{value:.6g}"
    decimals = max(0, 1 - math.floor(math.log10(std_error)))
    return f"{value:.{decimals}f} \u00b1 {std_error:.{decimals}f}"
