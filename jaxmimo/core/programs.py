"""Programs kept on disk as traced, which later processes find without tracing them.

JAX's own cache finds a program by its text, and four fifths of a start from it is tracing and
lowering, which write that text. Here a program is found by all that its text follows from: the
function, the structure, shapes and static values of its arguments, jaxmimo's sources, versions,
JAX's configuration and the kind of device. What cannot be named in full, such as a function of a
user's own, is traced as ever.

Nothing is kept unless `programs_kept_in` names a folder. Files are read with `pickle`: as with
JAX's cache, who can write to the folder decides what runs.
"""

import hashlib
import pickle
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial, wraps
from importlib import metadata
from io import BytesIO
from itertools import count
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, export
from jaxtyping import PyTree

from jaxmimo.core.checks import is_traced
from jaxmimo.core.files import atomic_path

_PACKAGES = ("equinox", "jax", "jaxlib", "jaxtyping", "numpy", "optax", "scipy")
"""What a name may speak of besides jaxmimo, since their versions are part of it."""
_STANDARD = ("builtins", "collections", "copyreg", "dataclasses", "enum", "functools", "operator")

_NO_PICKLE = (pickle.PicklingError, AttributeError, TypeError, ValueError, RecursionError)
"""What objects raise that cannot be written."""

_IMPORTED = time.time()
"""Sources that are younger may not be what runs here: what follows from them is not kept."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Store:
    folder: Path
    loaded: dict[str, "Program"] = field(default_factory=dict)


_store: _Store | None = None


@contextmanager
def programs_kept_in(folder: str | Path) -> Iterator[None]:
    """Keep what is traced in a folder, and take it from there, as long as the body runs.

    Later processes then start several times faster: simulations, closed forms and searches of
    jaxmimo's own systems are not traced again. Set JAX's `JAX_COMPILATION_CACHE_DIR` besides, which
    keeps what was compiled. Models of your own are traced as ever. Programs are found by jaxmimo's
    sources on disk, so replace none of its functions while the body runs.

    It takes effect where one process uses one device. The folder can be deleted at any time.

    Args:
        folder: The folder; made if missing. Who can write to it decides what runs.
    """
    global _store
    before, _store = _store, _Store(Path(folder).expanduser())
    try:
        yield
    finally:
        _store = before


def kept_jit(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """As `equinox.filter_jit`, for a function of a module whose programs can be kept.

    The function may depend on its arguments and on constants of its module, on nothing else.
    """
    jitted = eqx.filter_jit(function)

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        program = _kept(function, args, kwargs)
        return jitted(*args, **kwargs) if program is None else program(*args, **kwargs)

    return call


def compiled(function: Callable[..., Any], *args: Any) -> Any:
    """The compiled program of a call, which runs when it is called with such arguments.

    Its attribute `compiled` is JAX's own.
    """
    return _kept(function, args, {}) or eqx.filter_jit(function).lower(*args).compile()


def name_of(function: Callable[..., Any], *args: Any) -> str | None:
    """What a call is kept under; None if it cannot be named in full, or nothing is kept."""
    return _name_of(function, (args, {}))


def remembered(name: str | None, what: str, make: Callable[[], Result]) -> Result:
    """A fact about the call of that name, from disk if it is there; without a name it is made."""
    if name is None or _store is None:
        return make()
    file = _store.folder / f"{name}.{what}"
    with suppress(Exception):  # missing, or torn by whatever happened to the disk
        return pickle.loads(file.read_bytes())
    fact = make()
    if all(source.stat().st_mtime < _IMPORTED for source in _sources()):
        with suppress(OSError, *_NO_PICKLE), atomic_path(file) as draft:  # then nothing is kept
            draft.write_bytes(pickle.dumps(fact))
    return fact


class _Abstract(NamedTuple):
    """An array in a name: its values do not matter."""

    shape: tuple[int, ...]
    dtype: str
    weak_type: bool


class _Place(NamedTuple):
    """An array in a result: the number of the program's output."""

    output: int


