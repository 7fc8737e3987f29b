"""Functions as JAX traced them, found again by what was traced.

A function of a user's own may read what can change: a variable of its module, an attribute of an
object, an array that is filled anew. JAX finds its programs by the function object, and would go
on with what it read the first time. So calls of such functions are traced every time, and what was
compiled is found by the result: the text of the trace, its constants and JAX's configuration.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jaxmimo.core.checks import is_traced
from jaxmimo.core.naming import configuration, is_key

MOST = 128
"""Traces remembered, with the programs made of them."""


class Trace:
    """A function of arrays to a list of arrays, which reads nothing but its arguments.

    Two traces of the same text and constants are one object, so that JAX compiles it once.

    Attributes:
        jaxpr: What JAX traced.
    """

    def __init__(self, jaxpr: ClosedJaxpr, name: str) -> None:
        self.jaxpr = jaxpr
        plain = jaxpr_as_fun(jaxpr)

        def run(*arrays: Array) -> list[Array]:
            return plain(*arrays)

        run.__name__ = name  # in profiles and caches
        self._run = jax.jit(run)

    def __call__(self, *arrays: Array | np.ndarray) -> list[Array]:
        """The results for arrays of the same shapes."""
        return self._run(*arrays)

    def __reduce__(self) -> str:
        """A trace cannot be named."""
        raise TypeError("a trace is known by its text alone")


def trace(function: Callable[..., list[Array]], arrays: Sequence[Any]) -> Trace:
    """A function of arrays, traced now.

    Args:
        function: It may close over tracers.
        arrays: Arrays to trace it with; their values do not matter.
    """
    # In a context that JAX has not met, it does not use what it remembers of functions within, such
    # as the body of a loop, by the object, either.
    with _CALL(next(_CALLS)):
        jaxpr = jax.make_jaxpr(function)(*arrays)
    new = Trace(jaxpr, function.__name__)
    if is_traced(jaxpr.consts) or not _is_told_by_its_text(jaxpr, is_traced(list(arrays))):
        return new
    text, constants = _digest_of_text(jaxpr), _digest_of_constants(jaxpr)
    with _LOCK:
        known = _TRACES.setdefault((text, constants), new)
        if _digest_of_constants(known.jaxpr) != constants:  # its array has been changed in place
            known = _TRACES[text, constants] = new
        _TRACES.move_to_end((text, constants))
        if len(_TRACES) > MOST:
            _TRACES.popitem(last=False)
    return known


_CALL, _CALLS = jax.make_user_context(default_value=0), count(1)
_TRACES: OrderedDict[tuple[bytes, bytes], Trace] = OrderedDict()
_LOCK = threading.Lock()


def forget_traces() -> None:
    """Let go of all traces and of their programs."""
    _TRACES.clear()


def digest_of(jaxpr: ClosedJaxpr) -> bytes:
    """Tells a trace from any other by its text and its constants; the same in every process."""
    text = hashlib.sha256(str(jaxpr).encode()).digest()
    return hashlib.sha256(text + _digest_of_constants(jaxpr)).digest()


def add_numbers(digest: Any, arrays: Sequence[Any]) -> None:
    """Add arrays to a digest: dtypes, shapes and values."""
    for array in arrays:
        values = np.asarray(jax.random.key_data(array) if is_key(array) else array)
        digest.update(f"{array.dtype}{values.shape}".encode() + values.tobytes())


def _digest_of_text(jaxpr: ClosedJaxpr) -> bytes:
    # Weak types, which decide what a result is promoted to, do not show in the text.
    avals = [(aval.str_short(), getattr(aval, "weak_type", None)) for aval in _avals(jaxpr)]
    return hashlib.sha256(f"{jaxpr}{avals}{configuration()}".encode()).digest()


def _avals(jaxpr: ClosedJaxpr) -> list[Any]:
    return [*jaxpr.in_avals, *jaxpr.out_avals]


def _digest_of_constants(jaxpr: ClosedJaxpr) -> bytes:
    digest = hashlib.sha256()
    for _, constants in _levels(jaxpr):
        add_numbers(digest, constants)
    return digest.digest()


def _is_told_by_its_text(jaxpr: ClosedJaxpr, is_transformed: bool) -> bool:
    """Whether the text says all that is computed.

    It does not say what Python function is called back, nor by which rule a function is
    differentiated, which matters where a transformation is about to do so.
    """
    hidden = ("callback", *(("custom_jvp", "custom_vjp") if is_transformed else ()))
    names = (equation.primitive.name for inner, _ in _levels(jaxpr) for equation in inner.eqns)
    return not any(part in name for name in names for part in hidden)


def _levels(jaxpr: Any) -> Iterator[tuple[Any, Sequence[Any]]]:
    """The trace and all traces within it, each with its constants."""
    inner = getattr(jaxpr, "jaxpr", jaxpr)
    yield inner, getattr(jaxpr, "consts", ())
    for equation in inner.eqns:
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(value):
                yield from _levels(value)


def _is_jaxpr(value: object) -> bool:
    return hasattr(getattr(value, "jaxpr", value), "eqns")
