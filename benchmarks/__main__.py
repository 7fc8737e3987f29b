"""`python -m benchmarks`: measure all cases, print the table of goals, write JSON on request."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.cases import CASES, LARGE_CASES, Case
from benchmarks.measures import FULL, QUICK, Effort
from benchmarks.report import Row, document, print_table, write_json


@dataclass(frozen=True)
class Options:
    """Benchmark jaxmimo against NumPy and against its floor.

    Attributes:
        full: More realizations and repeats, and larger sizes; takes many minutes.
        json: Write the results to this file.
    """

    full: bool = False
    json: Path | None = None


def measure(cases: Mapping[str, Case], effort: Effort, console: Console) -> list[Row]:
    """Measure one case after another, saying which."""
    rows = []
    for name, case in cases.items():
        start = time.perf_counter()
        rows.append(case(effort))
        console.print(f"{name}: {time.perf_counter() - start:.0f} s")
    return rows


def main(options: Options) -> None:
    """Run the benchmarks."""
    effort = FULL if options.full else QUICK
    cases = {**CASES, **(LARGE_CASES if effort.large else {})}
    console = Console()
    rows = measure(cases, effort, console)
    print_table(rows, console)
    if options.json is not None:
        write_json(options.json, document(rows, "full" if options.full else "quick"))


if __name__ == "__main__":
    main(tyro.cli(Options))
