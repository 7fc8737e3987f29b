"""The picture of the FLOPs: a panel for each table of the paper."""

import xarray as xr
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    error_bar,
    legend_beside,
    legend_beside_panels,
    legend_key,
    new_axes,
    panel_grid,
)
from jaxmimo.studies import beams_costs
from jaxmimo.studies.beams_flops_claims import SLNR, rows_of

GROUPING = ("flops_grouping", "flops_overall")
SWEPT = (
    "azimuth_antennas",
    "elevation_antennas",
    "azimuth_groups",
    "elevation_groups",
    "num_users",
)
SYMBOLS = dict(zip(SWEPT, "MNGLK", strict=True))
COSTS = (*GROUPING, *SLNR)
COLORS: dict[str, str] = dict(zip(COSTS, PALETTE, strict=False))
SHAPES: dict[str, str] = dict(zip(COSTS, MARKERS, strict=False))


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw a panel for each table: those of grouping above, those of precoding below.

    Args:
        dataset: Result of `beams-flops`.
        ax: Axes for one table, `dataset.sel(table=7)`; a new figure if None.
    """
    tables = list(dict.fromkeys(dataset.table.values.tolist()))
    keys = [
        legend_key(str(dataset[name].attrs["long_name"]), color=color, marker=SHAPES[name])
        for name, color in COLORS.items()
        if any(name in costs_of(table) for table in tables)
    ]
    if ax is not None:
        if len(tables) > 1:
            raise ValueError(
                "`ax` takes one table, but the dataset holds several. Select one with "
                "`dataset.sel(table=7)`, or leave `ax` out."
            )
        new_axes(ax)
        _draw_table(dataset, ax)
        legend_beside(ax, "points: mean, 95 %", keys)
        return ax
    rows = [[t for t in tables if (t > 6) == precoding] for precoding in (False, True)]
    rows = [row for row in rows if row]
    axes = panel_grid(len(rows), max(map(len, rows)), panel_size=(3.1, 3.5))
    for row, of_row in zip(rows, axes, strict=True):
        for table, panel in zip(row, of_row, strict=False):
            _draw_table(rows_of(dataset, table), panel)
        for panel in of_row[len(row) :]:
            panel.set_axis_off()
        limits = [panel.get_ylim() for panel in of_row[: len(row)]]
        of_row[0].set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        for panel in of_row[1 : len(row)]:
            panel.set_ylim(of_row[0].get_ylim())
            panel.set_ylabel("")
            panel.tick_params(labelleft=False)
    legend_beside_panels(axes, keys, "points: mean, 95 %")
    return axes.flat[0]


def costs_of(table: int) -> tuple[str, ...]:
    """What the paper's table lists."""
    return SLNR if table > 6 else GROUPING


def _draw_table(rows: xr.Dataset, ax: Axes) -> None:
    varied = next((name for name in SWEPT if len(set(rows[name].values.tolist())) > 1), SWEPT[0])
    x = rows[varied].values
    half = error_bar(rows.attrs.get("realizations"))
    for name in costs_of(int(rows.table.values[0])):
        ax.errorbar(
            x,
            beams_costs.MILLION * rows[name].values,
            yerr=beams_costs.MILLION * half * rows[f"{name}_std_error"].values,
            linewidth=1.2,
            markersize=5.5,
            markerfacecolor="white",
            capsize=2.5,
            color=COLORS[name],
            marker=SHAPES[name],
        )
    ax.set_yscale("log")
    if varied.endswith("groups"):
        ax.set_xscale("log", base=2)
    ax.set_xticks(x, [str(value) for value in x])
    ax.tick_params(axis="x", which="minor", bottom=False)
    fixed = [f"{SYMBOLS[name]} = {rows[name].values[0]}" for name in SWEPT if name != varied]
    ax.set_title(f"table {int(rows.table.values[0])}\n{', '.join(fixed)}", fontsize=10)
    ax.set(xlabel=axis_label(rows[varied]), ylabel="FLOPs")
    ax.margins(x=0.1)
