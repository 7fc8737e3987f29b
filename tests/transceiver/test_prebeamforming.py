"""DFT beams against their definition, and grouped beams against the dense Kronecker product."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.channel.antennas import ula_steering, ura_steering
from jaxmimo.transceiver.prebeamforming import (
    beams_per_group,
    dft_prebeamformer,
    grouped_beams,
    to_beams,
)

traced = jax.jit(dft_prebeamformer, static_argnums=(0, 1))


def dft(n):
    m = np.arange(n)
    return np.exp(-2j * np.pi * np.outer(m, m) / n) / np.sqrt(n)


def normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


@pytest.mark.parametrize(("x64", "atol"), [(False, 1e-7), (True, 1e-13)])
@pytest.mark.parametrize(("n", "groups"), [(1, 1), (10, 4), (12, 12), (64, 5), (256, 8)])
def test_columns_of_the_dft_matrix(n, groups, x64, atol):
    b = n // groups
    assert beams_per_group(n, groups) == b
    with jax.enable_x64(x64):
        for group in {0, groups // 2, groups - 1}:
            expected = dft(n)[:, group * b : (group + 1) * b]
            beams = dft_prebeamformer(n, groups, group)
            assert beams.dtype == (np.complex128 if x64 else np.complex64)
            np.testing.assert_allclose(beams, expected, rtol=0, atol=atol)
            np.testing.assert_array_equal(traced(n, groups, group), beams)


def test_groups_may_be_mapped_over():
    beams = jax.vmap(lambda g: dft_prebeamformer(10, 3, g))(jnp.arange(3))
    expected = dft(10)[:, :9].reshape(10, 3, 3).transpose(1, 0, 2)
    np.testing.assert_allclose(beams, expected, atol=2e-7)


def test_to_beams():
    h = normal(np.random.default_rng(0), 3, 2, 10)
    with jax.enable_x64(True):
        np.testing.assert_allclose(to_beams(jnp.asarray(h)), h @ dft(10).conj(), atol=1e-13)
        # A wave whose phase falls by a whole number of turns over the array is a beam of its own.
        wave = to_beams(ula_steering(10, jnp.arcsin(2 * 3 / 10)))
        np.testing.assert_allclose(wave, np.sqrt(10) * (np.arange(10) == 3), atol=1e-13)


@pytest.mark.parametrize(("x64", "atol"), [(False, 2e-6), (True, 1e-13)])
@pytest.mark.parametrize(
    ("m", "n", "azimuth_groups", "elevation_groups"), [(10, 7, 4, 3), (8, 4, 2, 4)]
)
def test_grouped_beams_are_the_kronecker_product(m, n, azimuth_groups, elevation_groups, x64, atol):
    h = normal(np.random.default_rng(1), 2, 3, m, n)
    vectors = h.reshape(2, 3, m * n)
    with jax.enable_x64(x64):
        beams = np.asarray(grouped_beams(jnp.asarray(h), azimuth_groups, elevation_groups))
        b = (m // azimuth_groups) * (n // elevation_groups)
        assert beams.shape == (2, 3, azimuth_groups, elevation_groups, b)
        for g in range(azimuth_groups):
            for l in range(elevation_groups):  # noqa: E741
                azimuth = np.asarray(dft_prebeamformer(m, azimuth_groups, g))
                elevation = np.asarray(dft_prebeamformer(n, elevation_groups, l))
                both = np.kron(azimuth, elevation)
                expected = vectors @ both.conj()
                np.testing.assert_allclose(beams[:, :, g, l], expected, rtol=0, atol=atol)


def test_rectangular_steering_has_the_same_order_of_elements():
    wave = ura_steering(8, 4, jnp.arcsin(2 * 5 / 8 - 2.0), jnp.arcsin(2 * 1 / 4))
    beams = np.asarray(grouped_beams(wave.reshape(8, 4), 2, 2))
    place = np.unravel_index(np.abs(beams).argmax(), beams.shape)
    assert place == (1, 0, 1 * 2 + 1)  # beam 5 is the second of group 1; beam 1 of group 0
    np.testing.assert_allclose(np.abs(beams).max(), np.sqrt(32), rtol=1e-5)


@pytest.mark.parametrize(
    ("n", "groups", "group", "message"),
    [
        (0, 1, 0, "`num_antennas` must be at least 1"),
        (4, 0, 0, "`num_groups` must be at least 1"),
        (4, 5, 0, "`num_groups` must be at most num_antennas = 4, but got 5"),
        (4, 2, 2, "`group` must be an integer from 0 to num_groups - 1 = 1, but got 2"),
        (4, 2, -1, "`group` must be"),
        (4, 2, 0.5, "`group` must be"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(n, groups, group, message):
    with pytest.raises(ValueError, match=f"^{message}") as error:
        inspect.unwrap(dft_prebeamformer)(n, groups, group)
    assert "\n" not in str(error.value)
