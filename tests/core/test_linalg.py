import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.linalg import hermitian_log2det


def positive_definite(*shape, seed=0):
    rng = np.random.default_rng(seed)
    """Matrices of size shape[-1], as many as shape[:-1] holds."""
    n = shape[-1]
    a = rng.normal(size=(*shape, 2 * n)) + 1j * rng.normal(size=(*shape, 2 * n))
    return a @ a.conj().swapaxes(-1, -2) / n


@pytest.mark.parametrize("n", range(1, 7))
def test_equals_numpy(n):
    matrix = positive_definite(2, 3, n, seed=n)
    log2det = jax.jit(hermitian_log2det)
    expected = np.linalg.slogdet(matrix).logabsdet / np.log(2)
    single = log2det(jnp.asarray(matrix, jnp.complex64))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-5)
    with jax.enable_x64(True):
        double = log2det(jnp.asarray(matrix))
        assert double.dtype == jnp.float64
        np.testing.assert_allclose(double, expected, rtol=1e-12, atol=1e-12)
        one = log2det(jnp.asarray(matrix[0, 0]))
        np.testing.assert_allclose(one, expected[0, 0], rtol=1e-12, atol=1e-12)


def test_gradient_is_the_inverse():
    with jax.enable_x64(True):
        base, slope = jnp.asarray(positive_definite(2, 3))

        def along(t):
            return hermitian_log2det(base + t * slope)

        derivative = np.trace(np.linalg.solve(base + 0.3 * slope, slope)).real / np.log(2)
        np.testing.assert_allclose(jax.jit(jax.grad(along))(0.3), derivative, rtol=1e-12)


def test_not_positive_definite_gives_nan():
    assert np.isnan(hermitian_log2det(jnp.diag(jnp.asarray([1.0, -1.0, -1.0])) + 0j))


def test_empty_matrix_has_determinant_one():
    assert hermitian_log2det(jnp.zeros((0, 0), jnp.complex64)) == 0
