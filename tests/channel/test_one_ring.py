"""One-ring covariances against two independent computations of the integral."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import jv

from jaxmimo.channel.antennas import ula_steering
from jaxmimo.channel.correlation import one_ring_covariance

jitted = jax.jit(one_ring_covariance, static_argnums=(0, 3))
CASES = [(0.0, 0.17), (0.7, 0.02), (-1.3, 0.35), (3.1, 1e-4), (np.pi / 2, 0.35)]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def one_ring(num_antennas, angle, spread, spacing=0.5, x64=True):
    with jax.enable_x64(x64):
        return np.asarray(jitted(num_antennas, angle, spread, spacing))


def by_quadrature(num_antennas, angle, spread, spacing):
    """First column, by Gauss and Legendre."""
    phase = 2 * np.pi * spacing * np.arange(num_antennas)
    return np.exp(-1j * np.outer(phase, np.sin(angle + spread * NODES))) @ WEIGHTS / 2


@lru_cache(maxsize=1)
def bessel(num_antennas, spacing):
    phase = 2 * np.pi * spacing * np.arange(num_antennas)
    reach = int(phase[-1] + 20 * np.cbrt(phase[-1]) + 30)
    order = np.arange(-reach, reach + 1)
    return order, jv(order, phase[:, None])


def by_series(num_antennas, angle, spread, spacing):
    """First column, by Jacobi and Anger over positive and negative orders."""
    order, table = bessel(num_antennas, spacing)
    return table @ (np.exp(-1j * order * angle) * np.sinc(order * spread / np.pi))


@pytest.mark.parametrize(("num_antennas", "spacing"), [(1, 0.5), (12, 0.4), (64, 0.5), (256, 0.5)])
def test_exact(num_antennas, spacing, verified):
    for angle, spread in CASES + [(-2.5, 1.5)] * (num_antennas < 100):
        column = one_ring(num_antennas, angle, spread, spacing)[:, 0]
        for reference in (by_quadrature, by_series):
            expected = reference(num_antennas, angle, spread, spacing)
            verified(
                "Fan et al., one-ring covariance (4)",
                "quadrature; Bessel series",
                column,
                expected,
                atol=1e-10,
            )


def test_published_row_is_that_of_the_mirrored_angle():
    """Codes with the conjugate convention find this for 15 degrees about 30."""
    row = [1, 0.0153 - 0.9184j, -0.6976 - 0.0168j, 0.0014 + 0.4012j]
    covariance = one_ring(4, np.pi / 6, np.pi / 12)
    np.testing.assert_allclose(covariance[0].conj(), row, atol=6e-5)
    np.testing.assert_allclose(covariance[:, 0], row, atol=6e-5)
    np.testing.assert_allclose(one_ring(4, -np.pi / 6, np.pi / 12)[0], row, atol=6e-5)


def test_no_spread_leaves_the_direct_path():
    wave = np.exp(-1j * np.pi * np.arange(64) * np.sin(0.7))
    np.testing.assert_allclose(one_ring(64, 0.7, 0.0), np.outer(wave, wave.conj()), atol=1e-12)


def test_mean_over_the_ring():
    angle = 0.4 + 0.25 * (2 * np.arange(4000) + 1 - 4000) / 4000  # the midpoint rule
    waves = np.asarray(ula_steering(6, jnp.asarray(angle)))
    mean = waves.T @ waves.conj() / len(angle)
    np.testing.assert_allclose(one_ring(6, 0.4, 0.25, x64=False), mean, atol=3e-6)


def test_gradients_and_batches():
    with jax.enable_x64(True):
        for angle, spread in ((0.4, 0.2), (-1.5, 1e-3), (0.3, 0.0)):
            check_grads(lambda a, s: jitted(6, a, s), (angle, spread), order=1, eps=1e-5)
    angle, spread = jnp.linspace(-3, 3, 4), jnp.linspace(0, 0.3, 4)
    batch = jax.jit(jax.vmap(lambda a, s: one_ring_covariance(12, a, s)))(angle, spread)
    assert batch.dtype == jnp.complex64
    for covariance, a, s in zip(batch, angle, spread, strict=True):
        np.testing.assert_allclose(covariance, jitted(12, a, s), atol=1e-5)
