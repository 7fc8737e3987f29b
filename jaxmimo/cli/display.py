"""What the command prints: progress, tables of results, claims.

By convention `x_std_error` holds the standard errors of `x`, which share its cells, and a variable
whose name ends in `_cdf` or `_over_band` is a long curve, for pictures and the file: no table shows
it.
"""

import io
import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import rich.progress
import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxmimo.plotting import axis_label
from jaxmimo.simulation.jackknife import MOST_BLOCKS
from jaxmimo.studies.study import Claim, Progress, Study

MAX_ROWS = 120
"""Rows a table may have; the file holds them all."""

ROUNDING = 1e-12
"""Relative standard error below which a value is exact, but for rounding."""

ASIDES = ("_cdf", "_over_band", "_by_step")
"""Ends of names of variables that pictures show better than tables."""

STD_ERROR = "_std_error"
"""Ending of the name of a variable's standard errors."""


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


def print_result(console: Console, study: Study, dataset: xr.Dataset) -> None:
    """Print the tables of a result, the claims, and how the result was made."""
    console.print(f"{study.name}: {study.summary}", markup=False, style="bold")
    for table in _result_tables(_without_asides(dataset), console.width):
        console.print(table)
    claims = study.claims(dataset)
    if claims:
        console.print(_claims_table(claims))
    made = dataset.attrs
    if made["realizations"] < MOST_BLOCKS:
        console.print(f"Error bars are too short: draw at least {MOST_BLOCKS} realizations.")
    console.print(
        f"{made['realizations']} realizations, {made['precision']} precision, seed {made['seed']}, "
        f"{made['device_kind']} x {made['device_count']}, {made['wall_time_s']:.1f} s",
        markup=False,
    )


def _claims_table(claims: list[Claim]) -> Table:
    table = Table("claim", "", "evidence", show_lines=True)
    for claim in claims:
        verdict = Text("holds", "green") if claim.holds else Text("does not hold", "bold red")
        table.add_row(Text(claim.text), verdict, Text(claim.evidence))
    return table


def _without_asides(dataset: xr.Dataset) -> xr.Dataset:
    """What tables show: no long curves, and no coordinates that have but one value."""
    hidden = [
        name for name in dataset.data_vars if str(name).removesuffix(STD_ERROR).endswith(ASIDES)
    ]
    shown = dataset.drop_vars(hidden)
    return shown.drop_vars([name for name, values in shown.coords.items() if values.ndim == 0])


def _result_tables(dataset: xr.Dataset, width: int) -> Iterator[Table]:
    """A table for each set of dimensions; a variable with fewer of them joins a larger set.

    Where a point a row makes too many rows, each variable has a table with a row a curve.
    """
    groups: list[tuple[set, list]] = []
    for name in sorted(dataset.data_vars, key=lambda name: -dataset[name].ndim):
        dims = set(dataset[name].dims)
        home = next((names for larger, names in groups if dims <= larger), None)
        if home is None:
            groups.append((dims, [name]))
        else:
            home.append(name)
    for dims, names in groups:
        group = dataset[[name for name in dataset.data_vars if name in names]]
        rows = math.prod(dataset.sizes[dim] for dim in dims)
        if rows <= MAX_ROWS or len(dims) < 2:
            yield _table_of_points(group)
            continue
        last = dataset[names[0]].dims[-1]
        wide = [name for name in group.data_vars if last in group[name].dims]
        for name in wide:
            if not str(name).endswith(STD_ERROR):
                yield _table_of_curves(group[name], group.get(f"{name}{STD_ERROR}"), last, width)
        yield from _result_tables(group.drop_vars(wide), width)


