"""User groups by gradient and by greedy moves, and the split of the beams, against 2D-FQUG.

What is tuned is the equivalent. Simulated gains of single drops err by 0.26 bit/s/Hz with 32 fading
realizations, so some drops are below 2D-FQUG; with 1024 they are by 0.06 bit/s/Hz at most.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float
from matplotlib.axes import Axes

from jaxmimo.core.checks import require
from jaxmimo.plotting import MARKERS, PALETTE, axis_label, error_bar, legend_beside, new_axes
from jaxmimo.simulation.monte_carlo import identity
from jaxmimo.studies import beams, common, convergence, domains
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.studies.verdicts import all_above, exactly
from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    Cell,
    Groups,
    adjacent_groups,
    draw_users,
    make_cell,
)
from jaxmimo.systems.beamforming_3d.cell import factor_ranks
from jaxmimo.systems.beamforming_3d.simulation import mean_over_fading
from jaxmimo.tuning.groups import greedy_groups, tune_groups

START, GREEDY, ANNEALED, TUNED = "2D-FQUG", "greedy moves", "annealed", "tuned"
START_SPLIT, GREEDY_SPLIT = f"{START}, best split", f"{GREEDY}, best split"
GROUPINGS = (START, GREEDY, ANNEALED, TUNED, START_SPLIT, GREEDY_SPLIT)
SEARCHES = (GREEDY, "annealing", f"{GREEDY} after annealing")
LITTLE = 0.1
"""Share of the gain that the gradient may add to greedy moves for these to have nearly all."""
_ROUNDS = 5
"""Rounds of greedy moves to record."""

_DIMS = {
    "split_sum_rate": ("split",),
    "split_chosen": ("split",),
    "shortfall_by_step": ("search", "step"),
}
"""Of variables that are not along groupings."""
_ATTRIBUTES = {
    **convergence.ATTRIBUTES,
    "sum_rate": ("Sum rate", "bit/s/Hz"),
    "sum_rate_equivalent": ("Sum rate, equivalent", "bit/s/Hz"),
    "gain": (f"Gain over {START}", "bit/s/Hz"),
    "gain_equivalent": (f"Gain over {START}, equivalent", "bit/s/Hz"),
    "lead": (f"Lead over {GREEDY}", "bit/s/Hz"),
    "lead_equivalent": (f"Lead over {GREEDY}, equivalent", "bit/s/Hz"),
    "kept": (f"Share of drops not below {START}", "1"),
    "kept_equivalent": (f"Share of drops not below {START}, equivalent", "1"),
    "below": (f"Mean amount below {START}", "bit/s/Hz"),
    "split_sum_rate": (f"Sum rate with this split in all drops, {GREEDY}", "bit/s/Hz"),
    "split_chosen": (f"Share of drops for which it is best, {GREEDY}", "1"),
    "grouping": ("Grouping", "1"),
    "split": ("Split G x L", "1"),
    "azimuth_antennas": ("Azimuth antennas M", "1"),
    "elevation_antennas": ("Elevation antennas N", "1"),
    "num_users": ("Users K", "1"),
}


@dataclass(frozen=True)
class TuneGroups(beams.RateParameters):
    """Parameters of the comparison; antennas and users are those of figure 6."""

    azimuth_groups: Annotated[tuple[int, ...], domains.COUNTS_IN_ANY_ORDER] = (8, 10, 5)
    """Numbers of subsectors G, one for each split of the beams; the first is tuned by gradient."""
    elevation_groups: Annotated[tuple[int, ...], domains.COUNTS_IN_ANY_ORDER] = (4, 3, 6)
    """Annular regions L of each split; by default all splits have 24 beams per group."""
    azimuth_antennas: int = 64
    """Azimuth antennas M."""
    elevation_antennas: int = 12
    """Elevation antennas N."""
    num_users: int = 20
    """Users K."""

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = len(self.azimuth_groups), len(self.elevation_groups)
        require(
            counts[0] == counts[1] > 0,
            f"`elevation_groups` must hold one number for each of the {counts[0]} azimuth_groups, "
            f"but holds {counts[1]}. Each split of the beams takes one of both.",
        )
        require(
            len(set(_splits(self))) == counts[0],
            f"`azimuth_groups` must make another split with each of elevation_groups, but there is "
            f"one twice: {', '.join(_splits(self))}. Leave it out.",
        )
        _systems(self)


def _splits(parameters: TuneGroups) -> list[str]:
    pairs = zip(parameters.azimuth_groups, parameters.elevation_groups, strict=True)
    return [f"{azimuth} x {elevation}" for azimuth, elevation in pairs]


def _systems(parameters: TuneGroups) -> tuple[Beamforming3D, ...]:
    """The cell under each split."""
    antennas = parameters.azimuth_antennas, parameters.elevation_antennas
    return tuple(
        beams.make_system(parameters, *antennas, parameters.num_users, *counts)
        for counts in zip(parameters.azimuth_groups, parameters.elevation_groups, strict=True)
    )


def run(parameters: TuneGroups, sampling: Sampling) -> xr.Dataset:
    """Tune and simulate with one kernel: all groupings share users and fading.

    The fading is drawn after the groups are tuned, which depend on covariances alone.
    """
    steps = tuple(convergence.steps_up_to(_ROUNDS * parameters.num_users).tolist())
    sample = Partial(_sample, _systems(parameters), parameters.fading_realizations, steps)
    estimate = common.simulate(sample, identity, sampling, judged=itemgetter("sum_rate"))
    variables = {}
    for name in filter(estimate.mean.__contains__, _ATTRIBUTES):  # in the order of the table
        dims = _DIMS.get(name, ("grouping",))
        variables[name] = (dims, estimate.mean[name])
        variables[f"{name}_std_error"] = (dims, estimate.std_error[name])
    dimensions = {
        "grouping": GROUPINGS,
        "split": _splits(parameters),
        "search": SEARCHES,
        "step": steps,
        "azimuth_antennas": parameters.azimuth_antennas,
        "elevation_antennas": parameters.elevation_antennas,
        "num_users": parameters.num_users,
    }
    dataset = common.make_dataset(dimensions, variables, _ATTRIBUTES)
    return dataset.assign_attrs(realizations=estimate.realizations)


def _sample(
    systems: tuple[Beamforming3D, ...], realizations: int, steps: tuple[int, ...], key: Array
) -> dict[str, Array]:
    """Rates of one drop, the one that `rate_sample` has for this key, and their differences."""
    users_key, fading_key = jax.random.split(key)
    users = draw_users(users_key, systems[0])
    ranks = factor_ranks(systems[0])
    first = make_cell(systems[0], users, ranks=ranks)
    others = [
        first.split_into(system.azimuth_groups, system.elevation_groups) for system in systems[1:]
    ]
    tuned = tune_groups(first)
    searches = tuned.greedy, tuned.annealed, tuned.polished
    fading = Partial(mean_over_fading, fading_key, realizations=realizations)
    of_first = _rates(
        first, [first.groups, *(s.groups for s in searches[:2]), tuned.groups], fading
    )
    of_others = [_rates(cell, [cell.groups, greedy_groups(cell).groups], fading) for cell in others]
    by_split = jnp.stack([of_first[:, :2], *of_others])
    # Chosen by the equivalent, which knows no fading.
    chosen = jnp.argmax(by_split[:, 1], axis=0)
    best = jnp.take_along_axis(by_split, chosen[None, None], axis=0)[0]
    simulated, equivalent = jnp.concatenate([of_first, best], axis=1)
    lacking = [convergence.shortfall(s.history, np.asarray(steps)) for s in searches]
    return {
        **_differences(simulated, ""),
        **_differences(equivalent, "_equivalent"),
        "below": jnp.maximum(simulated[0] - simulated, 0.0),
        "split_sum_rate": by_split[:, 0, 1],
        "split_chosen": jnp.arange(len(systems)) == chosen[1],
        "shortfall_by_step": jnp.stack(lacking),
    }


def _rates(cell: Cell, groupings: Sequence[Groups], fading: Partial) -> Float[Array, "2 groupings"]:
    """Simulated and equivalent sum rates of groupings of a cell."""

    def of_grouping(groups: Groups) -> Array:
        moved = cell.with_groups(groups)
        simulated = fading((moved,), (adjacent_groups,))[0, 0]
        return jnp.stack([simulated, adjacent_groups(moved).rates_in_the_limit().sum()])

    stacked = jax.tree.map(lambda *each: jnp.stack(each), *groupings)
    return jax.vmap(of_grouping, out_axes=1)(stacked)


def _differences(rates: Float[Array, " groupings"], suffix: str) -> dict[str, Array]:
    return {
        f"sum_rate{suffix}": rates,
        f"gain{suffix}": rates - rates[0],
        f"lead{suffix}": rates - rates[1],
        f"kept{suffix}": rates >= rates[0],
    }


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the gain of each grouping over 2D-FQUG, simulated and by the equivalent."""
    ax = new_axes(ax)
    others = dataset.isel(grouping=slice(1, None))
    rows = np.arange(others.sizes["grouping"])
    half = error_bar(dataset.attrs.get("realizations"))
    for i, (suffix, label) in enumerate((("", "simulation"), ("_equivalent", "equivalent"))):
        ax.errorbar(
            others[f"gain{suffix}"].values,
            rows + 0.16 * (i - 0.5),
            xerr=half * others[f"gain{suffix}_std_error"].values,
            label=label,
            color=PALETTE[i],
            marker=MARKERS[i],
            linestyle="none",
            markersize=5.5,
            markerfacecolor="white",
            capsize=2.5,
            elinewidth=1.2,
        )
    ax.axvline(0.0, color="0.4", linewidth=0.9)
    ax.set_yticks(rows, list(others.grouping.values))
    ax.grid(False, axis="y")
    ax.invert_yaxis()
    ax.set_xlabel(axis_label(dataset.gain))
    splits = list(dataset.split.values)
    choice = f"\nbest split: one of\n{', '.join(splits)}" if len(splits) > 1 else ""
    legend_beside(ax, f"means with 95 % intervals\nG x L = {splits[0]}{choice}")
    return ax


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge what tuning has to show, by differences of the same drops."""
    tuned, annealed = (dataset.sel(grouping=name) for name in (TUNED, ANNEALED))
    result = [
        Claim(
            f"tuned groups are at least as good as those of {START} in every drop, by the "
            "equivalent that is tuned",
            exactly(tuned.kept_equivalent == 1.0),
            f"in {common.percent(tuned.kept_equivalent)} of {dataset.realizations} drops; "
            f"simulated, in {common.percent(tuned.kept)}{_how_far_below(tuned)}",
        ),
        Claim(
            "on average they are better, in simulations of fading that tuning has not seen",
            all_above(dataset, _difference(tuned, "gain")),
            f"simulated {_value(tuned, 'gain')}; by the equivalent "
            f"{_value(tuned, 'gain_equivalent')}",
        ),
        Claim(
            f"{GREEDY} alone find nearly all of it",
            all_above(dataset, _little(tuned)),
            f"what the gradient adds, simulated {_value(tuned, 'lead')}; by the equivalent "
            f"{_value(tuned, 'lead_equivalent')}",
        ),
        Claim(
            f"annealed shares alone, without moves, are better than {START}, too",
            all_above(dataset, _difference(annealed, "gain")),
            f"simulated {_value(annealed, 'gain')}, over {GREEDY} {_value(annealed, 'lead')}; in "
            f"{common.percent(annealed.kept_equivalent)} of the drops not worse, by the equivalent",
        ),
    ]
    return [*result, *([_claim_of_splits(dataset)] if dataset.sizes["split"] > 1 else [])]


def _claim_of_splits(dataset: xr.Dataset) -> Claim:
    best = dataset.sel(grouping=GREEDY_SPLIT)
    rates = ", ".join(f"{rate:.1f}" for rate in dataset.split_sum_rate.values)
    return Claim(
        "the split of the beams that suits a drop best adds more",
        all_above(dataset, _difference(best, "lead")),
        f"over {GREEDY} with {dataset.split.values[0]}, simulated {_value(best, 'lead')}; over "
        f"{START} {_value(best, 'gain')}. {', '.join(dataset.split.values)} are best in "
        f"{common.percent(dataset.split_chosen)} of the drops; the mean over all drops of each is "
        f"{rates} bit/s/Hz",
    )


def _how_far_below(one: xr.Dataset) -> str:
    others = 1.0 - float(one.kept)
    mean = float(one.below) / others if others else 0.0
    return f", and the others are lower by {mean:.2f} bit/s/Hz on average" if others else ""


def _difference(one: xr.Dataset, name: str) -> tuple[float, float]:
    return float(one[name]), float(one[f"{name}_std_error"])


def _little(one: xr.Dataset) -> tuple[float, float]:
    """How much less than a little of the gain the lead is."""
    (lead, its_error), (gain, error) = (
        _difference(one, f"{name}_equivalent") for name in ("lead", "gain")
    )
    return LITTLE * gain - lead, math.hypot(its_error, LITTLE * error)


def _value(one: xr.Dataset, name: str) -> str:
    error = error_bar(one.attrs.get("realizations")) * float(one[f"{name}_std_error"])
    return f"{float(one[name]):+.2f} \u00b1 {error:.2f} bit/s/Hz (95 %)"


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
    convergence=convergence.plot,
)
