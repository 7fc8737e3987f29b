"""How the studies under Rician fading draw: colour and marker by layout, line style by model."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    legend_beside,
    legend_beside_panels,
    legend_key,
    new_axes,
    one_panel,
    panel_grid,
    panels_of,
    with_dimensions,
)

LINESTYLES = ("-", "--")
X = "rician_factor_db"


def draw_curves(
    ax: Axes, panel: xr.Dataset, name: str, *, by_color: str, by_line: str, x: str = X
) -> None:
    """Draw a variable against `x`: a curve for each value of two dimensions."""
    panel = with_dimensions(panel, (by_color, by_line))
    for i, color in enumerate(panel[by_color].values):
        for line, linestyle in zip(panel[by_line].values, LINESTYLES, strict=False):
            curve = panel.sel({by_color: color, by_line: line})
            curve_with_points(
                ax,
                curve[x],
                mean=curve[name],
                std_error=curve[f"{name}_std_error"],
                realizations=curve.attrs.get("realizations"),
                label=f"_{color}, {line}",
                color=PALETTE[i % len(PALETTE)],
                linestyle=linestyle,
                marker=MARKERS[i % len(MARKERS)],
            )
    ax.set(xlabel=axis_label(panel[x]), ylabel=axis_label(panel[name]))


def legend_keys(dataset: xr.Dataset, *, by_color: str, by_line: str) -> list:
    """Entries for the colours and line styles of `draw_curves`."""
    dataset = with_dimensions(dataset, (by_color, by_line))
    symbol = str(dataset[by_color].attrs["long_name"]).rsplit(" ", 1)[-1]
    layouts = [
        legend_key(
            f"{symbol} = {value}",
            color=PALETTE[i % len(PALETTE)],
            linestyle="none",
            marker=MARKERS[i % len(MARKERS)],
        )
        for i, value in enumerate(dataset[by_color].values)
    ]
    lines = zip(dataset[by_line].values, LINESTYLES, strict=False)
    return layouts + [legend_key(str(value), linestyle=style) for value, style in lines]


def draw(
    dataset: xr.Dataset,
    ax: Axes | None,
    draw_panel: Callable[[Axes, xr.Dataset], None],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    keys: list,
    extra_rows: int = 0,
) -> np.ndarray:
    """Draw one panel into `ax`, or all of them into a new figure.

    Args:
        dataset: The result.
        ax: Axes for one panel, or None.
        draw_panel: Draws what is left of the dataset when a panel has been selected.
        rows: Dimensions that vary from row to row.
        columns: Dimensions that vary from column to column.
        keys: Entries of the legend.
        extra_rows: Empty rows of panels below.

    Returns:
        Axes, shape (rows, columns).
    """
    if ax is not None:
        new_axes(ax)
        draw_panel(ax, one_panel(dataset, (*rows, *columns)))
        legend_beside(ax, LEGEND_TITLE, keys)
        return np.array([[ax]])
    grid = [[part for _, part in panels_of(row, columns)] for _, row in panels_of(dataset, rows)]
    axes = panel_grid(len(grid) + extra_rows, len(grid[0]))
    for i, j in np.ndindex(len(grid), len(grid[0])):
        draw_panel(axes.item(i, j), grid[i][j])
    legend_beside_panels(axes, keys, LEGEND_TITLE)
    return axes


LEGEND_TITLE = "points: simulation, 95 %"


def draw_lines(
    ax: Axes, panel: xr.Dataset, name: str, *, by_color: str, by_line: str, x: str
) -> None:
    """Like `draw_curves`, but lines without points, for a fine grid of `x`."""
    panel = with_dimensions(panel, (by_color, by_line))
    for i, color in enumerate(panel[by_color].values):
        for line, linestyle in zip(panel[by_line].values, LINESTYLES, strict=False):
            curve = panel.sel({by_color: color, by_line: line})
            ax.plot(
                curve[x].values,
                curve[name].values,
                color=PALETTE[i % len(PALETTE)],
                linestyle=linestyle,
                linewidth=1.3,
            )
