"""How the studies under Rician fading judge claims: by differences in standard errors."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from jaxmimo.studies.study import Claim
from jaxmimo.studies.verdicts import all_above, unless_refuted

PAPER_READING = {"propagation_phase": "off", "correlation_model": "uncorrelated"}
WITH_PHASE = {**PAPER_READING, "propagation_phase": "on"}
WITH_SCATTERING = {**PAPER_READING, "correlation_model": "local scattering"}
READINGS = {
    "": PAPER_READING,
    "the same with the propagation phase": WITH_PHASE,
    "the same with local scattering": WITH_SCATTERING,
}
"""Readings of the paper, its own first."""

KAPPA = "rician_factor_db"


def under_each_reading(
    dataset: xr.Dataset,
    judge: Callable[[xr.Dataset], Claim | None],
    readings: dict[str, dict[str, str]] = READINGS,
) -> list[Claim]:
    """The verdicts of `judge` on each reading; it returns None where there is nothing to judge."""
    found = []
    for text, selection in readings.items():
        claim = judge(dataset.sel(selection))
        if claim is not None:
            found.append(Claim(text or claim.text, claim.margin, claim.evidence))
    return found


def difference(
    dataset: xr.Dataset, name: str, left: dict, right: dict
) -> tuple[xr.DataArray, xr.DataArray]:
    """Left minus right of a variable, and its standard error as if the two were independent."""
    error = f"{name}_std_error"
    gap = dataset[name].sel(left, drop=True) - dataset[name].sel(right, drop=True)
    pair = dataset[error].sel(left, drop=True), dataset[error].sel(right, drop=True)
    spread: Any = np.hypot(*pair)  # of DataArrays, though types do not tell
    # Nothing random is left where the spread is 0: any difference beyond rounding counts.
    return gap, spread.clip(min=1e-6 * float(abs(dataset[name]).max()))


def change(dataset: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Change from the smallest to the largest Rician factor, and its standard error."""
    first, last = ends(dataset)
    return difference(dataset, name, {KAPPA: last}, {KAPPA: first})


def ends(dataset: xr.Dataset) -> tuple[float, float]:
    """Smallest and largest Rician factor [dB]."""
    return float(dataset[KAPPA].min()), float(dataset[KAPPA].max())


def steps(dataset: xr.Dataset, name: str, dim: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Differences of neighbours along `dim`, with their standard errors."""
    values = dataset[dim].values
    each = [difference(dataset, name, {dim: b}, {dim: a}) for a, b in pairwise(values)]
    return xr.concat([gap for gap, _ in each], dim), xr.concat([error for _, error in each], dim)


def grows(dataset: xr.Dataset, name: str) -> tuple[float, str]:
    """The margin by which every curve rises from end to end and falls nowhere, and by how much."""
    first, last = ends(dataset)
    rise, its_error = change(dataset, name)
    step, error = steps(dataset, name, KAPPA)
    worst = min(float((step / error).min()), 0.0)
    evidence = (
        f"change from {first:g} to {last:g} dB: {span(rise / its_error)} standard errors; largest "
        f"fall of a step: {abs(worst):.1f}"
    )
    falls_nowhere = all_above(dataset, (step, error), or_equal=True)
    return unless_refuted(all_above(dataset, (rise, its_error)), falls_nowhere), evidence


def span(values: xr.DataArray) -> str:
    """Smallest and largest value, with signs."""
    low, high = float(values.min()), float(values.max())
    return f"{low:+.1f}" if low == high else f"{low:+.1f} to {high:+.1f}"


def listed(amounts: xr.DataArray, errors: xr.DataArray, dim: str, symbol: str) -> str:
    """Differences along `dim`, in brackets in standard errors, such as `Q = 1: +0.78 (29)`."""
    return ", ".join(
        f"{symbol} = {amount[dim].item()}: {amount.item():+.2g} ({(amount / error).item():+.1f})"
        for amount, error in zip(amounts, errors, strict=True)
    )


def nearest(values: Sequence[float] | xr.DataArray, wanted: float) -> float:
    """The value closest to the one wanted."""
    array = np.asarray(values, float)
    return float(array[np.argmin(abs(array - wanted))])
