"""One function of many trees of arrays, compiled once for all that are alike."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

Tree = TypeVar("Tree")
Result = TypeVar("Result")


def of_all(function: Callable[[Tree], Result], trees: Sequence[Tree]) -> list[Result]:
    """A function of every tree, in one `vmap` for those whose arrays have the same shapes.

    The program then grows with the kinds of trees, not with their number.

    Args:
        function: From a tree to a tree of arrays.
        trees: Trees whose leaves are arrays.
    """
    members: dict[Hashable, list[int]] = {}
    for i, tree in enumerate(trees):
        members.setdefault(_kind(tree), []).append(i)
    results: dict[int, Result] = {}
    for indices in members.values():
        if len(indices) == 1:
            results[indices[0]] = function(trees[indices[0]])
            continue
        stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(trees[i] for i in indices))
        values = jax.vmap(function)(stack)
        for place, i in enumerate(indices):
            results[i] = jax.tree.map(lambda leaf, place=place: leaf[place], values)
    return [results[i] for i in range(len(trees))]


def _kind(tree: PyTree) -> Hashable:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
