"""`python -m benchmarks`: which cases it measures, and what it does with the minutes given."""

import json

import jax
import pytest
from rich.console import Console

from benchmarks import report
from benchmarks.__main__ import Options, effort_of, measure
from benchmarks.measures import BRIEF, FULL, QUICK
from benchmarks.report import Row, against_two_cores

QUIET = Console(quiet=True)


def case(name):
    return lambda effort: Row(case=name)


def test_no_case_begins_after_the_minutes():
    cases = {name: case(name) for name in ("a", "b")}
    every = measure(cases, QUICK, None, QUIET)
    assert [row.case for row in every] == ["a", "b"]
    assert not list(measure(cases, QUICK, 0.0, QUIET))


def test_unknown_cases_are_named():
    with pytest.raises(SystemExit, match="`--cases` must name cases, but got nonsense"):
        Options(cases=("nonsense",))


def test_numpy_is_timed_briefly_where_there_is_an_accelerator(monkeypatch):
    assert effort_of(Options()) is QUICK
    assert effort_of(Options(full=True)) is FULL
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert effort_of(Options(full=True)) is BRIEF
    assert BRIEF.realizations == FULL.realizations  # so that throughputs compare


def test_an_accelerator_is_compared_with_two_cores(monkeypatch, tmp_path):
    known = tmp_path / "cpu.json"
    known.write_text(json.dumps({"rows": [{"case": "a", "realizations_per_s": 10.0}]}))
    monkeypatch.setattr(report, "TWO_CORES", known)
    row = Row(case="a", realizations_per_s=4000.0).as_json()
    assert "ratio_two_cores" not in against_two_cores(row)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert against_two_cores(row)["ratio_two_cores"] == 400.0
    other = Row(case="b", realizations_per_s=1.0).as_json()
    assert "ratio_two_cores" not in against_two_cores(other)
