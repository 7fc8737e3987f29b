"""Correlation of random vectors and condition of channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.core.small_matrices import Parts
from jaxmimo.rates.metrics import (
    condition_number,
    condition_of,
    correlation_of_factors,
    vector_correlation,
)
from tests.reference import distributed_rician as reference

CORRELATION, CONDITION = jax.jit(vector_correlation), jax.jit(condition_number)


def normal(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def as_jax(array):
    return jnp.asarray(array, jnp.result_type(complex))


def correlation(*covariances):
    return complex(CORRELATION(*map(as_jax, covariances)))


def positive(rng, size):
    g = normal(rng, size, size + 1)
    return g @ g.conj().T


# Vector correlation


@pytest.mark.parametrize("is_real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_optimal_coupling_is_correlated_fully(size, is_real):
    """Y = T X with T = Sx^-1/2 (Sx^1/2 Sy Sx^1/2)^1/2 Sx^-1/2 has the largest trace of all."""
    rng = np.random.default_rng(size)
    x, y = (positive(rng, size) for _ in range(2))
    if is_real:
        x, y = x.real, y.real
    root = reference.covariance_factor(x)
    middle = reference.covariance_factor(root @ y @ root)
    transport = np.linalg.inv(root) @ middle @ np.linalg.inv(root)
    np.testing.assert_allclose(transport @ x @ transport, y, atol=1e-10)
    with jax.enable_x64(True):
        np.testing.assert_allclose(correlation(x, y, x @ transport), 1.0, rtol=1e-12)


def test_a_vector_is_correlated_fully_with_its_multiples():
    sigma = positive(np.random.default_rng(0), 4)
    with jax.enable_x64(True):
        for factor in (1.0, -3.0, 0.01j):
            found = correlation(sigma, abs(factor) ** 2 * sigma, np.conj(factor) * sigma)
            np.testing.assert_allclose(found, np.conj(factor) / abs(factor), atol=1e-12)


@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_correlation_is_the_definition(double, verified):
    rng = np.random.default_rng(1)
    g = normal(rng, 8, 9)
    joint = g @ g.conj().T
    blocks = joint[:4, :4], joint[4:, 4:], joint[:4, 4:]
    with jax.enable_x64(double):
        found = correlation(*blocks)
    expected = reference.vector_correlation(*blocks)
    np.testing.assert_allclose(found, expected, rtol=1e-12 if double else 1e-4)
    if double:
        name = "Tominaga et al., vector correlation (15)"
        verified(name, "matrix roots of the definition", found, expected, rtol=1e-12)


@given(seed=st.integers(0, 10_000), rank=st.integers(1, 7), exponent=st.floats(-8, 8))
def test_correlation_never_exceeds_one(seed, rank, exponent):
    g = normal(np.random.default_rng(seed), 6, rank)
    g[3:] *= 10.0**exponent
    joint = g @ g.conj().T
    blocks = joint[:3, :3], joint[3:, 3:], joint[:3, 3:]
    assert abs(correlation(*blocks)) <= 1 + 1e-3
    with jax.enable_x64(True):
        assert abs(correlation(*blocks)) <= 1 + 1e-9


@given(
    seed=st.integers(0, 10_000),
    x_db=st.floats(-30, 60),
    y_db=st.floats(-30, 60),
    antennas=st.sampled_from([1, 2, 4]),
)
def test_correlation_of_rician_vectors_at_one_ap_is_the_closed_form(seed, x_db, y_db, antennas):
    check_closed_form(seed, 10 ** (x_db / 10), 10 ** (y_db / 10), antennas)


@pytest.mark.parametrize("kappas", [(1e9, 1e9), (1e15, 1e15), (0.5, 1e12), (np.inf, np.inf)])
def test_closed_form_holds_up_to_line_of_sight_alone(kappas):
    check_closed_form(3, *kappas, 4)


def check_closed_form(seed, x_kappa, y_kappa, antennas):
    angles = np.random.default_rng(seed).uniform(-np.pi, np.pi, 2)
    u, v = (reference.steering(angle, antennas, 0.5) for angle in angles)

    def shares(kappa):
        return (1.0, 0.0) if np.isinf(kappa) else (kappa / (1 + kappa), 1 / (1 + kappa))

    (a_x, b_x), (a_y, b_y) = shares(x_kappa), shares(y_kappa)
    x = a_x * np.outer(u, u.conj()) + b_x * np.eye(antennas)
    y = a_y * np.outer(v, v.conj()) + b_y * np.eye(antennas)
    with jax.enable_x64(True):
        found = correlation(x, y, np.sqrt(a_x * a_y) * np.outer(u, v.conj()))
    largest = [min(kappa, 1e300) for kappa in (x_kappa, y_kappa)]
    expected = reference.one_ap_correlation(u, v, *largest)
    overlap = abs(np.vdot(u, v)) / antennas
    # Where line of sight alone is orthogonal, the quotient is 0 / 0 and rounding decides.
    np.testing.assert_allclose(found, expected, atol=1e-9 / min(1.0, overlap + 1e-9))


@given(seed=st.integers(0, 10_000), x_rank=st.integers(0, 4), y_rank=st.integers(0, 4))
def test_singular_covariances_have_a_finite_correlation(seed, x_rank, y_rank):
    rng = np.random.default_rng(seed)
    x, y = normal(rng, 4, x_rank), normal(rng, 4, y_rank)
    shared = min(x_rank, y_rank)
    cross = x[:, :shared] @ y[:, :shared].conj().T
    blocks = x @ x.conj().T, y @ y.conj().T, cross
    found = correlation(*blocks)
    assert np.isfinite(found)
    assert abs(found) <= 1 + 1e-3
    if shared == 0:
        assert found == 0
    else:
        np.testing.assert_allclose(found, reference.vector_correlation(*blocks), atol=0.02)


def test_factors_of_any_width_and_batches_give_the_same_correlation():
    rng = np.random.default_rng(2)
    x, y = normal(rng, 4, 2, 3), normal(rng, 4, 5, 3)
    trace = np.einsum("mib,mib->b", y[:, :2].conj(), x)
    with jax.enable_x64(True):
        of_factors = jax.jit(correlation_of_factors)
        found = of_factors(Parts.of(as_jax(x)), Parts.of(as_jax(y)), as_jax(trace))
    for i in range(3):
        sigma_x, sigma_y = (f[..., i] @ f[..., i].conj().T for f in (x, y))
        cross = x[..., i] @ y[:, :2, i].conj().T
        expected = reference.vector_correlation(sigma_x, sigma_y, cross)
        np.testing.assert_allclose(found[i], expected, rtol=1e-6)  # the reference takes roots


def test_correlation_is_differentiable_and_maps_over_batches():
    rng = np.random.default_rng(3)
    g = np.stack([normal(rng, 4, 5) for _ in range(2)])

    def modulus(real, imag):
        g = jax.lax.complex(real, imag)
        joint = g @ g.conj().T
        return jnp.abs(vector_correlation(joint[:2, :2], joint[2:, 2:], joint[:2, 2:]))

    with jax.enable_x64(True):
        together = jax.jit(jax.vmap(modulus))(jnp.asarray(g.real), jnp.asarray(g.imag))
        alone = [jax.jit(modulus)(jnp.asarray(x.real), jnp.asarray(x.imag)) for x in g]
        np.testing.assert_allclose(together, alone, rtol=1e-10)
        check_grads(
            jax.jit(modulus), (jnp.asarray(g[0].real), jnp.asarray(g[0].imag)), order=1, rtol=1e-5
        )


# Condition number


@given(seed=st.integers(0, 10_000))
def test_condition_number_is_that_of_numpy(seed):
    h = normal(np.random.default_rng(seed), 5, 4)
    np.testing.assert_allclose(CONDITION(as_jax(h)), np.linalg.cond(h), rtol=1e-4)
    with jax.enable_x64(True):
        np.testing.assert_allclose(CONDITION(as_jax(h)), np.linalg.cond(h), rtol=1e-11)


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 6), (7, 2), (1, 5)], ids=str)
def test_condition_number_of_any_shape(shape, verified):
    h = normal(np.random.default_rng(4), *shape)
    with jax.enable_x64(True):
        found = CONDITION(as_jax(h))
    verified(
        "Tominaga et al., condition number (17)",
        "numpy.linalg.cond",
        found,
        np.linalg.cond(h),
        rtol=1e-11,
    )
    np.testing.assert_allclose(found, reference.condition_number(h), rtol=1e-11)


@given(seed=st.integers(0, 10_000), exponent=st.floats(0, 5))
def test_single_precision_resolves_condition_numbers_of_users_of_unlike_gain(seed, exponent):
    rng = np.random.default_rng(seed)
    h = normal(rng, 8, 4) * 10.0 ** -np.linspace(0, exponent, 4)
    h = np.asarray(h, np.complex64)
    np.testing.assert_allclose(CONDITION(as_jax(h)), np.linalg.cond(h.astype(complex)), rtol=1e-4)


def test_single_precision_is_close_at_a_condition_of_1e5():
    """Rounding the entries alone moves the smallest singular value by a few per cent of 1e-5."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        u, v = (np.linalg.qr(normal(rng, 6, 6))[0] for _ in range(2))
        h = (u * np.array([1, 0.5, 0.1, 1e-2, 1e-3, 1e-5])) @ v
        single = CONDITION(as_jax(h))
        with jax.enable_x64(True):
            double = CONDITION(as_jax(h))
        np.testing.assert_allclose(double, 1e5, rtol=1e-9)
        np.testing.assert_allclose(single, double, rtol=0.05)


