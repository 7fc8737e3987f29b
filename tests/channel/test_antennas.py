import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.channel.antennas import delay, progressive_delay, ula_steering, ura_steering

# Half a unit in the last place of the sine is worth 3e-6 rad after 15 wavelengths.
jitted_steering = jax.jit(ula_steering, static_argnums=0)


def by_definition(num_antennas, angle, spacing):
    antenna = np.arange(num_antennas)
    return np.exp(-2j * np.pi * spacing * antenna * np.sin(np.asarray(angle))[..., None])


@given(st.floats(-7, 7, width=32), st.sampled_from([0.25, 0.5, 1.0]))
@pytest.mark.parametrize(("x64", "atol"), [(False, 6e-6), (True, 2e-14)])
def test_definition(x64, atol, angle, spacing):
    with jax.enable_x64(x64):
        steering = np.asarray(jitted_steering(16, angle, spacing))
    assert steering.dtype == (np.complex128 if x64 else np.complex64)
    np.testing.assert_allclose(steering, by_definition(16, angle, spacing), atol=atol)
    assert steering[0] == 1


def test_axes_and_convention():
    angle = jnp.array([[0.0, 0.1, np.pi / 6], [-np.pi / 6, np.pi / 2, 2.0]])
    steering = np.asarray(ula_steering(4, angle))
    assert steering.shape == (2, 3, 4)
    np.testing.assert_allclose(steering, by_definition(4, angle, 0.5), atol=1e-6)
    np.testing.assert_allclose(steering[0, 0], 1)  # boresight: all in phase
    np.testing.assert_allclose(steering[0, 2], [1, -1j, -1, 1j], atol=1e-6)  # later and later
    np.testing.assert_allclose(steering[1, 0], steering[0, 2].conj(), atol=1e-6)
    np.testing.assert_allclose(steering[1, 1], [1, -1, 1, -1], atol=1e-6)  # endfire
    mapped = jax.jit(jax.vmap(jax.vmap(lambda a: ula_steering(4, a))))(angle)
    np.testing.assert_allclose(mapped, steering, atol=1e-6)


def test_single_precision_loses_nothing_over_many_steps():
    turns = np.random.default_rng(0).uniform(-0.5, 0.5, 50).astype(np.float32)
    step = np.arange(1000)
    expected = np.exp(-2j * np.pi * ((turns.astype(float)[:, None] * step) % 1))
    np.testing.assert_allclose(progressive_delay(jnp.asarray(turns), 1000), expected, atol=6e-7)


@pytest.mark.parametrize("x64", [False, True])
def test_whole_turns_leave_no_trace(x64):
    with jax.enable_x64(x64):
        turns = jnp.array([0.0, 1.0, -4096.0, 12345.5, 1000.25])
        expected = [1, 1, 1, -1, -1j]
        np.testing.assert_allclose(delay(turns), expected, atol=1e-15 if x64 else 1e-7)


def test_gradients():
    with jax.enable_x64(True):
        angle = jnp.array([0.3, -1.0, np.pi / 2, 2.0])
        check_grads(jax.jit(lambda a, d: ula_steering(5, a, d)), (angle, 0.6), order=1, eps=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="`num_antennas` must be at least 1, but got 0"):
        ula_steering(0, 0.1)


def test_rectangular_array_is_a_kronecker_product():
    azimuth, elevation = jnp.array([0.1, -2.0, 0.7]), jnp.array([0.4, 1.5, -0.3])
    steering = np.asarray(ura_steering(5, 3, azimuth, elevation, 0.4))
    assert steering.shape == (3, 15)
    for wave, az, el in zip(steering, azimuth, elevation, strict=True):
        expected = np.kron(by_definition(5, az, 0.4), by_definition(3, el, 0.4))
        np.testing.assert_allclose(wave, expected, atol=2e-6)
    assert ura_steering(5, 3, 0.1, 0.2).shape == (15,)
    common = ura_steering(5, 3, azimuth, 0.4)[0]
    np.testing.assert_allclose(common, ura_steering(5, 3, azimuth[0], 0.4), atol=1e-6)
    with pytest.raises(ValueError, match="`elevation_antennas` must be at least 1, but got 0"):
        ura_steering(5, 0, 0.1, 0.2)
