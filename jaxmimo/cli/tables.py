"""Tables of results, as wide as a terminal: no number and no name is ever cut.

By convention `x_std_error` holds the standard errors of `x`, which share its cells, and a variable
whose name ends in one of `ASIDES` is a long curve, for pictures and the file: no table shows it.
"""

import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from rich.table import Table
from rich.text import Text

from jaxmimo.plotting import axis_label

MAX_ROWS = 150
"""Rows a table may have; the file holds them all."""

ROUNDING = 1e-12
"""Relative standard error below which a value is exact, but for rounding."""

ASIDES = ("_cdf", "_over_band", "_by_step", "_densely")
"""Ends of names of variables that pictures show better than tables."""

STD_ERROR = "_std_error"
"""Ending of the name of a variable's standard errors."""

CALCULATED = ("_closed_form", "_equivalent")
"""Parts of names of variables that stand beside the simulation of the same."""

FEW = 4
"""Points of a curve that a row should have; names of curves leave the table to make room."""


@dataclass(frozen=True)
class _Column:
    title: str
    cells: list[str]

    @property
    def width(self) -> int:
        """Characters without the frame; titles are wrapped at spaces, cells are not."""
        return max(map(len, [*self.title.split(), *self.cells]), default=0)


def result_tables(dataset: xr.Dataset, width: int, points: int | None = None) -> Iterator[Table]:
    """A table for each set of dimensions; a variable with fewer joins a larger set that has room.

    Where a point a row makes too many rows, each variable has tables with a row a curve. Columns
    beyond the width move to further tables.

    Args:
        dataset: The result.
        width: Characters of a line.
        points: Points to show along a dimension, evenly spaced; None for all.
    """
    dataset = _shortened(_without_asides(dataset), points)
    pending = _by_dimensions(dataset)
    while pending:
        names = pending.pop(0)
        dims = dataset[names[0]].dims
        if dataset[names[0]].size > MAX_ROWS and len(dims) > 1:
            for name in names:
                if _simulated(dataset, name) is None:
                    yield from _tables_of_curves(dataset, name, width)
            continue
        yield from _tables_of_points(dataset, names, pending, width)


def _without_asides(dataset: xr.Dataset) -> xr.Dataset:
    """What tables show: no long curves, and no coordinates that have but one value."""
    hidden = [
        name for name in dataset.data_vars if str(name).removesuffix(STD_ERROR).endswith(ASIDES)
    ]
    shown = dataset.drop_vars(hidden)
    return shown.drop_vars([name for name, values in shown.coords.items() if values.ndim == 0])


def _shortened(dataset: xr.Dataset, points: int | None) -> xr.Dataset:
    """Evenly spaced points along dimensions of numbers that have more, both ends included."""
    chosen = {}
    for dim, size in dataset.sizes.items():
        numeric = dim in dataset.coords and dataset[dim].dtype.kind in "iuf"
        if points is not None and size > points and numeric:
            chosen[dim] = np.linspace(0, size - 1, points).round().astype(int)
    return dataset.isel(chosen)


def _by_dimensions(dataset: xr.Dataset) -> list[list[Hashable]]:
    """Names of variables with the same dimensions, most dimensions first."""
    groups: dict[frozenset, list] = {}
    for name in sorted(dataset.data_vars, key=lambda name: -dataset[name].ndim):
        if not str(name).endswith(STD_ERROR):
            groups.setdefault(frozenset(dataset[name].dims), []).append(name)
    return list(groups.values())


def _simulated(dataset: xr.Dataset, name: Hashable) -> str | None:
    """The simulation that a closed form stands beside."""
    for part in CALCULATED:
        other = str(name).replace(part, "")
        if part in str(name) and other in dataset and dataset[other].dims == dataset[name].dims:
            return other
    return None


def _calculated(dataset: xr.Dataset, name: Hashable) -> list[Hashable]:
    return [other for other in dataset.data_vars if _simulated(dataset, other) == name]


def _tables_of_points(
    dataset: xr.Dataset, names: list[Hashable], pending: list[list[Hashable]], width: int
) -> Iterator[Table]:
    """One row a point; what has fewer dimensions is taken from `pending` where there is room."""
    dims = dataset[names[0]].dims
    order = list(dims)
    frame = dataset[list(names)].to_dataframe(dim_order=order)[list(names)]
    known = frame.notna().to_numpy().any(axis=1)
    room = width - 1

    def columns_of(chosen: Sequence[Hashable]) -> list[_Column]:
        errors = [f"{name}{STD_ERROR}" for name in chosen if f"{name}{STD_ERROR}" in dataset]
        values = [name for name in [*names, *chosen, *errors] if name in dataset.variables]
        whole = dataset[list(dict.fromkeys(values))].to_dataframe(dim_order=order)
        part = whole[known].head(MAX_ROWS).reset_index()

        def column(name: Hashable) -> _Column:
            errors = part.get(f"{name}{STD_ERROR}")
            if errors is None:
                errors = [math.nan] * len(part)
            return _Column(_title(dataset, name), list(map(_cell, part[name], errors)))

        return list(map(column, chosen))

    keys = columns_of([*dims, *_coordinates(dataset, dims)])
    tables: list[list[_Column]] = []
    for name in names:
        if _simulated(dataset, name) is None:
            _place(columns_of([name, *_calculated(dataset, name)]), keys, tables, room)
    for others in [each for each in pending if set(dataset[each[0]].dims) <= set(dims)]:
        more = columns_of(others)
        if _needed([*keys, *tables[-1], *more]) <= room:
            tables[-1] += more
            pending.remove(others)
    for columns in tables:
        table = _table([*keys, *columns], room)
        if known.sum() > MAX_ROWS:
            table.caption = f"{known.sum() - MAX_ROWS} more rows are in the file."
        yield table