def test_singular_channels_have_an_infinite_condition_number():
    h = normal(np.random.default_rng(6), 5, 3)
    h[:, 1] = 0
    assert CONDITION(as_jax(h)) == np.inf
    assert CONDITION(as_jax(np.zeros((5, 3)))) == np.inf
    h[:, 1] = h[:, 0]
    assert CONDITION(as_jax(h)) > 1e6
    np.testing.assert_array_equal(condition_of(jnp.array([[2.0, 0.0], [1.0, 0.0]])), [2, np.inf])


@given(seed=st.integers(0, 10_000), exponent=st.floats(-30, 30))
def test_condition_number_ignores_scale_rotations_and_the_order_of_users(seed, exponent):
    rng = np.random.default_rng(seed)
    h = normal(rng, 5, 4)
    q = np.linalg.qr(normal(rng, 5, 5))[0]
    changed = q @ h[:, rng.permutation(4)] * 10.0**exponent
    np.testing.assert_allclose(CONDITION(as_jax(changed)), CONDITION(as_jax(h)), rtol=1e-4)


def test_gradient_of_the_condition_number_is_the_finite_difference():
    h = normal(np.random.default_rng(7), 5, 4)

    def of_parts(real, imag):
        return condition_number(jax.lax.complex(real, imag))

    with jax.enable_x64(True):
        check_grads(
            jax.jit(of_parts), (jnp.asarray(h.real), jnp.asarray(h.imag)), order=1, rtol=1e-5
        )


@pytest.mark.parametrize("kind", ["identity", "zero", "zero column"])
def test_gradient_of_the_condition_number_is_finite_at_the_corners(kind):
    h = np.eye(4) if kind == "identity" else np.zeros((4, 4))
    if kind == "zero column":
        h = np.array(normal(np.random.default_rng(8), 4, 4).real)
        h[:, 2] = 0

    def log_condition(h):
        return 1 / condition_number(h.astype(jnp.result_type(complex)))

    gradient = jax.jit(jax.grad(log_condition))(jnp.asarray(h, jnp.float32))
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)], ids=str)
def test_empty_channels_are_refused_in_one_line(shape):
    with pytest.raises(ValueError, match="`h` must not be empty") as error:
        condition_number(jnp.zeros(shape, complex))
    assert "\n" not in str(error.value)
