"""SLNR precoders against the generalized eigenvalue problem that they solve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import eigh

from jaxmimo.transceiver.precoding import slnr_precoder

PRECODER = jax.jit(slnr_precoder)
shapes = pytest.mark.parametrize(
    ("users", "beams"), [(3, 6), (4, 4), (7, 3), (1, 4), (5, 1), (1, 1)], ids=str
)


def channels(seed, users, beams):
    """Users whose gains differ by up to two powers of ten."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(users, beams)) + 1j * rng.normal(size=(users, beams))
    return h * 10.0 ** rng.uniform(-1, 1, (users, 1))


def masks(users):
    """Nobody, everybody, and some."""
    some = np.random.default_rng(users).integers(0, 2, (2, users))
    return [np.zeros(users), np.ones(users), *some.astype(float)]


def precoder(h, counted, own):
    dtype = jnp.result_type(float)
    return np.asarray(
        PRECODER(jnp.asarray(h, jnp.result_type(complex)), jnp.asarray(counted, dtype), own)
    )


def leakage(h, counted, own):
    """Covariance of leakage and noise, from the users one by one."""
    matrix = np.eye(h.shape[1], dtype=complex)
    for s in range(len(h)):
        if s != own and counted[s]:
            matrix += np.outer(h[s], h[s].conj())
    return matrix


def ratio(h, counted, own, p):
    """Signal over leakage and noise of a precoder of unit norm."""
    return abs(np.vdot(h[own], p)) ** 2 / np.vdot(p, leakage(h, counted, own) @ p).real


@shapes
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_ratio_is_the_largest_generalized_eigenvalue(users, beams, double, verified):
    h = channels(users + beams, users, beams)
    with jax.enable_x64(double):
        for counted in masks(users):
            for own in {0, users // 2, users - 1}:
                p = precoder(h, counted, own)
                np.testing.assert_allclose(np.linalg.norm(p), 1.0, rtol=1e-5)
                signal = np.outer(h[own], h[own].conj())
                largest = eigh(signal, leakage(h, counted, own), eigvals_only=True)[-1]
                found = ratio(h, counted, own, p)
                np.testing.assert_allclose(found, largest, rtol=1e-10 if double else 1e-4)
                if double:
                    name = "Fan et al., largest SLNR (15)"
                    verified(name, "generalized eigenvalue of SciPy", found, largest, rtol=1e-10)


@pytest.mark.parametrize(("users", "beams"), [(3, 6), (7, 3)], ids=["users fewer", "users more"])
def test_precoder_is_the_formula(users, beams, verified):
    """Up to the phase, which is such that the signal arrives real and positive."""
    h = channels(1, users, beams)
    with jax.enable_x64(True):
        for counted in masks(users):
            p = precoder(h, counted, 1)
            expected = np.linalg.solve(leakage(h, counted, 1), h[1])
            verified(
                "Fan et al., SLNR precoder (15)-(17)",
                "its formula in NumPy",
                p,
                expected / np.linalg.norm(expected),
                atol=1e-12,
            )


@shapes
def test_own_entry_of_the_mask_does_not_matter(users, beams):
    h = channels(2, users, beams)
    for counted in masks(users):
        one, other = counted.copy(), counted.copy()
        one[0], other[0] = 0, 1
        np.testing.assert_array_equal(precoder(h, one, 0), precoder(h, other, 0))


@shapes
def test_a_user_without_channel_gets_no_power_and_disturbs_nobody(users, beams):
    h = channels(3, users, beams)
    h[0] = 0

    @jax.jit
    def gradient(real):
        p = slnr_precoder(jax.lax.complex(real, 0 * real), jnp.ones(users), 0)
        return jnp.sum(p.real**2 + jnp.tanh(p.imag))

    np.testing.assert_array_equal(precoder(h, np.ones(users), 0), 0)
    assert np.all(np.isfinite(jax.grad(gradient)(jnp.asarray(h.real, jnp.float32))))
    if users > 1:
        with_it, without = np.ones(users), np.ones(users)
        without[0] = 0
        own = users - 1
        found, expected = precoder(h, with_it, own), precoder(h, without, own)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@shapes
@pytest.mark.parametrize("exponent", [-15, -6, 6, 9])
def test_no_scale_gives_nan_and_norms_stay_one(users, beams, exponent):
    h = channels(4, users, beams) * 10.0**exponent
    p = precoder(h, np.ones(users), 0)
    assert np.all(np.isfinite(p))
    norm = np.linalg.norm(p)
    assert np.isclose(norm, 1.0, rtol=1e-4), norm


@shapes
def test_users_at_one_place_have_finite_precoders(users, beams):
    h = np.tile(channels(5, 1, beams), (users, 1))
    expected = h[0] / np.linalg.norm(h[0])
    aligned = abs(np.vdot(expected, precoder(10.0 * h, np.ones(users), 0)))
    np.testing.assert_allclose(aligned, 1.0, rtol=1e-3)
    # Single precision does not hold this Gram matrix: the direction is lost, but not the norm.
    strong = precoder(1e4 * h, np.ones(users), 0)
    np.testing.assert_allclose(np.linalg.norm(strong), 1.0, rtol=1e-4)


def test_streams_and_masks_may_be_mapped_over():
    h = jnp.asarray(channels(6, 4, 6), jnp.complex64)
    counted = jnp.asarray(np.random.default_rng(7).integers(0, 2, (4, 4)), jnp.float32)
    run = jax.jit(jax.vmap(slnr_precoder, in_axes=(None, 0, 0)))
    together = run(h, counted, jnp.arange(4))
    for own in range(4):
        alone = precoder(h, counted[own], own)
        np.testing.assert_allclose(together[own], alone, atol=1e-5)
