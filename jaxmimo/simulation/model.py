"""What is simulated: a sample and its key, and what tracing tells about them."""

import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from jaxmimo.core.checks import is_traced


class Model:
    """A function that draws one realization from a key, and the key of a run.

    Attributes:
        sample: The function.
        key: The key.
        jaxpr: What JAX made of the function, traced once for all runs of it.
        shapes: Shapes and dtypes of a realization.
    """

    def __init__(self, sample: Callable[[Array], PyTree[Array]], key: Array) -> None:
        self.sample, self.key = sample, key
        structure, static, self._arrays = _taken_apart(sample)
        traced = _draw.trace(structure, static, self._arrays, key)
        self.jaxpr, self.shapes = traced.jaxpr, traced.out_info

    @property
    def is_traced(self) -> bool:
        """Whether the sample, the key or what the sample closes over has no values yet."""
        arguments = jax.tree.leaves((self._arrays, self.key))
        closed_over = len(self.jaxpr.in_avals) - len(arguments)  # tracers; values are constants
        return is_traced(arguments) or closed_over > 0

    @cached_property
    def fingerprint(self) -> str:
        """Tells this model, its numbers and its key from any other; the same in every process."""
        digest = hashlib.sha256(str(self.jaxpr).encode())
        numbers = jax.tree.leaves((self.key, self._arrays, self.jaxpr.consts))
        for values in map(_plain, numbers):
            digest.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())
        return digest.hexdigest()


def traced_once(sample: Callable[[Array], PyTree[Array]]) -> Callable[[Array], PyTree[Array]]:
    """The same function, which all kernels and a `Model` trace only once between them."""
    structure, static, arrays = _taken_apart(sample)
    return lambda key: _draw(structure, static, arrays, key)


def _taken_apart(sample: Callable[[Array], PyTree[Array]]) -> tuple[Any, tuple, tuple]:
    """Structure, static leaves and arrays of a function that is a pytree."""
    leaves, structure = jax.tree.flatten(sample)
    arrays = tuple(leaf if _is_array(leaf) else None for leaf in leaves)
    static = tuple(None if _is_array(leaf) else leaf for leaf in leaves)
    return structure, static, arrays


@partial(jax.jit, static_argnums=(0, 1))
def _draw(structure: Any, static: tuple, arrays: tuple, key: Array) -> PyTree[Array]:
    pairs = zip(arrays, static, strict=True)
    leaves = [fixed if array is None else array for array, fixed in pairs]
    return jax.tree.unflatten(structure, leaves)(key)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _plain(values: Array | np.ndarray) -> np.ndarray:
    is_key = jnp.issubdtype(values.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(values) if is_key else values)
