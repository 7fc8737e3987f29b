"""Sines and cosines of turns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.turns import cos_sin, sine


def test_sine_polynomial():
    turns = np.concatenate([np.linspace(-0.5, 0.5, 400_001), [-0.25, 0, 0.25]]).astype(np.float32)
    found = np.asarray(sine(jnp.asarray(turns)), np.float64)
    assert np.max(abs(found - np.sin(2 * np.pi * turns.astype(np.float64)))) < 2e-7
    assert np.max(abs(found)) < 1 + 2e-7


@pytest.mark.parametrize(("x64", "atol"), [(False, 3e-7), (True, 2e-15)])
def test_any_turns(x64, atol):
    with jax.enable_x64(x64):
        turns = jnp.linspace(-300.0, 300.0, 10_001)
        cosine, sine_ = cos_sin(turns)
        assert cosine.dtype == turns.dtype
    phase = 2 * np.pi * np.asarray(turns, np.float64)
    np.testing.assert_allclose(cosine, np.cos(phase), atol=max(atol, 3e-13 * x64))
    np.testing.assert_allclose(sine_, np.sin(phase), atol=max(atol, 3e-13 * x64))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("turns", [0.0, 0.25, 0.5, -0.5, 0.1, -7.3])
def test_derivatives_are_those_of_the_functions(x64, turns):
    with jax.enable_x64(x64):
        gradient = jax.jacrev(lambda t: jnp.stack(cos_sin(t)))(jnp.asarray(turns))
        second = jax.jacfwd(jax.jacfwd(lambda t: jnp.stack(cos_sin(t))))(jnp.asarray(turns))
    phase, rate = 2 * np.pi * turns, 2 * np.pi
    expected = rate * np.asarray([-np.sin(phase), np.cos(phase)])
    np.testing.assert_allclose(gradient, expected, atol=1e-12 if x64 else 2e-5)
    curvature = -(rate**2) * np.asarray([np.cos(phase), np.sin(phase)])
    np.testing.assert_allclose(second, curvature, atol=1e-11 if x64 else 2e-4)
