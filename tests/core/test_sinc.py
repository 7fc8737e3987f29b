"""Kernels of sampling against direct sums, with gradients down to zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxmimo.core.sinc import dirichlet_power, sinc

POWER = jax.jit(dirichlet_power, static_argnums=1)
NEAR_WHOLE = np.concatenate(
    [k + sign * np.array([0, 1e-300, 1e-12, 1e-6, 1e-3, 0.01]) for k in (0, 1) for sign in (1, -1)]
)


def direct_sum(turns, terms):
    phases = turns[..., None] * np.arange(terms)
    return abs(np.exp(-2j * np.pi * phases).mean(-1)) ** 2


@pytest.mark.parametrize("terms", [1, 2, 3, 16, 256])
def test_power_is_that_of_the_direct_sum(terms):
    turns = np.concatenate([np.linspace(-2.5, 2.5, 1001), NEAR_WHOLE])
    with jax.enable_x64(True):
        power = POWER(jnp.asarray(turns), terms)
        np.testing.assert_allclose(power, direct_sum(turns, terms), rtol=0, atol=1e-12)
    single = POWER(jnp.asarray(turns, jnp.float32), terms)
    assert single.dtype == jnp.float32
    same = direct_sum(np.float64(turns.astype(np.float32)), terms)
    np.testing.assert_allclose(single, same, rtol=0, atol=1e-6)


def test_power_keeps_its_digits_near_whole_turns():
    """1 - power is (M^2 - 1) (pi t)^2 / 3; further on, power repeats."""
    with jax.enable_x64(True):
        for t in (1e-5, 1e-6):
            expected = (16**2 - 1) * (np.pi * t) ** 2 / 3
            for whole in (0.0, 7.0, -3.0):
                loss = 1 - POWER(jnp.asarray(whole + t), 16)
                np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("x64", [False, True])
def test_gradients_are_finite_and_right(x64):
    with jax.enable_x64(x64):
        turns = jnp.asarray(np.concatenate([NEAR_WHOLE, [0.5, -0.5, 0.25, 1 / 16, 2 / 16]]))
        gradient = jax.jit(jax.grad(lambda t: POWER(t, 16).sum()))(turns)
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(gradient[0], 0)
    with jax.enable_x64(True):
        t = jnp.asarray([0.01, 0.3, 1.02, -0.61])
        check_grads(lambda t: POWER(t, 16), (t,), order=1, eps=1e-6, rtol=1e-6)


def test_sinc():
    u = np.concatenate([[0, 1e-300, 1e-9, 0.4999, 0.5, 0.5001], np.linspace(-40, 40, 401)])
    with jax.enable_x64(True):
        np.testing.assert_allclose(sinc(jnp.asarray(u)), np.sinc(u / np.pi), atol=1e-15, rtol=1e-14)
