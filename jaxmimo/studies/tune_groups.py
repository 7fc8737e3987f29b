"""User groups tuned by gradient, against 2D-FQUG and greedy moves, with the gains in sum rate."""

from dataclasses import dataclass
from operator import itemgetter

import jax
import jax.numpy as jnp
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    ERROR_BAR,
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    legend_beside,
    new_axes,
)
from jaxmimo.simulation.monte_carlo import identity
from jaxmimo.studies import beams, common
from jaxmimo.studies.rician import check_increasing
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    Cell,
    Groups,
    adjacent_groups,
    draw_users,
)
from jaxmimo.systems.beamforming_3d.cell import factor_ranks, make_cells
from jaxmimo.systems.beamforming_3d.simulation import mean_over_fading
from jaxmimo.tuning.groups import greedy_groups, tune_groups

START, GREEDY, TUNED = "2D-FQUG", "greedy moves", "tuned"
NOTABLE = 2.0
"""Standard errors from which on a difference counts."""
LITTLE = 0.1
"""Share of the gain that the gradient may add to greedy moves for these to have nearly all."""

_ATTRIBUTES = {
    "sum_rate": ("Sum rate", "bit/s/Hz"),
    "sum_rate_equivalent": ("Sum rate, equivalent", "bit/s/Hz"),
    "gain": (f"Gain over {START}", "bit/s/Hz"),
    "gain_equivalent": (f"Gain over {START}, equivalent", "bit/s/Hz"),
    "lead": (f"Lead over {GREEDY}", "bit/s/Hz"),
    "lead_equivalent": (f"Lead over {GREEDY}, equivalent", "bit/s/Hz"),
    "kept": (f"Share of drops not below {START}", "1"),
    "kept_equivalent": (f"Share of drops not below {START}, equivalent", "1"),
    "grouping": ("Grouping", "1"),
    "azimuth_antennas": ("Azimuth antennas M", "1"),
    "elevation_antennas": ("Elevation antennas N", "1"),
    "azimuth_groups": ("Azimuth groups G", "1"),
    "elevation_groups": ("Elevation groups L", "1"),
    "num_users": ("Users K", "1"),
}


