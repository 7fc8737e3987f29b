"""A bar chart of how many times slower NumPy is, from the rows of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import fastest_numpy
from jaxmimo.plotting import PALETTE, legend_beside, new_axes, save_figure

RATIOS = {
    "fastest": "the fastest NumPy we know",
    "ratio_numpy_shared": "sharing work along the curve",
    "ratio_numpy_pointwise": "point by point",
    "ratio_numpy_loop": "a loop over realizations",
}
"""Keys of ratios, and what NumPy does."""


def save_chart(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the ratios of the cases that have them all; nothing where none has."""
    every = [{**row, "fastest": fastest_numpy(row)} for row in rows]
    shown = [row for row in every if all(row.get(key) for key in RATIOS)]
    if not shown:
        return
    ax = new_axes()
    height = 0.8 / len(RATIOS)
    for i, (key, label) in enumerate(RATIOS.items()):
        values = [row[key] for row in shown]
        places = np.arange(len(shown)) + (i - (len(RATIOS) - 1) / 2) * height
        bars = ax.barh(places, values, height, color=PALETTE[i], label=label)
        ax.bar_label(bars, fmt="%.3g", padding=3, fontsize=9)
    ax.set_yticks(range(len(shown)), [row["case"] for row in shown])
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlim(0.5, 3 * max(row["ratio_numpy_loop"] for row in shown))
    ax.axvline(1.0, color="0.4", linewidth=1.0)
    ax.grid(False, axis="y")
    ax.set_xlabel("Time of NumPy over time of jaxmimo")
    legend_beside(ax, "NumPy on the same cores")
    save_figure(ax, path)
