"""A folder of what later processes can use again, in files that are checked before they are used.

A file begins with its own name and the digest of what follows, so that one that was damaged, or
put in another's place, counts as missing and is written anew. Files hold bytes and JSON, nothing
that runs when it is read. Folders and files that other users own or may write are passed over.
"""

import dataclasses
import hashlib
import json
import os
import stat
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxmimo.core.files import atomic_path

_FORMAT = b"jaxmimo kept 1\n"


class Place(NamedTuple):
    """An array in a tree: which one it is of a program's outputs."""

    output: int


def read(folder: Path, name: str) -> bytes | None:
    """What is kept under a name; None if nothing is, or nothing that can be trusted."""
    file = folder / name
    if not (is_private(folder) and is_private(file)):
        return None
    try:
        content = file.read_bytes()
    except OSError:
        return None
    payload = content[len(_header(name, b"")) :]
    return payload if content == _header(name, payload) + payload else None


def write(folder: Path, name: str, payload: bytes) -> None:
    """Keep a payload under a name, where that is possible."""
    with suppress(OSError):
        if make_private(folder):
            with atomic_path(folder / name) as draft:
                draft.write_bytes(_header(name, payload) + payload)
                draft.chmod(0o600)


def _header(name: str, payload: bytes) -> bytes:
    return _FORMAT + f"{name}\n{hashlib.sha256(payload).hexdigest()}\n".encode()


def make_private(folder: Path) -> bool:
    """Make a folder for this user alone if there is none; whether what is there can be trusted."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return is_private(folder)


def is_private(path: Path) -> bool:
    """Whether this user, and nobody else, can have written what is there."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return False
    if not hasattr(os, "geteuid"):  # Windows, where a profile's folders are private
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def to_json(tree: PyTree) -> str:
    """A tree of places, shapes and plain values, in containers of Python's and jaxmimo's classes.

    Raises:
        TypeError: If it holds anything else.
    """
    return json.dumps(_plain(tree))


def from_json(text: str | bytes) -> PyTree:
    """The tree that `to_json` wrote."""
    return _built(json.loads(text))


def _plain(tree: Any) -> Any:
    match tree:
        case None | bool() | int() | float() | str():
            return tree
        case Place(output):
            return {"place": output}
        case jax.ShapeDtypeStruct():
            return {"shape": tree.shape, "dtype": str(tree.dtype), "weak_type": tree.weak_type}
        case list():
            return [_plain(item) for item in tree]
        case dict() if all(isinstance(key, str) for key in tree):
            return {"dict": {key: _plain(item) for key, item in tree.items()}}
        case tuple() if type(tree) is tuple:
            return {"tuple": [_plain(item) for item in tree]}
    kind = type(tree)
    if _home(kind.__module__, kind.__qualname__) is not kind:
        raise TypeError(f"{kind} is not written to files")
    return {"class": [kind.__module__, kind.__qualname__], "fields": _plain(_fields(tree))}


def _built(plain: Any) -> Any:
    match plain:
        case {"place": output}:
            return Place(output)
        case {"shape": shape, "dtype": dtype, "weak_type": weak_type}:
            return jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype), weak_type=weak_type)
        case {"dict": items}:
            return {key: _built(item) for key, item in items.items()}
        case {"tuple": items}:
            return tuple(map(_built, items))
        case {"class": [module, name], "fields": fields}:
            return _instance(_home(module, name), _built(fields))
        case list():
            return [_built(item) for item in plain]
    return plain


def _home(module: str, name: str) -> Any:
    """A class of jaxmimo, by its name."""
    if module.partition(".")[0] != "jaxmimo":
        raise TypeError(f"{module}.{name} is not read from files")
    return getattr(import_module(module), name, None)


def _fields(tree: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(tree):
        return {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
    if hasattr(tree, "_asdict"):  # a named tuple
        return tree._asdict()
    raise TypeError(f"{type(tree)} is not written to files")


def _instance(kind: Any, fields: dict[str, Any]) -> Any:
    """As unflattening does it: values are those that passed the class's checks before."""
    if issubclass(kind, tuple):
        return kind(**fields)
    instance = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(instance, name, value)
    return instance
