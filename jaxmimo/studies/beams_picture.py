"""How the studies of two-stage 3D beamforming draw: sum rates, their price, and the cell."""

import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogLocator, NullFormatter

from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    error_bar,
    legend_beside,
    legend_beside_panels,
    legend_key,
    new_axes,
    panel_grid,
)
from jaxmimo.studies import beams
from jaxmimo.systems.beamforming_3d import Beamforming3D, Users, assign_groups
from jaxmimo.transceiver.prebeamforming import beams_per_group

LEGEND_TITLE = "lines: equivalent\npoints: simulation, 95 %"


def plot_groups(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the sum rate against the number of subsectors, and beside it against its FLOPs.

    Into `ax`, only the first is drawn; `plot_trade_off` draws the second.
    """
    keys = [
        legend_key(scheme, color=PALETTE[i], marker=MARKERS[i])
        for i, scheme in enumerate(beams.schemes_of(dataset))
    ]
    if ax is not None:
        new_axes(ax)
        _plot_rates(dataset, ax)
        legend_beside(ax, LEGEND_TITLE, keys)
        return ax
    axes = panel_grid(1, 2, panel_size=(4.8, 4.2))
    _plot_rates(dataset, axes[0, 0])
    plot_trade_off(dataset, axes[0, 1])
    axes[0, 1].sharey(axes[0, 0])
    legend_beside_panels(axes, keys, LEGEND_TITLE)
    return axes[0, 0]


def _plot_rates(dataset: xr.Dataset, ax: Axes) -> None:
    groups = dataset.azimuth_groups
    for i, scheme in enumerate(beams.schemes_of(dataset)):
        curve = dataset.sel(scheme=scheme)
        curve_with_points(
            ax,
            groups,
            closed_form=curve.sum_rate_equivalent,
            mean=curve.sum_rate,
            std_error=curve.sum_rate_std_error,
            realizations=curve.attrs.get("realizations"),
            label=f"_{scheme}",
            color=PALETTE[i],
            marker=MARKERS[i],
        )
    ax.set_xscale("log", base=2)
    ax.set_xticks(groups.values, [str(value) for value in groups.values])
    ax.minorticks_off()
    ax.set(xlabel=axis_label(groups), ylabel=axis_label(dataset.sum_rate))
    ax.set_ylim(bottom=0)


def plot_trade_off(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw simulated sum rates against FLOPs: a curve per scheme, along its numbers of subsectors.

    Args:
        dataset: Result of `beams-groups`.
        ax: Axes to draw into; new ones if None.
    """
    ax = new_axes(ax)
    for i, scheme in enumerate(beams.schemes_of(dataset)):
        curve = dataset.sel(scheme=scheme)
        ax.errorbar(
            curve.flops.values,
            curve.sum_rate.values,
            xerr=error_bar(curve.attrs.get("realizations")) * curve.flops_std_error.values,
            yerr=error_bar(curve.attrs.get("realizations")) * curve.sum_rate_std_error.values,
            label=scheme,
            color=PALETTE[i],
            marker=MARKERS[i],
            markersize=5.5,
            markerfacecolor="white",
            linewidth=1.2,
            capsize=2.5,
        )
    first = dataset.sel(scheme=beams.schemes_of(dataset)[0])
    for g in {0, first.sizes["azimuth_groups"] - 1}:
        point = first.isel(azimuth_groups=g)
        ax.annotate(
            f"G = {int(point.azimuth_groups)}",
            (float(point.flops), float(point.sum_rate)),
            xytext=(8, -4),
            textcoords="offset points",
            fontsize=10,
            color=PALETTE[0],
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel=axis_label(dataset.flops), ylabel=axis_label(dataset.sum_rate))
    ax.margins(x=0.15)
    return ax


def plot_cell(system: Beamforming3D, users: Users, ax: Axes | None = None) -> Axes:
    """Draw where users are seen, how widely they are spread, and the groups they are put into.

    Lines are where the beams of one group end and those of the next begin. Beams see the sine of
    an angle, so that a subsector covers angles in front of the array and behind it.

    Args:
        system: The cell.
        users: Its users.
        ax: Axes to draw into; new ones if None.

    References:
        Fan et al., Section 3.1.
    """
    ax = new_axes(ax)
    ax.grid(False)
    groups = assign_groups(system, users)
    for k, (g, el) in enumerate(
        zip(np.asarray(groups.azimuth), np.asarray(groups.elevation), strict=True)
    ):
        center = math.degrees(users.azimuth[k]), math.degrees(users.elevation[k])
        color = PALETTE[g % len(PALETTE)]
        size = (
            2.0 * math.degrees(users.azimuth_spread[k]),
            2.0 * math.degrees(users.elevation_spread[k]),
        )
        ax.add_patch(Ellipse(center, *size, facecolor=color, alpha=0.3, edgecolor=color))
        ax.plot(*center, color=color, marker=MARKERS[el % len(MARKERS)], markerfacecolor="white")
    _draw_bounds(ax, system)
    keys = [
        legend_key(f"subsector {g}", color=PALETTE[g % len(PALETTE)], linestyle="-")
        for g in range(system.azimuth_groups)
    ] + [
        legend_key(f"region {el}", linestyle="none", marker=MARKERS[el % len(MARKERS)])
        for el in range(system.elevation_groups)
    ]
    legend_beside(ax, "users' groups", keys)
    ax.set(xlabel="Azimuth angle [degrees]", ylabel="Elevation angle [degrees]")
    ax.set(xlim=(-180, 180), ylim=(-90, 90))
    ax.set_xticks(np.arange(-180, 181, 60))
    ax.set_yticks(np.arange(-90, 91, 30))
    return ax


def _draw_bounds(ax: Axes, system: Beamforming3D) -> None:
    """Lines between groups, and the number of each between its own."""
    style = {"color": "0.65", "linewidth": 0.8, "zorder": 0}
    for angle in group_bounds(system.azimuth_antennas, system.azimuth_groups, system.spacing):
        for each in (angle, math.copysign(180.0, angle) - angle):
            ax.axvline(each, **style)
    for angle in group_bounds(system.elevation_antennas, system.elevation_groups, system.spacing):
        ax.axhline(angle, **style)


def group_bounds(num_antennas: int, num_groups: int, spacing: float) -> list[float]:
    r"""Angles from -90 to 90 [degrees] where the beams of a group of a linear array begin or end.

    Beam p of n looks where $D \sin\theta = p / n$ modulo 1; a group begins half a beam before its
    first and ends half a beam after its last.
    """
    beams_each = beams_per_group(num_antennas, num_groups)
    edges = (beams_each * np.arange(num_groups + 1) - 0.5) / num_antennas
    turns = np.arange(-math.ceil(spacing) - 1, math.ceil(spacing) + 1)
    sines = np.unique(np.round((edges[:, None] + turns[None, :]) / spacing, 9))
    return [math.degrees(math.asin(sine)) for sine in sines if abs(sine) <= 1.0]
