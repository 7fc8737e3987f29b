"""`python -m benchmarks.readme`: write the performance tables of the README from the results."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import fastest_numpy
from jaxmimo.core.files import atomic_path

_ROOT = Path(__file__).resolve().parent.parent
README = _ROOT / "README.md"
RESULTS = _ROOT / "benchmarks" / "results"
_SECTION = re.compile(r"(<!-- speed: begin -->\n).*(<!-- speed: end -->)", re.DOTALL)

FIGURES = ("iqi-aps", "rician-se", "beams-groups", "wideband-se")
"""Cases of the table: a figure of each system."""


def _times(ratio: float) -> str:
    """Two digits, however large."""
    return f"{float(f'{ratio:.2g}'):g}\u00d7"


def _microseconds(value: float) -> str:
    return f"{float(f'{value:.3g}'):,g} \u00b5s"


def _seconds(value: float) -> str:
    """A difference of two durations, which tells nothing where it is small."""
    return f"{value:.2g} s" if value >= 0.1 else "below 0.1 s"


MEASURES = (
    ("a realization takes", "realizations_per_s", _microseconds, lambda rate: 1e6 / rate),
    (
        "NumPy that shares draws and work along the figure",
        "ratio_numpy_shared",
        _times,
        float,
    ),
    ("NumPy, point by point", "ratio_numpy_pointwise", _times, float),
    ("a NumPy loop over realizations", "ratio_numpy_loop", _times, float),
    ("the fastest NumPy we could write", "fastest", _times, float),
    ("share of its floor", "floor_share", "{:.0f} %".format, lambda share: 100 * share),
    ("compilation", "compile_cold_s", _seconds, float),
    ("the same, cached", "compile_cached_s", _seconds, float),
    ("peak memory", "peak_bytes", "{:.2g} GB".format, lambda size: size / 1e9),
)
"""Row of the table, key of the JSON row, format, and unit."""


def tables(results: Sequence[Path]) -> str:
    """The tables of all result files that hold the figures, in Markdown."""
    contents = [json.loads(path.read_text()) for path in results]
    return "\n".join(
        _table(path, content)
        for path, content in zip(results, contents, strict=True)
        if {row["case"] for row in content["rows"]} >= set(FIGURES)
    )


def _table(path: Path, content: dict[str, Any]) -> str:
    rows = {row["case"]: {**row, "fastest": fastest_numpy(row)} for row in content["rows"]}
    device = content["device"]
    where = (
        f"{device['cores']} cores of an {device['processor']}"
        if device["platform"] == "cpu"
        else device["kind"]
    )
    link = path.relative_to(_ROOT).as_posix()
    lines = [
        f"On {where}, {content['date'][:10]}, jax {content['versions']['jax']}, single precision, "
        f"one run ([all figures]({link})):",
        "",
        f"| | {' | '.join(f'`{name}`' for name in FIGURES)} |",
        f"|---|{'---|' * len(FIGURES)}",
    ]
    for title, key, form, unit in MEASURES:
        values = [rows[name].get(key) for name in FIGURES]
        cells = ["" if value is None else form(unit(value)) for value in values]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def updated(text: str) -> str:
    """The README with its tables as the results have them."""
    replaced, count = _SECTION.subn(rf"\g<1>{tables(sorted(RESULTS.glob('*.json')))}\g<2>", text)
    if count != 1:
        raise SystemExit(
            "README.md must hold one pair of `<!-- speed: begin -->` and `<!-- speed: end -->`, "
            f"but has {count}. Put them where the tables belong."
        )
    return replaced


def main() -> None:
    """Write the tables."""
    with atomic_path(README) as draft:
        draft.write_text(updated(README.read_text()))


if __name__ == "__main__":
    main()
