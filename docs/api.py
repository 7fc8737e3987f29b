"""The pages of the API: one per module, and one per public namespace, written when docs are built.

Nothing here needs Sphinx, so that the tests can ask which names are on which page.
"""

import importlib
import inspect
import pkgutil
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

# In the order of ARCHITECTURE.md.
FLOORS = {
    "core": "Core",
    "simulation": "Simulation",
    "channel": "Channel",
    "transceiver": "Transceiver",
    "rates": "Rates",
    "systems": "Systems",
    "tuning": "Tuning",
    "plotting": "Plotting",
    "studies": "Studies",
    "cli": "The command",
}


def modules(floor: str) -> list[ModuleType]:
    """The modules of a floor that are public, packages first."""
    top = importlib.import_module(f"jaxmimo.{floor}")
    names = [top.__name__]
    if hasattr(top, "__path__"):
        found = pkgutil.walk_packages(top.__path__, f"{top.__name__}.")
        names += sorted(module.name for module in found)
    return [importlib.import_module(name) for name in names if "._" not in name]


def namespaces() -> list[ModuleType]:
    """Jaxmimo itself, and the public modules that gather names of others."""
    top = importlib.import_module("jaxmimo")
    gathered = [getattr(top, name) for name in top.__all__]
    return [top, *(value for value in gathered if inspect.ismodule(value))]


def own_names(module: ModuleType) -> list[str]:
    """Public functions and classes that are written in a module, in the order of its text."""
    lines = Path(module.__file__ or "").read_text().splitlines()
    written = [re.match(r"(?:def|class) ([A-Za-z]\w*)|([a-z]\w*)(?::[^=]+)? = ", x) for x in lines]
    names = [(m[1] or m[2], bool(m[1])) for m in written if m]
    return [
        name
        for name, defined in dict(names).items()
        if defined or (callable(value := vars(module)[name]) and inspect.getdoc(value))
    ]


def homes() -> dict[str, str]:
    """Where names live: from full names, and from short ones that are not ambiguous."""
    full: dict[str, set[str]] = {}
    for floor in FLOORS:
        for module in modules(floor):
            for name in own_names(module):
                parts = f"{module.__name__}.{name}".split(".")
                for start in range(len(parts)):
                    full.setdefault(".".join(parts[start:]), set()).add(".".join(parts))
    return {short: min(targets) for short, targets in full.items() if len(targets) == 1}


def home(namespace: ModuleType, name: str) -> str:
    """The full name of what a namespace calls `name`, by the module that it is written in."""
    value = getattr(namespace, name)
    if inspect.ismodule(value):
        return value.__name__
    module = inspect.getmodule(value)
    if module is None or name not in own_names(module):
        raise LookupError(f"`{namespace.__name__}.{name}` is written in no public module")
    return f"{module.__name__}.{name}"


def summary(value: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


def about(module: ModuleType) -> str:
    """What a module is for; a namespace is for what the module that it stands for is."""
    text = summary(module)
    other = re.match(r"Public names? of `([\w.]+)`", text)
    return summary(importlib.import_module(other[1])) if other else text


def module_page(module: ModuleType) -> str:
    """A page with everything that a module defines, for autodoc."""
    title = module.__name__
    parts = [title, "=" * len(title), "", f".. automodule:: {title}", "   :no-members:", ""]
    for name in own_names(module):
        kind = "class" if inspect.isclass(vars(module)[name]) else "function"
        parts += [f".. auto{kind}:: {title}.{name}"]
        parts += ["   :members:", "   :show-inheritance:"] if kind == "class" else []
        parts += [""]
    return "\n".join(parts)


def namespace_page(module: ModuleType) -> str:
    """A table of the names of a public namespace, each with a link to where it is written."""
    rows = [f"# `{module.__name__}`", "", about(module), "", "| name | |", "|---|---|"]
    for name in module.__all__:
        value, target = getattr(module, name), home(module, name)
        link = f"[`{name}`](names.{name}.md)" if inspect.ismodule(value) else _link(name, target)
        text = about(value) if inspect.ismodule(value) else summary(value)
        rows.append(f"| {link} | {text.replace('|', chr(92) + '|')} |")
    return "\n".join([*rows, ""])


def pages() -> Iterator[tuple[str, str]]:
    """All pages: their file names and texts."""
    for module in namespaces():
        yield f"names.{module.__name__.removeprefix('jaxmimo.')}.md", namespace_page(module)
    for floor, title in FLOORS.items():
        found = modules(floor)
        listed = [module for module in found if own_names(module)]
        text = f"# {title}\n\n{summary(found[0])}\n\n"
        if len(listed) > 1:
            entries = [f"{_short(m)} <{m.__name__}>" for m in listed]
            text += "\n".join(["```{toctree}", ":maxdepth: 1", "", *entries, "```", ""])
            yield f"{floor}.md", text
        for module in listed:
            yield f"{module.__name__}.rst", module_page(module)


def write(folder: Path) -> None:
    """Write all pages anew, so that none of a module that is gone remains."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in pages():
        (folder / name).write_text(text)


def _link(name: str, target: str) -> str:
    return f"{{py:obj}}`{name} <{target}>`"


def _short(module: ModuleType) -> str:
    return module.__name__.removeprefix("jaxmimo.")
