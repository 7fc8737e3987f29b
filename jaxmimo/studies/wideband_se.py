"""The price of ignoring spatial-wideband effects: SE per subcarrier of three designs."""

from dataclasses import dataclass
from operator import itemgetter

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    legend_beside,
    one_panel,
    panel_grid,
    panels_of,
    share_limits,
)
from jaxmimo.studies import common, wideband
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.studies.verdicts import all_above, steps
from jaxmimo.systems.wideband_mmwave import se_sample

NEGLIGIBLE = 0.01
"""Share of the SE that counts as nothing."""


@dataclass(frozen=True)
class WidebandSe(wideband.NetworkParameters):
    """Parameters of the price of ignoring spatial-wideband effects."""

    num_aps: int = 16
    """APs L, on a grid."""
    ap_antennas: tuple[int, ...] = (4, 16, 64)
    """Antennas M of an AP, increasing; all share the draws of the largest."""
    bandwidth_mhz: tuple[float, ...] = (100.0, 400.0, 1600.0)
    """Bandwidths W, increasing [MHz]."""
    subcarriers: int = 16
    """Subcarriers to evaluate, evenly spaced over the band."""

    def __post_init__(self) -> None:
        super().__post_init__()
        wideband.check_bandwidths(self.bandwidth_mhz, self.carrier_ghz)


def run(parameters: WidebandSe, sampling: Sampling) -> xr.Dataset:
    """Simulate all designs, bandwidths and arrays with one kernel, from the same draws."""
    system = parameters.network(
        num_aps=parameters.num_aps,
        ap_antennas=parameters.ap_antennas[-1],
        bandwidth_mhz=parameters.bandwidth_mhz,
        num_subcarriers=parameters.subcarriers,
    )
    combiners, note = common.combiners_of(
        wideband.COMBINERS, parameters.num_aps * parameters.ap_antennas[0], parameters.num_users
    )
    sample = se_sample(
        system,
        combiner=tuple(combiners.values()),
        design=tuple(wideband.DESIGNS.values()),
        ap_antennas=parameters.ap_antennas,
    )
    estimate = common.simulate(
        Partial(mean_over_users, sample), with_price, sampling, judged=itemgetter("se")
    )
    curves = ("bandwidth_mhz", "ap_antennas", "design", "combiner")
    dims = {"se_over_band": (*curves, "band_position"), "se": curves, "price": curves}
    variables = {}
    for name in ("se", "price", "se_over_band"):
        variables[name] = (dims[name], estimate.mean[name])
        variables[f"{name}_std_error"] = (dims[name], estimate.std_error[name])
    count = parameters.subcarriers
    return wideband.make_dataset(
        {
            "bandwidth_mhz": parameters.bandwidth_mhz,
            "ap_antennas": parameters.ap_antennas,
            "design": list(wideband.DESIGNS),
            "combiner": list(combiners),
            "band_position": ((np.arange(count) + 0.5) / count - 0.5).round(6),
            "num_aps": parameters.num_aps,
            "num_users": parameters.num_users,
        },
        estimate.realizations,
        **variables,
    ).assign_attrs(note)


def mean_over_users(sample: Partial, key: Array) -> Array:
    """Mean SE of a drop's users."""
    return sample(key).mean(-1)


