"""Eigenvectors of covariances against NumPy's, at their corners, and in batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.eigenvectors import scaled_eigenvectors

FIND = jax.jit(scaled_eigenvectors, static_argnums=1)
precisions = pytest.mark.parametrize("double", [False, True], ids=["single", "double"])


def with_eigenvalues(*values):
    """A covariance with these eigenvalues and random eigenvectors."""
    size = len(values)
    vectors = np.linalg.qr(np.random.default_rng(size).normal(size=(size, size)))[0]
    return (vectors * np.array(values)) @ vectors.T


CASES = {
    "one": np.array([[3.0]]),
    "white": np.eye(7),
    "all ones": np.ones((6, 6)),
    "spread": with_eigenvalues(*np.geomspace(1.0, 1e-12, 11)),
    "pairs": with_eigenvalues(2.0, 2.0, 1.0, 1.0, 1e-3, 1e-3),
    "near pairs": with_eigenvalues(2.0, 2.0 + 1e-7, 1.0, 1.0 - 1e-7, 0.0, 0.0),
    "narrow": with_eigenvalues(1.0, 0.3, *[0.0] * 10),
    "small": 1e-30 * with_eigenvalues(3.0, 2.0, 1.0),
    "large": 1e30 * with_eigenvalues(3.0, 2.0, 1.0),
}


@precisions
@pytest.mark.parametrize("name", CASES)
def test_they_are_orthogonal_and_add_up_to_the_covariance(name, double):
    covariance = CASES[name]
    with jax.enable_x64(double):
        found = np.asarray(FIND(jnp.asarray(covariance), covariance.shape[0]), float)
        precision = float(jnp.finfo(jnp.result_type(float)).eps)
    values = np.linalg.eigvalsh(covariance)
    bound = 50 * precision * values[-1]
    np.testing.assert_allclose(found.T @ found, covariance, rtol=0, atol=bound)
    products = found @ found.T
    np.testing.assert_allclose(products, np.diag(np.diag(products)), rtol=0, atol=bound)
    np.testing.assert_allclose(np.sort(np.diag(products)), values, rtol=0, atol=bound)


def test_as_many_as_the_rank_are_enough():
    covariance = jnp.asarray(CASES["narrow"], jnp.float32)
    for rank in (2, 3, 5):
        found = np.asarray(FIND(covariance, rank))
        assert found.shape == (rank, 12)
        np.testing.assert_allclose(found.T @ found, covariance, rtol=0, atol=1e-6)
        assert np.all(found[2:] == 0)  # left out, not rounding errors of any direction


def test_nothing_is_found_in_nothing():
    assert np.all(FIND(jnp.zeros((4, 4)), 4) == 0)


def test_vmap_and_axes_of_the_batch_give_what_each_matrix_gives():
    stack = np.stack([CASES["pairs"], CASES["all ones"], CASES["near pairs"]]).astype(np.float32)
    each = np.stack([FIND(jnp.asarray(matrix), 6) for matrix in stack])
    mapped = jax.jit(jax.vmap(lambda r: scaled_eigenvectors(r, 6)))(jnp.asarray(stack))
    together = FIND(jnp.asarray(np.moveaxis(stack, 0, 2)), 6)
    # Sweeps go on until the slowest matrix is done.
    for found in (mapped, jnp.moveaxis(together, 2, 0)):
        powers, expected = (np.einsum("bki,bkj->bij", a, a) for a in (np.asarray(found), each))
        np.testing.assert_allclose(powers, expected, rtol=0, atol=3e-6)
