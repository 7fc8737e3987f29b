"""SINR of the uplink against the looped reference and against known laws."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from jaxmimo.core.randomness import complex_normal
from jaxmimo.core.small_matrices import Parts
from jaxmimo.rates.sinr import sinr_of_gains, spectral_efficiency, uplink_sinr
from jaxmimo.transceiver.combining import IN_GRAM_FORM, mmse_combiner, mr_combiner, zf_combiner
from tests.reference import distributed_rician as reference

SINR, ZF, MMSE = map(jax.jit, (uplink_sinr, zf_combiner, mmse_combiner))
POWERS = np.array([0.3, 1.0, 2.0, 5.0])


def normal(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def as_jax(array):
    return jnp.asarray(array, jnp.result_type(complex))


@pytest.mark.parametrize("power", [0.7, POWERS], ids=["common", "per user"])
@pytest.mark.parametrize(("double", "tolerance"), [(False, 1e-4), (True, 1e-12)])
def test_sinr_is_that_of_the_looped_reference(power, double, tolerance, verified):
    rng = np.random.default_rng(0)
    v, h = normal(rng, 6, 4), normal(rng, 6, 4)
    with jax.enable_x64(double):
        found = SINR(as_jax(v), as_jax(h), power, 0.4)
        assert found.dtype == jnp.result_type(float)
    expected = reference.sinr(v, h, np.broadcast_to(power, 4), 0.4)
    verified("Tominaga et al., SINR (11)", "looped NumPy", found, expected, rtol=tolerance)


@given(seed=st.integers(0, 10_000), exponents=st.lists(st.floats(-15, 15), min_size=4, max_size=4))
def test_scale_of_combiners_does_not_matter(seed, exponents):
    rng = np.random.default_rng(seed)
    v, h = normal(rng, 6, 4), normal(rng, 6, 4)
    scaled = v * 10.0 ** np.array(exponents) * np.exp(1j * np.arange(4))
    one, other = (SINR(as_jax(x), as_jax(h), POWERS, 0.4) for x in (v, scaled))
    np.testing.assert_allclose(one, other, rtol=2e-5)


def test_combiner_of_zeros_hears_nothing_and_has_a_finite_gradient():
    rng = np.random.default_rng(1)
    v, h = normal(rng, 6, 4), normal(rng, 6, 4)
    v[:, 1] = 0
    found = SINR(as_jax(v), as_jax(h), 1.0, 0.4)
    assert found[1] == 0
    assert np.all(found[np.array([0, 2, 3])] > 0)

    def total(real):
        return uplink_sinr(jax.lax.complex(real, as_jax(v).imag), as_jax(h), 1.0, 0.4).sum()

    assert np.all(np.isfinite(jax.jit(jax.grad(total))(as_jax(v).real)))


def test_user_without_power_gets_nothing_and_disturbs_nobody():
    rng = np.random.default_rng(2)
    v, h = normal(rng, 6, 4), normal(rng, 6, 4)
    power = np.array([1.0, 0.0, 1.0, 1.0])
    found = SINR(as_jax(v), as_jax(h), power, 0.4)
    others = np.array([0, 2, 3])
    alone = SINR(as_jax(v[:, others]), as_jax(h[:, others]), 1.0, 0.4)
    assert found[1] == 0
    np.testing.assert_allclose(found[others], alone, rtol=1e-5)


def test_noise_alone_limits_a_single_user():
    h = normal(np.random.default_rng(3), 5, 1)
    found = SINR(as_jax(h), as_jax(h), 2.0, 0.5)
    np.testing.assert_allclose(found, 4 * np.linalg.norm(h) ** 2, rtol=1e-5)


def test_sinr_of_gains_sums_interference_without_the_signal():
    """Taking the signal off the sum of all powers would leave its rounding error."""
    gains = np.array([[1e4, 1e-2], [0.0, 0.0]])[..., None]
    found = sinr_of_gains(Parts(jnp.asarray(gains), jnp.zeros((2, 2, 1))), jnp.zeros((2, 1)))
    np.testing.assert_allclose(found, [[1e12], [0.0]], rtol=1e-5)


def test_spectral_efficiency_is_the_logarithm_and_keeps_small_values():
    sinr = np.array([0.0, 1e-12, 1e-3, 1.0, 3.0, 1e6])
    expected = np.log1p(sinr) / np.log(2)
    np.testing.assert_allclose(spectral_efficiency(jnp.asarray(sinr)), expected, rtol=1e-6)
    np.testing.assert_allclose(reference.se(sinr[2:]), expected[2:], rtol=1e-9)


# Known channels


@pytest.mark.parametrize(("antennas", "users"), [(6, 4), (4, 4), (3, 4)])
def test_mmse_with_known_channels_reaches_the_largest_sinr(antennas, users, verified):
    power = POWERS
    h, noise = normal(np.random.default_rng(4), antennas, users), 0.2
    with jax.enable_x64(True):
        v = mmse_combiner(as_jax(h * np.sqrt(power)), noise)
        found = SINR(v, as_jax(h), power, noise)
    expected = reference.mmse_sinr_perfect(h, power, noise)
    verified(
        "Tominaga et al., SINR of MMSE with known channels",
        "the largest there is, in closed form",
        found,
        expected,
        rtol=1e-10,
    )
    gram = reference.mmse_sinr_perfect_gram(h, power, noise)
    np.testing.assert_allclose(found, gram, rtol=1e-10)


@given(seed=st.integers(0, 10_000), noise_db=st.floats(-40, 40))
def test_no_combiner_beats_mmse_with_known_channels(seed, noise_db):
    rng = np.random.default_rng(seed)
    noise = 10 ** (noise_db / 10)
    h = as_jax(normal(rng, 6, 4) * 10 ** rng.uniform(-1, 1, 4))
    best = SINR(MMSE(h, noise), h, 1.0, noise)
    for v in (mr_combiner(h), ZF(h), as_jax(normal(rng, 6, 4))):
        assert np.all(SINR(v, h, 1.0, noise) <= best * (1 + 1e-3))


def test_zero_forcing_with_known_channels_leaves_the_noise_only(verified):
    h = normal(np.random.default_rng(5), 6, 4)
    with jax.enable_x64(True):
        found = SINR(zf_combiner(as_jax(h)), as_jax(h), POWERS, 0.3)
    verified(
        "Tominaga et al., SINR of ZF with known channels",
        "closed form",
        found,
        reference.zf_sinr_perfect(h, POWERS, 0.3),
        rtol=1e-10,
    )


@pytest.mark.parametrize(("antennas", "users"), [(6, 6)])
def test_zero_forcing_in_rayleigh_fading_follows_its_gamma_law(antennas, users, assert_mean):
    draws, gain, power, noise = 8000, 1.7, 0.4, 0.2

    def one(key):
        h = np.sqrt(gain) * complex_normal(key, (antennas, users))
        return uplink_sinr(zf_combiner(h), h, power, noise)[0]

    keys = jax.random.split(jax.random.key(6), draws)
    sinr = np.asarray(jax.jit(jax.vmap(one))(keys), float)
    law = reference.zf_sinr_law(antennas, users, gain, power, noise)
    assert stats.kstest(sinr, law.cdf).pvalue > 1e-3
    se = np.asarray(spectral_efficiency(jnp.asarray(sinr)))
    expected = reference.zf_mean_se(antennas, users, gain, power, noise)
    assert_mean(se, expected, largest_error=0.02)


def test_gram_form_of_zero_forcing_follows_the_gamma_law_too():
    antennas, users, draws = 8, 4, 8000
    h = np.asarray(complex_normal(jax.random.key(7), (antennas, users, draws)))
    gram = Parts.of(jnp.einsum("mib,mkb->ikb", h.conj(), h))
    form = jax.jit(
        lambda gram, error: sinr_of_gains(*IN_GRAM_FORM[zf_combiner](gram, error, 1.0)[:2])
    )
    sinr = np.asarray(form(gram, Parts.zeros(gram.shape)))
    law = reference.zf_sinr_law(antennas, users, 1.0, 1.0, 1.0)
    assert stats.kstest(sinr[2], law.cdf).pvalue > 1e-3


def test_combiner_of_another_shape_is_refused(monkeypatch):
    # Tests check types at every call, scripts do not.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    h = jnp.ones((4, 3), complex)
    for shape in ((4, 1), (4, 4), (3,)):
        with pytest.raises(ValueError, match="must have shape"):
            uplink_sinr(jnp.ones(shape, complex), h, 1.0, 1.0)
