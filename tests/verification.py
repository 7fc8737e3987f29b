"""What formulas were checked against, and how closely: recorded by tests, gathered by pytest.

`pytest tests --verification=FILE` writes what the tests that ran and passed have measured.
"""

import datetime
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

PRECISIONS = {
    "float32": "single",
    "complex64": "single",
    "float64": "double",
    "complex128": "double",
}
KEY = ("formula", "against", "measure", "precision", "test", "bound")
PACKAGES = ("jaxmimo", "jax", "numpy", "scipy")


@pytest.fixture
def verified(record_property, request):
    """Assert that what was found is what was expected, and record the largest deviation.

    Give one bound: `rtol`, `atol`, or `std_error`, of which five are allowed.
    """

    def check(formula, against, found, expected, *, rtol=None, atol=None, std_error=None):
        bounds = {"relative": rtol, "absolute": atol}
        if std_error is not None:
            bounds["standard errors"] = 5.0
        ((measure, bound),) = ((key, each) for key, each in bounds.items() if each is not None)
        dtype = np.asarray(found).dtype
        found, expected = np.asarray(found, complex), np.asarray(expected, complex)
        scale = {"relative": abs(expected), "absolute": 1.0, "standard errors": std_error}
        error = np.max(abs(found - expected) / scale[measure])
        row = {
            "formula": formula,
            "against": against,
            "measure": measure,
            "error": float(error),
            "bound": float(bound),
            "precision": PRECISIONS.get(dtype.name, "integer"),
            "test": request.node.nodeid.split("[")[0],
        }
        assert error <= bound, row
        record_property("verified", row)

    return check


def pytest_addoption(parser):
    parser.addoption("--verification", type=Path, help="write how closely formulas were checked")


def pytest_collection_modifyitems(config, items):
    """For that, the other tests need not run."""
    if config.getoption("verification"):
        chosen = [item for item in items if "verified" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def pytest_terminal_summary(terminalreporter, config):
    """Of all cases of a formula, keep the worst and their number; part of a run is not written."""
    path, stats = config.getoption("verification"), terminalreporter.stats
    if path is None or stats.get("failed") or stats.get("error"):
        return
    rows: dict[tuple, dict] = {}
    for report in stats.get("passed", []):
        for name, row in report.user_properties:
            if name == "verified":
                key = tuple(row[k] for k in KEY)
                old = rows.get(key, {"error": 0.0, "cases": 0})
                worst = {**row, "error": max(row["error"], old["error"])}
                rows[key] = {**worst, "cases": old["cases"] + 1}
    content = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "rows": [rows[key] for key in sorted(rows)],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    terminalreporter.write_line(f"{len(rows)} rows of verification in {path}")
