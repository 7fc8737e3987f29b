"""Functions of many trees, in one program for those that are alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.alike import Kinds


def trees_of(sizes):
    rng = np.random.default_rng(0)
    return [
        {"a": jnp.asarray(rng.normal(size=size)), "b": jnp.asarray(1.0 * size)} for size in sizes
    ]


@pytest.mark.parametrize("mapped", [Kinds.map, Kinds.map_in_turn])
def test_results_are_those_of_each_in_order(mapped):
    trees = trees_of([3, 2, 3, 5, 2, 3])
    found = mapped(Kinds.of(trees), lambda tree: (tree["a"].sum() + tree["b"], 2 * tree["a"]))
    assert len(found.stacks) == 3
    for (total, twice), tree in zip(found.each(), trees, strict=True):
        np.testing.assert_allclose(total, tree["a"].sum() + tree["b"], rtol=1e-6)
        np.testing.assert_array_equal(twice, 2 * tree["a"])


def test_function_is_traced_once_for_each_kind():
    seen = []

    def count(tree):
        seen.append(tree["a"].shape)
        return tree["b"]

    jax.eval_shape(lambda trees: Kinds.of(trees).map(count), trees_of([3, 2, 3, 5, 2, 3]))
    assert sorted(seen) == [(2,), (3,), (5,)]


def test_results_that_are_alike_are_of_one_kind_in_the_order_of_the_trees():
    sizes, seen = [3, 2, 3, 5, 2, 3], []
    lengths = Kinds.of(trees_of(sizes)).map(lambda tree: tree["b"])
    np.testing.assert_array_equal(lengths.together(), sizes)

    def square(length):
        seen.append(length)
        return length**2

    np.testing.assert_array_equal(lengths.map(square).together(), np.square(sizes))
    assert len(seen) == 1


def test_trees_of_other_structure_or_type_are_apart():
    trees = Kinds.of([jnp.ones(2), (jnp.ones(2),), jnp.ones(2, jnp.int32)])
    assert len(trees.stacks) == 3
    sums = trees.map(lambda tree: jax.tree.leaves(tree)[0].sum().astype(float))
    np.testing.assert_array_equal(sums.together(), [2.0, 2.0, 2.0])


def test_first_is_the_first_tree():
    trees = trees_of([3, 2, 3])
    jax.tree.map(np.testing.assert_array_equal, Kinds.of(trees).first, trees[0])


def test_kinds_are_trees_themselves():
    kinds = Kinds.of(trees_of([3, 2, 3]))
    doubled = jax.jit(lambda kinds: jax.tree.map(lambda leaf: 2 * leaf, kinds))(kinds)
    for twice, tree in zip(doubled.each(), kinds.each(), strict=True):
        np.testing.assert_array_equal(twice["a"], 2 * tree["a"])


def test_what_is_no_array_stays_as_it_is_and_tells_kinds_apart():
    trees = [(jnp.ones(()), 2), (jnp.ones(()), 3), (2 * jnp.ones(()), 3)]
    kinds = Kinds.of(trees)
    assert len(kinds.stacks) == 2
    assert kinds.first[1] == 2
    for mapped in (kinds.map, kinds.map_in_turn):  # the number is a shape
        found = mapped(lambda tree: (tree[0] * jnp.ones(tree[1])).sum())
        np.testing.assert_array_equal(found.together(), [2.0, 3.0, 6.0])