@dataclass(frozen=True)
class TuneGroups(beams.RateParameters):
    """Parameters of the comparison; antennas and users are those of figure 6."""

    azimuth_groups: tuple[int, ...] = (4, 8, 16)
    """Numbers of subsectors G, increasing."""
    elevation_groups: int = 4
    """Annular regions L, groups in elevation."""
    azimuth_antennas: int = 64
    """Azimuth antennas M."""
    elevation_antennas: int = 12
    """Elevation antennas N."""
    num_users: int = 20
    """Users K."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_increasing("azimuth_groups", self.azimuth_groups)
        for groups in self.azimuth_groups:
            _system(self, groups)


def _system(parameters: TuneGroups, azimuth_groups: int) -> Beamforming3D:
    return beams.make_system(
        parameters,
        parameters.azimuth_antennas,
        parameters.elevation_antennas,
        parameters.num_users,
        azimuth_groups,
        parameters.elevation_groups,
    )


def run(parameters: TuneGroups, sampling: Sampling) -> xr.Dataset:
    """Tune and simulate with one kernel: all groupings share users and fading.

    The fading is drawn after the groups are tuned, which depend on covariances alone.
    """
    system = _system(parameters, parameters.azimuth_groups[0])
    sample = Partial(_sample, system, parameters.azimuth_groups, parameters.fading_realizations)
    estimate = common.simulate(sample, identity, sampling, judged=itemgetter("sum_rate"))
    variables = {}
    for name in estimate.mean:
        dims = ("azimuth_groups",) if name.startswith("lead") else ("azimuth_groups", "grouping")
        variables[name] = (dims, estimate.mean[name])
        variables[f"{name}_std_error"] = (dims, estimate.std_error[name])
    dimensions = {
        "azimuth_groups": parameters.azimuth_groups,
        "grouping": [START, GREEDY, TUNED],
        "elevation_groups": parameters.elevation_groups,
        "azimuth_antennas": parameters.azimuth_antennas,
        "elevation_antennas": parameters.elevation_antennas,
        "num_users": parameters.num_users,
    }
    dataset = common.make_dataset(dimensions, variables, _ATTRIBUTES)
    return dataset.assign_attrs(realizations=estimate.realizations)


def _sample(
    system: Beamforming3D, azimuth_groups: tuple[int, ...], realizations: int, key: Array
) -> dict[str, Array]:
    """Rates of one drop, the one that `rate_sample` has for this key, and their differences."""
    users_key, fading_key = jax.random.split(key)
    cells = make_cells(system, draw_users(users_key, system), azimuth_groups)
    fading = Partial(mean_over_fading, realizations=realizations, ranks=factor_ranks(system))
    both = [_rates(cell, fading, fading_key) for cell in cells]
    result = {}
    for suffix, rates in zip(
        ("", "_equivalent"), map(jnp.stack, zip(*both, strict=True)), strict=True
    ):
        start, greedy, tuned = rates.T
        result |= {
            f"sum_rate{suffix}": rates,
            f"gain{suffix}": rates - start[:, None],
            f"lead{suffix}": tuned - greedy,
            f"kept{suffix}": rates >= start[:, None],
        }
    return result


def _rates(cell: Cell, fading: Partial, key: Array) -> tuple[Array, Array]:
    """Simulated and equivalent sum rates of the groupings of a cell."""
    groupings = cell.groups, greedy_groups(cell), tune_groups(cell)
    every = jax.tree.map(lambda *each: jnp.stack(each), *groupings)

    def of_grouping(groups: Groups) -> tuple[Array, Array]:
        moved = cell.with_groups(groups)
        simulated = fading(key, (moved,), (adjacent_groups,))[0, 0]
        return simulated, adjacent_groups(moved).rates_in_the_limit().sum()

    return jax.vmap(of_grouping)(every)


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw gains over 2D-FQUG against the number of subsectors."""
    ax = new_axes(ax)
    groups = dataset.azimuth_groups
    for i, name in enumerate((GREEDY, TUNED)):
        curve = dataset.sel(grouping=name)
        curve_with_points(
            ax,
            groups,
            closed_form=curve.gain_equivalent,
            mean=curve.gain,
            std_error=curve.gain_std_error,
            label=name,
            color=PALETTE[i],
            marker=MARKERS[i],
        )
    ax.set_xscale("log", base=2)
    ax.set_xticks(groups.values, [str(value) for value in groups.values])
    ax.minorticks_off()
    ax.set(xlabel=axis_label(groups), ylabel=axis_label(dataset.gain))
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    legend_beside(ax, "lines: equivalent\npoints: simulation, 95 %")
    return ax


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge what tuning has to show, by differences of the same drops."""
    tuned = dataset.sel(grouping=TUNED)
    least = NOTABLE * tuned.gain_std_error
    return [
        Claim(
            f"tuned groups are at least as good as those of {START} in every drop, by the "
            "equivalent that is tuned",
            bool((tuned.kept_equivalent == 1.0).all()),
            f"in {common.percent(tuned.kept_equivalent)} of {dataset.realizations} drops; "
            f"simulated, in {common.percent(tuned.kept)}",
        ),
        Claim(
            "in the mean they are better, in simulations of fading that tuning has not seen",
            bool((tuned.gain > least).all()),
            f"simulated {_listed(tuned.gain, tuned.gain_std_error)}; by the equivalent "
            f"{_listed(tuned.gain_equivalent, tuned.gain_equivalent_std_error)}",
        ),
        Claim(
            "greedy moves alone find nearly all of it",
            bool((dataset.lead_equivalent <= LITTLE * tuned.gain_equivalent).all()),
            f"tuned over {GREEDY}, simulated "
            f"{_listed(dataset.lead, dataset.lead_std_error)}; by the equivalent "
            f"{_listed(dataset.lead_equivalent, dataset.lead_equivalent_std_error)}",
        ),
    ]


def _listed(values: xr.DataArray, errors: xr.DataArray) -> str:
    pairs = zip(values.azimuth_groups.values, values.values, errors.values, strict=True)
    listed = ", ".join(
        f"G = {groups}: {value:+.2f} \u00b1 {ERROR_BAR * error:.2f}"
        for groups, value, error in pairs
    )
    return f"{listed} bit/s/Hz (95 %)"


STUDY = Study(
    name="tune-groups",
    summary="Sum rate that user groups of 3D beamforming gain by gradient and by greedy moves",
    paper=beams.PAPER,
    figure="Algorithm 1 as the start; the tuning is ours",
    parameters=TuneGroups,
    realizations=100,
    run=run,
    plot=plot,
    claims=claims,
)
