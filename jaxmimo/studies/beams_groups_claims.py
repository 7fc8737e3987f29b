"""What Fan et al. claim about sum rate and FLOPs against the number of subsectors."""

from typing import Any

import numpy as np
import xarray as xr

from jaxmimo.studies import beams, beams_costs
from jaxmimo.studies.study import Claim
from jaxmimo.studies.verdicts import all_above, steps

NEAR = 0.15
"""Relative difference up to which two schemes count as close."""
ROUNDING = 1e-4
"""Differences in bit/s/Hz below which nothing is left to compare."""


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims by differences of the same drops, in their standard errors."""
    found = [_ordered(dataset), _lowest(dataset), _flops_fall_in_between(dataset)]
    if dataset.sizes["azimuth_groups"] > 1:
        found[1:1] = [_fall(dataset), _approach(dataset)]
    return found


def _ordered(dataset: xr.Dataset) -> Claim:
    chosen = dataset.sel(scheme=list(beams_costs.TWO_STAGE)[:2])
    errors = _in_errors(chosen, "lead")
    proposal = dataset.sel(scheme=beams_costs.PROPOSAL)
    over = _pairs(dataset.sel(scheme="all groups").lead, dataset.azimuth_groups)
    return Claim(
        "counting leakage to all groups is best, the proposal next, the own group last",
        all_above(dataset, _difference(chosen, "lead")),
        f"all over proposal, {over}; proposal over own, "
        f"{_pairs(proposal.lead, dataset.azimuth_groups)} bit/s/Hz; least "
        f"{float(errors.min()):+.1f} standard errors",
    )


def _fall(dataset: xr.Dataset) -> Claim:
    change = dataset.sel(scheme=list(beams_costs.TWO_STAGE)).isel(azimuth_groups=slice(1, None))
    errors = _in_errors(change, "change")
    gap, spread = _difference(change, "change")
    return Claim(
        "the sum rate of the three falls with the number of subsectors",
        all_above(dataset, (-gap, spread)),
        f"steps of {float(errors.min()):+.1f} to {float(errors.max()):+.1f} standard errors",
    )


def _approach(dataset: xr.Dataset) -> Claim:
    apart, error = _apart_from_mrt(dataset)
    near = NEAR - apart.isel(azimuth_groups=-1), error.isel(azimuth_groups=-1)
    nearer, spread = steps(apart, error, "azimuth_groups")
    last = dataset.isel(azimuth_groups=-1)
    ratios = ", ".join(
        f"{scheme} {100 * _share_of_mrt(last, name, scheme):.0f} % {how}"
        for name, how in (("sum_rate", "simulated"), ("sum_rate_equivalent", "by the equivalent"))
        for scheme in (beams_costs.PROPOSAL, "own group")
    )
    return Claim(
        f"proposal and own group approach generalized MRT at G = {int(last.azimuth_groups)}",
        all_above(dataset, near, (-nearer, spread)),
        f"of generalized MRT: {ratios}",
    )


def _apart_from_mrt(dataset: xr.Dataset) -> tuple[xr.DataArray, Any]:
    """Relative distance of proposal and own group from MRT, with its standard error.

    The leads over the next scheme are differences of the same drops.
    """
    names = [beams_costs.PROPOSAL, "own group"]
    mrt, its_error = (
        dataset[name].sel(scheme=beams.MRT, drop=True)
        for name in ("sum_rate", "sum_rate_std_error")
    )
    lead, error = (dataset[name].sel(scheme=names) for name in ("lead", "lead_std_error"))
    from_last = lead.isel(scheme=slice(None, None, -1))
    ahead = from_last.cumsum("scheme").isel(scheme=slice(None, None, -1)) / mrt
    squares = (error**2).isel(scheme=slice(None, None, -1)).cumsum("scheme")
    spread = np.sqrt(squares.isel(scheme=slice(None, None, -1)))
    return abs(ahead), np.hypot(spread, ahead * its_error) / mrt


def _share_of_mrt(point: xr.Dataset, name: str, scheme: str) -> float:
    return float(point[name].sel(scheme=scheme) / point[name].sel(scheme=beams.MRT))


def _lowest(dataset: xr.Dataset) -> Claim:
    own = dataset.sel(scheme="own group")
    errors = _in_errors(own, "lead")
    text = ", ".join(
        f"G = {groups}: {lead:+.2g} ({error:+.1f})"
        for groups, lead, error in zip(
            dataset.azimuth_groups.values, own.lead.values, errors.values, strict=True
        )
    )
    return Claim(
        "generalized MRT has the lowest sum rate for every number of subsectors",
        all_above(dataset, _difference(own, "lead")),
        f"own group over MRT in bit/s/Hz (in standard errors): {text}",
    )


def _flops_fall_in_between(dataset: xr.Dataset) -> Claim:
    flops = dataset.flops.sel(scheme=list(beams.SCHEMES))
    errors = dataset.flops_std_error.sel(scheme=list(beams.SCHEMES))
    falls = (steps(flops, errors, dim) for dim in ("scheme", "azimuth_groups"))
    ends = "; ".join(
        f"G = {int(point.azimuth_groups)}: {', '.join(f'{float(v):.3g}' for v in point)}"
        for point in (flops.isel(azimuth_groups=0), flops.isel(azimuth_groups=-1))
    )
    return Claim(
        "the FLOPs of the proposal lie between those of all groups and own group, MRT has the "
        "fewest, and more groups need fewer",
        all_above(dataset, *((-gap, error) for gap, error in falls), or_equal=True),
        f"{ends} million. The paper counts rounding noise among the eigenvalues in grouping, and "
        "so has more",
    )


def _in_errors(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """A difference in standard errors; where nothing differs, it is 0."""
    gap, error = _difference(dataset, name)
    return gap / error


def _difference(dataset: xr.Dataset, name: str) -> tuple[xr.DataArray, Any]:
    return dataset[name], np.maximum(dataset[f"{name}_std_error"], ROUNDING)


def _pairs(values: xr.DataArray, groups: xr.DataArray) -> str:
    listed = ", ".join(f"{float(value):+.1f}" for value in values)
    return f"G = {groups.values[0]} to {groups.values[-1]}: {listed}"
