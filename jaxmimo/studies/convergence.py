"""How fast searches converge: what the tuning studies record of them, and its picture."""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jaxtyping import Float
from matplotlib.axes import Axes

from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    error_bar,
    legend_beside,
    new_axes,
)

ATTRIBUTES = {
    "shortfall_by_step": ("Mean distance to the value found", "%"),
    "search": ("Search", "1"),
    "step": ("Step", "1"),
}
"""Long names and units of a dataset with `shortfall_by_step` along `search` and `step`."""
_LEAST_SHOWN = 1e-3
"""Distance [%] below which single precision and chance hide what a search does."""


def steps_up_to(most: int) -> np.ndarray:
    """Steps to record of a search that takes `most` at the most: dense at first, then sparse."""
    return np.unique(np.append(np.round(np.geomspace(1.0, most + 1.0, 33)).astype(int) - 1, most))


def shortfall(
    history: Float[Array, "*searches all_steps"], steps: np.ndarray
) -> Float[Array, "*searches steps"]:
    """What searches lack, after some steps, of the value they have found in the end [%].

    Args:
        history: Value after each step, beginning with that at the start; constant after the last.
        steps: Steps to record; those after the last stand for the last.
    """
    end = jnp.abs(history[..., -1:])
    reached = history[..., np.minimum(steps, history.shape[-1] - 1)]
    lacking = history[..., -1:] - reached
    return 100.0 * jnp.where(end > 0, lacking / jnp.where(end > 0, end, 1.0), 0.0)


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw how far searches are from what they find, against their steps.

    Args:
        dataset: A result with `shortfall_by_step` along `search` and `step`.
        ax: Axes to draw into; new ones if None.
    """
    ax = new_axes(ax)
    for i, search in enumerate(dataset.search.values):
        curve = dataset.sel(search=search)
        mean, error = curve.shortfall_by_step.values, curve.shortfall_by_step_std_error.values
        shown = mean > _LEAST_SHOWN
        color = PALETTE[i % len(PALETTE)]
        steps, mean = dataset.step.values[shown], mean[shown]
        half = error_bar(dataset.attrs.get("realizations")) * error[shown]
        # Bands, since bars of many steps down to zero would hide the curves.
        ax.fill_between(
            steps, np.maximum(mean - half, _LEAST_SHOWN), mean + half, color=color, alpha=0.12, lw=0
        )
        ax.plot(
            steps,
            mean,
            label=str(search),
            color=color,
            marker=MARKERS[i % len(MARKERS)],
            linewidth=1.2,
            markersize=4.0,
            markerfacecolor="white",
        )
    # Linear up to the first step, so that the start has its place on the axis.
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set_xlim(left=0.0)
    ax.set_yscale("log")
    ax.set_ylim(bottom=_LEAST_SHOWN)  # intervals that include zero would go on for ever
    ax.set(xlabel=axis_label(dataset.step), ylabel=axis_label(dataset.shortfall_by_step))
    legend_beside(ax, "with 95 % intervals\nover networks")
    return ax
