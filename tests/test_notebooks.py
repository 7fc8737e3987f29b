"""Notebooks run, in a reduced setting, and are committed with outputs of what they are now."""

import warnings

import nbformat
import pytest

with warnings.catch_warnings():  # of the tools, not of ours
    warnings.simplefilter("ignore")
    from notebooks import build

MOST_BYTES = 400_000


def faults(notebook):
    """Outputs that no reader should see: errors, and what was written to standard error."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:(zmq|jupyter_client|nbclient|traitlets)")
@pytest.mark.parametrize("name", build.names())
def test_runs(name, monkeypatch):
    monkeypatch.setenv("JAXMIMO_QUICK", "1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert faults(build.execute(build.read(name))) == []


@pytest.mark.parametrize("name", build.names())
def test_is_committed_as_it_is_now(name):
    path = build.FOLDER / f"{name}.ipynb"
    committed, script = nbformat.read(path, as_version=4), build.read(name)
    assert [(c.cell_type, c.source) for c in committed.cells] == [
        (c.cell_type, c.source) for c in script.cells
    ], f"run `python -m notebooks.build {name}`"
    assert committed.metadata == script.metadata
    assert faults(committed) == []
    outputs = [output for cell in committed.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert path.stat().st_size < MOST_BYTES
