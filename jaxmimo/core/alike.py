"""Functions of many trees of arrays, compiled once for all that are alike."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PyTree

Tree = TypeVar("Tree")
Result = TypeVar("Result")


class Kinds(eqx.Module, Generic[Tree]):
    """Trees by their kind: those whose arrays have the same shapes are one stack.

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
        """Trees of any kinds, whose leaves are arrays."""
        single = (jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree) for tree in trees)
        return _stacked(single, ((i,) for i in range(len(trees))))

    def map(self, function: Callable[[Tree], Result]) -> "Kinds[Result]":
        """A function of every tree, in one `vmap` for each kind. Results have kinds of their own.

        Args:
            function: From a tree to a tree of arrays.
        """
        return _stacked((_mapped(function, stack) for stack in self.stacks), self.places)

    def map_in_turn(self, function: Callable[[Tree], Result]) -> "Kinds[Result]":
        """As `map`, one tree of a kind after another: where one fills the caches."""
        return _stacked((lax.map(function, stack) for stack in self.stacks), self.places)

    @property
    def first(self) -> Tree:
        """The first tree."""
        return jax.tree.map(lambda leaf: leaf[0], self.stacks[0])

    def each(self) -> list[Tree]:
        """Tree by tree, in their order."""
        trees = {
            place: jax.tree.map(lambda leaf, i=i: leaf[i], stack)
            for stack, places in zip(self.stacks, self.places, strict=True)
            for i, place in enumerate(places)
        }
        return [trees[place] for place in range(len(trees))]

    def together(self) -> Tree:
        """All trees, which must be alike, with a leading axis in their order."""
        ((stack,), (places,)) = self.stacks, self.places
        order = np.argsort(places)
        if (order == np.arange(order.size)).all():
            return stack
        return jax.tree.map(lambda leaf: leaf[order], stack)


def _mapped(function: Callable[[Tree], Result], stack: Tree) -> Result:
    if len(jax.tree.leaves(stack)[0]) > 1:
        return jax.vmap(function)(stack)
    result = function(jax.tree.map(lambda leaf: leaf[0], stack))
    return jax.tree.map(lambda leaf: leaf[None], result)


def _stacked(stacks: Iterable[Tree], places: Iterable[tuple[int, ...]]) -> Kinds[Tree]:
    """Stacks of the same kind joined into one."""
    found: dict[Hashable, list[tuple[Tree, tuple[int, ...]]]] = {}
    for stack, where in zip(stacks, places, strict=True):
        found.setdefault(_kind(stack), []).append((stack, where))
    joined, order = [], []
    for members in found.values():
        alike, where = zip(*members, strict=True)
        joined.append(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *alike))
        order.append(sum(where, ()))
    return Kinds(tuple(joined), tuple(order))


def _kind(stack: PyTree) -> Hashable:
    leaves, structure = jax.tree.flatten(stack)
    return structure, tuple((jnp.shape(leaf)[1:], jnp.result_type(leaf)) for leaf in leaves)
