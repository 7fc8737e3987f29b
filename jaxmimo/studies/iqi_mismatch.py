"""Figure 1 of Sutton et al.: sum SE against the amplitude mismatch, for several AP antennas."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import xarray as xr
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    legend_beside,
    new_axes,
)
from jaxmimo.studies import common, domains, iqi
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.studies.verdicts import exactly
from jaxmimo.systems.cell_free_iqi import se_model
from jaxmimo.transceiver.hardware import IQImbalance


@dataclass(frozen=True)
class IqiMismatch(iqi.IqiParameters):
    """Parameters of figure 1; the defaults are the paper's."""

    amplitude_mismatch: Annotated[tuple[float, ...], domains.AMPLITUDE] = (
        0.2,
        0.3,
        0.4,
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
        1.0,
    )
    """Amplitude mismatches g = f."""
    phase_mismatch_deg: float = 0.0
    """Phase mismatch theta = alpha [degrees]."""
    num_aps: int = 50
    """APs M."""
    num_users: int = 20
    """Users K."""
    user_antennas: int = 2
    """User antennas N."""
    ap_antennas: tuple[int, ...] = (1, 2, 4, 8)
    """AP antennas L, a curve each."""


def run(parameters: IqiMismatch, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure: one kernel per number of AP antennas, draws shared along the curve."""
    hardware = IQImbalance(
        amplitude=np.reshape(parameters.amplitude_mismatch, (-1, 1, 1)),
        phase=np.deg2rad(parameters.phase_mismatch_deg),
    )
    parts, closed = [], []
    for ap_antennas in parameters.ap_antennas:
        system = iqi.make_system(
            parameters,
            num_aps=parameters.num_aps,
            num_users=parameters.num_users,
            ap_antennas=ap_antennas,
            user_antennas=parameters.user_antennas,
            hardware=hardware,
        )
        moments, _ = se_model(system, estimator=tuple(iqi.ESTIMATORS.values()))
        label = f"L = {ap_antennas}"
        parts.append(common.Part(moments, Partial(iqi.sum_se, system), label))
        closed.append(iqi.sum_se_closed_form(system))
    estimates = common.simulate_all(parts, sampling)
    dims = ("ap_antennas", "amplitude_mismatch", "estimator")
    return iqi.make_dataset(
        {
            "ap_antennas": parameters.ap_antennas,
            "amplitude_mismatch": parameters.amplitude_mismatch,
            "estimator": list(iqi.ESTIMATORS),
        },
        sum_se=(dims, np.stack([estimate.mean for estimate in estimates])),
        sum_se_std_error=(dims, np.stack([estimate.std_error for estimate in estimates])),
        sum_se_closed_form=(dims, np.stack(closed)),
        simulated=(dims[:1], np.array([estimate.realizations for estimate in estimates])),
    )


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw closed forms as lines and simulated points, a colour per number of AP antennas."""
    ax = new_axes(ax)
    for i, ap_antennas in enumerate(dataset.ap_antennas.values):
        for estimator, linestyle in zip(iqi.ESTIMATORS, ("-", "--"), strict=True):
            curve = dataset.sel(ap_antennas=ap_antennas, estimator=estimator)
            curve_with_points(
                ax,
                dataset.amplitude_mismatch,
                closed_form=curve.sum_se_closed_form,
                mean=curve.sum_se,
                std_error=curve.sum_se_std_error,
                realizations=curve.attrs.get("realizations"),
                label=f"L = {ap_antennas}, {estimator}",
                color=PALETTE[i % len(PALETTE)],
                linestyle=linestyle,
                marker=MARKERS[i % len(MARKERS)],
            )
    ax.set(xlabel=axis_label(dataset.amplitude_mismatch), ylabel=axis_label(dataset.sum_se))
    ax.set_ylim(bottom=0)
    legend_beside(ax, "lines: closed form\npoints: simulation, 95 %")
    return ax


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims by the closed form of the linear estimator."""
    found = [iqi.simulation_agrees(dataset)]
    curves = dataset.sum_se_closed_form.sel(estimator="linear").sortby("amplitude_mismatch")
    amplitude = curves.amplitude_mismatch
    if float(amplitude.max()) < 1.0 or float(amplitude.min()) >= 0.6:
        return found
    loss = 1 - curves / curves.sel(amplitude_mismatch=amplitude[amplitude <= 1.0].max())
    mild = loss.where(amplitude >= 0.6 - 1e-6, drop=True).where(amplitude <= 1.0, drop=True)
    worst = loss.isel(amplitude_mismatch=0)
    gain = curves.sortby("ap_antennas").diff("ap_antennas")
    found.append(
        Claim(
            "imbalance shows a significant effect only when g is below 0.6",
            exactly(mild.max() < 0.1 < worst.min()),
            f"losses at g = {float(mild.amplitude_mismatch[0]):.2g}: "
            f"{common.percent(mild.isel(amplitude_mismatch=0))}; "
            f"at g = {float(amplitude[0]):.2g}: {common.percent(worst)}",
        )
    )
    if gain.size:
        evidence = f"smallest gain {float(gain.min()):.3g} bit/s/Hz"
        margin = exactly((gain > 0).all())
        found.append(Claim("more AP antennas help at every mismatch", margin, evidence))
    return found


STUDY = Study(
    name="iqi-mismatch",
    summary="Sum SE of cell-free massive MIMO against the amplitude mismatch of its APs",
    paper=iqi.PAPER,
    figure="figure 1",
    parameters=IqiMismatch,
    realizations=1500,
    run=run,
    plot=plot,
    claims=claims,
)
