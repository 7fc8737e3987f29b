"""What Tominaga et al. claim about the SE against the Rician factor, and whether it holds."""

import xarray as xr

from jaxmimo.studies.rician_claims import (
    NOTABLE,
    change,
    difference,
    ends,
    listed,
    under_each_reading,
)
from jaxmimo.studies.study import Claim

EQUAL = 0.01
"""Relative difference below which two schemes count as equal."""
BEST = 4
"""Number of APs that the paper finds best at large Rician factors."""
INVERTING = ["ZF", "MMSE"]


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims by differences in standard errors, on each reading of the paper."""
    judges = (_mr_gains_only_with_one_ap, _mr_gathers, _inverting_loses, _few_aps_are_best, _equal)
    return [claim for judge in judges for claim in under_each_reading(dataset, judge)]


def _inverting(reading: xr.Dataset) -> list[str]:
    """Those of `INVERTING` that were simulated: ZF cannot serve more users than antennas."""
    return [name for name in INVERTING if name in reading.combiner]


def _sweeps(reading: xr.Dataset) -> bool:
    """Whether there is a Rician factor to compare with, and another layout than one AP."""
    several = reading.sizes["rician_factor_db"] > 1 and reading.sizes["num_aps"] > 1
    return several and 1 in reading.num_aps


def _mr_gains_only_with_one_ap(reading: xr.Dataset) -> Claim | None:
    if not _sweeps(reading):
        return None
    amount, errors = change(reading.sel(combiner="MR"), "se")
    gains = errors > NOTABLE
    first, last = ends(reading)
    return Claim(
        "MR gains from the Rician factor only with one AP",
        bool((gains == (gains.num_aps == 1)).all()),
        f"change from {first:g} to {last:g} dB in bit/s/Hz (in standard errors): "
        f"{listed(amount, errors, 'num_aps', 'Q')}",
    )


def _mr_gathers(reading: xr.Dataset) -> Claim | None:
    if not _sweeps(reading):
        return None
    curves = reading.sel(combiner="MR")
    first, last = ends(reading)
    small, large = (curves.sel(rician_factor_db=kappa) for kappa in (first, last))
    best_small, best_large = (int(each.se.idxmax("num_aps")) for each in (small, large))
    ahead_of_one = float(difference(small, "se", {"num_aps": best_small}, {"num_aps": 1})[1])
    lead = _lead(large, 1)
    return Claim(
        "the best number of APs for MR moves from many to one",
        best_small > 1 and ahead_of_one > NOTABLE and lead > NOTABLE,
        f"at {first:g} dB Q = {best_small} is best, {ahead_of_one:.1f} standard errors above "
        f"Q = 1; at {last:g} dB Q = {best_large} is best, and Q = 1 is {lead:+.1f} from the best "
        "other",
    )


def _inverting_loses(reading: xr.Dataset) -> Claim | None:
    if reading.sizes["rician_factor_db"] < 2:
        return None
    inverting = _inverting(reading)
    amount, errors = change(reading.sel(combiner=inverting), "se")
    first, last = ends(reading)
    worst = errors.argmax("combiner")  # the scheme that loses less
    each = listed(amount.isel(combiner=worst), errors.isel(combiner=worst), "num_aps", "Q")
    return Claim(
        f"{' and '.join(inverting)} {'lose' if len(inverting) > 1 else 'loses'} with the Rician "
        "factor for every number of APs",
        bool((errors < -NOTABLE).all()),
        f"change from {first:g} to {last:g} dB in bit/s/Hz (in standard errors), of the one that "
        f"loses less: {each}",
    )


def _few_aps_are_best(reading: xr.Dataset) -> Claim | None:
    last = ends(reading)[1]
    if BEST not in reading.num_aps or reading.sizes["num_aps"] < 2 or last <= 0.0:
        return None
    inverting = _inverting(reading)
    points = reading.sel(rician_factor_db=last, combiner=inverting)
    leads = [_lead(points.sel(combiner=combiner), BEST) for combiner in inverting]
    ahead = " and ".join(f"{lead:+.1f}" for lead in leads)
    best = ", ".join(
        f"{combiner}: Q = {int(points.se.sel(combiner=combiner).idxmax('num_aps'))}"
        for combiner in inverting
    )
    return Claim(
        f"at a large Rician factor Q = {BEST} is best for {' and '.join(inverting)}",
        min(leads) > NOTABLE,
        f"best at {last:g} dB is {best}; Q = {BEST} is {ahead} standard errors from the best other",
    )


def _equal(reading: xr.Dataset) -> Claim | None:
    if reading.num_users >= reading.num_antennas:
        return None
    return equality(reading, f"K = {int(reading.num_users)} < M = {int(reading.num_antennas)}")


def equality(reading: xr.Dataset, where: str) -> Claim:
    """Whether ZF and MMSE are as good as equal at every point."""
    zf = reading.se.sel(combiner="ZF", drop=True)
    gap = reading.se.sel(combiner="MMSE", drop=True) - zf
    relative = abs(gap) / zf
    worst = relative.isel(relative.argmax(...))
    return Claim(
        f"ZF and MMSE are equal for {where}",
        float(worst) < EQUAL,
        f"MMSE - ZF = {span_of(gap)} bit/s/Hz; largest {100 * float(worst):.2g} %, for Q = "
        f"{int(worst.num_aps)} at {float(worst.rician_factor_db):g} dB",
    )


def span_of(gap: xr.DataArray) -> str:
    """Smallest and largest difference, with four decimals."""
    return f"{float(gap.min()):+.4f} to {float(gap.max()):+.4f}"


def _lead(points: xr.Dataset, aps: int) -> float:
    """Standard errors by which a number of APs leads the best other; negative if it does not."""
    others = points.drop_sel(num_aps=aps)
    best_other = int(others.se.idxmax("num_aps"))
    return float(difference(points, "se", {"num_aps": aps}, {"num_aps": best_other})[1])
