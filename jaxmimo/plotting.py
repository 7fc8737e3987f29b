"""The shared look of all pictures, and drawing helpers for studies.

Figures are made without `pyplot`, so that nothing global changes and no display is needed; axes
from `pyplot` are welcome as the argument `ax`.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from jaxmimo.core.files import atomic_path
from jaxmimo.simulation.jackknife import MOST_BLOCKS, student

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by colour-blind readers too."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""A marker for each colour, so that curves can be told apart in black and white."""

ERROR_BAR = 2.0
"""Half length of an error bar in standard errors: a 95 % interval by Student's law for 64 blocks,
which runs of 64 realizations or more have; `error_bar` knows that of fewer."""


def error_bar(realizations: int | None = None) -> float:
    """Half length of a 95 % error bar in standard errors, by Student's law; 64 or more if None."""
    if realizations is None or realizations >= MOST_BLOCKS:
        return ERROR_BAR
    return student(int(realizations))


def new_axes(ax: Axes | None = None) -> Axes:
    """Style `ax`, or make a new figure with one pair of axes in the shared style."""
    if ax is None:
        ax = Figure(figsize=(8.0, 4.8), dpi=150, layout="constrained").add_subplot()
    ax.set_prop_cycle(color=PALETTE)
    ax.grid(True, color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=11)
    ax.xaxis.label.set_fontsize(12)
    ax.yaxis.label.set_fontsize(12)
    ax.title.set_fontsize(13)
    return ax


def axis_label(variable: xr.DataArray) -> str:
    """Long name and unit of a variable or coordinate, such as `Sum SE [bit/s/Hz]`."""
    name = variable.attrs.get("long_name", str(variable.name))
    units = variable.attrs.get("units", "1")
    return name if units in ("", "1") else f"{name} [{units}]"


def curve_with_points(
    ax: Axes,
    x: ArrayLike,
    *,
    closed_form: ArrayLike | None = None,
    closed_form_x: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    std_error: ArrayLike | None = None,
    realizations: int | None = None,
    label: str,
    color: str,
    linestyle: str = "-",
    marker: str = "o",
    marker_size: float = 5.5,
    joined: bool = True,
    filled: bool = False,
) -> None:
    """Draw a closed form as a line and its simulation as points with 95 % error bars.

    Without a closed form a thin line joins the points, unless the curve between them is not known.
    Points that are NaN are left out.

    Args:
        ax: Axes to draw into.
        x: The swept parameter.
        closed_form: Values of the line.
        closed_form_x: Where they are, if not at `x`: between few points closed forms need more.
        mean: Values of the points.
        std_error: Standard errors of the points; needs `mean`.
        realizations: Draws of each point, which matter if they are few; None if they are not.
        label: The one entry of line and points in the legend.
        color: Colour of both.
        linestyle: Style of the line.
        marker: Marker of the points.
        marker_size: Its size [points]; of curves that coincide, give those below larger ones.
        joined: Whether a line joins points without a closed form.
        filled: Whether markers are filled, where lines cannot tell curves apart.
    """
    x = np.asarray(x)
    line = {"color": color, "linestyle": linestyle, "linewidth": 1.6}
    face = color if filled else "white"
    shape = {"marker": marker, "markersize": marker_size, "markerfacecolor": face}
    alone = closed_form is not None or not joined
    points = {"color": color, **shape}
    if closed_form is not None:
        line_x = x if closed_form_x is None else np.asarray(closed_form_x)
        ax.plot(line_x, np.asarray(closed_form), label="_line", **line)
    if mean is not None:
        bars = None if std_error is None else error_bar(realizations) * np.asarray(std_error)
        joint = {"linestyle": "none"} if alone else line | {"linewidth": 0.9}
        style = {"capsize": 2.5, "elinewidth": 1.2, "zorder": 3, "label": "_points"}
        ax.errorbar(x, np.asarray(mean), yerr=bars, **{**style, **joint, **points})
    # One legend entry for both: a line that is never drawn, since it has no points.
    drawn: dict[str, Any] = line if closed_form is not None or joined else {"linestyle": "none"}
    ax.plot([], [], label=label, **(drawn if mean is None else drawn | points))


