"""Errors that teach: what is wrong, with which parameter, and the remedy, in one line.

Converters return what they are given in the type that is used, or refuse it. What is traced has a
shape and a dtype, which are checked, and no values.
"""

import math
from collections.abc import Iterable
from numbers import Integral
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxmimo.core.memory import memory_of

_MOST = 2**31 - 1
"""The largest number that counts anything: JAX's indices end there."""
_LINEAR = "Give linear values, not decibels."
_RADIANS = "Give radians: `numpy.deg2rad(15)` for 15 degrees."


def require(condition: bool, message: str) -> None:
    """Raise `ValueError(message)` unless `condition` holds."""
    if not condition:
        raise ValueError(message)


def is_traced(*trees: object) -> bool:
    """Whether any leaf is a tracer, so that its values cannot be looked at."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def integer(name: str, value: object) -> int:
    """Convert `value`, of Python or NumPy, to an `int`, refusing what is not an integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        got = described(value)
        raise ValueError(f"`{name}` must be an integer, but got {got}. Give a whole number.")
    require(
        -_MOST <= int(value) <= _MOST,
        f"`{name}` must be less than 2^31, but got {described(value)}. Give a smaller number.",
    )
    return int(value)


def positive_integer(name: str, value: object, minimum: int = 1) -> int:
    """Convert `value` to an `int`, refusing what is not an integer above zero, or as large."""
    number = integer(name, value)
    require(
        number >= minimum,
        f"`{name}` must be at least {minimum}, but got {number}. Give {minimum} or more.",
    )
    return number


def integers(name: str, values: object) -> tuple[int, ...]:
    """Convert a sequence of integers to a tuple, refusing what has anything else in it."""
    axes = getattr(values, "ndim", 1)
    if isinstance(values, str) or not isinstance(values, Iterable) or axes != 1:
        raise ValueError(
            f"`{name}` must be a sequence of integers, but got {described(values)}. Use a tuple."
        )
    return tuple(integer(name, value) for value in values)


def boolean(name: str, value: object) -> bool:
    """Convert `value`, of Python or NumPy, to a `bool`, refusing what is not one."""
    require(
        isinstance(value, bool | np.bool_),
        f"`{name}` must be True or False, but got {described(value)}. Compare what it is made of.",
    )
    return bool(value)


def real_array(
    name: str,
    value: ArrayLike,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    allow_infinity: bool = False,
    remedy: str = _LINEAR,
) -> jax.Array:
    """Convert `value` to JAX's default real dtype, refusing what is not a finite real number.

    The dtype is float32, or float64 where x64 is enabled, so that a Python float and an array
    give one trace. Traced values pass unchecked; their facts are known at run time only.
    """
    dtype = jnp.result_type(float)
    array = jnp.asarray(value) if is_traced(value) else plain_array(name, value)
    require(
        array.dtype.kind in "fiu",
        f"`{name}` must be real, but has dtype {array.dtype}. Give real numbers.",
    )
    if isinstance(array, jax.Array):
        return array.astype(dtype)
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    check_finite(name, array, allow_infinity=allow_infinity)
    check_limits(name, array, least=minimum, above=above, most=maximum, remedy=remedy)
    return on_device(array)


def boolean_number(name: str, value: Any) -> jax.Array:
    """Convert one boolean, which may be traced, to an array, refusing what is none."""
    array = jnp.asarray(value) if is_traced(value) else plain_array(name, value)
    require(
        array.dtype == bool and array.ndim == 0,
        f"`{name}` must be True or False, but got {described(value)}. Compare what it is made of.",
    )
    return on_device(array)


def angle_array(
    name: str, value: ArrayLike, *, minimum: float = -math.pi, maximum: float = math.pi
) -> jax.Array:
    """`real_array` of angles [rad], at most half a turn either way unless limits are given.

    Most angles in degrees are beyond that.
    """
    return real_array(name, value, minimum=minimum, maximum=maximum, remedy=_RADIANS)


def checked_key(key: Any) -> jax.Array:
    """`key`, refused unless it is a single typed Threefry key; a traced one will do."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    require(
        typed, f"`key` must be a typed key, but is {_kind(key)}. Use `key = jax.random.key(seed)`."
    )
    require(
        key.ndim == 0,
        f"`key` must be a single key, but has shape {key.shape}. Use `jax.vmap` over many keys.",
    )
    generator = str(jax.random.key_impl(key))
    require(
        generator == "threefry2x32",
        f"`key` must be a Threefry key, whose draws do not depend on batches, but is one of "
        f"{generator}. Use `jax.random.key(seed, impl='threefry2x32')`.",
    )
    return key


def array_module(*values: object) -> ModuleType:
    """NumPy where values are known, else JAX's: a program for one known number takes longer."""
    return jnp if is_traced(*values) else np


def on_device(array: np.ndarray | np.generic | jax.Array) -> jax.Array:
    """The array in JAX's precision, put there without a program for every shape."""
    if isinstance(array, jax.Array):
        return array
    return jax.device_put(array.astype(jax.dtypes.canonicalize_dtype(array.dtype)))


def real_number(
    name: str,
    value: ArrayLike,
    *,
    minimum: float | None = 0.0,
    above: float | None = None,
    maximum: float | None = None,
    remedy: str = _LINEAR,
) -> jax.Array:
    """`real_array` of a single number that is not negative, unless other limits are given."""
    array = real_array(name, value, minimum=minimum, above=above, maximum=maximum, remedy=remedy)
    require(
        array.ndim == 0,
        f"`{name}` must be one number, but has shape {array.shape}. Use `jax.vmap` to sweep it.",
    )
    return array


