import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.channel.pathloss import distance_power_law, log_distance_gain, wavelength

CARRIER_HZ = 3.5e9


def test_wavelength():
    np.testing.assert_allclose(wavelength(CARRIER_HZ), 0.085654988, rtol=1e-6)


@pytest.mark.parametrize("x64", [False, True])
def test_free_space(x64):
    # 20 lg d + 20 lg f - 147.5522168 dB, d in m and f in Hz
    distance = np.array([[1.0, 10.5, 141.0]])
    loss_db = 20 * np.log10(distance) + 20 * np.log10(CARRIER_HZ) - 147.55221678
    with jax.enable_x64(x64):
        gain = log_distance_gain(jnp.asarray(distance), exponent=2, carrier_hz=CARRIER_HZ)
        for reference in (0.5, 1.0):  # no matter in free space
            other = log_distance_gain(
                jnp.asarray(distance),
                exponent=2.0,
                carrier_hz=CARRIER_HZ,
                reference_distance=reference,
            )
            np.testing.assert_allclose(other, gain, rtol=1e-6)
    np.testing.assert_allclose(gain, 10 ** (-loss_db / 10), rtol=1e-9 if x64 else 2e-6)


@given(st.floats(1.0, 1e4), st.floats(0.0, 6.0), st.floats(0.1, 10.0))
def test_decibels_fall_by_ten_times_the_exponent_per_decade(ratio, exponent, reference):
    with jax.enable_x64(True):
        distance = jnp.array([1.0, ratio]) * reference
        near, far = log_distance_gain(
            distance, exponent=exponent, carrier_hz=CARRIER_HZ, reference_distance=reference
        )
        drop_db = 10 * np.log10(near / far)
    np.testing.assert_allclose(drop_db, 10 * exponent * np.log10(ratio), rtol=1e-9, atol=1e-9)


def test_gain_stays_below_the_reference_distance():
    gain = log_distance_gain(
        jnp.array([0.0, 0.3, 2.0]), exponent=3.0, carrier_hz=CARRIER_HZ, reference_distance=2.0
    )
    np.testing.assert_array_equal(gain, jnp.full(3, gain[2]))
    slope = jax.grad(lambda d: log_distance_gain(d, exponent=3.0, carrier_hz=CARRIER_HZ))
    assert slope(jnp.array(0.0)) == 0
    assert slope(jnp.array(5.0)) < 0


def test_gradients_and_sweeps():
    with jax.enable_x64(True):
        distance = jnp.array([2.0, 30.0])
        function = lambda d, e: jnp.log(  # noqa: E731
            log_distance_gain(d, exponent=e, carrier_hz=CARRIER_HZ)
        )
        check_grads(jax.jit(function), (distance, 2.7), order=1)
        swept = jax.jit(jax.vmap(function, in_axes=(None, 0)))(distance, jnp.array([2.0, 3.0]))
        np.testing.assert_allclose(swept[0] - swept[1], np.log([2.0, 30.0]), rtol=1e-12)


def test_power_law():
    distance = jnp.array([50.0, 100.0, 1600.0])
    expected = (np.array([0.5, 1, 16])) ** -3.8  # no cap below the reference distance
    np.testing.assert_allclose(distance_power_law(distance), expected, rtol=2e-6)
    literal = distance_power_law(distance, exponent=2.0, reference_distance=1.0)
    np.testing.assert_allclose(literal, 1 / distance**2, rtol=1e-6)
    with jax.enable_x64(True):
        function = lambda r, e, r0: jnp.log(  # noqa: E731
            distance_power_law(r, exponent=e, reference_distance=r0)
        )
        check_grads(jax.jit(function), (jnp.array([20.0, 300.0]), 3.8, 100.0), order=1)
