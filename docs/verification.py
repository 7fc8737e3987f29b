"""The page of verification, from what the tests measured (`make verification`)."""

import json
from itertools import groupby
from pathlib import Path

RESULTS = Path(__file__).with_name("verification.json")

_INTRODUCTION = """# Verification

What every formula was checked against, and how closely, in the words and numbers of the tests: {date}, {versions}.
Deviations are the largest of all cases and entries, and bounds are what the tests ask for. A deviation is relative, absolute, or in standard errors of the simulation; of these, five are allowed, and the same test asks that they be small.
References in looped NumPy are written apart from the package, in `tests/reference/`, and call none of it.
"""  # noqa: E501
_HEAD = """
## {paper}

| formula | checked against | precision | cases | deviation | bound | in |
|---|---|---|---|---|---|---|
"""


def paper(row: dict) -> str:
    """The source of a formula: what stands before its first comma."""
    return row["formula"].split(", ")[0]


def page(content: dict) -> str:
    """One table per source of formulas."""
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    text = _INTRODUCTION.format(date=content["date"], versions=versions)
    rows = sorted(content["rows"], key=lambda row: (paper(row).startswith("Ours"), row["formula"]))
    for name, group in groupby(rows, paper):
        text += _HEAD.format(paper=name)
        text += "".join(_line(row) for row in group)
    return text


def write(path: Path) -> None:
    """Write the page from the results."""
    path.write_text(page(json.loads(RESULTS.read_text())))


def _line(row: dict) -> str:
    file, test = row["test"].split("::")
    what = row["formula"].removeprefix(f"{paper(row)}, ")
    link = f'[{what}](/{file} "{test}")'
    error, bound = f"{row['error']:.2g}", f"{row['bound']:.2g} {row['measure']}"
    return (
        f"| {link} | {row['against']} | {row['precision']} | {row['cases']} | {error} | {bound} |\n"
    )
