"""Figure 6 of Tominaga et al.: ZF against MMSE combining, for few users and as many as antennas."""

from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.plotting import share_limits
from jaxmimo.simulation.monte_carlo import identity
from jaxmimo.studies import common, rician, rician_claims, rician_picture
from jaxmimo.studies.rician_se_claims import equality, span_of
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.studies.verdicts import all_above
from jaxmimo.systems.distributed_rician import se_sample

COMBINERS = ("ZF", "MMSE")


@dataclass(frozen=True)
class RicianZfMmse(rician.RicianParameters):
    """Parameters of figure 6; the defaults are the paper's."""

    num_antennas: int = 16
    """Antennas M of all APs together."""
    num_aps: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Numbers of APs Q, increasing, that divide M; a curve each."""
    num_users: tuple[int, ...] = (10, 16)
    """Numbers of users K, increasing, at most M."""
    fading_realizations: int = 32
    """Fading realizations per drop of the users."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rician.check_layouts(self.num_antennas, self.num_aps)
        for num_users in self.num_users:
            rician.check_users(self.num_antennas, num_users)

    def largest_array(self) -> int:
        """Numbers in the channel."""
        return self.num_antennas * self.num_users[-1]


def run(parameters: RicianZfMmse, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure: one kernel per number of users, draws shared by all its curves."""
    layouts = rician.layouts_of(parameters.num_antennas, parameters.num_aps)
    parts = []
    for num_users in parameters.num_users:
        sample = se_sample(
            rician.networks(parameters, layouts, num_users),
            combiner=tuple(rician.COMBINERS[name] for name in COMBINERS),
            realizations=parameters.fading_realizations,
        )
        sample, label = Partial(mean_and_gain, sample), f"K = {num_users}"
        parts.append(common.Part(sample, identity, label, itemgetter(0)))
    estimates = common.simulate_all(parts, sampling)
    dims = (
        "num_users",
        "propagation_phase",
        "correlation_model",
        "num_aps",
        "combiner",
        "rician_factor_db",
    )
    without = tuple(dim for dim in dims if dim != "combiner")

    def stacked(part: str, i: int) -> np.ndarray:
        return np.stack([rician.unfolded(getattr(each, part)[i]) for each in estimates])

    drawn = [each.realizations for each in estimates]
    return rician.make_dataset(
        {
            "num_users": parameters.num_users,
            "combiner": COMBINERS,
            "num_aps": parameters.num_aps,
            "rician_factor_db": parameters.rician_factor_db,
            "num_antennas": parameters.num_antennas,
        },
        max(drawn),
        se=(dims, stacked("mean", 0)),
        se_std_error=(dims, stacked("std_error", 0)),
        mmse_gain=(without, stacked("mean", 1)),
        mmse_gain_std_error=(without, stacked("std_error", 1)),
        simulated=(("num_users",), drawn),
    )


def mean_and_gain(sample: Partial, key: Array) -> tuple[Array, Array]:
    """Mean over users of ZF and MMSE, and how much MMSE has more: its error is that of a pair."""
    se = sample(key).mean(-1)
    return se, se[:, 1] - se[:, 0]


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw ZF and MMSE, a panel for each number of users, fading type and propagation phase."""
    curves = {"by_color": "num_aps", "by_line": "combiner"}

    def draw_panel(ax: Axes, panel: xr.Dataset) -> None:
        rician_picture.draw_curves(ax, panel, "se", **curves)
        ax.set_title(
            f"K = {panel.num_users.item()}, {panel.correlation_model.item()},\n"
            f"propagation phase {panel.propagation_phase.item()}"
        )

    axes = rician_picture.draw(
        dataset,
        ax,
        draw_panel,
        rows=("num_users", "propagation_phase"),
        columns=("correlation_model",),
        keys=rician_picture.legend_keys(dataset, **curves),
    )
    for panels in axes.reshape(np.size(dataset.num_users), -1):
        share_limits(panels)
    return axes.flat[0]


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims for each number of users."""
    found = []
    for num_users in dataset.num_users.values:
        part = dataset.sel(num_users=num_users)
        judge = _equal if num_users < dataset.num_antennas else _mmse_is_above
        found += rician_claims.under_each_reading(part, judge)
    return found


def _equal(reading: xr.Dataset) -> Claim:
    return equality(reading, f"K = {int(reading.num_users)} < M = {int(reading.num_antennas)}")


def _mmse_is_above(reading: xr.Dataset) -> Claim:
    errors = reading.mmse_gain / reading.mmse_gain_std_error
    least = errors.isel(errors.argmin(...))
    return Claim(
        f"MMSE is above ZF for K = M = {int(reading.num_users)}",
        all_above(reading, (reading.mmse_gain, reading.mmse_gain_std_error)),
        f"MMSE - ZF = {span_of(reading.mmse_gain)} bit/s/Hz, {float(least):.1f} standard errors of "
        f"the difference or more; least for Q = {int(least.num_aps)} at "
        f"{float(least.rician_factor_db):g} dB",
    )


STUDY = Study(
    name="rician-zf-mmse",
    summary="ZF against MMSE combining in the distributed MIMO uplink, against the Rician factor",
    paper=rician.PAPER,
    figure="figure 6",
    parameters=RicianZfMmse,
    realizations=300,
    run=run,
    plot=plot,
    claims=claims,
)
