"""Run the notebooks and write them with their outputs: `python -m notebooks.build [NAME ...]`.

A notebook is written as `NAME.py`, in jupytext's percent format; `NAME.ipynb` is made from it.
"""

import base64
import io
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def names() -> list[str]:
    """Names of all notebooks."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path != Path(__file__))


def read(name: str) -> NotebookNode:
    """The notebook as its script says, with metadata that do not depend on machine or time."""
    notebook = jupytext.read(FOLDER / f"{name}.py", fmt="py:percent")
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = NotebookNode()
    return notebook


def execute(notebook: NotebookNode) -> NotebookNode:
    """Run all cells, in an empty folder, and keep their outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=600,
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": folder}},
        ).execute()
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    return notebook


def compress(notebook: NotebookNode) -> NotebookNode:
    """Reduce pictures to 64 colours, enough for graphs: a third of the size."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
                small = io.BytesIO()
                picture.convert("RGB").quantize(64).save(small, "png", optimize=True)
                output.data["image/png"] = base64.b64encode(small.getvalue()).decode()
    return notebook


def main(chosen: list[str]) -> None:
    """Run the chosen notebooks, or all of them, and write them beside their scripts."""
    for name in chosen or names():
        path = FOLDER / f"{name}.ipynb"
        nbformat.write(compress(execute(read(name))), path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
