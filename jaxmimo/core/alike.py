"""Functions of many trees of arrays, compiled once for all that are alike."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PyTree

Tree = TypeVar("Tree")
Result = TypeVar("Result")


class Kinds(eqx.Module, Generic[Tree]):
    """Trees by their kind: those that differ in nothing but the numbers in arrays are one stack.

    A program of them grows with the kinds of trees, not with their number. Single trees are not cut
    out of their stacks in between: XLA would compute again for each what it stacked for all.

    Attributes:
        stacks: The trees of each kind, with a leading axis of trees on every array.
        places: Where each tree of a stack stands among all trees.
    """

    stacks: tuple[Tree, ...]
    places: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    @staticmethod
    def of(trees: Sequence[Tree]) -> "Kinds[Tree]":
        """Trees of any kinds."""
        single = (_of_arrays(lambda array: array[None], tree) for tree in trees)
        return _stacked(single, ((i,) for i in range(len(trees))))

    def map(self, function: Callable[[Tree], Result]) -> "Kinds[Result]":
        """A function of every tree, in one `vmap` for each kind. Results have kinds of their own.

        Args:
            function: From a tree to a tree of arrays.
        """
        pairs = zip(self.stacks, self.places, strict=True)
        return _stacked((_mapped(function, *pair) for pair in pairs), self.places)

    def map_in_turn(self, function: Callable[[Tree], Result]) -> "Kinds[Result]":
        """As `map`, one tree of a kind after another: where one fills the caches."""
        return _stacked((_mapped_in_turn(function, stack) for stack in self.stacks), self.places)

    @property
    def first(self) -> Tree:
        """The first tree."""
        return _member(self.stacks[0], 0)

    def each(self) -> list[Tree]:
        """Tree by tree, in their order."""
        trees = {
            place: _member(stack, i)
            for stack, places in zip(self.stacks, self.places, strict=True)
            for i, place in enumerate(places)
        }
        return [trees[place] for place in range(len(trees))]

    def together(self) -> Tree:
        """All trees, which must be of one kind, with a leading axis in their order."""
        ((stack,), (places,)) = self.stacks, self.places
        order = np.argsort(places)
        if (order == np.arange(order.size)).all():
            return stack
        return _of_arrays(lambda array: array[order], stack)


def _mapped(function: Callable[[Tree], Result], stack: Tree, places: tuple[int, ...]) -> Result:
    if len(places) > 1:
        return eqx.filter_vmap(function)(stack)
    return _of_arrays(lambda array: array[None], function(_member(stack, 0)))


def _mapped_in_turn(function: Callable[[Tree], Result], stack: Tree) -> Result:
    arrays, rest = eqx.partition(stack, _is_array)
    return lax.map(lambda arrays: function(eqx.combine(arrays, rest)), arrays)


def _member(stack: Tree, place: int) -> Tree:
    return _of_arrays(lambda array: array[place], stack)


def _stacked(stacks: Iterable[Tree], places: Iterable[tuple[int, ...]]) -> Kinds[Tree]:
    """Stacks of the same kind joined into one."""
    found: dict[Hashable, list[tuple[Tree, tuple[int, ...]]]] = {}
    for stack, where in zip(stacks, places, strict=True):
        found.setdefault(_kind(stack), []).append((stack, where))
    joined, order = [], []
    for members in found.values():
        alike, where = zip(*members, strict=True)
        joined.append(_of_arrays(lambda *arrays: jnp.concatenate(arrays), *alike))
        order.append(sum(where, ()))
    return Kinds(tuple(joined), tuple(order))


def _kind(stack: PyTree) -> Hashable:
    leaves, structure = jax.tree.flatten(stack)
    return structure, tuple(
        (leaf.shape[1:], leaf.dtype) if _is_array(leaf) else leaf for leaf in leaves
    )


def _of_arrays(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """The tree with a function of its arrays, and those of others in the same places."""
    return jax.tree.map(
        lambda leaf, *rest: function(leaf, *rest) if _is_array(leaf) else leaf, tree, *others
    )


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)
