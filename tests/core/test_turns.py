"""Sines and cosines of turns."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.turns import Turns, cos_sin, sine, turns_of_product


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


@pytest.mark.parametrize(("x64", "digits"), [(False, 24), (True, 53)])
def test_products_of_many_turns_keep_their_fraction(x64, digits):
    random = np.random.default_rng(0)
    with jax.enable_x64(x64):
        a = jnp.asarray(random.uniform(-1e5, 1e5, 1000))
        b = jnp.asarray(random.uniform(-1.0, 1.0, 1000))
        found = np.asarray(jax.jit(turns_of_product)(a, b), np.float64)
        number = jnp.asarray(np.arange(1000) * 16, a.dtype)
        many = np.asarray(jax.jit(lambda *x: Turns.of_product(*x[:2]).times(x[2]))(a, b, number))
        rates = jax.grad(turns_of_product, (0, 1))(a[0], b[0])
    exact = [Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True)]
    for values, scales in ((found, np.ones(1000)), (many, np.asarray(number, np.float64))):
        error = [
            float(
                (Fraction(float(v)) - e * Fraction(float(s)) + Fraction(1, 2)) % 1 - Fraction(1, 2)
            )
            for v, e, s in zip(values, exact, scales, strict=True)
        ]
        assert np.all(np.abs(error) < 2.0 ** (2 - digits) * np.maximum(1.0, scales / 1024))
    np.testing.assert_allclose(rates, (b[0], a[0]), rtol=1e-6)
