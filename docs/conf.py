"""Sphinx: the repository is the source folder, so that its links hold on the pages, too."""

import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from docutils import nodes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import api  # noqa: E402
import verification  # noqa: E402

project = "jaxmimo"
author = copyright = "The jaxmimo developers"
version = release = installed("jaxmimo")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "myst_nb",
]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/generated/*",
    "notebooks/*.ipynb",
    "benchmarks/NOTES.md",
]
html_theme = "furo"
html_title = f"jaxmimo {release}"

nb_execution_mode = "off"  # outputs are committed, and tests run the notebooks
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 3

nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!jaxmimo\b).*"),  # other projects' names are not linked
    ("py:(class|obj)", r"jaxmimo\..*\.(Tree|Result)"),  # nor are type variables
]
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
napoleon_use_ivar = True
napoleon_use_rtype = False

_NAMES = api.homes()
_STAR = "\ue000"  # an asterisk of a formula, which is not to be escaped


def _block(match: re.Match) -> str:
    """Displayed mathematics in a paragraph, as a directive of its own."""
    indent, before, formula = match["indent"], match["before"].rstrip(), match["formula"]
    formula = formula.strip().replace("*", _STAR)
    lines = [f"{indent}   {line.strip()}" for line in formula.splitlines()]
    head = [f"{indent}{before}", ""] if before else [""]
    return "\n".join([*head, f"{indent}.. math::", "", *lines, "", indent])


def _code(match: re.Match) -> str:
    """A name in backticks: a link if it is one of ours, else code."""
    target = _NAMES.get(match[1])
    return f":py:obj:`{match[1]} <{target}>`" if target else f"``{match[1]}``"


def _formulas(text: str) -> str:
    """Formulas in dollars as roles; asterisks elsewhere, as in `*batch`, are no emphasis."""
    pieces = re.split(r"\$([^$]+)\$", text)
    pieces[::2] = [re.sub(r"(?<![*\\])\*(?!\*)", r"\\*", piece) for piece in pieces[::2]]
    pieces[1::2] = [f":math:`{' '.join(piece.split())}`" for piece in pieces[1::2]]
    return "".join(pieces)


def as_rst(text: str) -> str:
    """A docstring with formulas in dollars and code in backticks, as reStructuredText."""
    block = r"^(?P<indent> *)(?P<before>(?:(?!\$\$).)*)\$\$(?P<formula>(?s:.+?))\$\$"
    text = re.sub(block, _block, text, flags=re.MULTILINE)
    pieces = re.split(r"((?<![`:])`[^`]+`(?!`))", text)
    text = "".join(
        re.sub(r"`([^`]+)`", _code, piece) if number % 2 else _formulas(piece)
        for number, piece in enumerate(pieces)
    )
    return text.replace(_STAR, "*")


def _docstring(app: object, what: str, name: str, value: object, options: object, lines: list):
    if what != "module" and not any(line.strip() for line in lines) and what != "attribute":
        raise ValueError(f"`{name}` has no docstring. Write one.")
    lines[:] = as_rst("\n".join(lines)).splitlines()


def _signature(app: object, what: str, name: str, value: object, options: object, *texts: Any):
    """Arrays by the names that the source has for them."""
    number = r"(?:~?[\w.]*(?:Array|ndarray|bool|number|int|float|complex|TypedNdArray)(?: \| )?)"
    aliases = {rf"{number}{{7,}}": "ArrayLike", r"~?jaxlib\._jax\.Array": "Array"}
    for long, short in aliases.items():
        texts = tuple(text and re.sub(long, short, text) for text in texts)
    return texts


def _shapes(app: object, what: str, name: str, value: object, options: object, lines: list):
    """Types of attributes as they are written, `Float[Array, 'aps users']`, and as code."""
    for number, line in enumerate(lines):
        if found := re.match(r"(:vartype \w+:) (.+)", line):
            kind = re.sub(r"(?:\w+\.)+(?=\w)", "", found[2])
            lines[number] = f"{found[1]} ``{kind}``"


def _types_of_properties(app: object, doctree: Any) -> None:
    """Arrays by their short name there, too, where autodoc asks nobody."""
    for text in list(doctree.findall(nodes.Text)):
        if "jaxlib._jax.Array" in text:
            text.parent.replace(text, nodes.Text(text.replace("jaxlib._jax.Array", "Array")))


def _write(app: object) -> None:
    api.write(HERE / "generated")
    verification.write(HERE / "generated" / "verification.md")


def setup(app: Any) -> None:
    """Write the pages, and turn docstrings to reStructuredText before napoleon sees them."""
    app.connect("builder-inited", _write)
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-docstring", _shapes, priority=600)
    app.connect("autodoc-process-signature", _signature)
    app.connect("doctree-read", _types_of_properties)
