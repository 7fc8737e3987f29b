"""`python -m benchmarks`: measure cases, print the table of goals, write JSON and a bar chart."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import tyro
from rich.console import Console

from benchmarks.cases import FIGURES, FURTHER, HEADLINES, Case
from benchmarks.chart import save_chart
from benchmarks.measures import BRIEF, FULL, QUICK, Effort
from benchmarks.report import Row, document, print_table, write_json


@dataclass(frozen=True)
class Options:
    """Benchmark jaxmimo against NumPy and against its floor.

    Attributes:
        full: More realizations and repeats, and more cases.
        figures: Every study at its default size, too; takes most of an hour on two cores.
        cases: Only these cases.
        minutes: Begin no further case after this many minutes.
        json: Write the results to this file, and a bar chart of its ratios beside it, after every
            case.
    """

    full: bool = False
    figures: bool = False
    cases: tuple[str, ...] = ()
    minutes: float | None = None
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


def measure(
    cases: Mapping[str, Case], effort: Effort, minutes: float | None, console: Console
) -> Iterator[Row]:
    """Measure one case after another, saying which."""
    begun = time.perf_counter()
    for name, case in cases.items():
        start = time.perf_counter()
        if minutes is not None and start - begun > 60 * minutes:
            console.print(f"{name}: left out, for {minutes:g} minutes have passed")
            continue
        yield case(effort)
        console.print(f"{name}: {time.perf_counter() - start:.0f} s")


def effort_of(options: Options) -> Effort:
    """How much to measure here."""
    if not options.full:
        return QUICK
    return FULL if jax.default_backend() == "cpu" else BRIEF


def main(options: Options) -> None:
    """Run the benchmarks."""
    # Fresh processes need memory of the same accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    console, rows = Console(), []
    for row in measure(options.chosen(), effort_of(options), options.minutes, console):
        rows.append(row)
        if options.json is not None:
            content = document(rows, "full" if options.full else "quick")
            write_json(options.json, content)
            save_chart(options.json.with_suffix(".png"), content["rows"])
    print_table(rows, console)


if __name__ == "__main__":
    main(tyro.cli(Options))
