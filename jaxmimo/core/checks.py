"""Errors that teach: what is wrong, with which parameter, and the remedy, in one line."""

from numbers import Integral
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike


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
        raise ValueError(f"`{name}` must be an integer, but got {value!r}. Give a whole number.")
    return int(value)


def positive_integer(name: str, value: object) -> int:
    """Convert `value` to an `int`, refusing what is not an integer above zero."""
    number = integer(name, value)
    require(number >= 1, f"`{name}` must be at least 1, but got {number}. Give one or more.")
    return number


def real_array(
    name: str, value: ArrayLike, *, minimum: float | None = None, allow_infinity: bool = False
) -> jax.Array:
    """Convert `value` to JAX's default real dtype, refusing what is not a finite real number.

    The dtype is float32, or float64 where x64 is enabled, so that a Python float and an array
    give one trace. Traced values pass unchecked; their facts are known at run time only.
    """
    if is_traced(value):
        return jnp.asarray(value, dtype=jnp.result_type(float))
    if isinstance(value, jax.ShapeDtypeStruct) or not hasattr(value, "__array__"):
        value = _plain_numbers(name, value)
    array = np.asarray(value)
    require(array.dtype.kind in "fiub", f"`{name}` must be real, but has dtype {array.dtype}.")
    dtype = jnp.result_type(float)
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    unusable = np.isnan(array) if allow_infinity else ~np.isfinite(array)
    what, found = ("a number", "NaN") if allow_infinity else ("finite", "NaN or infinity")
    require(
        not unusable.any(),
        f"`{name}` must be {what}, but holds {found} in {dtype}. Check the data it comes from.",
    )
    if minimum is not None and array.size:
        require(
            bool(np.all(array >= minimum)),
            f"`{name}` must be at least {minimum:g}, but its smallest value is {array.min():g}. "
            f"Give linear values, not decibels.",
        )
    return on_device(array)


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
    """As `jnp.asarray`, in JAX's precision, but without a program for every shape."""
    if isinstance(array, jax.Array):
        return array
    return jax.device_put(array.astype(jax.dtypes.canonicalize_dtype(array.dtype)))


def real_number(name: str, value: ArrayLike) -> jax.Array:
    """`real_array` of a single number that is not negative."""
    array = real_array(name, value, minimum=0.0)
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
        f"`{name}` must be positive, but got {value}. Give a linear value in SI units.",
    )
    return array


def _plain_numbers(name: str, value: object) -> np.ndarray:
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be a number or an array, but got {value!r}.") from error


def _kind(value: Any) -> str:
    """What a value is, in a few words."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of dtype {value.dtype} and shape {value.shape}"
    return f"a value of type {type(value).__name__}"
