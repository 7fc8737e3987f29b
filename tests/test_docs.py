"""Pages of the documentation: what is on them, and what they are made of."""

import ast
import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path

import pytest

import jaxmimo

ROOT = Path(__file__).parents[1]


def loaded(name):
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


api, gallery, verification = loaded("api"), loaded("gallery"), loaded("verification")
NAMESPACES = api.namespaces()


@pytest.fixture(scope="module")
def pages():
    return dict(api.pages())


@pytest.mark.parametrize("namespace", NAMESPACES, ids=lambda m: m.__name__)
def test_every_public_name_is_listed_and_leads_to_its_page(namespace, pages):
    page = pages[f"names.{namespace.__name__.removeprefix('jaxmimo.')}.md"]
    for name in namespace.__all__:
        value, target = getattr(namespace, name), api.home(namespace, name)
        assert inspect.getdoc(value), f"{namespace.__name__}.{name} has no docstring"
        if inspect.ismodule(value):
            assert f"names.{name}.md" in page
        else:
            assert f"`{name} <{target}>`" in page
            assert f":: {target}\n" in pages[f"{target.rpartition('.')[0]}.rst"]


def test_every_public_function_of_every_module_is_on_a_page(pages):
    """By what Python finds in the modules, not by their text, as the pages are made."""
    seen = 0
    for floor in api.FLOORS:
        for module in api.modules(floor):
            for name, value in vars(module).items():
                of_this = getattr(value, "__module__", None) == module.__name__
                if name.startswith("_") or not of_this or not (callable(value)):
                    continue
                assert f":: {module.__name__}.{name}\n" in pages[f"{module.__name__}.rst"], name
                assert inspect.getdoc(value), f"{module.__name__}.{name}"
                seen += 1
    assert seen > 300


def test_every_floor_has_its_pages():
    floors = {path.stem for path in (ROOT / "jaxmimo").iterdir() if path.name != "py.typed"}
    floors -= {"__pycache__", "__init__", "__main__"}
    public = {module.__name__.removeprefix("jaxmimo.") for module in NAMESPACES}
    assert floors == set(api.FLOORS) | public - {"jaxmimo"}
    index = (ROOT / "docs" / "index.md").read_text()
    for name in jaxmimo.__all__:
        if inspect.ismodule(getattr(jaxmimo, name)):
            assert f"<generated/names.{name}>" in index


# Verification


RESULTS = json.loads(verification.RESULTS.read_text())
ROWS = RESULTS["rows"]


def recorded(path):
    """Names of the tests of a file that record what they verify, but for slow ones."""
    tree = ast.parse(path.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        f.name
        for f in functions
        if "verified" in [a.arg for a in f.args.args]
        and "pytest.mark.slow" not in map(ast.unparse, f.decorator_list)
    }


def test_results_are_those_of_the_tests_that_record_some():
    there = {
        f"{path.relative_to(ROOT)}::{name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in recorded(path)
        if name.startswith("test_")
    }
    assert {row["test"] for row in ROWS} == there, "run `make verification`"


def test_results_keep_their_bounds():
    for row in ROWS:
        assert 0 <= row["error"] <= row["bound"], row


def test_page_has_every_row_and_every_system():
    page = verification.page(RESULTS)
    assert len(re.findall(r"^\| \[", page, re.MULTILINE)) == len(ROWS) > 40
    for paper in ("Sutton et al.", "Tominaga et al.", "Fan et al.", "Ahn et al.", "Ours"):
        assert f"## {paper}\n" in page


def test_the_gallery_shows_every_study():
    assert (ROOT / "docs" / "gallery.md").read_text() == gallery.page()
    for name in gallery.STUDIES:
        assert (gallery.PICTURES / f"{name}.png").stat().st_size > 10_000
