"""The picture of beam squint: array gain, its mean over users, leakage."""

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
    panel_grid,
)


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the gain at the angle, the mean gain over users, and the leakage.

    Args:
        dataset: Result of `squint-gain`.
        ax: Axes for the first of the three; a new figure of them all if None.
    """
    keys = [
        legend_key(f"M = {antennas}", color=color, marker=marker)
        for antennas, color, marker in zip(
            np.atleast_1d(dataset.num_antennas), PALETTE * 9, MARKERS * 9, strict=False
        )
    ]
    if ax is not None:
        _draw_gain(new_axes(ax), dataset)
        legend_beside(ax, keys=keys)
        return ax
    axes = panel_grid(1, 3)
    _draw_gain(axes[0, 0], dataset)
    _draw_mean_gain(axes[0, 1], dataset)
    _draw_leakage(axes[0, 2], dataset)
    places = [
        legend_key(str(place), color=color, marker=marker, linestyle="none")
        for place, color, marker in zip(dataset.place.values, PALETTE[3:], "DX", strict=False)
    ]
    legend_beside_panels(axes, keys + places, "lines: closed form\npoints: simulation, 95 %")
    return axes[0, 0]


def _draw_gain(ax: Axes, dataset: xr.Dataset) -> None:
    for i, curve in enumerate(dataset.gain_db.transpose("num_antennas", ...)):
        curve_with_points(
            ax,
            dataset.frequency_offset_mhz,
            closed_form=curve,
            label=f"_{i}",
            color=PALETTE[i % len(PALETTE)],
        )
    ax.set(
        title=f"beam at {dataset.angle_deg.item():g} degrees",
        xlabel=axis_label(dataset.frequency_offset_mhz),
        ylabel="Array gain, relative [dB]",
    )


def _draw_mean_gain(ax: Axes, dataset: xr.Dataset) -> None:
    for i in range(dataset.sizes["num_antennas"]):
        curve = dataset.isel(num_antennas=i)
        curve_with_points(
            ax,
            dataset.frequency_offset_mhz,
            closed_form=curve.mean_gain_closed_form_db,
            mean=curve.mean_gain_db,
            std_error=curve.mean_gain_db_std_error,
            realizations=curve.attrs.get("realizations"),
            label=f"_{i}",
            color=PALETTE[i % len(PALETTE)],
            marker=MARKERS[i % len(MARKERS)],
        )
    ax.set(
        title=f"mean over users within \u00b1{dataset.sector_deg.item():g} degrees",
        xlabel=axis_label(dataset.frequency_offset_mhz),
        ylabel="Mean array gain, relative [dB]",
    )


def _draw_leakage(ax: Axes, dataset: xr.Dataset) -> None:
    # Side by side, so that neither hides the other.
    for curve, aside, color, marker in zip(
        dataset.leakage, (-0.12, 0.12), PALETTE[3:], "DX", strict=False
    ):
        x = dataset.bin + aside
        ax.vlines(x, 0, curve, color=color, linewidth=1.2)
        style = {"markersize": 5.5, "markerfacecolor": "white", "linestyle": "none"}
        ax.plot(x, curve, color=color, marker=marker, **style)
    ax.set(
        title=f"leakage, M = {dataset.num_antennas.values.max()}",
        xlabel=axis_label(dataset.bin),
        ylabel=axis_label(dataset.leakage),
        ylim=(-0.02, 1.02),
    )
