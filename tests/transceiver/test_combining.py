"""Combiners against plain formulas, and their Gram forms against them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxmimo.core.small_matrices import Parts
from jaxmimo.transceiver.combining import (
    IN_GRAM_FORM,
    error_aware_mmse_combiner,
    mmse_combiner,
    mr_combiner,
    zf_combiner,
)
from tests.reference import distributed_rician as reference

SCHEMES = (mr_combiner, zf_combiner, mmse_combiner, error_aware_mmse_combiner)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.__name__)
ZF, MMSE, AWARE = map(jax.jit, (zf_combiner, mmse_combiner, error_aware_mmse_combiner))


def normal(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def channel(seed, antennas, users, spread=1.0):
    """Users whose gains differ by up to two powers of ten."""
    rng = np.random.default_rng(seed)
    return normal(rng, antennas, users) * 10.0 ** rng.uniform(-spread, spread, users)


def covariance(seed, antennas):
    g = normal(np.random.default_rng(seed), antennas, antennas)
    return g @ g.conj().T / antennas


def as_jax(array):
    return jnp.asarray(array, jnp.result_type(complex))


def combined(scheme, h_hat, noise_to_power=1.0, errors=None):
    errors = np.zeros((len(h_hat), len(h_hat))) if errors is None else errors
    found = jax.jit(scheme)(as_jax(h_hat), noise_to_power, as_jax(errors))
    return np.asarray(found, complex)


# Plain formulas


@pytest.mark.parametrize(("antennas", "users"), [(6, 4), (4, 4), (1, 1), (5, 1)])
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_zero_forcing_nulls_all_other_users(antennas, users, double, verified):
    h_hat = channel(0, antennas, users)
    with jax.enable_x64(double):
        v = combined(zf_combiner, h_hat)
    np.testing.assert_allclose(v.conj().T @ h_hat, np.eye(users), atol=1e-10 if double else 1e-3)
    if double:
        verified(
            "Tominaga et al., ZF combiner (12)",
            "looped NumPy",
            v,
            reference.zf_combiner(h_hat),
            rtol=1e-9,
        )


@pytest.mark.parametrize(("antennas", "users"), [(6, 4), (4, 4), (3, 7), (1, 3), (4, 1)])
@pytest.mark.parametrize("noise_to_power", [0.05, 1.0, 30.0])
def test_mmse_is_the_formula_of_all_antennas_whatever_the_shape(
    antennas, users, noise_to_power, verified
):
    h_hat = channel(1, antennas, users)
    with jax.enable_x64(True):
        v = np.asarray(MMSE(as_jax(h_hat), noise_to_power))
    verified(
        "Tominaga et al., MMSE combiner (12)",
        "looped NumPy",
        v,
        reference.mmse_combiner(h_hat, noise_to_power),
        atol=1e-10,
    )
    np.testing.assert_allclose(v, reference.mmse_combiner_gram(h_hat, noise_to_power), atol=1e-10)


@pytest.mark.parametrize(("antennas", "users"), [(6, 4), (4, 4), (3, 7)])
def test_error_aware_mmse_is_the_plain_formula(antennas, users, verified):
    h_hat, errors = channel(2, antennas, users), covariance(3, antennas)
    with jax.enable_x64(True):
        v = combined(error_aware_mmse_combiner, h_hat, 0.3, errors)
    verified(
        "Ours, error-aware MMSE combiner",
        "looped NumPy",
        v,
        reference.mmse_combiner(h_hat, 0.3, errors),
        atol=1e-11,
    )


@pytest.mark.parametrize(("antennas", "users"), [(6, 4), (3, 7)])
def test_error_aware_mmse_without_errors_is_mmse(antennas, users):
    h_hat = channel(4, antennas, users)
    with jax.enable_x64(True):
        aware = combined(error_aware_mmse_combiner, h_hat, 0.3)
        plain = combined(mmse_combiner, h_hat, 0.3)
    np.testing.assert_allclose(aware, plain, atol=1e-11)


def test_error_aware_mmse_counts_white_errors_as_noise():
    h_hat = channel(5, 6, 4)
    with jax.enable_x64(True):
        aware = combined(error_aware_mmse_combiner, h_hat, 0.3, 0.2 * np.eye(6))
        plain = combined(mmse_combiner, h_hat, 0.5)
    np.testing.assert_allclose(aware, plain, atol=1e-11)


def test_mmse_tends_to_zero_forcing_and_to_maximum_ratio():
    h_hat = channel(6, 6, 4)
    with jax.enable_x64(True):
        strong = combined(mmse_combiner, h_hat, 1e-12)
        weak = 1e12 * combined(mmse_combiner, h_hat, 1e12)
        np.testing.assert_allclose(strong, combined(zf_combiner, h_hat), rtol=1e-7)
        np.testing.assert_allclose(weak, combined(mr_combiner, h_hat), rtol=1e-8)


def test_more_users_than_antennas_cannot_be_forced_apart():
    with pytest.raises(ValueError, match="has 5 users and 4 antennas") as error:
        zf_combiner(jnp.zeros((4, 5), complex))
    assert "\n" not in str(error.value)
    assert "`h_hat`" in str(error.value)
    assert "`mmse_combiner`" in str(error.value)


# Gram forms


@pytest.mark.parametrize("scheme", IN_GRAM_FORM, ids=lambda s: s.__name__)
@pytest.mark.parametrize(("antennas", "users"), [(6, 4), (4, 4), (3, 5)])
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_gram_form_gives_gains_and_norms_of_the_combiner(scheme, antennas, users, double):
    if scheme is zf_combiner and users > antennas:
        pytest.skip("refused")
    rng = np.random.default_rng(7)
    h_hat, missed = normal(rng, antennas, users, 2), 0.1 * normal(rng, antennas, users, 2)
    adjoint = h_hat.conj().swapaxes(0, 1)
    gram, error = (np.einsum("imb,mkb->ikb", adjoint, x) for x in (h_hat, missed))
    with jax.enable_x64(double):
        form = jax.jit(IN_GRAM_FORM[scheme])
        gains, norms, _ = form(Parts.of(as_jax(gram)), Parts.of(as_jax(error)), 0.2)
        assert norms.dtype == jnp.result_type(float)
        for i in range(2):
            v = combined(scheme, h_hat[..., i], 0.2)
            expected = v.conj().T @ (h_hat - missed)[..., i]
            tolerance = 1e-11 if double else 2e-4
            np.testing.assert_allclose(gains.merged()[..., i], expected, atol=tolerance)
            np.testing.assert_allclose(
                norms[..., i], np.linalg.norm(v, axis=0) ** 2, rtol=tolerance
            )


def test_gram_forms_keep_the_digits_of_small_errors_in_single_precision():
    """Zero forcing leaves B D, not what rounding makes of I - B (H_hat^H H)."""
    rng = np.random.default_rng(8)
    h_hat, missed = 300 * normal(rng, 8, 6), 1e-4 * normal(rng, 8, 6)
    gram, error = (h_hat.conj().T @ x for x in (h_hat, missed))
    forms = jax.jit(IN_GRAM_FORM[zf_combiner])
    gains, _, _ = forms(Parts.of(as_jax(gram[..., None])), Parts.of(as_jax(error[..., None])), 1.0)
    expected = -np.linalg.solve(gram, error)
    others = ~np.eye(6, dtype=bool)
    error = abs(gains.merged()[..., 0] - expected)[others].max()
    assert error < 1e-4 * abs(expected[others]).max()


# Corners


@every_scheme
def test_users_with_the_same_estimate_get_finite_combiners(scheme):
    h_hat = channel(9, 6, 4)
    h_hat[:, 2] = h_hat[:, 0]
    for errors in (np.zeros((6, 6)), 0.1 * np.eye(6)):
        assert np.all(np.isfinite(combined(scheme, h_hat, 1.0, errors)))


@every_scheme
def test_no_channel_at_all_gives_finite_combiners(scheme):
    np.testing.assert_array_equal(combined(scheme, np.zeros((4, 3))), 0)


@every_scheme
def test_gradients_are_finite_where_channels_vanish_or_coincide(scheme):
    h = channel(10, 4, 3)
    h[:, 1], h[:, 2] = 0, h[:, 0]

    @jax.jit
    @jax.grad
    def gradient(real):
        v = scheme(jax.lax.complex(real, as_jax(h).imag), 1.0, jnp.zeros((4, 4), complex))
        return jnp.tanh(v.real).sum()

    assert np.all(np.isfinite(gradient(as_jax(h).real)))


@every_scheme
def test_vmap_equals_each_realization_alone(scheme):
    h_hat = as_jax(np.stack([channel(seed, 5, 3) for seed in range(4)]))
    zeros = jnp.zeros((5, 5), h_hat.dtype)
    together = jax.jit(jax.vmap(scheme, in_axes=(0, None, None)))(h_hat, 1.0, zeros)
    alone = np.stack([combined(scheme, h) for h in h_hat])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5)


# Invariances

seeds = st.integers(0, 10_000)


def each_scheme(h_hat, noise_to_power, errors):
    return [
        np.asarray(v, complex)
        for v in (
            ZF(as_jax(h_hat)),
            MMSE(as_jax(h_hat), noise_to_power),
            AWARE(as_jax(h_hat), noise_to_power, as_jax(errors)),
        )
    ]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9 * abs(other).max())


@given(seed=seeds)
def test_rotating_the_antennas_rotates_the_combiners(seed):
    h_hat, errors = channel(seed, 6, 4), covariance(seed + 1, 6)
    q = np.linalg.qr(normal(np.random.default_rng(seed + 2), 6, 6))[0]
    with jax.enable_x64(True):
        rotated = each_scheme(q @ h_hat, 0.5, q @ errors @ q.conj().T)
        assert_same(rotated, [q @ v for v in each_scheme(h_hat, 0.5, errors)])


@given(seed=seeds, order=st.permutations(range(4)))
def test_numbering_users_in_another_order_reorders_the_combiners(seed, order):
    h_hat, errors = channel(seed, 6, 4), covariance(seed + 1, 6)
    with jax.enable_x64(True):
        expected = [v[:, order] for v in each_scheme(h_hat, 0.5, errors)]
        assert_same(each_scheme(h_hat[:, order], 0.5, errors), expected)


@given(seed=seeds, exponent=st.floats(-5, 5), turn=st.floats(0, 1))
def test_scaling_channels_and_noise_together_keeps_the_directions(seed, exponent, turn):
    h_hat, errors = channel(seed, 6, 4), covariance(seed + 1, 6)
    factor = 10.0**exponent * np.exp(2j * np.pi * turn)
    power = abs(factor) ** 2
    with jax.enable_x64(True):
        scaled = each_scheme(factor * h_hat, power * 0.5, power * errors)
        expected = [v * factor / power for v in each_scheme(h_hat, 0.5, errors)]
        assert_same(scaled, expected)
