"""What the pictures of wideband correlation say: the draft announces it and gives no results."""

import numpy as np
import xarray as xr

from jaxmimo.plotting import ERROR_BAR
from jaxmimo.studies.study import Claim

NEGLIGIBLE = 0.01
"""Share of a correlation below which a Kronecker product is as good as exact."""
LOST = 0.05
"""Correlation below which nothing is left of it."""
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
    gap = float(abs(alike.kronecker_miss).max())
    return Claim(
        "R is the Kronecker product of micro- and macro-correlation if the APs see common angles, "
        "or independent scattering of one law",
        worst < NEGLIGIBLE and gap < NEGLIGIBLE,
        f"it misses {worst:.1g} of R at most by the closed form, {gap:.1g} by simulation",
    )


def _kronecker_fails(dataset: xr.Dataset) -> Claim:
    points = dataset.sel(assumption="independent angles")
    misses = points.kronecker_miss
    worst = int(misses.values.argmax())
    error = float(points.kronecker_miss_std_error[worst])
    shares = ", ".join(
        f"{100 * np.sqrt(max(miss, 0.0)):.0f} % at {std:g} degrees"
        for std, miss in zip(points.kronecker_std_deg.values, misses.values, strict=True)
    )
    return Claim(
        "it is not if the angles are independent and the gains are not: the error nears R itself",
        float(misses[worst]) - ERROR_BAR * error > 0.25,
        f"norm of the error over that of R: {shares}",
    )


def _jitter(dataset: xr.Dataset) -> Claim:
    last = dataset.isel(jitter_cm=-1)
    left = ", ".join(
        f"{closed:+.4f} ({mean:+.4f} \u00b1 {ERROR_BAR * error:.4f}) at {bearing:g} degrees"
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
        bool((abs(last.jitter_correlation_closed_form) < LOST).all()),
        f"closed form (simulation, 95 %): {left}",
    )


def _frequency(dataset: xr.Dataset) -> Claim:
    last = dataset.isel(separation_mhz=-1).frequency_correlation_closed_form
    array, place, gains = (float(last.sel(part=part)) for part in ("array", "place", "gains"))
    return Claim(
        "beyond the paper: over the band an AP's antennas stay correlated best, then the phase of "
        "an uncertain place; paths of other delays lose each other first",
        array > place > gains,
        f"{array:.3f}, {place:.3f} and {gains:.3f} at {last.separation_mhz.item():g} MHz",
    )


def _agreement(dataset: xr.Dataset) -> Claim:
    worst = 0.0
    for name in SIMULATED:
        gap = abs(dataset[name] - dataset[f"{name}_closed_form"])
        # Single precision leaves errors of 1e-5 where nothing is random.
        worst = max(worst, float((gap / np.maximum(dataset[f"{name}_std_error"], 1e-5)).max()))
    return Claim(
        "beyond the paper: closed forms and simulation agree",
        worst < 5,
        f"they differ by {worst:.1f} standard errors at most",
    )
