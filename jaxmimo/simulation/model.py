"""What is simulated: a sample and its key, and what tracing tells about them."""

import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import equinox as eqx
import jax
from jax import Array
from jaxtyping import PyTree

from jaxmimo.core.checks import checked_key, described, is_traced, require
from jaxmimo.core.naming import is_array, is_own
from jaxmimo.core.programs import name_of, remembered
from jaxmimo.core.traces import Trace, add_numbers, digest_of, trace
from jaxmimo.simulation.batches import promising_batch
from jaxmimo.simulation.dependence import Dependence, dependences


class Model:
    """A function that draws one realization from a key, and the key of a run.

    Attributes:
        sample: The function; one of a user's own as it was when the model was made.
        key: The key, refused unless it is a single typed Threefry key.
        name: What its facts and programs are kept under, None if nowhere.
        shapes: Shapes and dtypes of a realization.
    """

    def __init__(self, sample: Callable[[Array], PyTree[Array]], key: Any) -> None:
        require(
            callable(sample) and not isinstance(sample, type),
            f"`sample` must be a function of a key, but is {described(sample)}. Pass the function "
            "itself.",
        )
        self.key, self.name = checked_key(key), name_of(Model, sample, key)
        own = self.name is not None or is_own(Model, (sample, key))
        self.sample = sample if own else SampleNow.of(sample, key)
        self.shapes = remembered(self.name, "shapes", self._shapes)
        require(
            bool(jax.tree.leaves(self.shapes)),
            f"`sample` must return arrays, but returns {self.shapes}. Return what it draws.",
        )
        require(
            not isinstance(self.sample, SampleNow) or any(dependences(self.jaxpr)),
            "`sample` must depend on its key, but nothing that it returns does. Draw with "
            "`jax.random` from the key: NumPy draws once, when JAX traces the function.",
        )

    @cached_property
    def jaxpr(self) -> Any:
        """What JAX made of the function, traced once for all runs of it."""
        if isinstance(self.sample, SampleNow):
            return self.sample.traced.jaxpr
        return self._traced.jaxpr

    @cached_property
    def is_share(self) -> tuple[bool, ...]:
        """Of each array of a realization, whether the key decides it by yes and no alone.

        jaxmimo's own samples say so by their type.
        """
        leaves = jax.tree.leaves(self.shapes)
        if not isinstance(self.sample, SampleNow):
            return tuple(leaf.dtype == bool for leaf in leaves)
        return tuple(each is Dependence.CHOICE for each in dependences(self.jaxpr))

    @cached_property
    def promising_batch(self) -> int:
        """Realizations that a kernel had better process side by side."""
        return remembered(self.name, "batch", lambda: promising_batch(self.jaxpr))

    @property
    def is_traced(self) -> bool:
        """Whether the sample, the key or what the sample closes over has no values yet."""
        if is_traced(self.sample, self.key):
            return True
        return isinstance(self.sample, SampleNow) and is_traced(self.jaxpr.consts)

    @cached_property
    def fingerprint(self) -> str:
        """Tells this model, its numbers and its key from any other; the same in every process."""
        text = remembered(self.name, "text", lambda: digest_of(self.jaxpr).hex())
        digest = hashlib.sha256(text.encode())
        add_numbers(
            digest, [leaf for leaf in jax.tree.leaves((self.key, self.sample)) if is_array(leaf)]
        )
        return digest.hexdigest()

    @property
    def _traced(self) -> jax.stages.Traced:
        return _draw.trace(*_taken_apart(self.sample), self.key)

    def _shapes(self) -> PyTree[jax.ShapeDtypeStruct]:
        if isinstance(self.sample, SampleNow):
            return self.sample.shapes
        return self._traced.out_info


class SampleNow(eqx.Module):
    """A sample of a user's own, as it was when it was traced.

    Attributes:
        arrays: What it holds.
        traced: What it computes of them and a key.
        structure: The tree that its results make.
    """

    arrays: tuple[Any, ...]
    traced: Trace = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

    @staticmethod
    def of(sample: Callable[[Array], PyTree[Array]], key: Array) -> "SampleNow":
        """Trace a sample."""
        structure, static, arrays = _taken_apart(sample)
        given = tuple(array for array in arrays if array is not None)
        result = None

        def draw(key: Array, *given: Array) -> list[Array]:
            nonlocal result
            rest = iter(given)
            filled = tuple(None if array is None else next(rest) for array in arrays)
            leaves, result = jax.tree.flatten(_drawn(structure, static, filled, key))
            return leaves

        found = trace(draw, (key, *given))
        return SampleNow(given, found, result)

    @property
    def shapes(self) -> PyTree[jax.ShapeDtypeStruct]:
        """Shapes and dtypes of a realization."""
        leaves = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in self.traced.jaxpr.out_avals]
        return jax.tree.unflatten(self.structure, leaves)

    def __call__(self, key: Array) -> PyTree[Array]:
        """Draw a realization."""
        return jax.tree.unflatten(self.structure, self.traced(key, *self.arrays))


def traced_once(sample: Callable[[Array], PyTree[Array]]) -> Callable[[Array], PyTree[Array]]:
    """The same function, which all kernels and a `Model` trace only once between them."""
    return sample if isinstance(sample, SampleNow) else partial(_draw, *_taken_apart(sample))


def _taken_apart(sample: Callable[[Array], PyTree[Array]]) -> tuple[Any, tuple, tuple]:
    """Structure, static leaves and arrays of a function that is a pytree."""
    leaves, structure = jax.tree.flatten(sample)
    arrays = tuple(leaf if is_array(leaf) else None for leaf in leaves)
    static = tuple(None if is_array(leaf) else leaf for leaf in leaves)
    return structure, static, arrays


def _drawn(structure: Any, static: tuple, arrays: tuple, key: Array) -> PyTree[Array]:
    pairs = zip(arrays, static, strict=True)
    leaves = [fixed if array is None else array for array, fixed in pairs]
    return jax.tree.unflatten(structure, leaves)(key)


_draw = jax.jit(_drawn, static_argnums=(0, 1))
