"""Theorem 1 on arbitrary covariances against the looped reference, which forms every matrix."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.rates.deterministic_equivalents import (
    KroneckerCovariances,
    log_fixed_point,
    slnr_powers,
)
from tests.reference import beamforming_3d as reference

POWERS = jax.jit(slnr_powers)
MASKS = {
    "nobody": [0, 0, 0, 0, 0, 0],
    "own alone": [0, 0, 1, 0, 0, 0],
    "some": [1, 0, 1, 1, 0, 0],
    "all": [1, 1, 1, 1, 1, 1],
}
OWN = 2


def positive(rng, users, size, rank):
    g = rng.normal(size=(users, size, rank))
    return g @ g.swapaxes(1, 2) / size


def draw(azimuth, elevation, snr=10.0, users=6, seed=0):
    """Covariances of users of low rank whose powers differ by up to two powers of ten."""
    rng = np.random.default_rng(seed)
    a = positive(rng, users, azimuth, max(1, azimuth - 1))
    e = positive(rng, users, elevation, max(1, elevation - 1))
    return a * snr * 10.0 ** rng.uniform(-1, 1, (users, 1, 1)), e


def covariances(azimuth, elevation):
    dtype = jnp.result_type(float)
    return KroneckerCovariances(jnp.asarray(azimuth, dtype), jnp.asarray(elevation, dtype))


def mask(counted):
    return jnp.asarray(counted, jnp.result_type(float))


def looped(azimuth, elevation, counted, own):
    """Powers of one stream at all users, after (48)-(58)."""
    theta = [np.kron(a, e).astype(complex) for a, e in zip(azimuth, elevation, strict=True)]
    inside = [s for s in range(len(theta)) if s != own and counted[s]]
    within, size = [theta[s] for s in inside], len(theta[0])
    t, delta = reference.fixed_point(within, 1.0, size)
    norm = reference.real_trace(theta[own] @ reference.derivative(within, t, delta, np.eye(size)))
    leak = reference.derivative(within, t, delta, theta[own])
    powers = np.zeros(len(theta))
    for k, theta_k in enumerate(theta):
        powers[k] = reference.real_trace(theta_k @ leak) / norm
        if k in inside:
            powers[k] /= (1.0 + delta[inside.index(k)]) ** 2
        if k == own:
            powers[k] = reference.real_trace(theta_k @ t) ** 2 / norm
    return powers


# Against the reference


@pytest.mark.parametrize("counted", MASKS)
@pytest.mark.parametrize("beams", [(3, 2), (1, 1), (1, 4)], ids=str)
def test_powers_are_those_of_the_reference(beams, counted, verified):
    azimuth, elevation = draw(*beams)
    expected = looped(azimuth, elevation, MASKS[counted], OWN)
    with jax.enable_x64(True):
        found = POWERS(covariances(azimuth, elevation), mask(MASKS[counted]), jnp.asarray(OWN))
    verified("Fan et al., powers of Theorem 1", "looped NumPy", found, expected, rtol=1e-8)
    single = POWERS(covariances(azimuth, elevation), mask(MASKS[counted]), jnp.asarray(OWN))
    verified("Fan et al., powers of Theorem 1", "looped NumPy", single, expected, rtol=1e-3)


@pytest.mark.parametrize("snr", [1e-6, 1e3, 1e6])
def test_as_many_and_more_users_than_beams_at_any_snr(snr):
    """At 60 dB the map of the fixed point hardly contracts; single precision has to give way."""
    azimuth, elevation = draw(3, 2, snr)
    expected = looped(azimuth, elevation, MASKS["all"], OWN)
    arguments = mask(MASKS["all"]), jnp.asarray(OWN)
    single = POWERS(covariances(azimuth, elevation), *arguments)
    np.testing.assert_allclose(single, expected, rtol=1e-3 if snr < 1e4 else 3e-2)
    with jax.enable_x64(True):
        found = POWERS(covariances(azimuth, elevation), mask(MASKS["all"]), jnp.asarray(OWN))
    np.testing.assert_allclose(found, expected, rtol=1e-8 if snr < 1e4 else 1e-6)


def test_traces_are_those_of_the_dense_matrices():
    azimuth, elevation = draw(3, 2)
    dense = [np.kron(a, e) for a, e in zip(azimuth, elevation, strict=True)]
    rng = np.random.default_rng(1)
    weights, m = rng.normal(size=6), rng.normal(size=(6, 6))
    m = m + m.T
    with jax.enable_x64(True):
        both = covariances(azimuth, elevation)
        total = both.weighted_sum(jnp.asarray(weights))
        np.testing.assert_allclose(total, np.einsum("s,sij->ij", weights, dense), rtol=1e-12)
        np.testing.assert_allclose(
            both.traces(jnp.asarray(m)), [np.trace(d @ m) for d in dense], rtol=1e-10
        )


def test_fixed_point_is_one():
    azimuth, elevation = draw(3, 2)
    counted = np.array(MASKS["some"])
    with jax.enable_x64(True):
        x = jax.jit(log_fixed_point)(covariances(azimuth, elevation), mask(counted))
    dense = np.array([np.kron(a, e) for a, e in zip(azimuth, elevation, strict=True)])
    resolvent = np.linalg.inv(np.eye(6) + np.einsum("s,sij->ij", counted * np.exp(-x), dense))
    delta = np.einsum("sij,ji->s", dense, resolvent)
    np.testing.assert_allclose(x, counted * np.log1p(delta), rtol=1e-9)


def test_powers_are_the_means_of_large_systems():
    """Draws of the precoder itself, in 36 beams, where the limit errs by a percent or so."""
    users, size = 8, 6
    rng = np.random.default_rng(2)
    azimuth, elevation = 5 * positive(rng, users, size, size), positive(rng, users, size, size)
    counted = np.array([1, 1, 0, 1, 1, 0, 1, 1])
    expected = POWERS(covariances(azimuth, elevation), mask(counted), jnp.asarray(0))
    roots = [np.linalg.cholesky(np.kron(a, e)) for a, e in zip(azimuth, elevation, strict=True)]
    powers = np.zeros((400, users))
    for power in powers:
        white = (rng.normal(size=(users, 36)) + 1j * rng.normal(size=(users, 36))) / np.sqrt(2)
        h = np.array([root @ w for root, w in zip(roots, white, strict=True)])
        known = h[(counted > 0) & (np.arange(users) != 0)]
        p = np.linalg.solve(np.eye(36) + known.T @ known.conj(), h[0])
        power[:] = abs(h.conj() @ p) ** 2 / np.linalg.norm(p) ** 2
    for k in range(users):
        error = powers[:, k].std() / 20
        close = 5 * error + 0.02 * expected[k]
        assert error < 0.1 * expected[k], (k, error, expected[k])
        assert abs(powers[:, k].mean() - expected[k]) < close, (k, powers[:, k].mean(), expected[k])


# Masks, corners


def test_own_entry_of_the_mask_does_not_matter():
    both = covariances(*draw(3, 2))
    found = [POWERS(both, mask([1, 0, own, 1, 0, 1]), jnp.asarray(OWN)) for own in (0, 1)]
    np.testing.assert_array_equal(*found)


def test_weights_are_those_of_channels_that_are_counted():
    """To count leakage with the weight c is to count that of a channel weaker by c."""
    azimuth, elevation = draw(3, 2)
    weights = np.array([0.3, 1.0, 1.0, 0.7, 1e-3, 0.0])
    weaker = azimuth * np.where(np.arange(6) == OWN, 1.0, weights)[:, None, None]
    with jax.enable_x64(True):
        found = POWERS(covariances(azimuth, elevation), mask(weights), jnp.asarray(OWN))
        expected = POWERS(covariances(weaker, elevation), mask(MASKS["all"]), jnp.asarray(OWN))
        none = POWERS(covariances(azimuth, elevation), mask(weights > 0), jnp.asarray(OWN))
    received = np.where(np.arange(6) == OWN, 1.0, weights) * np.asarray(found)
    np.testing.assert_allclose(received, expected, rtol=1e-9)
    assert found[4] > none[4]


def test_gradients_in_the_weights_are_central_differences():
    both = draw(3, 2, 1e3)
    rng = np.random.default_rng(4)
    weights, direction = rng.uniform(0.1, 0.9, 6), rng.normal(size=6)

    def total(counted):
        return jnp.log1p(slnr_powers(covariances(*both), counted, jnp.asarray(OWN))).sum()

    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(total))(jnp.asarray(weights))
        value, step = jax.jit(total), 1e-5
        ends = [float(value(jnp.asarray(weights + s * direction))) for s in (step, -step)]
    np.testing.assert_allclose(
        np.asarray(slope) @ direction, (ends[0] - ends[1]) / (2 * step), rtol=1e-6
    )


def test_a_user_without_channel_gets_no_power_and_disturbs_nobody():
    azimuth, elevation = draw(3, 2)
    azimuth[4] = 0
    both, everybody = covariances(azimuth, elevation), MASKS["all"]
    np.testing.assert_array_equal(POWERS(both, mask(everybody), jnp.asarray(4)), 0)
    found = POWERS(both, mask(everybody), jnp.asarray(OWN))
    expected = POWERS(both, mask([1, 1, 1, 1, 0, 1]), jnp.asarray(OWN))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[4] == 0


@pytest.fixture(scope="module")
def value_and_gradient():
    def total(both, counted):
        powers = jax.vmap(slnr_powers, in_axes=(None, None, 0))(both, counted, jnp.arange(6))
        return jnp.log1p(powers).sum()

    return jax.jit(jax.value_and_grad(total))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, 1e5, 1e12, 1e16])
@pytest.mark.parametrize("alike", [False, True])
def test_no_scale_gives_nan(value_and_gradient, scale, alike):
    azimuth, elevation = draw(3, 2, 1.0)
    if alike:
        azimuth, elevation = azimuth[:1].repeat(6, 0), elevation[:1].repeat(6, 0)
    value, gradient = value_and_gradient(covariances(scale * azimuth, elevation), jnp.ones(6))
    assert np.isfinite(value), value
    for leaf in jax.tree.leaves(gradient):
        assert np.all(np.isfinite(leaf))


# Gradients


def test_gradients_of_both_modes_are_finite_differences(value_and_gradient):
    azimuth, elevation = draw(3, 2, 1e3)
    rng = np.random.default_rng(3)
    turn = rng.normal(size=(2, 6, 3, 3))
    turn = turn + turn.swapaxes(-1, -2)

    def moved(step):
        # Relative changes, A (I + s D) symmetrized, so that users of all powers matter.
        a = azimuth + step * (azimuth @ turn[0] + turn[0] @ azimuth)
        e = elevation + step * (elevation @ turn[1, :, :2, :2] + turn[1, :, :2, :2] @ elevation)
        return covariances(a, e)

    with jax.enable_x64(True):
        counted = mask(MASKS["some"])
        step = 1e-4  # what is left of the iterations would show in smaller ones
        ends = [float(value_and_gradient(moved(s), counted)[0]) for s in (step, -step)]
        difference = (ends[0] - ends[1]) / (2 * step)
        there, ahead, behind = moved(0.0), moved(0.5), moved(-0.5)
        direction = jax.tree.map(lambda x, y: x - y, ahead, behind)
        _, gradient = value_and_gradient(there, counted)
        reverse = sum(
            float((x * y).sum())
            for x, y in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
        )

        def total(both):
            powers = jax.vmap(slnr_powers, in_axes=(None, None, 0))(both, counted, jnp.arange(6))
            return jnp.log1p(powers).sum()

        _, forward = jax.jit(lambda x, t: jax.jvp(total, (x,), (t,)))(there, direction)
    np.testing.assert_allclose(reverse, difference, rtol=1e-5)
    np.testing.assert_allclose(forward, reverse, rtol=1e-6)


def test_equivalents_compile_without_lapack():
    both = covariances(*draw(3, 2))
    run = jax.jit(jax.vmap(slnr_powers, in_axes=(None, None, 0)))
    text = run.lower(both, jnp.ones(6), jnp.arange(6)).compile().as_text()
    assert "lapack" not in " ".join(re.findall(r'custom_call_target="([^"]*)"', text)).lower()
