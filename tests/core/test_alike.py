"""A function of many trees, in one program for those that are alike."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmimo.core.alike import of_all


def trees_of(sizes):
    rng = np.random.default_rng(0)
    return [
        {"a": jnp.asarray(rng.normal(size=size)), "b": jnp.asarray(1.0 * size)} for size in sizes
    ]


def test_results_are_those_of_each_in_order():
    trees = trees_of([3, 2, 3, 5, 2, 3])
    found = of_all(lambda tree: (tree["a"].sum() + tree["b"], 2 * tree["a"]), trees)
    for (total, twice), tree in zip(found, trees, strict=True):
        np.testing.assert_allclose(total, tree["a"].sum() + tree["b"], rtol=1e-6)
        np.testing.assert_array_equal(twice, 2 * tree["a"])


def test_function_is_traced_once_for_each_kind():
    seen = []

    def count(tree):
        seen.append(tree["a"].shape)
        return tree["b"]

    jax.eval_shape(lambda trees: of_all(count, trees), trees_of([3, 2, 3, 5, 2, 3]))
    assert sorted(seen) == [(2,), (3,), (5,)]


def test_trees_of_other_structure_or_type_are_apart():
    trees = [jnp.ones(2), (jnp.ones(2),), jnp.ones(2, jnp.int32)]
    seen = []

    def note(tree):
        seen.append(jax.tree.structure(tree))
        return jax.tree.leaves(tree)[0].sum()

    assert [float(value) for value in of_all(note, trees)] == [2.0, 2.0, 2.0]
    assert len(seen) == 3