def legend_beside(ax: Axes, title: str | None = None, keys: Sequence[Artist] | None = None) -> None:
    """Put the legend to the right of the axes, where it cannot cover data.

    Args:
        ax: Axes with labelled curves.
        title: Title of the legend.
        keys: Its entries; the labelled curves if None.
    """
    ax.legend(
        handles=keys,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=10,
        title_fontsize=10,
        alignment="left",
    )


def panel_grid(
    rows: int, columns: int, *, panel_size: tuple[float, float] = (4.2, 3.4)
) -> np.ndarray:
    """A new figure of panels in the shared style.

    Args:
        rows: Rows of panels.
        columns: Columns of panels.
        panel_size: Width and height of a panel [inches].

    Returns:
        The axes, shape (rows, columns).
    """
    size = (columns * panel_size[0] + 1.8, rows * panel_size[1])
    figure = Figure(figsize=size, dpi=150)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.1)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        new_axes(ax)
    return axes


def share_limits(axes: np.ndarray) -> None:
    """Give all these axes the limits that hold what each of them shows."""
    for name in ("xlim", "ylim") if axes.size else ():
        limits = np.array([getattr(ax, f"get_{name}")() for ax in axes.flat])
        for ax in axes.flat:
            ax.set(**{name: (limits[:, 0].min(), limits[:, 1].max())})


def panels_of(dataset: xr.Dataset, dims: Sequence[str]) -> Iterator[tuple[dict, xr.Dataset]]:
    """The parts of `dataset` along `dims`, each with the values that select it.

    Dimensions that were selected away before count as having the one value that is left.
    """
    whole = with_dimensions(dataset, dims)
    for values in product(*(whole[dim].values for dim in dims)):
        chosen = dict(zip(dims, values, strict=True))
        yield chosen, whole.sel(chosen)


def with_dimensions(dataset: xr.Dataset, dims: Sequence[str]) -> xr.Dataset:
    """`dataset` with those of `dims` put back, with length 1, that were selected away."""
    return dataset.expand_dims([dim for dim in dims if dim not in dataset.dims])


def one_panel(dataset: xr.Dataset, dims: Sequence[str]) -> xr.Dataset:
    """The only part of `dataset` along `dims`.

    Raises:
        ValueError: If there are several.
    """
    several = [dim for dim in dims if dim in dataset.dims and dataset.sizes[dim] > 1]
    if several:
        raise ValueError(
            f"`ax` takes one panel, but the dataset holds several. Select {' and '.join(several)} "
            "with `dataset.sel(...)`, or leave `ax` out."
        )
    return next(part for _, part in panels_of(dataset, dims))


def legend_key(
    label: str, *, color: str = "0.25", linestyle: str = "-", marker: str = ""
) -> Line2D:
    """An entry for a legend that explains colours and styles rather than curves."""
    style: dict[str, Any] = {"color": color, "linestyle": linestyle, "marker": marker}
    return Line2D([], [], label=label, markersize=5.5, markerfacecolor="white", **style)


def legend_beside_panels(
    axes: np.ndarray, keys: Sequence[Artist], title: str | None = None
) -> None:
    """Put one legend for all panels to their right."""
    axes.flat[0].get_figure().legend(
        handles=list(keys),
        title=title,
        loc="outside right upper",
        frameon=False,
        fontsize=11,
        title_fontsize=11,
        alignment="left",
    )


def save_figure(ax: Axes, path: str | os.PathLike[str]) -> None:
    """Write the figure of `ax` to `path`, whole or not at all; the suffix decides the format."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("`ax` belongs to no figure. Draw into axes of `new_axes()`.")
    with atomic_path(path) as draft:
        figure.savefig(draft, dpi=200, bbox_inches="tight")