def positive_number(name: str, value: ArrayLike) -> jax.Array:
    """`real_array` of a single number above zero."""
    array = real_number(name, value)
    require(
        is_traced(array) or bool(np.asarray(array) > 0),
        f"`{name}` must be positive, but got {described(value)}. Give a linear value in SI units.",
    )
    return array


def angle(name: str, value: ArrayLike) -> jax.Array:
    """`real_number` of an angle's size [rad], of at most half a turn."""
    return real_number(name, value, maximum=math.pi, remedy=_RADIANS)


def plain_number(name: str, value: ArrayLike) -> float:
    """Convert to a `float` above zero that is part of a program, refusing what is traced."""
    require(
        not is_traced(value),
        f"`{name}` must be a plain positive number, but is traced. Close over it, or make it "
        "static.",
    )
    positive_number(name, value)
    return float(np.asarray(value))


def carrier(name: str, value: ArrayLike, minimum: float = 1e6) -> jax.Array:
    """`real_number` of a carrier [Hz], of which small ones must have been meant in GHz or MHz."""
    return real_number(name, value, minimum=minimum, remedy="Give it in Hz: 3.5e9 for 3.5 GHz.")


def function(name: str, value: Any, example: str) -> Any:
    """`value`, refused unless it is a function; classes only make functions."""
    require(
        callable(value) and not isinstance(value, type),
        f"`{name}` must be a function, but is {described(value)}. Use {example}.",
    )
    return value


def functions(name: str, value: Any, example: str) -> tuple[Any, ...]:
    """One or several functions as a tuple, refusing what is none."""
    if callable(value) or not isinstance(value, list | tuple):
        return (function(name, value, example),)
    require(len(value) > 0, f"`{name}` must hold at least one function. Give {example}.")
    return tuple(function(name, each, example) for each in value)


def require_kind(name: str, value: Any, *kinds: type) -> None:
    """Raise `ValueError` unless `value` is an object of one of the classes."""
    names = " or ".join(f"`{kind.__name__}`" for kind in kinds)
    require(
        isinstance(value, kinds),
        f"`{name}` must be a {names}, but is {described(value)}. Make one with its constructor.",
    )


def require_memory(what: str, **counts: int) -> None:
    """Refuse sizes of an array that this machine cannot hold, before it is made.

    Args:
        what: What the array holds so many of, eight bytes each.
        counts: Its sizes, by the names of the parameters they come from.
    """
    size, most = 8 * math.prod(counts.values()), memory_of(jax.devices()[0])
    names = " x ".join(f"`{name}`" for name in counts)
    require(
        size <= most,
        f"{names} must be less: {' x '.join(map(str, counts.values()))} {what} take "
        f"{size / 1e9:.3g} GB, and there are {most / 1e9:.3g} GB of memory. Lower one of them.",
    )


def described(value: Any) -> str:
    """Description of a value in a few words on one line."""
    if isinstance(value, Integral) and not isinstance(value, bool) and abs(int(value)) > 10**18:
        digits = math.ceil(abs(int(value)).bit_length() * math.log10(2))
        return f"an integer of {digits} digits"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = "" if getattr(value, "ndim", 0) else repr(value)
    return text if text and len(text) <= 60 and "\n" not in text else _kind(value)


def plain_array(name: str, value: object) -> np.ndarray:
    """Values of Python, NumPy or JAX as a NumPy array."""
    require(
        not isinstance(value, np.ma.MaskedArray),
        f"`{name}` must be plain numbers, but is a masked array. Fill it, or leave out what is "
        "masked.",
    )
    try:
        # Integers of more than 64 bits would be objects.
        plain = float(value) if isinstance(value, int) and abs(value) > _MOST else value
        array = np.asarray(plain)
    except OverflowError:
        raise ValueError(
            f"`{name}` must be finite, but got {described(value)}. Give a smaller number."
        ) from None
    except (TypeError, ValueError):
        array = np.asarray(None)
    require(
        array.dtype != object,
        f"`{name}` must be a number or an array, but got {described(value)}. Give real numbers.",
    )
    return array


def check_finite(name: str, array: np.ndarray, *, allow_infinity: bool = False) -> None:
    """Refuse what is not a number, and infinity unless it is allowed."""
    unusable = np.isnan(array) if allow_infinity else ~np.isfinite(array)
    what, found = ("a number", "NaN") if allow_infinity else ("finite", "NaN or infinity")
    require(
        not unusable.any(),
        f"`{name}` must be {what}, but holds {found} in {array.dtype}. Check the data it comes "
        "from.",
    )


def check_limits(
    name: str,
    array: np.ndarray,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    unit: str = "",
    remedy: str,
) -> None:
    """Refuse values beyond limits, which count in the precision of the array.

    Pi in single precision is more than pi.
    """
    if not array.size:
        return
    smallest, largest = array.min(), array.max()
    limits = (
        ("at least", least, "smallest", smallest, np.greater_equal),
        ("above", above, "smallest", smallest, np.greater),
        ("at most", most, "largest", largest, np.less_equal),
    )
    for rule, limit, which, found, holds in limits:
        if limit is not None and not holds(found, array.dtype.type(limit)):
            got = f"its {which} value is" if array.dtype.kind == "f" else "got"
            raise ValueError(
                f"`{name}` must be {rule} {limit:g}{unit and f' {unit}'}, but {got} {found:g}. "
                f"{remedy}"
            )


def _kind(value: Any) -> str:
    """The type of a value in a few words, with the shape of an array."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of dtype {value.dtype} and shape {value.shape}"
    return f"a value of type {type(value).__name__}"
