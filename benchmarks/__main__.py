"""`python -m benchmarks`: measure cases, print the table of goals, write JSON and a bar chart."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.cases import FIGURES, FURTHER, HEADLINES, Case
from benchmarks.chart import save_chart
from benchmarks.measures import FULL, QUICK, Effort
from benchmarks.report import Row, document, print_table, write_json


@dataclass(frozen=True)
class Options:
    """Benchmark jaxmimo against NumPy and against its floor.

    Attributes:
        full: More realizations and repeats, and more cases.
        figures: Every study at its default size, too; takes most of an hour on two cores.
        cases: Only these cases.
        json: Write the results to this file, and a bar chart of its ratios beside it.
    """

    full: bool = False
    figures: bool = False
    cases: tuple[str, ...] = ()
    json: Path | None = None

    def __post_init__(self) -> None:
        unknown = set(self.cases) - set(_EVERY)
        if unknown:
            raise SystemExit(
                f"`--cases` must name cases, but got {', '.join(sorted(unknown))}. "
                f"There are {', '.join(_EVERY)}."
            )

    def chosen(self) -> Mapping[str, Case]:
        """Cases to measure."""
        if self.cases:
            return {name: _EVERY[name] for name in self.cases}
        further = FURTHER if self.full else {}
        return {**HEADLINES, **further, **(FIGURES if self.figures else {})}


_EVERY = {**HEADLINES, **FURTHER, **FIGURES}


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
    console = Console()
    rows = measure(options.chosen(), FULL if options.full else QUICK, console)
    print_table(rows, console)
    if options.json is not None:
        content = document(rows, "full" if options.full else "quick")
        write_json(options.json, content)
        save_chart(options.json.with_suffix(".png"), content["rows"])


if __name__ == "__main__":
    main(tyro.cli(Options))
