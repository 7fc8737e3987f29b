"""Solutions in nested leading blocks against NumPy, block by block, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxmimo.core.nested_solves import solve_nested
from jaxmimo.core.small_matrices import Parts

SOLVE = jax.jit(solve_nested)


def parts(array):
    dtype = jnp.result_type(float)
    return Parts(jnp.asarray(array.real, dtype), jnp.asarray(array.imag, dtype))


def systems(n, blocks, *batch, seed=0):
    """Matrices, sizes of blocks from none to all rows, and right-hand sides."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    g = normal(n, n, *batch)
    identity = np.eye(n).reshape(n, n, *[1] * len(batch))
    a = np.einsum("ij...,kj...->ik...", g, g.conj()) / n + 0.1 * identity
    sizes = np.sort(rng.integers(0, n + 1, size=(1, blocks, *batch)), axis=1)
    sizes[:, -1] = n
    return a, sizes.astype(float), normal(n, blocks, *batch)


def solved(a, sizes, b):
    x = b.copy()
    for place in np.ndindex(b.shape[1:]):
        block, (_, *batch) = int(sizes[(0, *place)]), place
        matrix = a[(slice(block), slice(block), *batch)]
        x[(slice(block), *place)] = np.linalg.solve(matrix, b[(slice(block), *place)])
        below = a[(slice(block, None), slice(block), *batch)]
        x[(slice(block, None), *place)] -= below @ x[(slice(block), *place)]
    return x


@pytest.mark.parametrize(("n", "blocks", "batch"), [(1, 1, ()), (2, 3, (4,)), (7, 3, (2, 3))])
def test_every_block_is_solved_and_tells_what_it_leaves(n, blocks, batch):
    with jax.enable_x64(True):
        a, sizes, b = systems(n, blocks, *batch)
        x = SOLVE(parts(a), jnp.asarray(sizes), parts(b)).merged()
        np.testing.assert_allclose(x, solved(a, sizes, b), rtol=1e-10, atol=1e-11)


def test_vmap_adds_to_the_batch():
    a, sizes, b = systems(5, 2, 3, seed=1)
    arguments = parts(a), jnp.asarray(sizes), parts(b)
    first = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), arguments)
    mapped = jax.vmap(solve_nested)(*first).merged()
    whole = SOLVE(*arguments).merged()
    np.testing.assert_allclose(jnp.moveaxis(mapped, 0, -1), whole, rtol=1e-5, atol=1e-5)


def test_derivatives_are_finite_differences():
    with jax.enable_x64(True):
        a, sizes, b = systems(4, 3, 2, seed=2)
        steps = parts(np.random.default_rng(3).normal(size=(4, 4, 2)) + 0j)

        def of_step(step, b):  # which keeps the matrices Hermitian
            change = steps * step
            return solve_nested(parts(a) + change + change.adjoint, jnp.asarray(sizes), b)

        check_grads(of_step, (jnp.ones(()) * 0.01, parts(b)), order=1, rtol=1e-4, atol=1e-4)
