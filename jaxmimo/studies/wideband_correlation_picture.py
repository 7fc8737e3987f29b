"""The picture of wideband correlation: four panels, closed forms and simulation."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    legend_beside,
    new_axes,
    panel_grid,
)

TITLE = "lines: closed form\npoints: simulation, 95 %"


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw what correlation is left, and what a Kronecker product misses.

    Args:
        dataset: Result of `wideband-correlation`.
        ax: Axes for the last of these, the Kronecker product; a new figure of all four if None.
    """
    if ax is not None:
        _draw_kronecker(new_axes(ax), dataset)
        return ax
    axes = panel_grid(2, 2, panel_size=(5.6, 3.4))
    _draw_spacing(axes[0, 0], dataset)
    _draw_frequency(axes[0, 1], dataset)
    _draw_jitter(axes[1, 0], dataset)
    _draw_kronecker(axes[1, 1], dataset)
    return axes[0, 0]


def _draw(
    ax: Axes,
    dataset: xr.Dataset,
    name: str,
    *,
    by: str,
    x: str,
    label: Callable[[object], str],
    legend: str,
    aside: float = 1.0,
) -> None:
    """A curve with points for each value of `by`, and a legend beside.

    Curves are drawn aside of each other by a factor, where one would hide another.
    """
    for i, value in enumerate(dataset[by].values):
        curve = dataset.sel({by: value})
        curve_with_points(
            ax,
            dataset[x] * aside**i,
            closed_form=curve[f"{name}_densely"],
            closed_form_x=dataset[f"{x}_dense"] * aside**i,
            mean=curve[name],
            std_error=curve[f"{name}_std_error"],
            realizations=curve.attrs.get("realizations"),
            label=label(value),
            color=PALETTE[i % len(PALETTE)],
            marker=MARKERS[i % len(MARKERS)],
        )
    ax.set(xlabel=axis_label(dataset[x]), ylabel=axis_label(dataset[name]))
    legend_beside(ax, f"{TITLE}\n{legend}")


def _draw_spacing(ax: Axes, dataset: xr.Dataset) -> None:
    _draw(
        ax,
        dataset,
        "spacing_correlation",
        by="angular_std_deg",
        x="spacing",
        label=lambda std: f"{std:g} degrees",
        legend="angular spread",
    )
    ax.set(title="micro-correlation", ylim=(-0.05, 1.05))


def _draw_frequency(ax: Axes, dataset: xr.Dataset) -> None:
    labels = {
        "array": f"antenna {dataset.array_antennas.item()} of an AP",
        "place": f"AP, place \u00b1{dataset.place_m.item():g} m",
        "gains": f"paths, {dataset.delay_spread_ns.item():g} ns",
    }
    _draw(
        ax,
        dataset,
        "frequency_correlation",
        by="part",
        x="separation_mhz",
        label=lambda part: labels[str(part)],
        legend="phases that differ",
    )
    ax.set(title="one antenna at two frequencies", xscale="log", ylim=(-0.05, 1.05))


def _draw_jitter(ax: Axes, dataset: xr.Dataset) -> None:
    _draw(
        ax,
        dataset,
        "jitter_correlation",
        by="bearing_deg",
        x="jitter_cm",
        label=lambda bearing: f"{bearing:g} degrees",
        legend="angle between two APs",
    )
    ax.set(title=f"macro-correlation at {dataset.carrier_ghz.item():g} GHz")


def _draw_kronecker(ax: Axes, dataset: xr.Dataset) -> None:
    _draw(
        ax,
        dataset,
        "kronecker_miss",
        by="assumption",
        x="kronecker_std_deg",
        label=str,
        legend="angles at the APs",
        aside=1.06,
    )
    top = float(np.max(dataset.kronecker_miss_closed_form))
    ax.set(
        title=f"Kronecker product, L = {dataset.num_aps.item()}, M = {dataset.num_antennas.item()}",
        xscale="log",
        ylim=(-0.05 * max(top, 0.2), 1.1 * max(top, 0.2)),
    )
    ax.set_ylabel("Share of $||R||^2$ it misses")