def _coordinates(dataset: xr.Dataset, dims: Sequence[Hashable]) -> list[Hashable]:
    """Coordinates along these dimensions, beyond those that have the dimension's name."""
    return [
        name
        for name, values in dataset.coords.items()
        if name not in dataset.dims and set(values.dims) <= set(dims)
    ]


def _place(
    unit: list[_Column], keys: list[_Column], tables: list[list[_Column]], room: int
) -> None:
    """Add columns that belong together to the last table, or begin another."""
    if tables and _needed([*keys, *tables[-1], *unit]) <= room:
        tables[-1] += unit
    else:
        tables.append(list(unit))


def _needed(columns: Sequence[_Column]) -> int:
    return sum(column.width + 3 for column in columns)


def _tables_of_curves(dataset: xr.Dataset, name: Hashable, width: int) -> Iterator[Table]:
    """One row a curve, the closed form below; columns and outer dimensions fill further tables."""
    names = [name, *_calculated(dataset, name)]
    along = dataset[name].dims[-1]
    dims = list(dataset[name].dims[:-1])
    heads = [_cell(value, math.nan) for value in dataset[along].values]
    widest = max(len(cell) for cell in _curve_cells(dataset, names).ravel())
    outer: list[Hashable] = []
    while len(dims) > 1 and (
        _needed(_labels(dataset, names, dims)) + min(FEW, len(heads)) * (widest + 3) > width - 1
    ):
        outer.append(dims.pop(0))
    title = f"{_title(dataset, name)} by {_title(dataset, along)}"
    caption = "1.23(45) stands for 1.23 \u00b1 0.45."
    for values in itertools.product(*(dataset[dim].values for dim in outer)):
        part = dataset.sel(dict(zip(outer, values, strict=True)))
        labels = _labels(part, names, dims)
        cells = _curve_cells(part, names)
        tables: list[list[_Column]] = []
        for head, column in zip(heads, cells.T, strict=True):
            _place([_Column(head, list(column))], labels, tables, width - 1)
        where = [f"{_title(dataset, dim)} {v}" for dim, v in zip(outer, values, strict=True)]
        for columns in tables:
            table = _table([*labels, *columns], width - 1)
            table.title = Text("; ".join([title, *where]))
            table.caption, caption = caption, ""
            if len(cells) > MAX_ROWS:
                table.caption = (
                    f"{table.caption} {len(cells) - MAX_ROWS} more rows are in the file."
                )
            yield table


def _labels(
    dataset: xr.Dataset, names: Sequence[Hashable], dims: Sequence[Hashable]
) -> list[_Column]:
    """Columns that name curves, and where there are closed forms what a row is."""
    every = list(itertools.product(*(dataset[dim].values for dim in dims)))
    repeated = [values for values in every for _ in names]
    columns = [
        _Column(_title(dataset, dim), [_cell(values[i], math.nan) for values in repeated])
        for i, dim in enumerate(dims)
    ]
    kinds = ["simulated", *(["calculated"] * (len(names) - 1))]
    return columns if len(names) == 1 else [*columns, _Column("", kinds * len(every))]


def _curve_cells(dataset: xr.Dataset, names: Sequence[Hashable]) -> np.ndarray:
    """Cells of curves, shape (curves times names, points)."""
    each = []
    for name in names:
        values = dataset[name].transpose(*dataset[names[0]].dims)
        errors = dataset.get(f"{name}{STD_ERROR}", xr.full_like(values, math.nan, dtype=float))
        pairs = zip(
            values.values.ravel(), errors.transpose(*values.dims).values.ravel(), strict=True
        )
        cells = [_compact_cell(value.item(), error.item()) for value, error in pairs]
        each.append(np.reshape(cells, (-1, values.shape[-1])))
    return np.stack(each, axis=1).reshape(-1, each[0].shape[-1])


def _table(columns: Sequence[_Column], room: int) -> Table:
    """Titles stand in one line where there is room."""
    whole = [max(column.width, len(column.title)) for column in columns]
    fits = sum(whole) + 3 * len(whole) <= room
    table = Table()
    for column, width in zip(columns, whole, strict=True):
        table.add_column(Text(column.title), justify="right", width=width if fits else column.width)
    for row in itertools.islice(zip(*(column.cells for column in columns), strict=True), MAX_ROWS):
        table.add_row(*map(Text, row))
    return table


def _title(dataset: xr.Dataset, name: Hashable) -> str:
    return axis_label(dataset[name]) if name in dataset.variables else str(name)


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
