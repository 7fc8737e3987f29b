"""Figure 5 of Tominaga et al.: SE against the Rician factor, with its distribution over users."""

import math
from dataclasses import dataclass, replace
from operator import itemgetter

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.channel.pathloss import log_distance_gain
from jaxmimo.core.programs import kept_jit
from jaxmimo.plotting import axis_label, panels_of, share_limits
from jaxmimo.simulation.shares import errors_of_distribution
from jaxmimo.studies import common, rician, rician_claims, rician_picture, rician_se_claims
from jaxmimo.studies.study import Sampling, Study
from jaxmimo.systems.distributed_rician import DistributedRician, se_sample

AXIS_OF_FACTORS = 2
"""Axis of the Rician factors in a sample, after networks and combiners."""
GAIN = "mmse_gain"
"""What MMSE has more than ZF, with the error of pairs."""


@dataclass(frozen=True)
class RicianSe(rician.RicianParameters):
    """Parameters of figure 5; the defaults are the paper's."""

    num_antennas: int = 16
    """Antennas M of all APs together."""
    num_aps: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Numbers of APs Q, increasing, that divide M; a curve each."""
    num_users: int = 10
    """Users K; ZF is left out where they are more than antennas."""
    fading_realizations: int = 32
    """Fading realizations per drop of the users."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rician.check_layouts(self.num_antennas, self.num_aps)

    def largest_array(self) -> int:
        """Numbers in the channel."""
        return self.num_antennas * self.num_users


