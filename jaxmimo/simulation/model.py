"""What is simulated: a sample and its key, and what tracing tells about them."""

import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from jaxmimo.core.checks import is_traced
from jaxmimo.core.programs import name_of, remembered
from jaxmimo.simulation.batches import promising_batch


class Model:
    """A function that draws one realization from a key, and the key of a run.

    Attributes:
        sample: The function.
        key: The key.
        name: What its facts and programs are kept under, None if nowhere.
        shapes: Shapes and dtypes of a realization.
    """

    def __init__(self, sample: Callable[[Array], PyTree[Array]], key: Array) -> None:
        self.sample, self.key = sample, key
        self._parts = _taken_apart(sample)
        self.name = name_of(Model, sample, key)
        self.shapes = remembered(self.name, "shapes", lambda: self._traced.out_info)

    @cached_property
    def _traced(self) -> jax.stages.Traced:
        return _draw.trace(*self._parts, self.key)

    @property
    def jaxpr(self) -> Any:
        """What JAX made of the function, traced once for all runs of it."""
        return self._traced.jaxpr

    @cached_property
    def promising_batch(self) -> int:
        """Realizations that a kernel had better process side by side."""
        return remembered(self.name, "batch", lambda: promising_batch(self.jaxpr))

    @property
    def is_traced(self) -> bool:
        """Whether the sample, the key or what the sample closes over has no values yet."""
        arguments = jax.tree.leaves((self._arrays, self.key))
        if is_traced(arguments) or self.name is not None:  # what has a name closes over nothing
            return is_traced(arguments)
        return len(self.jaxpr.in_avals) > len(arguments)  # by tracers; values are constants

    @cached_property
    def fingerprint(self) -> str:
        """Tells this model, its numbers and its key from any other; the same in every process."""
        digest = hashlib.sha256(remembered(self.name, "text", self._digest_of_text))
        _add_numbers(digest, jax.tree.leaves((self.key, self._arrays)))
        return digest.hexdigest()

    @property
    def _arrays(self) -> tuple:
        return self._parts[-1]

    def _digest_of_text(self) -> bytes:
        digest = hashlib.sha256(str(self.jaxpr).encode())
        _add_numbers(digest, self.jaxpr.consts)
        return digest.digest()


def _add_numbers(digest: Any, arrays: Iterable[Array | np.ndarray]) -> None:
    for values in map(_plain, arrays):
        digest.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())


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
