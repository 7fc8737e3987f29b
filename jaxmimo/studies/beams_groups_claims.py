"""What Fan et al. claim about sum rate and FLOPs against the number of subsectors."""

import numpy as np
import xarray as xr

from jaxmimo.studies import beams, beams_costs
from jaxmimo.studies.study import Claim

NOTABLE = 2.0
"""Standard errors from which on a difference counts."""
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
        bool((errors > -NOTABLE).all()) and bool((chosen.lead.mean("azimuth_groups") > 0).all()),
        f"all over proposal, {over}; proposal over own, "
        f"{_pairs(proposal.lead, dataset.azimuth_groups)} bit/s/Hz; least "
        f"{float(errors.min()):+.1f} standard errors",
    )


def _fall(dataset: xr.Dataset) -> Claim:
    errors = _in_errors(dataset.sel(scheme=list(beams_costs.TWO_STAGE)), "change")
    errors = errors.isel(azimuth_groups=slice(1, None))
    return Claim(
        "the sum rate of the three falls with the number of subsectors",
        bool((errors < -NOTABLE).all()),
        f"steps of {float(errors.min()):+.1f} to {float(errors.max()):+.1f} standard errors",
    )


def _approach(dataset: xr.Dataset) -> Claim:
    mrt = dataset.sum_rate.sel(scheme=beams.MRT, drop=True)
    close = abs(dataset.sum_rate.sel(scheme=[beams_costs.PROPOSAL, "own group"]) / mrt - 1.0)
    last = dataset.isel(azimuth_groups=-1)
    ratios = ", ".join(
        f"{scheme} {100 * _share_of_mrt(last, name, scheme):.0f} % {how}"
        for name, how in (("sum_rate", "simulated"), ("sum_rate_equivalent", "by the equivalent"))
        for scheme in (beams_costs.PROPOSAL, "own group")
    )
    return Claim(
        f"proposal and own group approach generalized MRT at G = {int(last.azimuth_groups)}",
        bool((close.isel(azimuth_groups=-1) < NEAR).all())
        and bool((close.diff("azimuth_groups") < 0).all()),
        f"of generalized MRT: {ratios}",
    )


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
        bool((errors > -NOTABLE).all()),
        f"own group over MRT in bit/s/Hz (in standard errors): {text}",
    )


def _flops_fall_in_between(dataset: xr.Dataset) -> Claim:
    flops = dataset.flops.sel(scheme=list(beams.SCHEMES))
    ordered = bool((flops.diff("scheme") <= 0).all())
    falls = bool((flops.diff("azimuth_groups") <= 0).all())
    ends = "; ".join(
        f"G = {int(point.azimuth_groups)}: {', '.join(f'{float(v):.3g}' for v in point)}"
        for point in (flops.isel(azimuth_groups=0), flops.isel(azimuth_groups=-1))
    )
    return Claim(
        "the FLOPs of the proposal lie between those of all groups and own group, MRT has the "
        "fewest, and more groups need fewer",
        ordered and falls,
        f"{ends} million. The paper counts rounding noise among the eigenvalues in grouping, and "
        "so has more",
    )


def _in_errors(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """A difference in standard errors; where nothing differs, it is 0."""
    return dataset[name] / np.maximum(dataset[f"{name}_std_error"], ROUNDING)


def _pairs(values: xr.DataArray, groups: xr.DataArray) -> str:
    listed = ", ".join(f"{float(value):+.1f}" for value in values)
    return f"G = {groups.values[0]} to {groups.values[-1]}: {listed}"
