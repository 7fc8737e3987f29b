"""What the pictures of wideband correlation say: the draft announces it and gives no results."""

import numpy as np
import xarray as xr

from jaxmimo.plotting import error_bar
from jaxmimo.studies.study import Claim
from jaxmimo.studies.verdicts import agree, all_above, any_above, exactly

NEGLIGIBLE = 0.01
"""Share of a correlation below which a Kronecker product is as good as exact."""
LOST = 0.05
"""Correlation below which nothing is left of it."""
AGREE = 0.1
"""Difference within which a simulation must be known to lie at its closed form."""
ROUNDING = 1e-5
"""Error that single precision leaves where nothing is random."""
SIMULATED = (
    "spacing_correlation",
    "frequency_correlation",
    "kronecker_miss",
    "jitter_correlation",
)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge what follows from the draft's model."""
    found = [_kronecker_holds(dataset)]
    if dataset.num_aps > 1:
        found.append(_kronecker_fails(dataset))
    return [*found, _jitter(dataset), _frequency(dataset), _agreement(dataset)]


def _kronecker_holds(dataset: xr.Dataset) -> Claim:
    alike = dataset.sel(assumption=["common angles", "independent scattering"])
    worst = float(alike.kronecker_miss_closed_form.max())
    gap = abs(alike.kronecker_miss)
    simulated = all_above(dataset, (NEGLIGIBLE - gap, alike.kronecker_miss_std_error))
    return Claim(
        "R is the Kronecker product of micro- and macro-correlation if the APs see common angles, "
        "or independent scattering of one law",
        min(exactly(worst < NEGLIGIBLE), simulated),
        f"it misses {worst:.1g} of R at most by the closed form, {float(gap.max()):.1g} by "
        "simulation",
    )


def _kronecker_fails(dataset: xr.Dataset) -> Claim:
    points = dataset.sel(assumption="independent angles")
    misses = points.kronecker_miss
    shares = ", ".join(
        f"{100 * np.sqrt(max(miss, 0.0)):.0f} % at {std:g} degrees"
        for std, miss in zip(points.kronecker_std_deg.values, misses.values, strict=True)
    )
    return Claim(
        "it is not if the angles are independent and the gains are not: the error nears R itself",
        any_above(dataset, (misses - 0.25, points.kronecker_miss_std_error)),
        f"norm of the error over that of R: {shares}",
    )


def _jitter(dataset: xr.Dataset) -> Claim:
    last = dataset.isel(jitter_cm=-1)
    half = error_bar(dataset.attrs.get("realizations"))
    left = ", ".join(
        f"{closed:+.4f} ({mean:+.4f} \u00b1 {half * error:.4f}) at {bearing:g} degrees"
        for bearing, closed, mean, error in zip(
            last.bearing_deg.values,
            last.jitter_correlation_closed_form.values,
            last.jitter_correlation.values,
            last.jitter_correlation_std_error.values,
            strict=True,
        )
    )
    return Claim(
        f"beyond the paper: \u00b1{last.jitter_cm.item():g} cm of position leave no "
        f"macro-correlation at {dataset.carrier_ghz.item():g} GHz",
        exactly((abs(last.jitter_correlation_closed_form) < LOST).all()),
        f"closed form (simulation, 95 %): {left}",
    )


def _frequency(dataset: xr.Dataset) -> Claim:
    last = dataset.isel(separation_mhz=-1).frequency_correlation_closed_form
    array, place, gains = (float(last.sel(part=part)) for part in ("array", "place", "gains"))
    return Claim(
        "beyond the paper: over the band an AP's antennas stay correlated best, then the phase of "
        "an uncertain place; paths of other delays lose each other first",
        exactly(array > place > gains),
        f"{array:.3f}, {place:.3f} and {gains:.3f} at {last.separation_mhz.item():g} MHz",
    )


def _agreement(dataset: xr.Dataset) -> Claim:
    pairs = [
        (dataset[name] - dataset[f"{name}_closed_form"], dataset[f"{name}_std_error"], AGREE)
        for name in SIMULATED
    ]
    worst = max(float((abs(gap) / np.maximum(error, ROUNDING)).max()) for gap, error, _ in pairs)
    return Claim(
        f"beyond the paper: closed forms and simulation agree, to {AGREE:g} at least",
        agree(dataset, *pairs, floor=ROUNDING),
        f"they differ by {worst:.1f} standard errors at most",
    )
