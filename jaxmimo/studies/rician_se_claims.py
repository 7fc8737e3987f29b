"""What Tominaga et al. claim about the SE against the Rician factor, and whether it holds."""

import numpy as np
import xarray as xr

from jaxmimo.studies.rician_claims import (
    change,
    ends,
    listed,
    under_each_reading,
)
from jaxmimo.studies.study import Claim
from jaxmimo.studies.verdicts import all_above, any_above

EQUAL = 0.01
"""Relative difference below which two schemes count as equal."""
GAIN = 0.05
"""Relative change from which on MR gains."""
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
    first, last = ends(reading)
    start = reading.se.sel(combiner="MR", rician_factor_db=first, drop=True)
    sign = xr.where(amount.num_aps == 1, 1.0, -1.0)
    return Claim(
        f"MR gains from the Rician factor, by {100 * GAIN:g} % or more, only with one AP",
        all_above(reading, (sign * (amount - GAIN * start), errors)),
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
    gap, error = _leads(small, 1)
    ahead_of_one = float((-gap / error).max())
    lead = _lead(large, 1)
    return Claim(
        "the best number of APs for MR moves from many to one",
        min(any_above(reading, (-gap, error)), all_above(reading, _leads(large, 1))),
        f"at {first:g} dB Q = {best_small} is best, some Q {ahead_of_one:.1f} standard errors "
        f"above Q = 1; at {last:g} dB Q = {best_large} is best, and Q = 1 is {lead:+.1f} from the "
        "best other",
    )


def _inverting_loses(reading: xr.Dataset) -> Claim | None:
    if reading.sizes["rician_factor_db"] < 2:
        return None
    inverting = _inverting(reading)
    amount, errors = change(reading.sel(combiner=inverting), "se")
    first, last = ends(reading)
    worst = (amount / errors).argmax("combiner")  # the scheme that loses less
    each = listed(amount.isel(combiner=worst), errors.isel(combiner=worst), "num_aps", "Q")
    return Claim(
        f"{' and '.join(inverting)} {'lose' if len(inverting) > 1 else 'loses'} with the Rician "
        "factor for every number of APs",
        all_above(reading, (-amount, errors)),
        f"change from {first:g} to {last:g} dB in bit/s/Hz (in standard errors), of the one that "
        f"loses less: {each}",
    )


def _few_aps_are_best(reading: xr.Dataset) -> Claim | None:
    last = ends(reading)[1]
    if BEST not in reading.num_aps or reading.sizes["num_aps"] < 2 or last <= 0.0:
        return None
    inverting = _inverting(reading)
    points = reading.sel(rician_factor_db=last, combiner=inverting)
    of_each = [points.sel(combiner=combiner) for combiner in inverting]
    leads = [_lead(each, BEST) for each in of_each]
    ahead = " and ".join(f"{lead:+.1f}" for lead in leads)
    best = ", ".join(
        f"{combiner}: Q = {int(points.se.sel(combiner=combiner).idxmax('num_aps'))}"
        for combiner in inverting
    )
    return Claim(
        f"at a large Rician factor Q = {BEST} is best for {' and '.join(inverting)}",
        all_above(reading, *(_leads(each, BEST) for each in of_each)),
        f"best at {last:g} dB is {best}; Q = {BEST} is {ahead} standard errors from the best other",
    )


def _equal(reading: xr.Dataset) -> Claim | None:
    if reading.num_users >= reading.num_antennas:
        return None
    return equality(reading, f"K = {int(reading.num_users)} < M = {int(reading.num_antennas)}")


def equality(reading: xr.Dataset, where: str) -> Claim:
    """Whether ZF and MMSE are as good as equal at every point."""
    zf, gap, error = reading.se.sel(combiner="ZF"), reading.mmse_gain, reading.mmse_gain_std_error
    relative = abs(gap) / zf
    worst = relative.isel(relative.argmax(...))
    return Claim(
        f"ZF and MMSE are equal for {where}",
        all_above(reading, (EQUAL * zf - abs(gap), error)),
        f"MMSE - ZF = {span_of(gap)} bit/s/Hz; largest {100 * float(worst):.2g} %, for Q = "
        f"{int(worst.num_aps)} at {float(worst.rician_factor_db):g} dB",
    )


def span_of(gap: xr.DataArray) -> str:
    """Smallest and largest difference, with four decimals."""
    return f"{float(gap.min()):+.4f} to {float(gap.max()):+.4f}"


def _lead(points: xr.Dataset, aps: int) -> float:
    """Standard errors by which a number of APs leads the best other; negative if it does not."""
    gap, error = _leads(points, aps)
    best_other = int(np.argmin(gap.values))
    return float(gap[best_other] / error[best_other])


def _leads(points: xr.Dataset, aps: int) -> tuple[xr.DataArray, xr.DataArray]:
    """SE by which a number of APs leads each other one, with standard errors."""
    others = points.drop_sel(num_aps=aps)
    error = np.hypot(points.se_std_error.sel(num_aps=aps, drop=True), others.se_std_error)
    return points.se.sel(num_aps=aps, drop=True) - others.se, error
