"""Figure 4 of Fan et al.: sum rate against azimuth antennas, simulated and its equivalent."""

from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import xarray as xr
from jax import Array
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    error_bar,
    legend_beside,
    new_axes,
)
from jaxmimo.studies import beams, beams_costs, common
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.studies.verdicts import all_above, steps
from jaxmimo.systems.beamforming_3d import Beamforming3D

CLOSE = 0.03
"""Relative difference up to which the equivalent counts as close to the simulation."""


@dataclass(frozen=True)
class BeamsEquivalent(beams.RateParameters):
    """Parameters of figure 4; the defaults are the paper's."""

    azimuth_antennas: tuple[int, ...] = (10, 30, 50, 70, 90)
    """Numbers of azimuth antennas M, increasing."""
    elevation_antennas: int = 10
    """Elevation antennas N."""
    num_users: int = 10
    """Users K."""
    azimuth_groups: int = 4
    """Subsectors G, groups in azimuth."""
    elevation_groups: int = 4
    """Annular regions L, groups in elevation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _systems(self)


def _systems(parameters: BeamsEquivalent) -> list[Beamforming3D]:
    return [
        beams.make_system(
            parameters,
            azimuth_antennas,
            parameters.elevation_antennas,
            parameters.num_users,
            parameters.azimuth_groups,
            parameters.elevation_groups,
        )
        for azimuth_antennas in parameters.azimuth_antennas
    ]


def run(parameters: BeamsEquivalent, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure: one kernel per number of antennas, from the same drops of users."""
    parts = []
    for system in _systems(parameters):
        sample = beams.both_rates(
            system,
            tuple(beams_costs.TWO_STAGE.values()),
            (parameters.azimuth_groups,),
            parameters.fading_realizations,
        )
        label = f"M = {system.azimuth_antennas}"
        parts.append(common.Part(sample, with_excess, label, judged=itemgetter("sum_rate")))
    estimates = common.simulate_all(parts, sampling)
    dims = ("azimuth_antennas", "scheme")
    variables = {}
    for name in ("sum_rate", "sum_rate_equivalent", "relative_excess"):
        variables[name] = (dims, np.stack([each.mean[name] for each in estimates]))
        errors = np.stack([each.std_error[name] for each in estimates])
        variables[f"{name}_std_error"] = (dims, errors)
    drops = [each.realizations for each in estimates]
    return beams.make_dataset(
        {
            "azimuth_antennas": parameters.azimuth_antennas,
            "scheme": list(beams_costs.TWO_STAGE),
            "elevation_antennas": parameters.elevation_antennas,
            "num_users": parameters.num_users,
            "azimuth_groups": parameters.azimuth_groups,
            "elevation_groups": parameters.elevation_groups,
        },
        max(drops),
        **variables,
    )


def with_excess(means: dict[str, Array]) -> dict[str, Array]:
    """Sum rates, and by which share the equivalent exceeds the simulation of the same drops."""
    simulated, equivalent = means["simulated"][0], means["equivalent"][0]
    return {
        "sum_rate": simulated,
        "sum_rate_equivalent": equivalent,
        "relative_excess": equivalent / simulated - 1.0,
    }


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw equivalents as lines and simulated points."""
    ax = new_axes(ax)
    for i, scheme in enumerate(beams.schemes_of(dataset)):
        curve = dataset.sel(scheme=scheme)
        curve_with_points(
            ax,
            dataset.azimuth_antennas,
            closed_form=curve.sum_rate_equivalent,
            mean=curve.sum_rate,
            std_error=curve.sum_rate_std_error,
            realizations=curve.attrs.get("realizations"),
            label=scheme,
            color=PALETTE[i % len(PALETTE)],
            marker=MARKERS[i % len(MARKERS)],
        )
    ax.set(xlabel=axis_label(dataset.azimuth_antennas), ylabel=axis_label(dataset.sum_rate))
    ax.set_ylim(bottom=0)
    legend_beside(ax, "lines: equivalent\npoints: simulation, 95 %\nleakage is counted to")
    return ax


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claim for the proposal, from equivalent and simulation of the same drops.

    The difference has a much smaller error than either: the drops are the same.
    """
    proposal = dataset.sel(scheme=beams_costs.PROPOSAL)
    excess, error = proposal.relative_excess, proposal.relative_excess_std_error
    antennas = int(dataset.azimuth_antennas[-1])
    last, its_error = float(excess[-1]), float(error[-1])
    half = error_bar(dataset.attrs.get("realizations")) * its_error
    found = []
    if excess.size > 1:
        apart, spread = steps(abs(excess), error, "azimuth_antennas")
        found.append(
            Claim(
                "the equivalent approaches the simulation as the antennas grow",
                all_above(dataset, (-apart, spread)),
                f"equivalent over simulation, proposal: {_listed(excess)}",
            )
        )
    found.append(
        Claim(
            f"the equivalent is tight: within {100 * CLOSE:g} % at M = {antennas} (proposal)",
            all_above(dataset, (CLOSE - abs(last), its_error)),
            f"{100 * last:+.1f} \u00b1 {100 * half:.1f} % (95 %)",
        )
    )
    return found


def _listed(excess: xr.DataArray) -> str:
    pairs = zip(excess.azimuth_antennas.values, excess.values, strict=True)
    return ", ".join(f"M = {antennas}: {100 * value:+.1f} %" for antennas, value in pairs)


STUDY = Study(
    name="beams-equivalent",
    summary="Sum rate of two-stage 3D beamforming against azimuth antennas, with its equivalent",
    paper=beams.PAPER,
    figure="figure 4",
    parameters=BeamsEquivalent,
    realizations=64,
    run=run,
    plot=plot,
    claims=claims,
)
