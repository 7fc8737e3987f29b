"""What a call is in full: a name that tells all that its program follows from, if there is one.

jaxmimo's own functions over arrays read nothing that can change, so such a call is known by the
function, by structure, shapes and static values of its arguments, by jaxmimo's sources, versions,
JAX's configuration and the kind of device. A function of a user's own is another matter: nobody
knows what it reads. A call with one among its arguments has no name.
"""

import hashlib
import pickle
import platform
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache, partial
from importlib import metadata
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

_PACKAGES = ("equinox", "jax", "jaxlib", "jaxtyping", "numpy", "optax", "scipy")
"""What a name may speak of besides jaxmimo, since their versions are part of it."""
_STANDARD = ("builtins", "collections", "copyreg", "dataclasses", "enum", "functools", "operator")

_NO_NAME = (pickle.PicklingError, AttributeError, TypeError, ValueError, RecursionError)
"""What objects raise that cannot be written."""


def name_of(function: Callable[..., Any], arguments: PyTree) -> str | None:
    """A name of the call, the same in every process; None if it cannot be told in full."""
    path = _path_of(function)
    written = None if path is None else _written(jax.tree.map(_abstract, arguments))
    if written is None:
        return None
    parts = (str(path), *_surroundings(), repr(configuration()))
    return hashlib.sha256("\0".join(parts).encode() + written).hexdigest()


def is_own(function: Callable[..., Any], arguments: PyTree) -> bool:
    """Whether the call depends on nothing but its arguments, so that JAX may remember its trace.

    It does if it can be named without looking into what could be changed in place.
    """
    leaves, structure = jax.tree.flatten(arguments)
    static = tuple(leaf for leaf in leaves if not is_array(leaf))
    try:
        call: Hashable = function, structure, static
        known = _OWN.holds(call)
    except TypeError:  # a value that cannot be hashed, which JAX could not remember, either
        return False
    if not known:
        if _path_of(function) is None:
            return False
        rest = jax.tree.unflatten(structure, [None if is_array(x) else x for x in leaves])
        if _written(rest, fixed=True) is None:
            return False
        _OWN.add(call)
    return True


class _Recent:
    """The last few things that were found out; a test of each takes a tenth of a millisecond."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._known: OrderedDict[Hashable, None] = OrderedDict()

    def holds(self, thing: Hashable) -> bool:
        return thing in self._known

    def add(self, thing: Hashable) -> None:
        with self._lock:
            self._known[thing] = None
            if len(self._known) > self._most:
                self._known.popitem(last=False)


_OWN = _Recent(512)


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an argument of a program; all others are static."""
    return isinstance(leaf, Array | np.ndarray | np.generic)


def is_key(leaf: Any) -> bool:
    """Whether an array holds typed keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def configuration() -> list[tuple[str, Any]]:
    """JAX's configuration, on which programs depend."""
    return [(name, getattr(jax.config, name, None)) for name in sorted(jax.config.values)]


def sources() -> list[Path]:
    """The files of jaxmimo."""
    return sorted(Path(__file__).resolve().parent.parent.rglob("*.py"))


class _Abstract(NamedTuple):
    """An array in a name: its values do not matter."""

    shape: tuple[int, ...]
    dtype: str
    weak_type: bool


def _abstract(leaf: Any) -> Any:
    if not is_array(leaf):
        return leaf
    return _Abstract(leaf.shape, str(leaf.dtype), getattr(leaf, "weak_type", False))


def _path_of(function: Callable[..., Any]) -> str | None:
    path = f"{function.__module__}.{function.__qualname__}"
    return path if path.startswith("jaxmimo.") and "<" not in path else None


def _written(tree: PyTree, *, fixed: bool = False) -> bytes | None:
    file = BytesIO()
    try:
        _Namer(file, fixed).dump(tree)
    except _NO_NAME:
        return None
    return file.getvalue()


class _Namer(pickle.Pickler):
    """Writes objects with all that they hold, functions and classes by their place in the sources.

    Refuses those of other packages, whose versions and sources a name does not tell, and, where all
    shall be fixed, what can be changed in place. What it has written is never read.
    """

    def __init__(self, file: BytesIO, fixed: bool) -> None:
        super().__init__(file, protocol=5)
        self._fixed = fixed

    def reducer_override(self, obj: Any) -> Any:
        is_function = isinstance(obj, FunctionType)
        # A function that `exec` made may have no module at all.
        module = getattr(obj, "__module__", None) or ("" if is_function else type(obj).__module__)
        if type(obj) is object:
            raise pickle.PicklingError("one is like the other, but for being another")
        if self._fixed and isinstance(obj, np.ndarray):
            raise pickle.PicklingError("an array can be changed in place")
        if self._fixed and isinstance(obj, partial):
            hash((obj.args, tuple(obj.keywords.values())))  # lists raise a TypeError
        if module.partition(".")[0] not in ("jaxmimo", *_PACKAGES, *_STANDARD):
            raise pickle.PicklingError(f"{obj!r} is of a package that no name tells")
        path = getattr(obj, "__qualname__", "")  # also of what `jit` wraps
        if path and _found(module, path) is obj:
            return path
        if is_function:  # a closure, such as the functions of an optimizer
            held = tuple(cell.cell_contents for cell in obj.__closure__ or ())
            place = module, path, tuple(obj.__code__.co_positions())
            return _Closure, (place, held, obj.__defaults__, obj.__kwdefaults__)
        return NotImplemented


class _Closure(NamedTuple):
    """A function within another, in a name."""

    place: tuple
    held: tuple
    defaults: tuple | None
    keyword_defaults: dict | None


def _found(module: str, path: str) -> Any:
    place: Any = sys.modules.get(module)
    for part in path.split("."):
        place = getattr(place, part, None)
    return place


@cache
def _surroundings() -> tuple[str, ...]:
    """Sources, versions and the kind of device, which do not change while a process runs."""
    digest = hashlib.sha256()
    for source in sources():
        digest.update(f"{source}\0".encode() + source.read_bytes() + b"\0")
    versions = [f"{package} {metadata.version(package)}" for package in _PACKAGES]
    return digest.hexdigest(), *versions, platform.python_version(), jax.default_backend()
