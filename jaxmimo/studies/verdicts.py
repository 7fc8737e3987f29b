"""By how many standard errors statements about simulated results are true: one rule for all.

A statement is taken apart into comparisons, each of them a difference that is positive where the
statement is true, and its standard error. Student's law, with as many degrees of freedom as the
blocks of the jackknife leave, says how likely a difference is by chance alone; a margin is what a
normal variable would have to be to be as unlikely, so that margins of few draws and of many mean
the same.

Points of one run share their draws, so that their errors are positively correlated. A difference
has the error of pairs where a study keeps it, and else the root of the sum of squares, which is
too large: such a verdict is late, not wrong.
"""

import math
from typing import Any

import numpy as np
import xarray as xr

from jaxmimo.simulation.jackknife import num_blocks
from jaxmimo.studies.study import CERTAIN

Comparison = tuple[Any, Any]
"""Differences, positive where a statement is true, and their standard errors: arrays or numbers."""

LARGEST = 37.0
"""Margin beyond which double precision has no probabilities."""


def exactly(statement: Any) -> float:
    """The margin of a statement about closed forms, or about the very draws that were made."""
    return math.inf if bool(statement) else -math.inf


def all_above(dataset: xr.Dataset, *comparisons: Comparison, or_equal: bool = False) -> float:
    """The margin by which all differences are above zero.

    That all of them are is borne out by the smallest, as it stands: a false statement passes with
    no more than the probability of one comparison. That one of them is not would be found among
    many by chance, so that a negative margin pays for their number (Bonferroni).

    Args:
        dataset: The result, which tells the realizations.
        comparisons: Differences with their standard errors, of shapes that broadcast. What is NaN
            does not count; where nothing is left, nothing is decided. A difference whose error is
            0 is exact.
        or_equal: Whether differences of exactly zero, of what coincides by construction, are
            welcome, too.
    """
    from scipy.stats import norm, t

    scores = np.concatenate([_scores(*each, or_equal) for each in comparisons])
    if not scores.size:
        return 0.0
    worst, freedom = float(scores.min()), num_blocks(int(dataset.attrs["realizations"])) - 1
    if math.isinf(worst):
        return worst
    chance = float(t.sf(abs(worst), freedom)) * (scores.size if worst < 0.0 else 1)
    margin = min(float(norm.isf(min(max(chance, 1e-300), 0.5))), LARGEST)
    return math.copysign(margin, worst) if margin else 0.0


def any_above(dataset: xr.Dataset, *comparisons: Comparison) -> float:
    """The margin by which at least one difference is above zero; see `all_above`."""
    opposite = ((np.negative(gap), error) for gap, error in comparisons)
    return -all_above(dataset, *opposite)


def unless_refuted(shown: float, *others: float) -> float:
    """The margin of what is shown, unless another statement, which cannot be shown, is refuted.

    No number of draws shows that a curve falls nowhere where it is flat, or that two numbers are
    equal; draws can refute it. The statement to show is then the weaker one: that the curve
    rises from end to end, that the numbers agree within a tolerance.
    """
    refuted = [other for other in others if other < -CERTAIN]
    return min([shown, *refuted])


def agree(dataset: xr.Dataset, *pairs: tuple[Any, Any, Any], floor: float = 0.0) -> float:
    """The margin by which simulations are within a tolerance of closed forms, and not off them.

    Args:
        dataset: The result, which tells the realizations.
        pairs: Simulation minus closed form, its standard error, and the tolerance.
        floor: What rounding leaves where nothing is random: no standard error is smaller.
    """
    shown, equal = [], []
    for gap, error, tolerance in pairs:
        size, spread = np.abs(np.asarray(gap)), np.maximum(np.asarray(error), floor)
        shown.append((np.asarray(tolerance) - size, spread))
        equal += [(-size, spread)] * 2  # either sign
    return unless_refuted(all_above(dataset, *shown), all_above(dataset, *equal, or_equal=True))


def steps(values: xr.DataArray, errors: xr.DataArray, dim: str) -> tuple[np.ndarray, np.ndarray]:
    """Differences of neighbours along `dim`, with errors as if the two were independent."""
    axis = values.get_axis_num(dim)
    error = np.asarray(errors.transpose(*values.dims))
    first, last = (
        np.take(error, np.arange(error.shape[axis])[part], axis)
        for part in (slice(None, -1), slice(1, None))
    )
    return np.diff(values.values, axis=axis), np.hypot(first, last)


def _scores(gap: Any, error: Any, or_equal: bool) -> np.ndarray:
    """Differences in standard errors; infinite where they are exact."""
    gap, error = np.broadcast_arrays(np.asarray(gap, float), np.asarray(error, float))
    gap, error = gap[~np.isnan(gap)], error[~np.isnan(gap)]
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(error > 0.0, gap / error, np.copysign(np.inf, gap))
    return np.where(gap == 0.0, np.inf if or_equal else 0.0, scores)
