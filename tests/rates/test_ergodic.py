"""Ergodic rates of fixed precoders against quadrature, the exponential integral and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expi

from jaxmimo.rates.ergodic import ergodic_rates
from tests.reference import beamforming_3d as reference

RATES = jax.jit(ergodic_rates)


def covariances(seed, users, antennas):
    """Real covariances (users, antennas, antennas) of trace `antennas`."""
    g = np.random.default_rng(seed).normal(size=(users, antennas, antennas))
    r = g @ g.swapaxes(1, 2)
    return r * (antennas / np.trace(r, axis1=1, axis2=2))[:, None, None]


def precoders(seed, users, antennas):
    a = np.random.default_rng(seed).normal(size=(users, antennas))
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def case(seed=0, users=5, antennas=4, exponent=1.5):
    """Covariances, path gains over three powers of ten, precoders and the gains of them."""
    r, a = covariances(seed, users, antennas), precoders(seed + 1, users, antennas)
    beta = 10.0 ** np.random.default_rng(seed + 2).uniform(-exponent, exponent, users)
    return r, beta, a, beta[:, None, None] * (a @ r @ a.T)


@pytest.mark.parametrize(("users", "antennas"), [(1, 3), (2, 2), (5, 4), (3, 8)])
@pytest.mark.parametrize("snr", [0.01, 1.0, 1e4])
def test_rates_are_those_of_quadrature(users, antennas, snr, verified):
    r, beta, a, gains = case(0, users, antennas)
    expected = reference.fixed_rate(r, np.ones((users, 1, 1)), beta, a, snr, 1.0)
    with jax.enable_x64(True):
        found = RATES(snr * gains)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    name = "Ours, ergodic rates of fixed precoders"
    verified(name, "quadrature", found, expected, atol=1e-7)
    single = RATES(jnp.asarray(snr * gains, jnp.float32))
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-5)


def test_one_user_has_the_exponential_integral(verified):
    snr = 10.0 ** np.arange(-6, 9)
    inverse = 1.0 / snr
    with np.errstate(over="ignore", invalid="ignore"):
        expected = -np.exp(inverse) * expi(-inverse) / np.log(2)
    # Its series where the exponential overflows.
    weak = inverse > 500
    expected[weak] = (snr - snr**2 + 2 * snr**3)[weak] / np.log(2)
    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(ergodic_rates))(jnp.asarray(snr)[:, None, None, None])[:, 0]
    verified(
        "Ours, ergodic rate of one user",
        "exponential integral of SciPy",
        found,
        expected,
        rtol=2e-7,
    )


def test_rates_are_means_over_draws(assert_mean):
    _, _, _, gains = case(4)
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        expected = np.asarray(RATES(gains))
    for k in range(len(gains)):
        white = (rng.normal(size=(5, 40_000)) + 1j * rng.normal(size=(5, 40_000))) / np.sqrt(2)
        # Gains have rank 4, the number of antennas.
        values, vectors = np.linalg.eigh(gains[k])
        powers = abs(vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * white)) ** 2
        ratio = powers[k] / (1 + powers.sum(0) - powers[k])
        assert_mean(np.log2(1 + ratio), expected[k], largest_error=0.02 * expected[k] + 1e-3)


def test_users_may_come_in_any_order():
    _, _, _, gains = case(6)
    order = np.array([3, 0, 4, 1, 2])
    with jax.enable_x64(True):
        shuffled = RATES(gains[order][:, order][:, :, order])
        np.testing.assert_allclose(shuffled, np.asarray(RATES(gains))[order], rtol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, 1e12, 1e25])
def test_no_scale_gives_nan(scale):
    _, _, _, gains = case(7)
    gains = jnp.asarray(scale * gains, jnp.float32)
    rates, gradient = jax.jit(jax.value_and_grad(lambda g: ergodic_rates(g).sum()))(gains)
    assert np.isfinite(rates), rates
    assert rates >= 0
    assert np.all(np.isfinite(gradient))
    if scale == 0:
        assert rates == 0


def test_users_at_one_place_with_one_precoder_have_equal_and_finite_rates():
    rates = np.asarray(RATES(jnp.full((3, 3, 3), 1e6, jnp.float32)))
    # |y|^2 / (1 + 2 |y|^2) of strong gains.
    np.testing.assert_allclose(rates, np.log2(1.5), rtol=1e-3)


def test_gradient_is_finite_differences():
    r, beta, a, _ = case(8)

    def total(beta, a):
        gains = beta[:, None, None] * jnp.einsum("um,kmp,vp->kuv", a, r, a)
        return ergodic_rates(gains).sum()

    rng = np.random.default_rng(9)
    with jax.enable_x64(True):
        run = jax.jit(total)
        gradients = jax.jit(jax.grad(total, (0, 1)))(beta, a)
        for i, gradient in enumerate(gradients):
            direction = rng.normal(size=gradient.shape)
            ends = []
            for sign in (1, -1):
                point = [beta, a]
                point[i] = point[i] + sign * 1e-6 * direction
                ends.append(float(run(*point)))
            difference = (ends[0] - ends[1]) / 2e-6
            np.testing.assert_allclose((gradient * direction).sum(), difference, rtol=1e-6)
