"""Figure 3 of Tominaga et al., left: correlation of two users against the Rician factor."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxmimo.simulation.monte_carlo import identity
from jaxmimo.studies import common, rician, rician_claims, rician_picture
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.studies.verdicts import all_above, exactly
from jaxmimo.systems.distributed_rician.separability import correlation_sample


@dataclass(frozen=True)
class RicianCorrelation(rician.RicianParameters):
    """Parameters of figure 3, left; the defaults are the paper's."""

    ap_antennas: tuple[int, ...] = (2, 4, 8, 16, 32)
    """AP antennas S, increasing, a curve each."""
    num_aps: int = 1
    """APs Q."""

    def largest_array(self) -> int:
        """Numbers in the channel."""
        return 2 * self.num_aps * self.ap_antennas[-1]


def run(parameters: RicianCorrelation, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure with one kernel, which draws the users' places once for all curves."""
    layouts = [(parameters.num_aps, antennas) for antennas in parameters.ap_antennas]
    systems = rician.networks(parameters, layouts, num_users=2)
    estimate = common.simulate(correlation_sample(systems), identity, sampling)
    dims = ("propagation_phase", "correlation_model", "ap_antennas", "rician_factor_db")
    return rician.make_dataset(
        {
            "ap_antennas": parameters.ap_antennas,
            "rician_factor_db": parameters.rician_factor_db,
            "num_aps": parameters.num_aps,
        },
        estimate.realizations,
        correlation=(dims, rician.unfolded(estimate.mean)),
        correlation_std_error=(dims, rician.unfolded(estimate.std_error)),
    )


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the correlation, a panel for each propagation phase."""
    curves = {"by_color": "ap_antennas", "by_line": "correlation_model"}

    def draw_panel(ax: Axes, panel: xr.Dataset) -> None:
        rician_picture.draw_curves(ax, panel, "correlation", **curves)
        ax.set(title=f"propagation phase {panel.propagation_phase.item()}", ylim=(0, 1.02))

    return rician_picture.draw(
        dataset,
        ax,
        draw_panel,
        rows=(),
        columns=("propagation_phase",),
        keys=rician_picture.legend_keys(dataset, **curves),
    ).flat[0]


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims by differences in standard errors."""
    readings = rician_claims.READINGS
    if dataset.num_aps == 1:  # with one AP the reading with the phase is the paper's
        readings = {
            text: chosen for text, chosen in readings.items() if chosen != rician_claims.WITH_PHASE
        }
    return [
        *rician_claims.under_each_reading(dataset, _grows, readings),
        *rician_claims.under_each_reading(dataset, _antennas_slow_it, readings),
        *_phase_does_not_matter(dataset),
    ]


def _grows(reading: xr.Dataset) -> Claim | None:
    if reading.sizes["rician_factor_db"] < 2:
        return None
    text = "the correlation grows with the Rician factor"
    return Claim(text, *rician_claims.grows(reading, "correlation"))


def _antennas_slow_it(reading: xr.Dataset) -> Claim | None:
    if reading.sizes["ap_antennas"] < 2:
        return None
    kappa = rician_claims.nearest(reading.rician_factor_db, 10.0)
    points = reading.sel(rician_factor_db=kappa)
    step, error = rician_claims.steps(points, "correlation", "ap_antennas")
    values = ", ".join(f"{value:.3f}" for value in points.correlation.values)
    return Claim(
        "it grows more slowly with more antennas",
        all_above(reading, (-step, error)),
        f"at {kappa:g} dB {values} for S = "
        f"{', '.join(str(s) for s in points.ap_antennas.values)}; neighbours differ by "
        f"{rician_claims.span(step / error)} standard errors",
    )


def _phase_does_not_matter(dataset: xr.Dataset) -> list[Claim]:
    if dataset.num_aps != 1:
        return []
    off, on = (dataset.correlation.sel(propagation_phase=phase) for phase in ("off", "on"))
    largest = float(np.abs(on - off).max())
    return [
        Claim(
            "beyond the paper: with one AP the propagation phase does not matter",
            exactly(largest < 1e-3),
            f"it changes the correlation by {largest:.1g} at most, from the same draws",
        )
    ]


STUDY = Study(
    name="rician-correlation",
    summary="Correlation of two users' Rician fading channels against the Rician factor",
    paper=rician.PAPER,
    figure="figure 3, left",
    parameters=RicianCorrelation,
    realizations=300,
    run=run,
    plot=plot,
    claims=claims,
)
