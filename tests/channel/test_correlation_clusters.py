"""Scattering clusters, and the schemes that share the signature of a `Covariance`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.channel.correlation import (
    LocalScattering,
    ScatteringClusters,
    clustered_covariance,
    laplace_law,
    local_scattering_covariance,
    uncorrelated,
)

KEY = jax.random.key(3)
jitted_clusters = jax.jit(clustered_covariance, static_argnums=0)
jitted_local = jax.jit(local_scattering_covariance, static_argnums=(0, 3, 4))


@given(
    st.sampled_from([1, 4]).flatmap(
        lambda n: st.lists(st.floats(-1.5, 1.5), min_size=n, max_size=n)
    ),
    st.floats(0, 0.5),
    st.floats(0.2, 1),
)
def test_clusters_by_definition(angles, std, spacing):
    with jax.enable_x64(True):
        covariance = np.asarray(jitted_clusters(7, jnp.array(angles), std, spacing))
    expected = np.zeros((7, 7), complex)
    for row in range(7):
        for column in range(7):
            z = 2 * np.pi * spacing * (row - column)
            for angle in angles:
                wave = np.exp(-1j * z * np.sin(angle) - (z * std * np.cos(angle)) ** 2 / 2)
                expected[row, column] += wave / len(angles)
    np.testing.assert_allclose(covariance, expected, atol=1e-13)
    assert np.linalg.eigvalsh(covariance)[0] > -1e-13


def test_one_narrow_cluster_is_local_scattering():
    differences = []
    with jax.enable_x64(True):
        for std in (0.002, 0.001):
            clustered = jitted_clusters(8, jnp.array([0.5]), std)
            differences.append(np.max(abs(clustered - jitted_local(8, 0.5, std))))
    # The sine's mean, too, is displaced, by sin(angle) std^2 / 2.
    displacement = 7 * np.pi * np.sin(0.5) * 0.002**2 / 2
    np.testing.assert_allclose(differences[0], displacement, rtol=0.01)
    np.testing.assert_allclose(differences[0] / differences[1], 4, rtol=0.01)


def test_clusters_in_single_precision():
    angles = np.linspace(-1, 1, 6, dtype=np.float32)
    for num_antennas, atol in ((16, 2e-6), (256, 3e-5)):
        single = np.asarray(jitted_clusters(num_antennas, jnp.asarray(angles), 0.05))
        with jax.enable_x64(True):
            double = jitted_clusters(
                num_antennas, jnp.asarray(angles, float), float(np.float32(0.05))
            )
        np.testing.assert_allclose(single, double, atol=atol)
        assert np.all(np.diag(single) == 1)
        assert np.linalg.eigvalsh(single.astype(complex))[0] > -1e-6 * num_antennas


def test_gradients_of_clusters():
    with jax.enable_x64(True):
        angles = jnp.array([0.1, -0.7, 1.2])
        check_grads(
            jax.jit(lambda a, s: clustered_covariance(5, a, s)), (angles, 0.1), order=1, eps=1e-5
        )


# Schemes


def test_schemes_share_a_signature():
    for scheme in (uncorrelated, LocalScattering(angular_std=0.1), ScatteringClusters()):
        for num_antennas in (1, 5):
            draw = jax.jit(lambda key, s=scheme, n=num_antennas: s(key, n, 0.3, 0.5))
            covariance = np.asarray(draw(KEY))
            assert covariance.shape == (num_antennas, num_antennas)
            assert covariance.dtype == np.complex64
            np.testing.assert_array_equal(np.diag(covariance), 1)


def test_uncorrelated_is_the_identity():
    np.testing.assert_array_equal(uncorrelated(KEY, 4, 0.3, 0.5), np.eye(4))


def test_local_scattering_scheme():
    scheme = LocalScattering(angular_std=0.1, law=laplace_law)
    expected = jitted_local(6, 0.3, 0.1, 0.4, laplace_law)
    np.testing.assert_array_equal(scheme(KEY, 6, 0.3, 0.4), expected)


def test_cluster_scheme_averages_to_its_law(assert_mean):
    scheme = ScatteringClusters(angular_std=0.1, num_clusters=3, spread=0.5)
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(5000))
    draws = np.asarray(jax.jit(jax.vmap(lambda key: scheme(key, 3, 0.2, 0.5)))(keys))
    angles = 0.2 + 0.5 * (2 * (np.arange(10_000) + 0.5) / 10_000 - 1)
    with jax.enable_x64(True):
        expected = np.asarray(clustered_covariance(3, jnp.asarray(angles), 0.1))
    for row in (1, 2):
        assert_mean(draws[:, row, 0].real, expected[row, 0].real, largest_error=0.01)
        assert_mean(draws[:, row, 0].imag, expected[row, 0].imag, largest_error=0.01)


def test_cluster_scheme_stays_within_its_spread():
    scheme = ScatteringClusters(angular_std=0.0, num_clusters=1, spread=np.pi / 6)
    keys = jax.random.split(KEY, 30)
    draws = jax.jit(jax.vmap(lambda key: scheme(key, 2, 0.0, 0.5)))(keys)
    assert 0.8 * np.pi / 2 < np.max(abs(np.angle(draws[:, 0, 1]))) < np.pi / 2
    still = ScatteringClusters(angular_std=0.1, spread=0.0)(KEY, 4, 0.3, 0.5)
    np.testing.assert_allclose(still, clustered_covariance(4, jnp.array([0.3]), 0.1), atol=1e-6)


def test_defaults_are_those_of_the_paper():
    scheme = ScatteringClusters()
    np.testing.assert_allclose(np.rad2deg(scheme.angular_std), 5, rtol=1e-6)
    np.testing.assert_allclose(np.rad2deg(scheme.spread), 40, rtol=1e-6)
    assert scheme.num_clusters == 6


def test_schemes_can_be_swept_and_differentiated():
    scheme = LocalScattering(angular_std=jnp.array([0.0, 0.1, 0.2]))
    swept = jax.jit(jax.vmap(lambda scheme: scheme(KEY, 4, 0.3, 0.5)))(scheme)
    np.testing.assert_allclose(swept[1], jitted_local(4, 0.3, 0.1), atol=1e-6)
    for scheme in (LocalScattering(angular_std=0.0), ScatteringClusters(angular_std=0.0)):
        gradient = jax.jit(jax.grad(lambda s: s(KEY, 4, 0.3, 0.5).real.sum()))(scheme)
        assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: local_scattering_covariance(0, 0.1, 0.1), "`num_antennas` must be at least 1"),
        (lambda: clustered_covariance(0, jnp.ones(1), 0.1), "`num_antennas` must be at least 1"),
        (lambda: local_scattering_covariance(2, 0.1, 0.1, -0.5), "`spacing` must be above 0"),
        (lambda: LocalScattering(angular_std=-0.1), "`angular_std` must be at least 0"),
        (lambda: ScatteringClusters(spread=np.inf), "`spread` must be finite"),
        (lambda: ScatteringClusters(angular_std=-1), "`angular_std` must be at least 0"),
        (lambda: ScatteringClusters(num_clusters=0), "`num_clusters` must be at least 1"),
        (lambda: ScatteringClusters(num_clusters=True), "`num_clusters` must be an integer"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


def test_traced_spacing_is_refused():
    with pytest.raises(ValueError, match="`spacing` must be a plain number"):
        jax.jit(lambda spacing: local_scattering_covariance(2, 0.1, 0.1, spacing))(0.5)
