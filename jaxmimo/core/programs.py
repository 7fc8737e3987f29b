"""Programs found without compiling them again, and without ever running an old one for a new call.

There are three ways to a program. Calls of jaxmimo's own functions over arrays have a name
(`core.naming`): where `programs_kept_in` names a folder, they are taken from it, and four fifths of
a start, which are tracing and lowering, are saved. Without a folder JAX finds them, by the function
and by shapes. Calls with a function of a user's own are traced every time, and found by what was
traced (`core.traces`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from itertools import count
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
from jax import Array, export
from jaxtyping import PyTree

from jaxmimo.core import kept, naming
from jaxmimo.core.checks import is_traced
from jaxmimo.core.kept import Place
from jaxmimo.core.naming import is_array, is_key
from jaxmimo.core.traces import trace

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

    It takes effect where one process uses one device. The folder can be deleted at any time. A
    damaged file is written anew. A folder, or a file, that another user owns or can write to is
    passed over.

    Args:
        folder: The folder; made if missing, for you alone.
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
    Functions among its arguments may depend on what they like.
    """

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return found(function, *args, **kwargs)(*args, **kwargs)

    return call


def found(function: Callable[..., Result], *args: Any, **kwargs: Any) -> Callable[..., Result]:
    """What runs calls of such arguments: for callers that repeat one with other numbers.

    Functions among the arguments stay as they are now.
    """
    program = _kept(function, args, kwargs)
    if program is not None:
        return program
    if naming.is_own(function, (args, kwargs)):
        return _jitted(function)
    call = _Call(function, args, kwargs)
    return Program(trace(call.of_arrays(), _plain_arrays((args, kwargs))), call.result)


@cache
def _jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    return eqx.filter_jit(function)


def compiled(function: Callable[..., Any], *args: Any) -> "Program":
    """The compiled program of a call, whose attribute `run` is JAX's own: to be held on to."""
    program = _kept(function, args, {})
    if program is not None:
        return program
    call = _Call(function, args, {})
    lowered = jax.jit(call.of_arrays()).lower(*_plain_arrays((args, {})))
    return Program(lowered.compile(), call.result)


def name_of(function: Callable[..., Any], *args: Any) -> str | None:
    """What a call is kept under; None if it cannot be named in full, or nothing is kept."""
    return _name_of(function, (args, {}))


def remembered(name: str | None, what: str, make: Callable[[], Result]) -> Result:
    """A fact about the call of that name, from disk if it is there; without a name it is made.

    Facts are trees that `kept.to_json` writes.
    """
    if name is None or _store is None:
        return make()
    known = kept.read(_store.folder, f"{name}.{what}")
    if known is not None:
        return kept.from_json(known)
    fact = make()
    if _sources_are_what_runs():
        kept.write(_store.folder, f"{name}.{what}", kept.to_json(fact).encode())
    return fact


@dataclass(frozen=True)
class Program:
    """A call as a program: from arrays to arrays, and the tree that its results make.

    Attributes:
        run: The program.
        result: The tree, with places for arrays.
        name: What it is kept under, None if nowhere.
    """

    run: Callable[..., Any]
    result: PyTree
    name: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run with arguments of the same structure, shapes and static values."""
        outputs = self.run(*_plain_arrays((args, kwargs)))

        def filled(leaf: Any) -> Any:
            return outputs[leaf.output] if _is_place(leaf) else leaf

        return jax.tree.map(filled, self.result, is_leaf=_is_place)


class _Call:
    """A call as a function of its arrays alone.

    Attributes:
        result: The tree of its results, with places for arrays; known once it has been traced.
    """

    def __init__(self, function: Callable[..., Any], args: tuple, kwargs: dict) -> None:
        self._function = function
        self._leaves, self._structure = jax.tree.flatten((args, kwargs))
        self.result: PyTree = None

    def of_arrays(self) -> Callable[..., list[Array]]:
        """The function, of which JAX knows nothing yet."""

        def of_arrays(*arrays: Array) -> list[Array]:
            given = iter(arrays)
            leaves = [
                _typed(next(given), leaf) if is_array(leaf) else leaf for leaf in self._leaves
            ]
            args, kwargs = jax.tree.unflatten(self._structure, leaves)
            outputs, rest = jax.tree.flatten(self._function(*args, **kwargs))
            number = count()
            marked = [Place(next(number)) if is_array(leaf) else leaf for leaf in outputs]
            self.result = jax.tree.unflatten(rest, marked)
            return [leaf for leaf in outputs if is_array(leaf)]

        of_arrays.__name__ = getattr(self._function, "__name__", "call")  # in profiles and caches
        return of_arrays


def _kept(function: Callable[..., Any], args: tuple, kwargs: dict) -> Program | None:
    """The program of a call: from memory, from disk, or traced and kept; None if it cannot be."""
    name = _name_of(function, (args, kwargs))
    if name is None or _store is None:
        return None
    if name not in _store.loaded:
        arrays = _plain_arrays((args, kwargs))
        known = kept.read(_store.folder, f"{name}.program")
        if known is None:
            try:
                known = _exported(function, args, kwargs)
            except (TypeError, ValueError, NotImplementedError):
                return None  # it cannot be written, or refuses its arguments and will say so again
            if _sources_are_what_runs():
                kept.write(_store.folder, f"{name}.program", known)
        result, _, serialized = known.partition(b"\n")
        lowered = _lowered(serialized, function.__name__, arrays)
        _store.loaded[name] = Program(lowered.compile(), kept.from_json(result), name)
    return _store.loaded[name]


def _lowered(serialized: bytes, name: str, arrays: list) -> jax.stages.Lowered:
    program = export.deserialize(bytearray(serialized))

    def run(*arrays: Array) -> Any:
        return program.call(*arrays)

    run.__name__ = name  # in profiles and caches
    return jax.jit(run).lower(*arrays)


def _exported(function: Callable[..., Any], args: tuple, kwargs: dict) -> bytes:
    """The tree of results in a line of JSON, then the program as JAX serializes it."""
    call = _Call(function, args, kwargs)
    exported = export.export(jax.jit(call.of_arrays()))(*_plain_arrays((args, kwargs)))
    return kept.to_json(call.result).encode() + b"\n" + exported.serialize()


def _sources_are_what_runs() -> bool:
    return all(source.stat().st_mtime < _IMPORTED for source in naming.sources())


def _name_of(function: Callable[..., Any], arguments: PyTree) -> str | None:
    if _store is None or jax.device_count() > 1 or is_traced(arguments):
        return None
    return naming.name_of(function, arguments)


def _is_place(leaf: Any) -> bool:
    return isinstance(leaf, Place)


def _plain_arrays(tree: PyTree) -> list[Any]:
    """The arrays of a tree; keys as their data, which can be serialized."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if is_array(leaf)]
    return [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in arrays]


def _typed(array: Array, like: Any) -> Array:
    return (
        jax.random.wrap_key_data(array, impl=jax.random.key_impl(like)) if is_key(like) else array
    )
