"""Singular values against NumPy, small ones most of all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.core.singular_values import singular_values
from jaxmimo.core.small_matrices import Parts

VALUES = jax.jit(singular_values)


def normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def parts(array):
    dtype = jnp.result_type(float)
    return Parts(jnp.asarray(array.real, dtype), jnp.asarray(array.imag, dtype))


def sorted_values(array):
    """Largest first, matrix axes first as in the argument."""
    return -np.sort(-np.asarray(VALUES(parts(array)), float), axis=0)


def expected_values(array):
    last = np.moveaxis(array, (0, 1), (-2, -1))
    return np.moveaxis(np.linalg.svd(last, compute_uv=False), -1, 0)


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1),
        (5, 1),
        (1, 5),
        (2, 2),
        (3, 3),
        (4, 4),
        (6, 3),
        (3, 6),
        (16, 5),
        (4, 7, 3),
        (5, 2, 2, 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_values_are_those_of_numpy(shape, double):
    a = normal(np.random.default_rng(0), *shape)
    with jax.enable_x64(double):
        found = sorted_values(a)
    np.testing.assert_allclose(found, expected_values(a), rtol=1e-13 if double else 1e-5)


@given(seed=st.integers(0, 10_000), exponent=st.floats(-15, 15), rank=st.integers(0, 6))
def test_deficient_matrices_have_values_within_rounding(seed, exponent, rank):
    rng = np.random.default_rng(seed)
    a = normal(rng, 6, rank) @ normal(rng, rank, 6) * 10.0**exponent
    expected = expected_values(a)
    np.testing.assert_allclose(sorted_values(a), expected, atol=2e-6 * expected[0] + 1e-37)


@given(seed=st.integers(0, 10_000), decades=st.floats(0, 12))
def test_small_values_of_graded_columns_are_as_accurate_as_large_ones(seed, decades):
    """Where the eigenvalues of the Gram matrix would be nothing but rounding errors."""
    rng = np.random.default_rng(seed)
    unitary = np.linalg.qr(normal(rng, 6, 4))[0]
    mixed = unitary @ (np.eye(4) + 0.3 * np.triu(normal(rng, 4, 4), 1))
    a = rng.permuted(mixed * 10.0 ** -np.linspace(0, decades, 4), axis=1)
    np.testing.assert_allclose(sorted_values(a), expected_values(a), rtol=5e-6)


@pytest.mark.parametrize("decades", [2, 8, 10, 11, 12, 14])
def test_columns_that_are_all_small_but_one_are_made_orthogonal(decades):
    """Squares of squares of their norms have no place in single precision."""
    rng = np.random.default_rng(1)
    a = normal(rng, 5, 4)
    a[:, 2] = a[:, 1] + 0.01 * a[:, 2]
    a[:, 1:] *= 10.0**-decades
    small = a[:, 1:] - a[:, :1] * (a[:, :1].conj().T @ a[:, 1:]) / np.linalg.norm(a[:, 0]) ** 2
    expected = [np.linalg.norm(a[:, 0]), *expected_values(small)]
    np.testing.assert_allclose(sorted_values(a)[1:], expected[1:], rtol=1e-4)


def test_values_of_strongly_graded_matrices_keep_their_product_in_double():
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        for _ in range(5):
            well = normal(rng, 5, 5)
            scales = 10.0 ** -np.arange(0, 50, 10.0)
            found = sorted_values(well * scales)
            determinant = abs(np.linalg.det(well)) * scales.prod()
            np.testing.assert_allclose(found.prod(), determinant, rtol=1e-12)
            assert found[-1] < 1e-35


def test_zero_columns_give_zero_values():
    a = normal(np.random.default_rng(3), 5, 4)
    a[:, 1] = 0
    found = sorted_values(a)
    assert found[-1] == 0
    np.testing.assert_allclose(found, expected_values(a), atol=1e-5)
    np.testing.assert_array_equal(sorted_values(np.zeros((4, 3, 2), complex)), 0)


@given(seed=st.integers(0, 10_000), exponent=st.floats(-30, 30))
def test_values_scale_and_unitary_maps_leave_them(seed, exponent):
    rng = np.random.default_rng(seed)
    a = normal(rng, 5, 4)
    left, right = (np.linalg.qr(normal(rng, n, n))[0] for n in (5, 4))
    scaled = sorted_values(left @ a @ right * 10.0**exponent) / 10.0**exponent
    np.testing.assert_allclose(scaled, sorted_values(a), rtol=1e-5)


def test_vmap_and_batch_equal_a_loop():
    a = normal(np.random.default_rng(4), 4, 3, 7)
    with jax.enable_x64(True):
        over_last = jax.jit(jax.vmap(singular_values, in_axes=-1, out_axes=-1))(parts(a))
        loop = np.stack([sorted_values(a[..., i]) for i in range(7)], -1)
        np.testing.assert_allclose(-np.sort(-over_last, axis=0), loop, rtol=1e-13)
        np.testing.assert_allclose(sorted_values(a), loop, rtol=1e-13)


# Gradients


@pytest.mark.parametrize("shape", [(3, 3), (2, 3), (1, 1)], ids=str)
def test_gradients_are_finite_differences(shape):
    def symmetric(real, imag):  # the values have no order
        values = singular_values(Parts(real, imag))
        return values.sum(), (values**3).sum(), jnp.log(values).sum()

    a = normal(np.random.default_rng(5), *shape)
    with jax.enable_x64(True):
        check_grads(
            jax.jit(symmetric), (jnp.asarray(a.real), jnp.asarray(a.imag)), order=1, rtol=1e-6
        )


def test_gradient_of_the_nuclear_norm_is_the_polar_factor():
    rng = np.random.default_rng(6)
    a = normal(rng, 4, 4, 3)
    gradient = jax.jit(jax.grad(lambda a: singular_values(a).sum()))(parts(a))
    for i in range(3):
        u, _, vh = np.linalg.svd(a[..., i])
        expected = u @ vh
        np.testing.assert_allclose(gradient.real[..., i], expected.real, atol=1e-4)
        np.testing.assert_allclose(gradient.imag[..., i], expected.imag, atol=1e-4)


@pytest.mark.parametrize("kind", ["zero", "rank one", "equal columns", "identity"])
def test_gradients_are_finite_at_the_corners(kind):
    x = normal(np.random.default_rng(7), 4, 1)
    a = {
        "zero": np.zeros((4, 4), complex),
        "rank one": x @ x.conj().T,
        "equal columns": np.repeat(x, 4, axis=1),
        "identity": np.eye(4, dtype=complex),
    }[kind]
    value, gradient = jax.jit(jax.value_and_grad(lambda a: singular_values(a).sum()))(parts(a))
    np.testing.assert_allclose(value, expected_values(a).sum(), rtol=1e-5)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    assert abs(gradient.merged()).max() < 2
