"""Batched inverses and factors against NumPy, at their corners, and against hanging."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.channel.correlation import ScatteringClusters
from jaxmimo.core.singular_values import singular_values
from jaxmimo.core.small_matrices import (
    Parts,
    adjoint_product,
    cholesky,
    diagonal,
    entry,
    inverse,
    symmetric_inverse,
)
from jaxmimo.rates.metrics import condition_number, vector_correlation
from jaxmimo.systems.distributed_rician import DistributedRician, se_sample
from jaxmimo.transceiver.channel_estimation import lmmse
from jaxmimo.transceiver.combining import (
    error_aware_mmse_combiner,
    mmse_combiner,
    mr_combiner,
    zf_combiner,
)

INVERSE, CHOLESKY, PRODUCT = jax.jit(inverse), jax.jit(cholesky), jax.jit(adjoint_product)
shapes = pytest.mark.parametrize(
    ("size", "batch"), [(1, ()), (2, (5,)), (3, ()), (6, (2, 3))], ids=str
)
precisions = pytest.mark.parametrize("double", [False, True], ids=["single", "double"])


def normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def parts(array):
    """Matrix axes first, as `Parts` of JAX's default precision."""
    dtype = jnp.result_type(float)
    return Parts(jnp.asarray(array.real, dtype), jnp.asarray(array.imag, dtype))


def positive(rng, size, *batch):
    """Hermitian matrices with a condition number of at most a few hundred."""
    g = normal(rng, size, size, *batch)
    identity = np.eye(size).reshape(size, size, *[1] * len(batch))
    return np.einsum("ij...,kj...->ik...", g, g.conj()) / size + 0.1 * identity


def each(function, *arrays):
    """NumPy's function of matrices, applied to arrays with matrix axes first."""
    last = [np.moveaxis(a, (0, 1), (-2, -1)) for a in arrays]
    return np.moveaxis(function(*last), (-2, -1), (0, 1))


def of_precision(double):
    return jax.enable_x64(double), (1e-11 if double else 1e-3)


# Against NumPy


@shapes
@precisions
def test_inverse_and_factor_are_those_of_numpy(size, batch, double):
    a = positive(np.random.default_rng(size), size, *batch)
    precision, tolerance = of_precision(double)
    with precision:
        found, factor = INVERSE(parts(a)), CHOLESKY(parts(a))
        assert found.real.dtype == factor.real.dtype == jnp.result_type(float)
        np.testing.assert_allclose(found.merged(), each(np.linalg.inv, a), atol=tolerance)
        expected = each(np.linalg.cholesky, a)
        np.testing.assert_allclose(factor.merged(), expected, atol=tolerance)
        np.testing.assert_array_equal(each(np.triu, factor.merged()).imag, 0)


@pytest.mark.parametrize(
    ("left", "right"),
    [((4, 2), (4, 3)), ((1, 1), (1, 1)), ((3, 2, 5), (3, 4, 5)), ((3, 2, 1), (3, 1, 5))],
    ids=str,
)
@precisions
def test_adjoint_product_is_that_of_numpy_and_broadcasts_batches(left, right, double):
    rng = np.random.default_rng(0)
    a, b = normal(rng, *left), normal(rng, *right)
    precision, tolerance = of_precision(double)
    with precision:
        product = PRODUCT(parts(a), parts(b))
    expected = np.einsum("mi...,mk...->ik...", a.conj(), b)
    np.testing.assert_allclose(product.merged(), expected, atol=tolerance)


def test_parts_are_complex_numbers():
    rng = np.random.default_rng(1)
    a, b, c = normal(rng, 3, 2), normal(rng, 3, 2), rng.normal(size=(3, 2))
    with jax.enable_x64(True):
        x, y = parts(a), parts(b)
        for found, expected in [
            (x + y, a + b),
            (x - y, a - b),
            (x * y, a * b),
            (x * jnp.asarray(c), a * c),
            (x * 2.0, a * 2),
            (x.conj(), a.conj()),
            (x.adjoint, a.conj().T),
            (x.reshape(2, 3), a.reshape(2, 3)),
            (x[1:], a[1:]),
            (entry(x, 1, 0), a[1]),
            (entry(x, 1, 1), a[:, 1]),
            (Parts.of(jnp.asarray(a)), a),
        ]:
            np.testing.assert_allclose(found.merged(), expected, rtol=1e-14)
            assert found.shape == expected.shape
        np.testing.assert_allclose(x.power, abs(a) ** 2)
        np.testing.assert_array_equal(diagonal(x.real[:2]), np.diag(a.real))


