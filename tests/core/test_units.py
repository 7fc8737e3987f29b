import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.units import from_db, noise_power, to_db


@pytest.mark.parametrize(
    ("linear", "db"), [(1.0, 0), (10.0, 10), (0.001, -30.0), (2.0, 3.01029995664)]
)
def test_known_values(linear, db):
    np.testing.assert_allclose(from_db(db), linear, rtol=1e-6)
    np.testing.assert_allclose(to_db(linear), db, atol=1e-5)


def test_round_trip_in_double_precision():
    with jax.enable_x64(True):
        db = np.linspace(-200, 200, 41)
        np.testing.assert_allclose(to_db(from_db(db)), db, rtol=1e-13, atol=1e-13)


def test_limits():
    assert from_db(-jnp.inf) == 0
    assert to_db(0.0) == -jnp.inf


@pytest.mark.parametrize("x64", [False, True])
def test_noise_power(x64):
    # -174 dBm/Hz + 9 dB + 10 lg 20e6 = -91.9897 dBm
    with jax.enable_x64(x64):
        power = noise_power(20e6, 9.0)
        np.testing.assert_allclose(power, 20e6 * 10**-19.5, rtol=1e-12 if x64 else 5e-6)
        np.testing.assert_allclose(to_db(power) + 30, -91.98970004336, rtol=1e-6)
        swept = noise_power(jnp.array([1.0, 2.0]), 0, -30.0)
        np.testing.assert_allclose(swept, [1e-6, 2e-6], rtol=1e-6)


def test_known_values_are_those_of_traced_ones():
    values = np.array([-300.0, -3.0, 0.0, 30.0, np.inf])
    known, traced = from_db(values), jax.jit(from_db)(values)
    assert known.dtype == traced.dtype == np.float32
    assert np.isinf(known[-1])
    np.testing.assert_allclose(known, traced, rtol=1e-5)
    assert np.isinf(jax.jit(from_db)(500.0))
    power = noise_power(20e6, 9.0)
    np.testing.assert_allclose(power, jax.jit(noise_power)(20e6, 9.0), rtol=1e-5)


@pytest.mark.parametrize("value", [600.0, 1e308, np.array([0.0, 1e308])])
def test_decibels_beyond_all_numbers_are_refused(value):
    with pytest.raises(ValueError, match="`value_db` must be less, since its ratio is beyond"):
        from_db(value)
    with pytest.raises(ValueError, match="`noise_figure_db` must be less"):
        noise_power(20e6, value)
