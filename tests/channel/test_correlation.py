"""Covariances against independent quadrature, exact limits, and the properties they must have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.special import j0

from jaxmimo.channel.antennas import ula_steering
from jaxmimo.channel.correlation import (
    gaussian_law,
    laplace_law,
    local_scattering_covariance,
    uniform_law,
)

LAWS = {"gaussian": gaussian_law, "uniform": uniform_law, "laplace": laplace_law}
jitted_local = jax.jit(local_scattering_covariance, static_argnums=(0, 3, 4))

# Reference: composite Gauss-Legendre quadrature over the deviation


def density(law, deviation, std):
    if law == "gaussian":
        return np.exp(-((deviation / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))
    if law == "uniform":
        return np.full_like(deviation, 1 / (2 * np.sqrt(3) * std))
    return np.exp(-np.sqrt(2) * abs(deviation) / std) / (np.sqrt(2) * std)


def quadrature(num_antennas, angle, std, law, spacing):
    """First column of the covariance."""
    reach = {"gaussian": 9.5, "uniform": np.sqrt(3), "laplace": 28.0}[law] * std
    z = 2 * np.pi * spacing * np.arange(num_antennas)
    # An even number of panels, so that the cusp of the Laplace density falls between two.
    panels = 2 * int(np.ceil(max(20, reach * z[-1] / 12)))
    edges = np.linspace(-reach, reach, panels + 1)
    node, weight = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    deviation = (edges[:-1, None] + half * (1 + node)).ravel()
    weight = (half * weight).ravel() * density(law, deviation, std)
    sine = np.sin(angle + deviation)
    return np.array([weight @ np.exp(-1j * lag * sine) for lag in z])


def local(num_antennas, angle, std, spacing=0.5, law="gaussian", x64=True):
    with jax.enable_x64(x64):
        return np.asarray(jitted_local(num_antennas, angle, std, spacing, LAWS[law]))


CASES = [(0.0, 0.17), (0.75, 0.02), (-1.25, 0.5), (3.0, 1e-3), (np.pi / 2, 0.17)]
WRAPPING = [(0.5, 2.0), (-2.0, 5.0)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("num_antennas", "spacing", "cases"),
    [
        (1, 0.5, CASES + WRAPPING),
        (2, 0.05, CASES + WRAPPING),
        (16, 0.5, CASES + WRAPPING),
        (20, 1.3, CASES + WRAPPING),
        (256, 0.5, CASES),
    ],
)
def test_local_scattering_is_exact(law, num_antennas, spacing, cases, verified):
    for angle, std in cases:
        column = quadrature(num_antennas, angle, std, law, spacing)
        assert abs(column[0] - 1) < 1e-12  # the reference itself
        covariance = local(num_antennas, angle, std, spacing, law)
        verified(
            "Ours, covariance of local scattering",
            "quadrature",
            covariance[:, 0],
            column,
            atol=2e-12,
        )


@pytest.mark.parametrize("num_antennas", [16, 256])
@pytest.mark.parametrize("law", LAWS)
def test_single_precision(law, num_antennas):
    # One unit in the last place of an angle near pi, at the longest lag.
    atol = 2e-6 + np.pi * (num_antennas - 1) * 2.0**-22
    for angle, std in CASES:
        angle, std = np.float32(angle), np.float32(std)
        double = local(num_antennas, float(angle), float(std), law=law)
        single = local(num_antennas, angle, std, law=law, x64=False)
        assert single.dtype == np.complex64
        np.testing.assert_allclose(single, double, rtol=0, atol=atol)
        # Rounding leaves it positive semidefinite but for the rounding of its own trace.
        if num_antennas < 100 or std < 0.01:
            assert np.linalg.eigvalsh(single.astype(complex))[0] > -1e-6 * num_antennas


@given(
    st.floats(-np.pi, np.pi),
    st.floats(0, 4),
    st.sampled_from([0.1, 0.5, 1.0]),
    st.sampled_from(sorted(LAWS)),
)
def test_a_covariance_has_its_properties(angle, std, spacing, law):
    covariance = local(12, angle, std, spacing, law)
    assert np.all(np.diag(covariance) == 1)
    np.testing.assert_array_equal(covariance, covariance.conj().T)
    np.testing.assert_array_equal(covariance[1:, 1:], covariance[:-1, :-1])  # Toeplitz
    assert np.linalg.eigvalsh(covariance)[0] > -1e-13
    # The array cannot tell front from back, nor angles a whole turn apart.
    for same in (np.pi - angle, angle + 2 * np.pi):
        np.testing.assert_allclose(local(12, same, std, spacing, law), covariance, atol=1e-12)
    mirrored = local(12, -angle, std, spacing, law)
    np.testing.assert_allclose(mirrored, covariance.conj(), atol=1e-12)


@pytest.mark.parametrize("law", LAWS)
def test_no_deviation_leaves_the_direct_path(law):
    for angle in (0.0, 0.7, -2.0):
        steering = np.exp(-1j * np.pi * np.arange(256) * np.sin(angle))
        expected = np.outer(steering, steering.conj())
        np.testing.assert_allclose(local(256, angle, 0.0, law=law), expected, atol=2e-12)


def test_scattering_from_all_around_is_that_of_clarke():
    lag = np.arange(32)
    covariance = local(32, 0.4, 20.0, 0.37)
    np.testing.assert_allclose(covariance[:, 0], j0(2 * np.pi * 0.37 * lag), atol=1e-14)
    # Uniform over one whole turn is the same.
    covariance = local(32, 0.4, np.pi / np.sqrt(3), 0.37, "uniform")
    np.testing.assert_allclose(covariance[:, 0], j0(2 * np.pi * 0.37 * lag), atol=1e-13)


def test_covariance_is_that_of_random_steering_vectors(assert_mean):
    angle = 0.6 + 0.3 * np.random.default_rng(1).standard_normal(50_000)
    steering = np.asarray(ula_steering(4, jnp.asarray(angle, jnp.float32)))
    covariance = local(4, 0.6, 0.3)
    for i, j in ((1, 0), (0, 1), (3, 0), (3, 1)):
        product = steering[:, i] * steering[:, j].conj()
        assert_mean(product.real, covariance[i, j].real, largest_error=4e-3)
        assert_mean(product.imag, covariance[i, j].imag, largest_error=4e-3)


# Laws


@pytest.mark.parametrize("law", LAWS)
def test_laws_have_the_standard_deviation(law):
    with jax.enable_x64(True):
        # chi(n) = 1 - n^2 sigma^2 / 2 + ...
        values = LAWS[law](jnp.arange(3.0), jnp.asarray(1e-4))
        np.testing.assert_allclose(1 - values, np.arange(3) ** 2 * 1e-8 / 2, rtol=1e-5)
        assert values[0] == 1


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("law", LAWS)
def test_gradients_of_laws_are_accurate_down_to_zero(law, x64):
    tolerance = 1e-12 if x64 else 3e-6
    with jax.enable_x64(x64):
        for std in (0.0, 1e-20, 1e-6, 1e-3, 0.05, 0.2, 0.288, 0.29, 1.0):
            gradient = jax.grad(lambda s: LAWS[law](jnp.ones(1), s)[0])(jnp.asarray(std))
            s = np.float64(jnp.asarray(std))
            u = np.sqrt(3) * s
            expected = {
                "gaussian": -s * np.exp(-(s**2) / 2),
                "laplace": -s / (1 + s**2 / 2) ** 2,
                "uniform": -s if u < 1e-2 else np.sqrt(3) * (np.cos(u) / u - np.sin(u) / u**2),
            }[law]
            series = 2e-5 if law == "uniform" and 0 < u < 1e-2 else 0  # next: 3 u^2 / 10 s
            np.testing.assert_allclose(gradient, expected, rtol=tolerance * 20 + series, atol=1e-30)


@pytest.mark.parametrize("law", LAWS)
def test_gradients_of_the_covariance(law):
    with jax.enable_x64(True):
        function = lambda angle, std: local_scattering_covariance(  # noqa: E731
            6, angle, std, 0.5, LAWS[law]
        )
        for angle, std in ((0.4, 0.2), (-1.5, 0.05), (2.0, 1.5)):
            check_grads(jax.jit(function), (angle, std), order=1, eps=1e-5)
        gradient = jax.jit(jax.jacfwd(function, argnums=1))(0.4, 0.0)
        np.testing.assert_allclose(gradient, 0, atol=1e-15)


def test_batches_and_compilation():
    angle, std = jnp.linspace(-3, 3, 10).reshape(2, 5), jnp.linspace(0, 1, 10).reshape(2, 5)
    single = jax.jit(lambda a, s: local_scattering_covariance(8, a, s))
    batch = jax.jit(jax.vmap(jax.vmap(single)))(angle, std)
    for place in np.ndindex(2, 5):
        np.testing.assert_allclose(batch[place], single(angle[place], std[place]), atol=2e-6)
