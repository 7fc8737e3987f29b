"""What the studies of tuned powers share: measures of an allocation, datasets, picture, evidence.

An allocation is judged by the SEs of all users of a network: the smallest, their sum and their
geometric mean. Differences are those of the same network, so that their errors are small.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Bool, Float
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    PALETTE,
    axis_label,
    error_bar,
    legend_beside_panels,
    legend_key,
    new_axes,
    one_panel,
    panel_grid,
    panels_of,
    share_limits,
)
from jaxmimo.simulation.monte_carlo import identity
from jaxmimo.simulation.shares import errors_of_distribution
from jaxmimo.studies import common, convergence
from jaxmimo.studies.study import Sampling
from jaxmimo.tuning import proportional_fairness, sum_se

MAX_MIN, FAIR, SUM = "max-min", "proportional fairness", "sum SE"
OWN_MEASURE = {MAX_MIN: "min_se", FAIR: "geometric_mean_se", SUM: "sum_se"}
"""What each allocation maximizes."""
_MEASURES = {
    "min_se": jnp.min,
    "sum_se": jnp.sum,
    "geometric_mean_se": proportional_fairness,
}
_SOLID = 5
"""Allocations with solid lines; others may lie upon them."""
_LEVELS = 150
"""Intervals of a distribution function."""
_ROUNDING = 1e-5
"""Relative difference that single precision may hide."""
_DIMS = {
    "shortfall_by_step": ("search", "step"),
    "certified": ("search",),
    "steps_taken": ("search",),
    "retuned_gain": ("objective",),
}
"""Of variables that are not along allocations."""

ATTRIBUTES = {
    **convergence.ATTRIBUTES,
    "min_se": ("Smallest SE", "bit/s/Hz"),
    "sum_se": ("Sum SE", "bit/s/Hz"),
    "geometric_mean_se": ("Geometric mean of SEs", "bit/s/Hz"),
    "min_se_gain": ("Gain in smallest SE", "bit/s/Hz"),
    "sum_se_gain": ("Gain in sum SE", "bit/s/Hz"),
    "geometric_mean_se_gain": ("Gain in geometric mean of SEs", "bit/s/Hz"),
    "min_se_kept": ("Share of networks whose smallest SE no heuristic exceeds", "1"),
    "sum_se_kept": ("Share of networks whose sum SE no heuristic exceeds", "1"),
    "geometric_mean_se_kept": ("Share of networks whose geometric mean no heuristic exceeds", "1"),
    "certified": ("Share of searches that end by their certificate", "1"),
    "steps_taken": ("Steps of a search", "1"),
    "se_cdf": ("Distribution function of the SE", "1"),
    "se_level": ("SE per user", "bit/s/Hz"),
    "allocation": ("Allocation", "1"),
    "num_aps": ("APs", "1"),
    "num_users": ("Users K", "1"),
    "ap_antennas": ("AP antennas", "1"),
}


def fair_to_sum(weight: Array, se: Float[Array, " users"]) -> Float[Array, ""]:
    """From proportional fairness, at weight 0, to the sum of the SEs, at weight 1.

    One function for both, so that both searches are one compilation.
    """
    return (1.0 - weight) * se.size * proportional_fairness(se) + weight * sum_se(se)


def levels_up_to(most: float) -> np.ndarray:
    """Levels of the distribution function [bit/s/Hz], up to an SE that no user exceeds."""
    return np.linspace(0.0, most, _LEVELS + 1)


def measures(
    se: Float[Array, "allocations cases users"], levels: Float[Array, " levels"], heuristics: int
) -> dict[str, Array]:
    """What a network says of each allocation in each case.

    Args:
        se: SE of each user; the first allocations are heuristics, and gains are over the first.
        levels: Of the distribution function.
        heuristics: How many of the allocations are heuristics.
    """
    result = {"se_cdf": (se[:, :, None] <= levels[None, None, :, None]).mean(-1)}
    for name, measure in _MEASURES.items():
        value = jnp.vectorize(measure, signature="(k)->()")(se)
        result |= {
            name: value,
            f"{name}_gain": value - value[:1],
            f"{name}_kept": _not_below(value, value[:heuristics].max(0, keepdims=True)),
        }
    return result


def _not_below(value: Array, other: Array) -> Bool[Array, "..."]:
    return value >= other * (1.0 - _ROUNDING)


def simulate(
    sample: Partial, sampling: Sampling, dimensions: Mapping[str, Any], case: str, attributes: Any
) -> xr.Dataset:
    """Dataset of the means over networks of `sample(key)`, made by `measures`.

    Args:
        sample: From the key of a network to measures, and arrays over cases alone.
        sampling: Realizations, target error and progress.
        dimensions: Values along each dimension, `allocation`, the case and `se_level` among them.
        case: Name of the second dimension.
        attributes: Long names and units beyond `ATTRIBUTES`.
    """
    estimate = common.simulate(sample, identity, sampling, judged=itemgetter("sum_se"))
    variables = {}
    for name in estimate.mean:
        every = ("allocation", case, "se_level")
        dims = _DIMS.get(name, every[: np.ndim(estimate.mean[name])])
        variables[name] = (dims, estimate.mean[name])
        error = estimate.std_error[name]
        if name == "se_cdf":
            error = errors_of_distribution(estimate.mean[name], error, estimate.realizations)
        variables[f"{name}_std_error"] = (dims, error)
    dataset = common.make_dataset(dimensions, variables, {**ATTRIBUTES, **attributes})
    return dataset.assign_attrs(realizations=estimate.realizations)


def plot(dataset: xr.Dataset, ax: Axes | None, case: str, *, shared: bool = True) -> Axes:
    """Draw the distribution of the SE over users and networks, a panel per case.

    Args:
        dataset: The result.
        ax: Axes for a result of one case; a panel per case if None.
        case: Dimension of the cases.
        shared: Whether panels have the same limits; where SEs differ much they better do not.
    """
    keys = [
        legend_key(str(name), color=PALETTE[i % len(PALETTE)], linestyle=_line(i))
        for i, name in enumerate(np.atleast_1d(dataset.allocation))
    ]
    if ax is not None:
        _draw(new_axes(ax), one_panel(dataset, (case,)), case)
        ax.legend(handles=keys, frameon=False, fontsize=10)
        return ax
    panels = list(panels_of(dataset, (case,)))
    axes = panel_grid(1, len(panels), panel_size=(5.0, 4.2))
    for each, (_, panel) in zip(axes.flat, panels, strict=True):
        _draw(each, panel, case)
    if shared:
        share_limits(axes)
    legend_beside_panels(axes, keys)
    return axes.flat[0]


def _draw(ax: Axes, panel: xr.Dataset, case: str) -> None:
    cdf = panel.se_cdf.transpose("allocation", "se_level")
    reached = panel.se_level.values[(cdf < 0.999).any("allocation").values]
    for i, curve in enumerate(cdf):
        style = {"color": PALETTE[i % len(PALETTE)], "linestyle": _line(i), "linewidth": 1.6}
        ax.plot(panel.se_level, curve, **style)
    ax.set(
        title=str(panel[case].item()),
        xlabel=axis_label(panel.se_level),
        ylabel="Share of users below",
        xlim=(0.0, float(reached.max()) if reached.size else None),
        ylim=(0, 1),
    )


def _line(i: int) -> str:
    return "--" if i >= _SOLID else "-"


def gain_of(dataset: xr.Dataset, allocation: str, measure: str) -> tuple[float, float]:
    """A gain over the first allocation, for one case, with its standard error."""
    one = dataset.sel(allocation=allocation)
    return float(one[f"{measure}_gain"]), float(one[f"{measure}_gain_std_error"])


def listed(dataset: xr.Dataset, gains: Mapping[str, tuple[float, float]]) -> str:
    """Gains with their 95 % intervals."""
    half = error_bar(dataset.attrs.get("realizations"))
    each = (
        f"{name} {gain:+.3f} \u00b1 {half * error:.3f}" for name, (gain, error) in gains.items()
    )
    return f"{', '.join(each)} bit/s/Hz (95 %)"


def kept(dataset: xr.Dataset, allocations: Sequence[str]) -> dict[str, float]:
    """Share of networks where an allocation's own measure is not below that of any heuristic."""
    return {
        name: float(dataset.sel(allocation=name)[f"{OWN_MEASURE[name]}_kept"])
        for name in allocations
    }
