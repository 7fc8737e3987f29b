"""Rows, the JSON file, and the table of goals."""

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from jaxmimo.core.files import atomic_path
from jaxmimo.simulation.batches import usable_cores
from jaxmimo.simulation.results import versions


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a case measured; None where it has no such measure.

    Attributes:
        case: Name.
        compile_cold_s: First run less second, in a fresh process [s].
        compile_cached_s: The same with the persistent compilation cache filled [s].
        steady_s: Shortest run without compilation [s].
        median_s: Median run [s].
        realizations_per_s: Of that run.
        seconds_to_half_percent: Duration of a run whose largest relative error is 0.5 % [s].
        peak_bytes: Peak memory of a fresh process, or of its accelerator.
        floor_share: Time of the same random numbers and products, over the run's, round by round.
        ratio_numpy_shared: Times slower is NumPy that shares work along the curve.
        ratio_numpy_pointwise: NumPy point by point.
        ratio_numpy_loop: A plain loop over realizations.
        ceiling_share: Time that the device's measured ceilings allow the necessary work, over the
            run's.
        further: Measures of this case alone; they join the others in the JSON row.
    """

    case: str
    compile_cold_s: float | None = None
    compile_cached_s: float | None = None
    steady_s: float | None = None
    median_s: float | None = None
    realizations_per_s: float | None = None
    seconds_to_half_percent: float | None = None
    peak_bytes: float | None = None
    floor_share: float | None = None
    ratio_numpy_shared: float | None = None
    ratio_numpy_pointwise: float | None = None
    ratio_numpy_loop: float | None = None
    ceiling_share: float | None = None
    further: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """One flat object."""
        values = asdict(self)
        further = values.pop("further")
        return _rounded({**values, **further})


@dataclass(frozen=True)
class Goal:
    """A bound on a measure of a case, from above or from below."""

    case: str
    key: str
    bound: float
    at_most: bool = False

    def reached(self, value: float) -> bool:
        """Whether the value is good enough."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


def _numpy_goals(case: str, shared: float, pointwise: float, loop: float) -> tuple[Goal, ...]:
    """The three ratios and the share of the floor that a figure is to reach."""
    return (
        Goal(case, "ratio_numpy_shared", shared),
        Goal(case, "ratio_numpy_pointwise", pointwise),
        Goal(case, "ratio_numpy_loop", loop),
        Goal(case, "floor_share", 0.7),
    )


GOALS = (
    *_numpy_goals("iqi-aps", 4, 20, 150),
    *_numpy_goals("rician-se", 3, 4, 60),
    *_numpy_goals("beams-groups", 3, 4, 40),
    *_numpy_goals("wideband-se", 4, 4, 40),
    Goal("iqi-aps", "ratio_curve_to_largest", 1.5, at_most=True),
    Goal("import", "all_names_s", 1, at_most=True),
    Goal("gradients", "ratio_most", 4, at_most=True),
    Goal("beams-equivalent", "ratio_least", 1),
    Goal("wideband-response", "ratio_to_small_products", 3, at_most=True),
    Goal("engine-overhead", "ratio_engine_to_kernel", 1.03, at_most=True),
    Goal("engine-devices", "ratio_two_devices", 1.6),
    Goal("memory", "ratio_peak_small", 1.1, at_most=True),
    Goal("memory", "ratio_peak_figure_2", 1.1, at_most=True),
    Goal("rician-memory", "ratio_peak_drops", 1.1, at_most=True),
    Goal("rician-memory", "ratio_peak_realizations", 1.1, at_most=True),
    Goal("wideband-memory", "ratio_peak_drops", 1.1, at_most=True),
)
ACCELERATOR_GOALS = tuple(
    Goal(case, key, bound)
    for case in ("iqi-aps", "rician-se")
    for key, bound in (("ceiling_share", 0.5), ("ratio_two_cores", 200))
)
"""Of an H200-class GPU: its share of its own ceilings, and against two CPU cores."""

COMPILE_GOALS = (
    Goal("", "compile_cold_s", 10, at_most=True),
    Goal("", "compile_cached_s", 1, at_most=True),
)
"""Of every case."""


def document(rows: Iterable[Row], mode: str) -> dict[str, Any]:
    """The JSON document: where and when, then one object per case."""
    device = jax.devices()[0]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "mode": mode,
        "versions": versions(),
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
            "processor": _processor(),
            "cores": usable_cores(),
        },
        "dtype": str(jnp.result_type(complex)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "rows": [against_two_cores(row.as_json()) for row in rows],
    }


TWO_CORES = Path(__file__).resolve().parent / "results" / "cpu-2-cores.json"


def against_two_cores(row: dict[str, Any]) -> dict[str, Any]:
    """On an accelerator, the JSON row with its throughput over the one measured on two cores."""
    if jax.default_backend() == "cpu" or not row["realizations_per_s"] or not TWO_CORES.exists():
        return row
    rates = {
        known["case"]: known["realizations_per_s"]
        for known in json.loads(TWO_CORES.read_text())["rows"]
    }
    known = rates.get(row["case"])
    return {**row, "ratio_two_cores": row["realizations_per_s"] / known} if known else row


def fastest_numpy(row: dict[str, Any]) -> float | None:
    """How many times slower than jaxmimo the fastest NumPy of a JSON row is."""
    ratios = [row[key] for key in row if key.startswith("ratio_numpy_") and row[key] is not None]
    return min(ratios, default=None)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the document, whole or not at all."""
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n")


def print_table(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print every plain measure, with its goal and whether it is reached."""
    table = Table("case", "measure", "value", "goal", "reached")
    for column in (2, 3):
        table.columns[column].justify = "right"
    special = () if jax.default_backend() == "cpu" else ACCELERATOR_GOALS
    goals = {(goal.case, goal.key): goal for goal in (*GOALS, *special)}
    of_all = {goal.key: goal for goal in COMPILE_GOALS}
    for row in rows:
        for key, value in against_two_cores(row.as_json()).items():
            if isinstance(value, int | float):
                goal = goals.get((row.case, key), of_all.get(key))
                verdict = "" if goal is None else "yes" if goal.reached(value) else "[red]no[/]"
                table.add_row(row.case, key, f"{value:,.4g}", str(goal or ""), verdict)
        table.add_section()
    (console or Console()).print(table)


def commit() -> str | None:
    """The commit measured, with a plus sign if the package has changed since."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--", "jaxmimo") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str | None:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None)


def _rounded(value: Any) -> Any:
    """Numbers to five digits, through all nested values."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
