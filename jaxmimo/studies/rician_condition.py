"""Figure 3 of Tominaga et al., right: condition number of the channel against the Rician factor."""

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxmimo.core.checks import require
from jaxmimo.plotting import share_limits
from jaxmimo.studies import common, rician, rician_claims, rician_picture
from jaxmimo.studies.study import CERTAIN, Claim, Sampling, Study
from jaxmimo.studies.verdicts import all_above
from jaxmimo.systems.distributed_rician.separability import condition_sample, with_median

MAINLY = 0.75
"""Share of the growth that counts as most of it."""


@dataclass(frozen=True)
class RicianCondition(rician.RicianParameters):
    """Parameters of figure 3, right; the defaults are the paper's."""

    num_antennas: int = 16
    """Antennas M of all APs together."""
    num_aps: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Numbers of APs Q, increasing, that divide M; a curve each."""
    num_users: int = 10
    """Users K."""
    fading_realizations: int = 10
    """Fading realizations per drop of the users."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rician.check_layouts(self.num_antennas, self.num_aps)
        require(
            self.num_users >= 2,
            f"`num_users` must be at least 2, but got {self.num_users}. The channel of one user "
            "has the condition number 1.",
        )

    def largest_array(self) -> int:
        """Numbers in the channel."""
        return self.num_antennas * self.num_users


def run(parameters: RicianCondition, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure with one kernel, whose draws all curves share.

    The median and the mean of log10 have to meet a target error; the mean has too heavy a tail.
    """
    layouts = rician.layouts_of(parameters.num_antennas, parameters.num_aps)
    systems = rician.networks(parameters, layouts, parameters.num_users)
    sample = condition_sample(systems, realizations=parameters.fading_realizations)
    judged = attrgetter("log10_mean", "median")
    estimate = common.simulate(sample, with_median, sampling, judged=judged)
    dims = ("propagation_phase", "correlation_model", "num_aps", "rician_factor_db")
    variables = {}
    for name, field in (
        ("condition_number", "mean"),
        ("condition_number_log10", "log10_mean"),
        ("condition_number_median", "median"),
    ):
        mean, error = getattr(estimate.mean, field), getattr(estimate.std_error, field)
        variables[name] = (dims, rician.unfolded(mean))
        variables[f"{name}_std_error"] = (dims, rician.unfolded(error))
    return rician.make_dataset(
        {
            "num_aps": parameters.num_aps,
            "rician_factor_db": parameters.rician_factor_db,
            "num_antennas": parameters.num_antennas,
            "num_users": parameters.num_users,
        },
        estimate.realizations,
        **variables,
    )


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the mean condition number, a panel for each propagation phase."""
    curves = {"by_color": "num_aps", "by_line": "correlation_model"}

    def draw_panel(ax: Axes, panel: xr.Dataset) -> None:
        rician_picture.draw_curves(ax, panel, "condition_number", **curves)
        ax.set(title=f"propagation phase {panel.propagation_phase.item()}", yscale="log")
        ax.set_ylim(bottom=max(1.0, 0.8 * float(dataset.condition_number.min())))

    axes = rician_picture.draw(
        dataset,
        ax,
        draw_panel,
        rows=(),
        columns=("propagation_phase",),
        keys=rician_picture.legend_keys(dataset, **curves),
    )
    share_limits(axes)
    return axes.flat[0]


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims by the mean of log10, whose tail is light."""
    if dataset.sizes["rician_factor_db"] < 2:
        return []
    readings = {"": {"propagation_phase": "off"}}
    readings["the same with the propagation phase"] = {"propagation_phase": "on"}
    return [
        *rician_claims.under_each_reading(dataset, _grows, readings),
        *rician_claims.under_each_reading(dataset, _mainly_above_zero, readings),
    ]


NAME = "condition_number_log10"


def _grows(reading: xr.Dataset) -> Claim:
    """Both fading types count: the worse of them is shown."""
    margin, evidence = rician_claims.grows(reading, NAME)
    amount, error = rician_claims.change(reading, NAME)
    least = (amount / error).argmin("correlation_model")
    each = rician_claims.listed(
        amount.isel(correlation_model=least), error.isel(correlation_model=least), "num_aps", "Q"
    )
    return Claim(
        "the condition number grows with the Rician factor for every number of APs and both "
        "fading types",
        margin,
        f"{evidence}. Change of log10 (in standard errors), worse fading type: {each}",
    )


def _mainly_above_zero(reading: xr.Dataset) -> Claim | None:
    first, last = rician_claims.ends(reading)
    if not first < 0.0 < last:
        return None
    middle = rician_claims.nearest(reading.rician_factor_db, 0.0)
    rise, errors = rician_claims.change(reading, NAME)
    grows = rise > CERTAIN * errors
    if not bool(grows.any()):
        return None
    low, mid, high = (
        reading.sel(rician_factor_db=kappa, drop=True) for kappa in (first, middle, last)
    )
    share = ((high[NAME] - mid[NAME]) / rise).where(grows)
    # The three means are as good as equally precise: as in a difference, sharing draws helps.
    weights = (1.0 - MAINLY, -1.0, MAINLY)
    parts = list(zip(weights, (high, mid, low), strict=True))
    excess = sum(weight * each[NAME] for weight, each in parts)
    squares = sum((weight * each[f"{NAME}_std_error"]) ** 2 for weight, each in parts)
    return Claim(
        f"where it grows, it does so mainly above {middle:g} dB",
        all_above(reading, (xr.where(grows, excess, np.nan), np.sqrt(squares))),
        f"{100 * float(share.min()):.0f} to {100 * float(share.max()):.0f} % of the change of "
        f"log10 lie there; it grows for {int(grows.sum())} of {grows.size} curves",
    )


STUDY = Study(
    name="rician-condition",
    summary="Condition number of distributed MIMO channels against the Rician factor",
    paper=rician.PAPER,
    figure="figure 3, right",
    parameters=RicianCondition,
    realizations=300,
    run=run,
    plot=plot,
    claims=claims,
)