@dataclass(frozen=True)
class Program:
    """A compiled call: JAX's program, from arrays to arrays, and the tree that its results make.

    Attributes:
        compiled: JAX's program.
        result: The tree, with places for arrays.
        name: What it is kept under.
    """

    compiled: jax.stages.Compiled
    result: PyTree
    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run with arguments of the same structure, shapes and static values."""
        outputs = self.compiled(*_plain_arrays((args, kwargs)))

        def filled(leaf: Any) -> Any:
            return outputs[leaf.output] if _is_place(leaf) else leaf

        return jax.tree.map(filled, self.result, is_leaf=_is_place)


def _kept(function: Callable[..., Any], args: tuple, kwargs: dict) -> Program | None:
    """The program of a call: from memory, from disk, or traced and kept; None if it cannot be."""
    name = _name_of(function, (args, kwargs))
    if name is None or _store is None:
        return None
    if name not in _store.loaded:
        make = partial(_export, function, args, kwargs)
        try:
            serialized, result = remembered(name, "program", make)
        except (ValueError, NotImplementedError):
            return None  # JAX cannot serialize it, or the function refuses it and will say so again
        lowered = _lowered(serialized, function.__name__, _plain_arrays((args, kwargs)))
        _store.loaded[name] = Program(lowered.compile(), result, name)
    return _store.loaded[name]


def _lowered(serialized: bytearray, name: str, arrays: list) -> jax.stages.Lowered:
    program = export.deserialize(serialized)

    def run(*arrays: Array) -> Any:
        return program.call(*arrays)

    run.__name__ = name  # in profiles and caches
    return jax.jit(run).lower(*arrays)


def _export(function: Callable[..., Any], args: tuple, kwargs: dict) -> tuple[bytearray, PyTree]:
    """The program as JAX serializes it, and the tree that its results make."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    result = None

    def of_arrays(*arrays: Array) -> list[Array]:
        nonlocal result
        given = iter(arrays)
        filled = [_typed(next(given), leaf) if _is_array(leaf) else leaf for leaf in leaves]
        args, kwargs = jax.tree.unflatten(structure, filled)
        outputs, rest = jax.tree.flatten(function(*args, **kwargs))
        place = count()
        marked = [_Place(next(place)) if _is_array(leaf) else leaf for leaf in outputs]
        result = jax.tree.unflatten(rest, marked)
        return [leaf for leaf in outputs if _is_array(leaf)]

    of_arrays.__name__ = function.__name__
    exported = export.export(jax.jit(of_arrays))(*_plain_arrays((args, kwargs)))
    return exported.serialize(), result


def _name_of(function: Callable[..., Any], arguments: PyTree) -> str | None:
    if _store is None or jax.device_count() > 1 or is_traced(arguments):
        return None
    path = f"{function.__module__}.{function.__qualname__}"
    if not path.startswith("jaxmimo.") or "<" in path:
        return None
    file = BytesIO()
    try:
        _Namer(file, protocol=5).dump(jax.tree.map(_abstract, arguments))
    except _NO_PICKLE:
        return None
    parts = (path, *_surroundings(), repr(_configuration()))
    return hashlib.sha256("\0".join(parts).encode() + file.getvalue()).hexdigest()


class _Namer(pickle.Pickler):
    """Writes objects with all that they hold, functions and classes by their place in the sources.

    Refuses those of other packages, whose versions and sources a name does not tell.
    """

    def reducer_override(self, obj: Any) -> Any:
        module = getattr(obj, "__module__", None) or type(obj).__module__
        if type(obj) is object:
            raise pickle.PicklingError("one is like the other, but for being another")
        if module.partition(".")[0] not in ("jaxmimo", *_PACKAGES, *_STANDARD):
            raise pickle.PicklingError(f"{obj!r} is of a package that no name tells")
        path = getattr(obj, "__qualname__", "")  # also of what `jit` wraps
        if path and _found(module, path) is obj:
            return path
        if isinstance(obj, FunctionType):  # a closure, such as the functions of an optimizer
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


def _abstract(leaf: Any) -> Any:
    if not _is_array(leaf):
        return leaf
    return _Abstract(leaf.shape, str(leaf.dtype), getattr(leaf, "weak_type", False))


@cache
def _surroundings() -> tuple[str, ...]:
    """Sources, versions and the kind of device, which do not change while a process runs."""
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(f"{source}\0".encode() + source.read_bytes() + b"\0")
    versions = [f"{package} {metadata.version(package)}" for package in _PACKAGES]
    return digest.hexdigest(), *versions, platform.python_version(), jax.default_backend()


def _sources() -> list[Path]:
    return sorted(Path(__file__).resolve().parent.parent.rglob("*.py"))


def _configuration() -> list[tuple[str, Any]]:
    return [(name, getattr(jax.config, name, None)) for name in sorted(jax.config.values)]


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, Array | np.ndarray | np.generic)


def _is_place(leaf: Any) -> bool:
    return isinstance(leaf, _Place)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain_arrays(tree: PyTree) -> list[Array | np.ndarray]:
    """The arrays of a tree; keys as their data, which can be serialized."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if _is_array(leaf)]
    return [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in arrays]


def _typed(array: Array, like: Array | np.ndarray) -> Array:
    if not _is_key(like):
        return array
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(like))
