"""Contracts: a function's annotations and rules, checked whenever it is called.

`checked` stands outside of `jax.jit`, where values may be known. Shapes and dtypes are checked of
all arrays, also of traced ones, and so are keys, integers and functions; values only of what comes
from Python or NumPy, since looking at those of a `jax.Array` would wait for its device.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, wraps
from types import UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import AbstractArray, Key

from jaxmimo.core.checks import (
    checked_key,
    described,
    function,
    integer,
    is_traced,
    on_device,
    require,
)
from jaxmimo.core.rules import Rule, default_dtype, finite, kind_in_words

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Sizes = dict[str, Any]
"""What names of axes stand for in a call, as far as its arguments have told."""
Check = Callable[[str, Any, Sizes], Any]
"""From the name of a parameter, its value and known sizes to the value that is passed on."""

_KIND_OF = {"Float": "f", "Complex": "c", "Int": "i", "Bool": "b"}
_ARRAY_LIKE = set(get_args(ArrayLike))
_ITSELF = "the function itself, not its name, class or result"
_COMMON = "#"
"""Where sizes have the common shape of all that must broadcast."""


def checked(
    **rules: Rule,
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Check a function's arguments by its annotations, and by rules for some of them.

    Arrays annotated by jaxtyping become JAX arrays, and axes of one name must have one size. What
    is annotated as `ArrayLike` must broadcast with all else that is, unless its rule has a shape.
    Integers, plain numbers, keys, functions and jaxmimo's own
    classes are told from other things. What was given as plain numbers or by NumPy stays so where
    the annotation is `ArrayLike`, in JAX's precision, so that values that are known can be told.
    """

    def decorate(checked_function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        parameters = inspect.signature(checked_function).parameters
        names = tuple(parameters)
        untyped: Callable[..., Result] = checked_function
        checks = {
            name: check
            for name, parameter in parameters.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and (check := _check_of(parameter.annotation, rules.get(name))) is not None
        }

        @wraps(checked_function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            sizes: Sizes = {}
            passed = list(args)
            for place, (name, value) in enumerate(zip(names, args, strict=False)):
                if name in checks:
                    passed[place] = checks[name](name, value, sizes)
            named: dict[str, Any] = dict(kwargs)
            for name in names:  # in the order of the signature, as sizes are told
                if name in kwargs and name in checks:
                    named[name] = checks[name](name, kwargs[name], sizes)
            return untyped(*passed, **named)

        return call

    return decorate


def _check_of(annotation: Any, rule: Rule | None) -> Check | None:
    """How to check a parameter; None if its annotation tells nothing that could be checked."""
    is_union = get_origin(annotation) in (Union, UnionType)
    members = get_args(annotation) if is_union else (annotation,)
    given = tuple(member for member in members if member is not type(None))
    check = _check_of_members(given, rule)
    if check is None or len(given) == len(members):
        return check
    return lambda name, value, sizes: None if value is None else check(name, value, sizes)


def _check_of_members(members: tuple[Any, ...], rule: Rule | None) -> Check | None:
    for member in members:
        if isinstance(member, type) and issubclass(member, AbstractArray):
            return _check_of_array(member, rule or finite, int in members)
    if set(members) >= _ARRAY_LIKE or (jax.Array in members and rule):
        return _array_check(rule or finite, keep_numbers=True)
    if members == (int,):
        return _integer_check(rule)
    if members == (float,):
        return lambda name, value, sizes: _plain_number(name, value, rule or finite)
    origins = [get_origin(member) for member in members]
    if Callable in origins:
        return lambda name, value, sizes: _functions(name, value, Sequence in origins)
    if origins[0] in (Sequence, tuple) and get_args(members[0]) in ((int,), (int, ...)):
        return lambda name, value, sizes: _integers(name, value)
    classes = tuple(member for member in members if _is_ours(member))
    if not classes or not all(_is_ours(m) or get_origin(m) is Sequence for m in members):
        return None
    several = len(classes) < len(members)
    return lambda name, value, sizes: _instances(name, value, classes, several)


def _check_of_array(annotation: Any, rule: Rule, keep_numbers: bool) -> Check:
    if annotation.dtype is Key:
        return lambda name, value, sizes: checked_key(value)
    shape = annotation.dim_str if rule.shape is None else rule.shape
    kind = rule.kind or _KIND_OF.get(annotation.dtype.__name__)
    shape = None if shape == "..." else shape
    rule = replace(rule, shape=shape, kind=kind or "any")
    return _array_check(rule, keep_numbers=keep_numbers)


def _integer_check(rule: Rule | None) -> Check:
    def check(name: str, value: Any, sizes: Sizes) -> int:
        number = integer(name, value)
        if rule is not None:
            rule.of_kind("i").known(name, number)
        return number

    return check


def _array_check(rule: Rule, *, keep_numbers: bool) -> Check:
    shapes = None if rule.shape is None else [each.split() for each in rule.shape.split("|")]
    kind = rule.kind or "f"

    def check(name: str, value: Any, sizes: Sizes) -> Any:
        if keep_numbers and (shapes is None or [] in shapes) and rule.allows(value):
            return value
        if rule.early:
            require(
                not is_traced(value),
                f"`{name}` must be a plain number, but is traced. Close over it.",
            )
            rule.known(name, value)
            value = np.asarray(value, float)
        elif not isinstance(value, jax.Array) and is_traced(value):
            value = jnp.asarray(value)  # a list of traced numbers
        if isinstance(value, jax.Array):
            value = _of_kind(name, value, kind)
        else:
            array = rule.known(name, value)
            is_number = isinstance(value, bool | int | float | complex)
            if not keep_numbers:
                value = on_device(array)
            elif not is_number:
                value = array
        _check_shape(name, np.shape(value), shapes, sizes)
        return value

    return check


def _plain_number(name: str, value: Any, rule: Rule) -> float:
    """A number that is known while a function is traced."""
    require(
        not is_traced(value),
        f"`{name}` must be a plain number, but is traced. Close over it, or make it static.",
    )
    array = rule.known(name, value)
    require(array.ndim == 0, f"`{name}` must be one number, but has shape {array.shape}.")
    return float(array)


def _of_kind(name: str, array: jax.Array, kind: str) -> jax.Array:
    """The array as real, complex, integer or boolean numbers, if it can be that."""
    given = _kind_of_dtype(array.dtype)
    if given == kind or (given and kind == "any"):
        return array
    if given and (kind == "c" or (kind == "f" and given != "c")):
        return array.astype(default_dtype(kind))
    raise ValueError(f"`{name}` must be {kind_in_words(kind)}, but has dtype {array.dtype}.")


@lru_cache(maxsize=64)
def _kind_of_dtype(dtype: Any) -> str:
    kinds = {"f": jnp.floating, "c": jnp.complexfloating, "i": jnp.integer, "b": jnp.bool_}
    return next((kind for kind, of in kinds.items() if jnp.issubdtype(dtype, of)), "")


def _check_shape(
    name: str, shape: tuple[int, ...], allowed: list[list[str]] | None, sizes: Sizes
) -> None:
    if allowed is None:
        if not _broadcasts(shape, sizes):
            raise ValueError(
                f"`{name}` must broadcast with the other arguments, of common shape "
                f"{sizes[_COMMON]}, but has shape {shape}. Add axes of length 1."
            )
        return
    if any(_fits(axes, shape, sizes) for axes in allowed):
        return
    known = {axis: sizes[axis] for axes in allowed for axis in axes if axis in sizes}
    such = f" with {', '.join(f'{axis} = {size}' for axis, size in known.items())}" if known else ""
    expected = " or ".join(f"({', '.join(axes)}{',' * (len(axes) == 1)})" for axes in allowed)
    is_batch = len(shape) > max(map(len, allowed))
    remedy = "Use `jax.vmap` over further axes." if is_batch else "Match it to that."
    raise ValueError(f"`{name}` must have shape {expected}{such}, but has shape {shape}. {remedy}")


def _fits(axes: list[str], shape: tuple[int, ...], sizes: Sizes) -> bool:
    """Whether a shape has such axes; then their sizes are known from now on."""
    found: Sizes = {}
    for place, axis in enumerate(axes):
        if axis == "..." or axis.startswith("*"):
            after = len(axes) - place - 1
            stop = len(shape) - after
            if stop < place:
                return False
            found[axis] = shape[place:stop]
            if axis == "..." and not _broadcasts(found.pop(axis), sizes):
                return False
            axes, shape = axes[:place] + axes[place + 1 :], shape[:place] + shape[stop:]
            break
    if len(axes) != len(shape):
        return False
    for axis, size in zip(axes, shape, strict=True):
        wanted = int(axis) if axis.isdigit() else {**sizes, **found}.get(axis, size)
        if wanted != size:
            return False
        found[axis] = size
    if any(sizes.get(axis, size) != size for axis, size in found.items()):
        return False
    sizes.update(found)
    return True


def _broadcasts(shape: tuple[int, ...], sizes: Sizes) -> bool:
    """Whether a shape broadcasts with all that must; then the common shape is known."""
    try:
        sizes[_COMMON] = np.broadcast_shapes(sizes.get(_COMMON, ()), shape)
    except ValueError:
        return False
    return True


def _functions(name: str, value: Any, several: bool) -> Any:
    if several and isinstance(value, list | tuple):
        if not value:
            raise ValueError(f"`{name}` must hold at least one function, but is empty. Give one.")
        return [function(name, each, _ITSELF) for each in value]
    return function(name, value, _ITSELF)


def _integers(name: str, value: Any) -> tuple[int, ...]:
    if np.ma.isMaskedArray(value) or not isinstance(value, Sequence | np.ndarray | range):
        raise ValueError(f"`{name}` must be a list of integers, but is {described(value)}.")
    if np.ndim(value) != 1:
        raise ValueError(f"`{name}` must be a list of integers, but has shape {np.shape(value)}.")
    return tuple(integer(name, number) for number in value)


def _is_ours(member: Any) -> bool:
    is_protocol = getattr(member, "_is_protocol", False)
    module = getattr(member, "__module__", "")
    return isinstance(member, type) and module.startswith("jaxmimo.") and not is_protocol


def _instances(name: str, value: Any, classes: tuple[Any, ...], several: bool) -> Any:
    if several and isinstance(value, list | tuple) and not isinstance(value, classes):
        if not value:
            raise ValueError(f"`{name}` must hold at least one, but is empty. Give one.")
        return [_instances(name, each, classes, False) for each in value]
    if isinstance(value, classes):
        return value
    names = " or ".join(each.__name__ for each in classes)
    raise ValueError(
        f"`{name}` must be of type {names}, but is {described(value)}. Mind the order of arguments."
    )
