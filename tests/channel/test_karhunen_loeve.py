"""Eigenvectors and factors of covariances, their gradients where eigenvalues are repeated."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxmimo.channel.correlation import one_ring_covariance
from jaxmimo.channel.karhunen_loeve import (
    captured_energy,
    eigenvalues_above,
    karhunen_loeve,
)

EXPANSION = jax.jit(karhunen_loeve, static_argnums=1)
# 0.0 leaves rank one, 0.05 a null space.
SPREADS = (0.0, 0.05, 0.6)


def unchecked(function):
    return inspect.unwrap(function)  # past the type checks that only the tests install


def by_midpoints(num_antennas, spread):
    """The one-ring covariance of beams about 0.6 rad."""
    angle = 0.6 + spread * (2 * np.arange(500) + 1 - 500) / 500
    waves = np.exp(-1j * np.pi * np.outer(np.arange(num_antennas), np.sin(angle)))
    return np.asarray(beams_of(waves @ waves.conj().T / 500))


def beams_of(covariance):
    """The real covariance of the beams of a linear array."""
    n = covariance.shape[0]
    middle = np.arange(n) - (n - 1) / 2
    beams = np.exp(-2j * np.pi * np.outer(middle, np.arange(n)) / n) / np.sqrt(n)
    return (beams.conj().T @ covariance @ beams).real


def covariances(num_antennas):
    yield from (by_midpoints(num_antennas, spread) for spread in SPREADS)
    yield np.eye(num_antennas)
    yield np.zeros((num_antennas, num_antennas))


@pytest.mark.parametrize(("x64", "atol"), [(False, 3e-6), (True, 1e-13)])
@pytest.mark.parametrize("num_antennas", [1, 7, 12])
def test_expansion_and_factor(num_antennas, x64, atol):
    with jax.enable_x64(x64):
        for covariance in covariances(num_antennas):
            expansion = EXPANSION(jnp.asarray(covariance))
            vectors, values, factor = map(np.asarray, jax.tree.leaves(expansion))
            assert vectors.dtype == factor.dtype == (np.float64 if x64 else np.float32)
            atol_here = atol * num_antennas
            expected = np.linalg.eigvalsh(covariance)[::-1]
            np.testing.assert_allclose(values, np.maximum(expected, 0), atol=atol_here)
            assert np.all(values >= 0)
            assert np.all(np.diff(values) <= 0)
            # Orthonormal, or zero where rounding leaves nothing of an eigenvalue.
            found = np.linalg.norm(vectors, axis=0) > 0
            assert np.all(found[expected > 1e-5])
            np.testing.assert_allclose(vectors.T @ vectors, np.diag(1.0 * found), atol=atol_here)
            np.testing.assert_allclose((vectors * values) @ vectors.conj().T, covariance, atol=1e-5)
            np.testing.assert_allclose(factor, vectors * np.sqrt(values), atol=atol_here)
            np.testing.assert_allclose(factor @ factor.conj().T, covariance, atol=1e-5)


def test_batches():
    batch = np.array([by_midpoints(12, spread) for spread in SPREADS])
    factors = np.asarray(jax.jit(jax.vmap(lambda r: karhunen_loeve(r).factor))(jnp.asarray(batch)))
    np.testing.assert_allclose(factors @ factors.conj().swapaxes(1, 2), batch, atol=1e-5)


@pytest.mark.timeout(60)
def test_independent_batches_in_one_program_finish():
    """LAPACK calls side by side have hung jax 0.10 on two cores."""

    @jax.jit
    def program(large, small, other):
        both = [jax.vmap(karhunen_loeve)(batch).values.sum() for batch in (large, small)]
        return sum(both) + (other @ other).sum()

    batches = [np.stack([by_midpoints(n, 0.2)] * 20).astype(np.float32) for n in (64, 12)]
    for _ in range(20):
        total = program(*map(jnp.asarray, batches), jnp.ones((500, 500)))
        np.testing.assert_allclose(total, 20 * (64 + 12) + 500**3, rtol=1e-4)


# Gradients


def changed(num_antennas, spread):
    """A covariance and its change with angle and spread together."""
    angle_spread = jnp.array([0.6, spread])
    at = lambda x: beams_of(one_ring_covariance(num_antennas, x[0], x[1]))  # noqa: E731
    return jax.jit(lambda x: jax.jvp(at, (x,), (jnp.array([1.0, 0.3]),)))(angle_spread)


@pytest.mark.parametrize(("x64", "atol"), [(False, 2e-4), (True, 1e-9)])
def test_the_factor_changes_as_its_product_does(x64, atol):
    def pushed(covariance, change):
        return jax.jvp(lambda r: karhunen_loeve(r).factor, (covariance,), (change,))

    pushed = jax.jit(pushed)
    with jax.enable_x64(x64):
        cases = [changed(12, spread) for spread in SPREADS]
        cases += [(jnp.eye(12), cases[1][1])]  # repeated, not zero
        for covariance, change in cases:
            factor, turned = map(np.asarray, pushed(covariance, change))
            product = turned @ factor.conj().T
            largest = np.abs(change).max()
            np.testing.assert_allclose(
                product + product.conj().T, change, atol=atol * largest, rtol=0
            )
            # Finite and moderate, though the square root is steep at zero.
            assert np.abs(turned).max() < 1e3


def test_derivatives_of_statistics_of_both_orders():
    rng = np.random.default_rng(0)
    weight = jnp.asarray(rng.normal(size=(5, 5)))

    def statistic(x):
        covariance = beams_of(one_ring_covariance(5, x[0], x[1]))
        factor = karhunen_loeve(covariance).factor
        quadratic = factor.conj().T @ (weight + weight.T) @ factor
        return (quadratic @ quadratic).trace()

    def without_factor(x):
        covariance = beams_of(one_ring_covariance(5, x[0], x[1]))
        product = (weight + weight.T) @ covariance
        return (product @ product).trace()

    with jax.enable_x64(True):
        x = jnp.array([0.4, 0.7])
        for derivative in (jax.grad, jax.hessian):
            got, expected = (jax.jit(derivative(f))(x) for f in (statistic, without_factor))
            np.testing.assert_allclose(got, expected, rtol=1e-7)


def test_gradients_of_the_expansion():
    with jax.enable_x64(True):

        def values_and_projector(angle, spread):
            expansion = karhunen_loeve(beams_of(one_ring_covariance(4, angle, spread)))
            return expansion.values, expansion.vectors[:, :2] @ expansion.vectors[:, :2].T

        check_grads(jax.jit(values_and_projector), (0.4, 0.8), order=1, eps=1e-5, modes=["rev"])

        @jax.jit
        def principal(angle, spread):
            vectors = karhunen_loeve(beams_of(one_ring_covariance(8, angle, spread))).vectors
            return jnp.abs(vectors[:, 0] @ jnp.arange(8.0)) ** 2

        gradient = jax.jit(jax.grad(principal))
        for spread in (0.0, 0.05):  # with a null space
            slope = gradient(0.4, spread)
            step = (principal(0.4 + 1e-5, spread) - principal(0.4 - 1e-5, spread)) / 2e-5
            np.testing.assert_allclose(slope, step, rtol=1e-4)


@pytest.mark.parametrize("x64", [False, True])
def test_gradients_are_finite_everywhere(x64):
    def total(covariance):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(karhunen_loeve(covariance)))

    slope = jax.jit(jax.grad(total))
    with jax.enable_x64(x64):
        for covariance in covariances(6):
            for scale in (1.0, 1e-30):
                assert np.all(np.isfinite(slope(jnp.asarray(scale * covariance))))


# Ranks


def test_rank_rules():
    values = jnp.array([10.0, 5.0, 0.3, 0.1, 0.05, 0.0])
    count = lambda mask: (int(mask.sum()), bool(np.all(np.diff(mask.astype(int)) <= 0)))  # noqa: E731
    for relative, kept in ((0.0, 5), (0.009, 4), (0.02, 3), (0.4, 2), (0.6, 1)):
        assert count(eigenvalues_above(values, relative)) == (kept, True)
    for fraction, kept in ((0.0, 1), (0.6, 1), (0.7, 2), (0.97, 2), (0.99, 3), (0.998, 5), (1, 5)):
        assert count(captured_energy(values, fraction)) == (kept, True)
    for rule in (eigenvalues_above, captured_energy):
        assert count(rule(jnp.zeros(4))) == (1, True)  # always one
        assert jnp.all(jax.vmap(rule)(jnp.ones((2, 3))))
    # Digits that a share near one would lose in single precision.
    assert count(captured_energy(jnp.array([1.0, 1e-6, 1e-10]), 1 - 1e-8)) == (2, True)


@pytest.mark.parametrize(
    ("rule", "name", "bad"),
    [(eigenvalues_above, "relative", 1.0), (captured_energy, "fraction", 1.1)],
)
def test_bad_shares_are_refused(rule, name, bad):
    for value in (bad, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"^`{name}` must be "):
            unchecked(rule)(jnp.ones(3), value)
