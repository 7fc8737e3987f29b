"""Figure 2 of Sutton et al.: sum SE against the number of APs, and its limit."""

from dataclasses import dataclass
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.core.programs import kept_jit
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
from jaxmimo.systems.cell_free_iqi import CellFreeIQI, asymptotic_se, se_model


@dataclass(frozen=True)
class IqiAps(iqi.IqiParameters):
    """Parameters of figure 2; the defaults are the paper's."""

    num_aps: tuple[int, ...] = (10, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200)
    """Numbers of APs M, increasing."""
    amplitude_mismatch: Annotated[float, domains.AMPLITUDE] = 0.3
    """Amplitude mismatch g = f of the impaired hardware."""
    phase_mismatch_deg: float = 15.0
    """Phase mismatch theta = alpha of the impaired hardware [degrees]."""
    num_users: int = 20
    """Users K."""
    user_antennas: int = 2
    """User antennas N."""
    ap_antennas: tuple[int, ...] = (1, 2, 4)
    """AP antennas L, a group of curves each."""


def run(parameters: IqiAps, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure: one kernel per number of AP antennas, draws shared by all its curves."""
    parts, closed, limits = [], [], []
    for ap_antennas in parameters.ap_antennas:
        system = _system(parameters, ap_antennas, max(parameters.num_aps))
        moments, _ = se_model(
            system, estimator=tuple(iqi.ESTIMATORS.values()), num_aps=parameters.num_aps
        )
        label = f"L = {ap_antennas}"
        parts.append(common.Part(moments, Partial(iqi.sum_se, system), label))
        closed.append(_closed_forms_of_first_aps(system, jnp.asarray(parameters.num_aps)))
        limits.append(_sum_se_limit(system))
    estimates = common.simulate_all(parts, sampling)
    dims = ("ap_antennas", "hardware", "estimator", "num_aps")
    return iqi.make_dataset(
        {
            "ap_antennas": parameters.ap_antennas,
            "hardware": iqi.HARDWARE,
            "estimator": list(iqi.ESTIMATORS),
            "num_aps": parameters.num_aps,
        },
        sum_se=(dims, np.stack([estimate.mean for estimate in estimates])),
        sum_se_std_error=(dims, np.stack([estimate.std_error for estimate in estimates])),
        sum_se_closed_form=(dims, np.stack(closed)),
        sum_se_limit=(dims[:3], np.stack(limits)),
        simulated=(dims[:1], np.array([estimate.realizations for estimate in estimates])),
    )


@kept_jit
def _closed_forms_of_first_aps(system: CellFreeIQI, num_aps: Array) -> Array:
    """Closed forms for the first APs, shape (hardware, estimators, num_aps), in one program.

    The others have no fading, so that nobody hears them: networks then have one shape.
    """

    def of_first(count: Array) -> Array:
        beta = jnp.where(jnp.arange(system.num_aps)[:, None] < count, system.beta, 0.0)
        return iqi.sum_se_closed_form(eqx.tree_at(lambda s: s.beta, system, beta))

    return jax.vmap(of_first, out_axes=-1)(num_aps)


@kept_jit
def _sum_se_limit(system: CellFreeIQI) -> Array:
    """Shape (hardware, estimators)."""
    each = [asymptotic_se(system, e).sum(-1) for e in iqi.ESTIMATORS.values()]
    return jnp.stack(each, axis=-1)


def _system(parameters: IqiAps, ap_antennas: int, num_aps: int) -> CellFreeIQI:
    return iqi.make_system(
        parameters,
        num_aps=num_aps,
        num_users=parameters.num_users,
        ap_antennas=ap_antennas,
        user_antennas=parameters.user_antennas,
        hardware=iqi.perfect_and_impaired(
            parameters.amplitude_mismatch, parameters.phase_mismatch_deg
        ),
    )


CURVES = (
    ("perfect", "linear", "-"),
    ("impaired", "linear", "--"),
    ("impaired", "widely linear", ":"),
)
"""With perfect hardware both estimators are the same."""


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw closed forms, simulated points and, where they fit the picture, the limits."""
    ax = new_axes(ax)
    top = 1.08 * float(dataset.sum_se_closed_form.max())
    for i, ap_antennas in enumerate(dataset.ap_antennas.values):
        color = PALETTE[i % len(PALETTE)]
        for hardware, estimator, linestyle in CURVES:
            curve = dataset.sel(ap_antennas=ap_antennas, hardware=hardware, estimator=estimator)
            curve_with_points(
                ax,
                dataset.num_aps,
                closed_form=curve.sum_se_closed_form,
                mean=curve.sum_se,
                std_error=curve.sum_se_std_error,
                realizations=curve.attrs.get("realizations"),
                label=f"L = {ap_antennas}, {hardware}"
                + (f", {estimator}" if hardware == "impaired" else ""),
                color=color,
                linestyle=linestyle,
                marker=MARKERS[i % len(MARKERS)],
            )
    limit = float(dataset.sum_se_limit.sel(hardware="impaired", estimator="linear").max())
    if limit < 1.5 * top:
        top = max(top, 1.08 * limit)
        ax.axhline(limit, color="0.4", linewidth=1.2, linestyle=(0, (6, 3)))
        ax.annotate(
            f"limit of impaired, linear: {limit:.1f}",
            (0.02, limit),
            xycoords=("axes fraction", "data"),
            xytext=(0, 4),
            textcoords="offset points",
            color="0.3",
            fontsize=10,
        )
    ax.set(xlabel=axis_label(dataset.num_aps), ylabel=axis_label(dataset.sum_se), ylim=(0, top))
    legend_beside(ax, "lines: closed form\npoints: simulation, 95 %")
    return ax


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims by the closed form."""
    closed, limit = dataset.sum_se_closed_form, dataset.sum_se_limit
    perfect = closed.sel(hardware="perfect", estimator="linear")
    impaired = closed.sel(hardware="impaired", estimator="linear")
    bound = limit.sel(hardware="impaired", estimator="linear")
    corrected = limit.sel(hardware="impaired", estimator="widely linear")
    return [
        iqi.simulation_agrees(dataset),
        Claim(
            "with perfect hardware the sum SE grows without bound",
            exactly(
                (perfect.diff("num_aps") > 0).all()
                and np.isinf(limit.sel(hardware="perfect")).all()
            ),
            "every added AP helps, and the limit is infinite",
        ),
        Claim(
            "with imbalance the sum SE converges to a limit",
            exactly((impaired.diff("num_aps") > 0).all() and (impaired < bound).all()),
            f"limit {', '.join(f'{value:.1f}' for value in bound.values)} bit/s/Hz; at M = "
            f"{int(dataset.num_aps[-1])} "
            f"{common.percent(impaired.isel(num_aps=-1) / bound)} of it are reached",
        ),
        Claim(
            "beyond the paper: widely linear estimation removes that limit",
            exactly(np.isinf(corrected).all()),
            "the image of the user's own signal, which causes it, is gone",
        ),
    ]


STUDY = Study(
    name="iqi-aps",
    summary="Sum SE of cell-free massive MIMO against the number of APs, with its limit",
    paper=iqi.PAPER,
    figure="figure 2",
    parameters=IqiAps,
    realizations=1500,
    run=run,
    plot=plot,
    claims=claims,
)
