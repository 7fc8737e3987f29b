"""The hardening bound against its definition."""

import jax.numpy as jnp
import numpy as np

from jaxmimo.rates.bounds import hardening_se


def test_hardening_se_equals_its_definition(verified):
    rng = np.random.default_rng(0)
    cross = 0.4 * (rng.normal(size=(5, 3, 3)) + 1j * rng.normal(size=(5, 3, 3)))
    noise = rng.normal(size=(5, 3, 6)) + 1j * rng.normal(size=(5, 3, 6))
    covariance = cross @ cross.conj().swapaxes(-1, -2) + noise @ noise.conj().swapaxes(-1, -2)
    inverse = np.linalg.inv(covariance - cross @ cross.conj().swapaxes(-1, -2))
    matrix = np.eye(3) + cross.conj().swapaxes(-1, -2) @ inverse @ cross
    expected = 0.8 * np.log2(np.linalg.det(matrix).real)
    ours = hardening_se(jnp.asarray(cross), jnp.asarray(covariance), 0.8)
    verified("Sutton et al., SE from moments (24)", "its definition", ours, expected, rtol=1e-4)


def test_single_antenna_is_the_scalar_formula():
    signal, total = 1.7, 5.2
    ours = hardening_se(jnp.full((1, 1), signal + 0j), jnp.full((1, 1), total + 0j), 1.0)
    np.testing.assert_allclose(ours, np.log2(1 + signal**2 / (total - signal**2)), rtol=1e-5)