@given(seed=st.integers(0, 10_000), exponent=st.floats(-12, 12))
def test_inverse_is_two_sided_and_hermitian_at_any_scale(seed, exponent):
    a = positive(np.random.default_rng(seed), 5) * 10.0**exponent
    found = np.asarray(INVERSE(parts(a)).merged(), complex)
    tolerance = 20 * np.finfo(np.float32).eps * np.linalg.cond(a)
    np.testing.assert_allclose(found @ a, np.eye(5), atol=tolerance)
    np.testing.assert_allclose(a @ found, np.eye(5), atol=tolerance)
    assert abs(found - found.conj().T).max() < tolerance * abs(found).max()


@given(seed=st.integers(0, 10_000), rank=st.integers(0, 6), exponent=st.floats(-12, 12))
def test_factors_of_semidefinite_matrices_reproduce_them(seed, rank, exponent):
    g = normal(np.random.default_rng(seed), 6, rank) * 10.0 ** (exponent / 2)
    a = g @ g.conj().T
    factor = np.asarray(CHOLESKY(parts(a)).merged(), complex)
    error = abs(factor @ factor.conj().T - a).max()
    assert error <= 100 * np.finfo(np.float32).eps * abs(a).max() + 1e-17


@pytest.mark.parametrize("function", [inverse, cholesky], ids=lambda f: f.__name__)
def test_vmap_equals_a_loop(function):
    with jax.enable_x64(True):
        a = parts(positive(np.random.default_rng(2), 4, 3))
        together = jax.jit(jax.vmap(function, in_axes=-1, out_axes=-1))(a).merged()
        alone = [jax.jit(function)(a[..., i]).merged() for i in range(3)]
        as_batch = jax.jit(function)(a).merged()
    np.testing.assert_allclose(together, np.stack(alone, -1), rtol=1e-12)
    np.testing.assert_allclose(together, as_batch, rtol=1e-12)


# Corners


def singular_matrices():
    rng = np.random.default_rng(3)
    x = normal(rng, 4, 1)
    hole = positive(rng, 4)
    hole[2], hole[:, 2] = 0, 0
    return {
        "zero": np.zeros((4, 4), complex),
        "ones": np.ones((4, 4), complex),
        "rank one": x @ x.conj().T,
        "zero row and column": hole,
        "small": 1e-30 * np.eye(4, dtype=complex),
    }


@precisions
def test_singular_matrices_have_finite_inverses_factors_and_gradients(double):
    a = np.stack(list(singular_matrices().values()), -1)

    @jax.jit
    def both(a):
        def total(a):
            found, factor = inverse(a), cholesky(a)
            value = factor.real.sum() + factor.imag.sum()
            # Ratios, since squares of the largest inverses have no place in single precision.
            return value + jnp.tanh(found.real).sum(), (found, factor)

        return jax.value_and_grad(total, has_aux=True)(a)

    with jax.enable_x64(double):
        (_, (found, factor)), gradients = both(parts(a))
        for leaf in jax.tree.leaves((found, factor, gradients)):
            assert np.all(np.isfinite(leaf))
        np.testing.assert_allclose(
            each(lambda f: f @ f.conj().swapaxes(-1, -2), np.asarray(factor.merged())), a, atol=2e-5
        )


def test_what_is_zero_leaves_the_rest_alone():
    a = singular_matrices()["zero row and column"]
    rest = np.array([0, 1, 3])
    grid = np.ix_(rest, rest)
    with jax.enable_x64(True):
        found, factor = INVERSE(parts(a)).merged(), CHOLESKY(parts(a)).merged()
    np.testing.assert_allclose(found[grid], np.linalg.inv(a[grid]), rtol=1e-10)
    np.testing.assert_allclose(factor[grid], np.linalg.cholesky(a[grid]), atol=1e-10)
    np.testing.assert_array_equal(found[2, rest], 0)


# Gradients


@pytest.mark.parametrize("function", [inverse, cholesky], ids=lambda f: f.__name__)
def test_gradients_are_finite_differences(function):
    """Of the Hermitian matrices A = G G^H + I."""
    rng = np.random.default_rng(4)

    def of_root(real, imag):
        root = Parts(real, imag).adjoint
        gram = adjoint_product(root, root)
        found = function(Parts(gram.real + jnp.eye(2), gram.imag))
        return found.real, found.imag

    with jax.enable_x64(True):
        root = jnp.asarray(rng.normal(size=(2, 2, 2)))
        check_grads(jax.jit(of_root), tuple(root), order=1, atol=1e-5, rtol=1e-5)


# No LAPACK, no hanging