def _table_of_points(dataset: xr.Dataset) -> Table:
    """One row a point; a variable and its standard error share a column."""
    frame = dataset.to_dataframe().dropna(how="all", subset=list(dataset.data_vars)).reset_index()
    shown = frame.head(MAX_ROWS)
    table = Table()
    cells = []
    for name in (name for name in frame.columns if not str(name).endswith(STD_ERROR)):
        title = axis_label(dataset[name]) if name in dataset.variables else str(name)
        table.add_column(Text(title), justify="right")
        error = f"{name}{STD_ERROR}"
        errors = shown[error] if error in shown else [math.nan] * len(shown)
        cells.append(map(_cell, shown[name], errors))
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    if len(frame) > MAX_ROWS:
        table.caption = f"{len(frame) - MAX_ROWS} more rows are in the file."
    return table


def _table_of_curves(
    values: xr.DataArray, errors: xr.DataArray | None, along: Hashable, width: int
) -> Table:
    """One row a curve, with as many of its points, evenly spaced, as fit the width."""
    values = values.transpose(..., along)
    errors = xr.full_like(values, math.nan) if errors is None else errors.transpose(..., along)
    dims = values.dims[:-1]
    labels = [
        [_cell(v, math.nan) for v in row]
        for row in itertools.product(*(values[dim].values for dim in dims))
    ]
    pairs = zip(values.values.ravel().tolist(), errors.values.ravel().tolist(), strict=True)
    cells = np.reshape([_compact_cell(*pair) for pair in pairs], (len(labels), -1))
    titles = [axis_label(values[dim]) if dim in values.coords else str(dim) for dim in dims]
    heads = [_cell(v, math.nan) for v in values[along].values]
    label_widths = [
        max(map(len, [*title.split(), *column]))
        for title, column in zip(titles, zip(*labels, strict=True), strict=True)
    ]
    cell_widths = [max(map(len, [h, *c])) for h, c in zip(heads, cells.T, strict=True)]
    chosen = _columns_that_fit(cell_widths, width - sum(3 + w for w in label_widths) - 1)
    table = Table(title=Text(f"{axis_label(values)} by {axis_label(values[along])}"))
    for title, label_width in zip(titles, label_widths, strict=True):
        table.add_column(Text(title), justify="right", width=label_width)
    for j in chosen:
        table.add_column(Text(heads[j]), justify="right", no_wrap=True)
    for label, row in itertools.islice(zip(labels, cells, strict=True), MAX_ROWS):
        table.add_row(*label, *row[list(chosen)])
    notes = ["1.23(45) stands for 1.23 \u00b1 0.45."]
    if len(chosen) < len(heads):
        notes.append(f"{len(chosen)} of {len(heads)} columns are shown; the file has all.")
    if len(labels) > MAX_ROWS:
        notes.append(f"{len(labels) - MAX_ROWS} more rows are in the file.")
    table.caption = " ".join(notes)
    return table


def _columns_that_fit(widths: list[int], room: int) -> range:
    """Evenly spaced columns up to the last, as many as there is room for, or else the last."""
    last = len(widths) - 1
    choices = [range(last % step, last + 1, step) for step in range(1, last + 2)]
    fitting = [each for each in choices if sum(widths[j] + 3 for j in each) <= room]
    return max(fitting, key=lambda each: (len(each), each[0] == 0), default=choices[-1])


def _cell(value: object, std_error: float) -> str:
    """A value, rounded to two digits of its standard error if it has one; empty for NaN."""
    if not isinstance(value, float | np.floating):
        return str(value)
    if math.isnan(value):
        return ""
    if not (math.isfinite(std_error) and std_error > ROUNDING * abs(value)):
        return f"{value:.6g}"
    decimals = _decimals(std_error)
    return f"{value:.{decimals}f} \u00b1 {std_error:.{decimals}f}"


def _compact_cell(value: object, std_error: float) -> str:
    """Like `_cell`, with the error in units of the last digit: 1.23(45) for 1.23 and 0.45."""
    cell = _cell(value, std_error)
    mean, plus_minus, error = cell.partition(" \u00b1 ")
    if not plus_minus:
        return cell
    return f"{mean}({error if float(error) >= 1.0 else error.partition('.')[2].lstrip('0')})"


def _decimals(std_error: float) -> int:
    """Decimals that show two digits of a standard error."""
    return max(0, 1 - math.floor(math.log10(std_error)))