def run(parameters: RicianSe, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure with one kernel, whose draws all curves share."""
    layouts = rician.layouts_of(parameters.num_antennas, parameters.num_aps)
    systems = rician.networks(parameters, layouts, parameters.num_users)
    combiners, note = common.combiners_of(
        rician.COMBINERS, parameters.num_antennas, parameters.num_users
    )
    levels, factors = se_levels(systems[0]), np.asarray(parameters.rician_factor_db)

    def sample_of(chosen: np.ndarray) -> Partial:
        some = replace(parameters, rician_factor_db=tuple(factors[chosen]))
        sample = se_sample(
            rician.networks(some, layouts, parameters.num_users),
            combiner=tuple(combiners.values()),
            realizations=parameters.fading_realizations,
        )
        return Partial(_of_drop, sample, levels=jnp.asarray(levels), combiners=tuple(combiners))

    estimate = common.simulate_curve(
        sample_of, len(factors), AXIS_OF_FACTORS, sampling, judged=itemgetter("se")
    )
    mean, error = (
        {name: rician.unfolded(part) for name, part in each.items()}
        for each in (estimate.mean, estimate.std_error)
    )
    curves, points = ("propagation_phase", "correlation_model", "num_aps"), ("rician_factor_db",)
    dims: dict[str, tuple[str, ...]] = {"se": (*curves, "combiner", *points)}
    dims["se_cdf"] = (*dims["se"], "se_level")
    if GAIN in mean:
        dims[GAIN] = (*curves, *points)
        mean[GAIN], error[GAIN] = (each[GAIN].squeeze(3) for each in (mean, error))
    error["se_cdf"] = errors_of_distribution(
        mean["se_cdf"], error["se_cdf"], min(estimate.point_realizations)
    )
    variables = {name: (dims[name], mean[name]) for name in dims}
    variables |= {f"{name}_std_error": (dims[name], error[name]) for name in dims}
    return rician.make_dataset(
        {
            "combiner": list(combiners),
            "num_aps": parameters.num_aps,
            "rician_factor_db": parameters.rician_factor_db,
            "se_level": levels,
            "num_antennas": parameters.num_antennas,
            "num_users": parameters.num_users,
        },
        max(estimate.point_realizations),
        simulated=(points, estimate.point_realizations),
        **variables,
    ).assign_attrs(note)


def _of_drop(
    sample: Partial, key: Array, *, levels: Array, combiners: tuple[str, ...]
) -> dict[str, Array]:
    """Mean over the users of a drop, and the share of them with an SE of at most each level.

    What MMSE has more than ZF is kept besides, since the error of a pair that shares its draws is
    far below those of its members.
    """
    se = sample(key)
    levels = levels.reshape(*(1,) * (se.ndim - 1), -1, 1)
    drop = {"se": se.mean(-1), "se_cdf": (se[..., None, :] <= levels).mean(-1)}
    if "ZF" in combiners:
        mmse, zf = (drop["se"][:, [combiners.index(name)]] for name in ("MMSE", "ZF"))
        drop[GAIN] = mmse - zf
    return drop


def se_levels(system: DistributedRician) -> np.ndarray:
    """Levels of the distribution function [bit/s/Hz], finer where the SE of MR lies.

    The last one is what no user exceeds: alone, below an AP that has all antennas.
    """
    snr = float(_largest_snr(system))
    top = max(5, math.ceil(math.log2(1.0 + snr)))
    return np.concatenate([np.arange(40) / 10, np.arange(16, 4 * top + 1) / 4])


@kept_jit
def _largest_snr(system: DistributedRician) -> Array:
    gain = log_distance_gain(
        system.height_difference,
        exponent=system.path_loss_exponent,
        carrier_hz=system.carrier_hz,
    )
    return system.num_antennas * system.power * gain / system.noise_power


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the SE, a panel for each combiner and propagation phase, and distributions below.

    Into `ax`, the SE alone is drawn; `plot_cdf` draws a distribution.
    """
    keys = rician_picture.legend_keys(dataset, **CURVES)
    rows, columns = ("propagation_phase",), ("combiner",)
    extra = int(ax is None)
    axes = rician_picture.draw(
        dataset, ax, _draw_se, rows=rows, columns=columns, keys=keys, extra_rows=extra
    )
    if ax is None:
        _, first_phase = next(panels_of(dataset, rows))
        for each, (_, panel) in zip(axes[-1], panels_of(first_phase, columns), strict=True):
            plot_cdf(panel, each)
        mr = np.array([combiner == "MR" for combiner in np.atleast_1d(dataset.combiner)])
        for alike in (axes[:, mr], axes[:, ~mr]):  # ZF and MMSE compare at a glance
            share_limits(alike[:-1])
            share_limits(alike[-1])
    return axes.flat[0]


def plot_cdf(panel: xr.Dataset, ax: Axes) -> None:
    """Draw the distribution of the SE over users and drops at a Rician factor close to 10 dB.

    Args:
        panel: Result for one propagation phase and combiner.
        ax: Axes to draw into.
    """
    if panel.rician_factor_db.ndim:
        kappa = rician_claims.nearest(panel.rician_factor_db, 10.0)
        panel = panel.sel(rician_factor_db=kappa)
    spread = (panel.se_cdf > 0.005) & (panel.se_cdf < 0.995)
    seen = panel.se_level[spread.any([dim for dim in spread.dims if dim != "se_level"]).values]
    rician_picture.draw_lines(ax, panel, "se_cdf", x="se_level", **CURVES)
    ax.set(
        title=f"{_title(panel)}\nRician factor {panel.rician_factor_db.item():g} dB",
        xlabel=axis_label(panel.se),
        ylabel="Share of users below",
        xlim=(float(seen.min()), float(seen.max())) if seen.size > 1 else None,
        ylim=(0, 1),
    )


CURVES = {"by_color": "num_aps", "by_line": "correlation_model"}


def _draw_se(ax: Axes, panel: xr.Dataset) -> None:
    rician_picture.draw_curves(ax, panel, "se", **CURVES)
    ax.set_title(_title(panel))
    ax.set_ylim(bottom=0 if panel.combiner == "MR" else None)


def _title(panel: xr.Dataset) -> str:
    return f"{panel.combiner.item()}, propagation phase {panel.propagation_phase.item()}"


STUDY = Study(
    name="rician-se",
    summary="SE per user of the distributed MIMO uplink against the Rician factor",
    paper=rician.PAPER,
    figure="figure 5",
    parameters=RicianSe,
    realizations=300,
    run=run,
    plot=plot,
    claims=rician_se_claims.claims,
)
