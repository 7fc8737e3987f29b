"""What Fan et al. claim about FLOPs, and how close the counts are to their tables."""

import numpy as np
import xarray as xr

from jaxmimo.studies.study import Claim
from jaxmimo.studies.verdicts import all_above, exactly, steps

SLNR = ("flops_all", "flops_adjacent", "flops_own")
GROUPING_TABLES, SLNR_TABLES = (1, 2, 3, 4, 5), (7, 8, 9, 10, 11)
FEWER, MORE = (3, 4, 7, 8), (1, 2, 5, 9, 10, 11)
"""Tables along which costs fall: those that vary groups; and along which they grow."""
PUBLISHED = {
    4: (33530420, 21.7e6, 5.91e6),
    8: (15474980, 5.09e6, 1.44e6),
    16: (7518620, 1.35e6, 4.89e5),
    32: (3717560, 3.77e5, 1.91e5),
    64: (1849970, 1.30e5, 1.12e5),
}
"""Table 7 by G: all groups, to the last digit as (23) has it, proposal and own group as printed."""
CLOSE = 0.1
"""Relative difference up to which counts that depend on the users are as published."""
PUBLISHED_SHAPE = {
    "azimuth_antennas": 64,
    "elevation_antennas": 12,
    "elevation_groups": 4,
    "num_users": 20,
}


def rows_of(dataset: xr.Dataset, table: int) -> xr.Dataset:
    """The columns of one of the paper's tables."""
    return dataset.isel(table=np.flatnonzero(dataset.table.values == table))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims about tables that are there."""
    judges = (
        _per_direction_is_cheaper,
        _monotonous,
        _ordered,
        _as_printed,
        _as_printed_for_users,
        _grouping_as_printed,
    )
    return [claim for judge in judges if (claim := judge(dataset)) is not None]


def _per_direction_is_cheaper(dataset: xr.Dataset) -> Claim:
    ratio = dataset.flops_overall / dataset.flops_grouping
    more = _over(dataset, "flops_overall", "flops_grouping")
    return Claim(
        "grouping per direction needs fewer FLOPs than overall grouping, always",
        all_above(dataset, more),
        f"overall grouping needs {float(ratio.min()):.0f} to {float(ratio.max()):.0f} times as "
        "many",
    )


def _monotonous(dataset: xr.Dataset) -> Claim:
    signs = {**dict.fromkeys(FEWER, -1), **dict.fromkeys(MORE, 1)}
    each = {table: _steps(dataset, table, sign) for table, sign in signs.items()}
    wrong = [
        f"table {table}" for table, found in each.items() if any(np.any(g <= 0) for g, _ in found)
    ]
    return Claim(
        "FLOPs fall with the number of groups, and grow with antennas and users",
        all_above(dataset, *(step for found in each.values() for step in found)),
        f"not in {', '.join(wrong)}" if wrong else "in every table",
    )


def _steps(dataset: xr.Dataset, table: int, sign: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rows = rows_of(dataset, table)
    names = ("flops_grouping", "flops_overall") if table in GROUPING_TABLES else SLNR
    each = (steps(rows[name], rows[f"{name}_std_error"], "table") for name in names)
    return [(sign * gap, error) for gap, error in each]


def _ordered(dataset: xr.Dataset) -> Claim:
    rows = dataset.isel(table=np.isin(dataset.table.values, SLNR_TABLES))
    every, adjacent, own = (rows[name] for name in SLNR)
    share = adjacent / every
    return Claim(
        "the proposal needs fewer FLOPs than SLNR precoding for all groups, more than for one",
        all_above(
            dataset,
            _over(rows, "flops_all", "flops_adjacent"),
            _over(rows, "flops_adjacent", "flops_own"),
            or_equal=True,
        ),
        f"proposal: {100 * float(share.min()):.0f} to {100 * float(share.max()):.0f} % of all "
        f"groups; own group: {100 * float((own / every).min()):.0f} to "
        f"{100 * float((own / every).max()):.0f} %",
    )


def _over(rows: xr.Dataset, more: str, fewer: str) -> tuple[np.ndarray, np.ndarray]:
    """How many FLOPs more one way needs than another, and the standard error."""
    gap = rows[more] - rows[fewer]
    error = np.hypot(rows[f"{more}_std_error"], rows[f"{fewer}_std_error"])
    return gap.values, np.asarray(error)


def _as_printed(dataset: xr.Dataset) -> Claim | None:
    rows = _published_rows(dataset)
    if not rows.table.size:
        return None
    known = np.array([PUBLISHED[int(groups)] for groups in rows.azimuth_groups.values]).T
    counted = 1e6 * np.stack([rows[name].values for name in SLNR])
    listed = ", ".join(f"{value:.4g}" for value in counted[0])
    return Claim(
        "table 7: SLNR precoding for all groups as published, by (23) to the last digit",
        exactly(np.allclose(counted[0], known[0], rtol=1e-6)),
        listed,
    )


def _as_printed_for_users(dataset: xr.Dataset) -> Claim | None:
    rows = _published_rows(dataset)
    if not rows.table.size:
        return None
    known = np.array([PUBLISHED[int(groups)] for groups in rows.azimuth_groups.values]).T
    gaps = 1e6 * np.stack([rows[name].values for name in SLNR[1:]]) / known[1:] - 1.0
    errors = 1e6 * np.stack([rows[f"{name}_std_error"].values for name in SLNR[1:]]) / known[1:]
    each = "; ".join(
        f"{name} {', '.join(f'{100 * gap:+.0f}' for gap in row)} %"
        for name, row in zip(("proposal", "own group"), gaps, strict=True)
    )
    return Claim(
        f"table 7: proposal and own group as published, within {100 * CLOSE:g} %",
        all_above(dataset, (CLOSE - abs(gaps), errors)),
        f"off by: {each}",
    )


def _published_rows(dataset: xr.Dataset) -> xr.Dataset:
    chosen = (dataset.table == 7) & dataset.azimuth_groups.isin(list(PUBLISHED))
    for name, value in PUBLISHED_SHAPE.items():
        chosen = chosen & (dataset[name] == value)
    return dataset.isel(table=chosen.values)


GROUPING_PUBLISHED = {80: 13.9, 100: 26.9, 120: 46.3}
"""Table 1 by M, in millions, for grouping per direction."""


def _grouping_as_printed(dataset: xr.Dataset) -> Claim | None:
    known = dataset.azimuth_antennas.isin(list(GROUPING_PUBLISHED)) & (dataset.table == 1)
    rows = dataset.isel(table=known.values)
    if not rows.table.size:
        return None
    printed = np.array([GROUPING_PUBLISHED[int(m)] for m in rows.azimuth_antennas.values])
    ratio = rows.flops_grouping.values / printed
    return Claim(
        "table 1: grouping per direction as published",
        all_above(
            dataset, (0.02 - abs(ratio - 1.0), rows.flops_grouping_std_error.values / printed)
        ),
        f"{', '.join(f'{100 * value:.0f}' for value in ratio)} % of the published ones, which "
        "count rounding noise among the eigenvalues",
    )