def with_price(se: Array) -> dict[str, Array]:
    """SE on each subcarrier and over the band, and the share that a design loses of the first's."""
    mean = se.mean(-1)
    price = 1.0 - mean[:, :, 1:] / mean[:, :, :1]
    nothing = jnp.zeros_like(mean[:, :, :1])
    return {"se_over_band": se, "se": mean, "price": jnp.concatenate([nothing, price], 2)}


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the SE over the band, a panel for each bandwidth and array; colours are designs."""
    panels = ("ap_antennas", "bandwidth_mhz")
    if ax is not None:
        _draw_panel(ax, one_panel(dataset, panels))
        legend_beside(ax, "fill: combiner\ncolours: designed")
        return ax
    rows, columns = (np.size(dataset[dim]) for dim in panels)
    axes = panel_grid(rows, columns, panel_size=(3.8, 3.0))
    for panel_ax, (chosen, panel) in zip(axes.flat, panels_of(dataset, panels), strict=True):
        _draw_panel(panel_ax, panel)
        panel_ax.set_title(f"M = {chosen['ap_antennas']}, W = {chosen['bandwidth_mhz']:g} MHz")
    for column in axes.T:  # wide bands have less SE
        share_limits(column)
    legend_beside(axes[0, -1], "points: simulation, 95 %\ndesigned, combiner")
    return axes.flat[0]


def _draw_panel(ax: Axes, panel: xr.Dataset) -> None:
    designs, combiners = np.atleast_1d(panel.design), np.atleast_1d(panel.combiner)
    for (i, design), (j, combiner) in (
        ((i, design), (j, combiner))
        for j, combiner in enumerate(combiners)
        if combiner != "ZF" or len(combiners) == 1
        for i, design in enumerate(designs)
    ):
        curve = panel.sel(design=design, combiner=combiner)
        curve_with_points(
            ax,
            panel.band_position,
            mean=curve.se_over_band,
            std_error=curve.se_over_band_std_error,
            realizations=curve.attrs.get("realizations"),
            label=f"{design}, {combiner}",
            color=PALETTE[i % len(PALETTE)],
            marker=MARKERS[i % len(MARKERS)],
            marker_size=8.5 - 2.0 * i,  # designs that cost nothing coincide
            joined=False,  # how the SE peaks between subcarriers is not known
            filled=j > 0,
        )
    ax.set(xlabel=axis_label(panel.band_position), ylabel=axis_label(panel.se_over_band))
    ax.set_ylim(bottom=0)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge what the paper's text says; it has no figures of its own."""
    return [
        _negligible_within_small_arrays(dataset),
        _grows(dataset, "bandwidth_mhz", "bandwidth"),
        _grows(dataset, "ap_antennas", "number of antennas"),
        _delays_of_aps_matter_more(dataset),
    ]


def _negligible_within_small_arrays(dataset: xr.Dataset) -> Claim:
    least = dataset.isel(ap_antennas=0, bandwidth_mhz=0).sel(design="without squint")
    return Claim(
        "Delays within an array are negligible if the band is narrow and antennas are few",
        all_above(dataset, (NEGLIGIBLE - least.price, least.price_std_error)),
        f"M = {int(least.ap_antennas)}, {float(least.bandwidth_mhz):g} MHz: without squint loses "
        + _by_combiner(least.price),
    )


def _grows(dataset: xr.Dataset, along: str, name: str) -> Claim:
    part = dataset.sel(design="without squint")
    other = "ap_antennas" if along == "bandwidth_mhz" else "bandwidth_mhz"
    worst = part.isel({other: -1})
    return Claim(
        f"The effect within an array grows with the {name}",
        all_above(dataset, steps(worst.price, worst.price_std_error, along)),
        "; ".join(
            f"{float(value):g}: loses {_by_combiner(worst.price.sel({along: value}))}"
            for value in worst[along]
        ),
    )


def _delays_of_aps_matter_more(dataset: xr.Dataset) -> Claim:
    price = dataset.price
    more = price.sel(design="at carrier") - price.sel(design="without squint")
    error = np.hypot(
        *(dataset.price_std_error.sel(design=name) for name in ("at carrier", "without squint"))
    )
    smallest = dataset.isel(ap_antennas=0, bandwidth_mhz=0).sel(design="at carrier")
    return Claim(
        "Delays between APs matter far more than those within an array",
        all_above(dataset, (more, error)),
        f"at carrier loses {_by_combiner(smallest.price)} even at M = {int(smallest.ap_antennas)}, "
        f"{float(smallest.bandwidth_mhz):g} MHz; at least {100 * float(more.min()):.0f} % of the "
        "SE more than without squint everywhere",
    )


def _by_combiner(price: xr.DataArray) -> str:
    return ", ".join(
        f"{100 * float(price.sel(combiner=name)):.2g} % ({name})" for name in price.combiner.values
    )


STUDY = Study(
    name="wideband-se",
    summary="SE per subcarrier of combiners that know, or ignore, delays within and between APs",
    paper=wideband.PAPER,
    figure="Section III, whose numerical part is missing",
    parameters=WidebandSe,
    realizations=200,
    run=run,
    plot=plot,
    claims=claims,
)
