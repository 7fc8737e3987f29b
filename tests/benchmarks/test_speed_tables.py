"""The performance tables of the README."""

import json

import pytest

from benchmarks import readme


def test_readme_has_the_tables_of_the_results():
    text = readme.README.read_text()
    assert readme.updated(text) == text, "run `python -m benchmarks.readme`"


def test_a_table_states_all_measures_and_leaves_out_what_is_not_there(tmp_path, monkeypatch):
    rows = [
        {
            "case": name,
            "realizations_per_s": 2000.0 * (i + 1),
            "ratio_numpy_shared": 3.46,
            "ratio_numpy_other": 0.854,
            "ratio_numpy_loop": None,
            "floor_share": 0.553,
        }
        for i, name in enumerate(readme.FIGURES)
    ]
    device = {"platform": "cpu", "cores": 2, "processor": "Example CPU"}
    content = {"date": "2026-01-02T03:04", "versions": {"jax": "0.1"}, "device": device}
    complete, partial = tmp_path / "a.json", tmp_path / "b.json"
    complete.write_text(json.dumps({**content, "rows": rows}))
    partial.write_text(json.dumps({**content, "rows": rows[:2]}))
    monkeypatch.setattr(readme, "_ROOT", tmp_path)
    table = readme.tables([complete, partial])
    assert "On 2 cores of an Example CPU, 2026-01-02, jax 0.1" in table
    assert "([all figures](a.json))" in table
    assert (
        "| a realization takes | 500 \u00b5s | 250 \u00b5s | 167 \u00b5s | 125 \u00b5s |" in table
    )
    assert "| 3.5\u00d7 |" in table
    assert "| 0.85\u00d7 |" in table
    assert "| 55 % |" in table
    assert "| a NumPy loop over realizations |  |  |  |  |" in table
    assert "b.json" not in table


def test_a_readme_without_its_marks_is_refused():
    with pytest.raises(SystemExit, match="one pair"):
        readme.updated("# jaxmimo\n")