@pytest.mark.timeout(120)
def test_independent_batched_solves_in_one_program_finish():
    """With LAPACK, jax 0.10 hangs two cores sooner or later in programs of this kind."""
    sizes = (512, 1024, 6656)

    @jax.jit
    def program(grams):
        solves = [
            (
                inverse(gram),
                inverse(Parts(gram.real + jnp.eye(10)[..., None], gram.imag)),
                cholesky(gram),
                singular_values(gram[..., :512]) if gram.shape[-1] < 6656 else gram,
            )
            for gram in grams
        ]
        return sum(leaf.sum() for leaf in jax.tree.leaves(solves))

    rng = np.random.default_rng(5)
    grams = []
    for size in sizes:
        channel = parts(normal(rng, 16, 10, size))
        grams.append(jax.block_until_ready(PRODUCT(channel, channel)))
    values = {float(program(grams)) for _ in range(30)}
    assert np.isfinite(values.pop())
    assert not values


def complex_shape(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.complex64)


KERNELS = {
    "zf": (zf_combiner, complex_shape(8, 4)),
    "mmse": (lambda h: mmse_combiner(h, 1.0), complex_shape(8, 4)),
    "mmse of many users": (lambda h: mmse_combiner(h, 1.0), complex_shape(4, 8)),
    "error-aware mmse": (
        lambda h, c: error_aware_mmse_combiner(h, 1.0, c),
        complex_shape(8, 4),
        complex_shape(8, 8),
    ),
    "correlation": (vector_correlation, *[complex_shape(4, 4)] * 3),
    "condition": (condition_number, complex_shape(8, 4)),
    "lmmse": (
        lambda h, y, mean, r: lmmse(h, y, mean, r, 0.1),
        *[complex_shape(4)] * 3,
        complex_shape(4, 4),
    ),
}


def custom_calls(function, *shapes):
    text = jax.jit(function).lower(*shapes).compile().as_text()
    return " ".join(re.findall(r'custom_call_target="([^"]*)"', text)).lower()


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compile_without_lapack(name):
    function, *arguments = KERNELS[name]
    batch = [jax.ShapeDtypeStruct((3, *a.shape), a.dtype) for a in arguments]
    assert "lapack" not in custom_calls(jax.vmap(function), *batch)


def test_correlated_fading_is_simulated_without_lapack():
    system = DistributedRician(
        num_aps=2,
        ap_antennas=3,
        num_users=2,
        rician_factor=1.0,
        covariance=ScatteringClusters(),
    )
    schemes = (mr_combiner, zf_combiner, mmse_combiner, error_aware_mmse_combiner)
    sample = se_sample(system, combiner=schemes, estimator=lmmse, realizations=4)
    assert "lapack" not in custom_calls(sample, jax.random.key(0))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="LAPACK serves CPUs")
def test_custom_calls_of_numpy_functions_name_lapack():
    assert "lapack" in custom_calls(jnp.linalg.inv, complex_shape(4, 4))


# Real symmetric matrices


@shapes
@precisions
def test_symmetric_inverse_is_that_of_numpy_and_vmap_equals_a_loop(size, batch, double):
    a = positive(np.random.default_rng(size), size, *batch, 2).real
    precision, tolerance = of_precision(double)
    with precision:
        a = jnp.asarray(a, jnp.result_type(float))
        found = jax.jit(symmetric_inverse)(a)
        assert found.dtype == a.dtype
        np.testing.assert_allclose(found, each(np.linalg.inv, np.asarray(a)), atol=tolerance)
        mapped = jax.jit(jax.vmap(symmetric_inverse, in_axes=-1, out_axes=-1))(a)
        np.testing.assert_allclose(mapped, found, atol=tolerance)


@precisions
def test_singular_symmetric_matrices_have_finite_inverses_and_gradients(double):
    a = np.stack([matrix.real for matrix in singular_matrices().values()], -1)

    def total(a):
        return jnp.tanh(symmetric_inverse(a)).sum()

    with jax.enable_x64(double):
        a = jnp.asarray(a, jnp.result_type(float))
        for leaf in jax.jit(lambda a: (symmetric_inverse(a), jax.grad(total)(a)))(a):
            assert np.all(np.isfinite(leaf))


def test_gradient_of_the_symmetric_inverse_is_finite_differences():
    def of_root(root):
        return symmetric_inverse(
            jnp.einsum("im...,km...->ik...", root, root) + jnp.eye(3)[..., None]
        )

    with jax.enable_x64(True):
        root = jnp.asarray(np.random.default_rng(6).normal(size=(3, 3, 2)))
        check_grads(jax.jit(of_root), (root,), order=1, atol=1e-5, rtol=1e-5)
