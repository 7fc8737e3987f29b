import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.channel.correlation import local_scattering_covariance
from jaxmimo.channel.fading import los_channel, rician_amplitudes, rician_fading
from jaxmimo.core.randomness import complex_normal

KEY = jax.random.key(4)
APS, ANTENNAS, USERS = 2, 3, 2
GAIN = np.array([[1.0, 0.25], [4.0, 2.0]])
ANGLE = np.array([[0.3, -0.4], [1.0, 2.5]])
DISTANCE = np.array([[10.5, 77.25], [31.0, 12.0]])
WAVELENGTH = 0.0857
jitted_los = jax.jit(los_channel, static_argnums=3)
jitted_fading = jax.jit(rician_fading)


def los(propagation_phase=False, gain=GAIN):
    arrays = [jnp.asarray(array, float) for array in (gain, ANGLE, DISTANCE)]
    return jitted_los(*arrays, ANTENNAS, wavelength=WAVELENGTH, propagation_phase=propagation_phase)


# Amplitudes

jitted_amplitudes = jax.jit(rician_amplitudes)


@given(st.floats(1e-30, 1e30))
@pytest.mark.parametrize(("x64", "rtol"), [(False, 3e-7), (True, 5e-16)])
def test_amplitudes_are_accurate_at_every_factor(x64, rtol, kappa):
    with jax.enable_x64(x64):
        kappa = np.float64(jnp.asarray(kappa))
        los_amplitude, nlos_amplitude = jitted_amplitudes(kappa)
    np.testing.assert_allclose(los_amplitude, 1 / np.sqrt(1 + 1 / kappa), rtol=rtol)
    np.testing.assert_allclose(nlos_amplitude, 1 / np.sqrt(1 + kappa), rtol=rtol)


@pytest.mark.parametrize("x64", [False, True])
def test_amplitudes_at_both_ends(x64):
    with jax.enable_x64(x64):
        assert [float(a) for a in rician_amplitudes(0.0)] == [0, 1]
        assert [float(a) for a in rician_amplitudes(jnp.inf)] == [1, 0]
        largest = float(jnp.finfo(jnp.result_type(float)).max)
        kappa = jnp.array([0, 1e-40, 1e-37, 1e-20, 0.999, 1, 1.001, 1e20, 1e38, largest, jnp.inf])
        los_slope, nlos_slope = jax.jit(jax.vmap(jax.jacfwd(rician_amplitudes)))(kappa)
        reverse = jax.jit(jax.vmap(jax.jacrev(rician_amplitudes)))(kappa)
        np.testing.assert_allclose((los_slope, nlos_slope), reverse, rtol=1e-6)
        assert np.all(np.isfinite(los_slope) & (los_slope >= 0))
        assert np.all(np.isfinite(nlos_slope) & (nlos_slope <= 0))
        assert jax.grad(lambda k: rician_amplitudes(k)[0])(0.0) == 0  # instead of infinity
        np.testing.assert_allclose(jax.grad(lambda k: rician_amplitudes(k)[1])(0.0), -0.5)
        small = jax.grad(lambda k: rician_amplitudes(k)[0])(1e-20)
        np.testing.assert_allclose(small, 0.5e10, rtol=1e-6)


def test_gradients_of_amplitudes():
    with jax.enable_x64(True):
        check_grads(
            jax.jit(rician_amplitudes), (jnp.array([0.1, 0.9, 1.1, 30.0]),), order=2, eps=1e-5
        )


# Direct path


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("propagation_phase", [False, True])
def test_direct_path_by_definition(propagation_phase, x64, verified):
    expected = np.zeros((APS, ANTENNAS, USERS), complex)
    for q, s, k in np.ndindex(*expected.shape):
        expected[q, s, k] = np.sqrt(GAIN[q, k]) * np.exp(-1j * np.pi * s * np.sin(ANGLE[q, k]))
        if propagation_phase:
            # What single precision makes of wavelength and distance is not the phase's fault.
            wave = np.float64(WAVELENGTH if x64 else np.float32(WAVELENGTH))
            expected[q, s, k] *= np.exp(-2j * np.pi * DISTANCE[q, k] / wave)
    with jax.enable_x64(x64):
        direct = np.asarray(los(propagation_phase))
    # Half a unit in the last place of 900 turns is 2e-4 rad.
    tolerance = 1e-11 if x64 else (5e-4 if propagation_phase else 2e-6)
    verified(
        "Tominaga et al., direct path (1)-(2)",
        "its definition, looped",
        direct,
        expected,
        atol=tolerance,
    )
    np.testing.assert_allclose(np.mean(abs(direct) ** 2, axis=1), GAIN, rtol=1e-5)


def test_whole_wavelengths_keep_the_phase():
    ones = jnp.ones((1, 1))
    for wavelengths in (1, 1001, 2**20 + 1):
        direct = jitted_los(
            ones,
            0 * ones,
            ones * (0.125 * wavelengths),
            2,
            wavelength=0.125,
            propagation_phase=True,
        )
        np.testing.assert_array_equal(np.ravel(direct), 1)


def test_propagation_phase_may_be_swept():
    swept = jax.jit(jax.vmap(los))(jnp.array([False, True]))
    np.testing.assert_allclose(swept[0], los(False), atol=1e-6)
    np.testing.assert_allclose(swept[1], los(jnp.asarray(True)), atol=5e-4)


def test_gradients_of_the_direct_path():
    with jax.enable_x64(True):
        function = lambda gain, angle, distance: los_channel(  # noqa: E731
            gain, angle, distance, 3, wavelength=2.0, propagation_phase=True
        )
        check_grads(
            jax.jit(function),
            (jnp.array(GAIN), jnp.array(ANGLE), jnp.array(DISTANCE)),
            order=1,
            eps=1e-5,
        )
    gradient = jax.grad(lambda gain: abs(los(gain=gain).sum()))(jnp.array([[0.0, 1], [0, 2]]))
    assert np.all(np.isfinite(gradient))


# Fading


def covariances(std=0.3):
    links = jnp.asarray(ANGLE, float).ravel()
    flat = jax.vmap(lambda angle: local_scattering_covariance(ANTENNAS, angle, std))(links)
    return np.asarray(flat).reshape(APS, USERS, ANTENNAS, ANTENNAS)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("correlated", [False, True])
def test_fading_by_definition(correlated, x64, verified):
    kappa = np.array([[0.0, 0.5], [10.0, np.inf]])
    with jax.enable_x64(x64):
        factor = np.linalg.cholesky(covariances()) if correlated else None
        direct = np.asarray(los())
        channel = np.asarray(
            jitted_fading(
                KEY,
                jnp.asarray(direct),
                None if factor is None else jnp.asarray(factor),
                jnp.asarray(GAIN, float),
                kappa,
            )
        )
        noise = np.asarray(complex_normal(KEY, (APS * ANTENNAS, USERS)))
    assert channel.dtype == (np.complex128 if x64 else np.complex64)
    for q, k in np.ndindex(APS, USERS):
        wave = noise[q * ANTENNAS : (q + 1) * ANTENNAS, k]
        if correlated:
            wave = factor[q, k] @ wave
        share = 1.0 if np.isinf(kappa[q, k]) else kappa[q, k] / (1 + kappa[q, k])
        expected = np.sqrt(share) * direct[q, :, k] + np.sqrt((1 - share) * GAIN[q, k]) * wave
        verified(
            "Tominaga et al., Rician fading (1)-(4)",
            "its definition, looped",
            channel[q, :, k],
            expected,
            atol=1e-14 if x64 else 2e-6,
        )


def test_identity_factor_is_uncorrelated_fading():
    identity = jnp.broadcast_to(jnp.eye(ANTENNAS, dtype=complex), (APS, USERS, ANTENNAS, ANTENNAS))
    gain = jnp.asarray(GAIN, float)
    correlated = jitted_fading(KEY, los(), identity, gain, 2.0)
    np.testing.assert_allclose(correlated, jitted_fading(KEY, los(), None, gain, 2.0), atol=1e-6)


def test_moments_of_fading(assert_mean):
    kappa, count = 1.5, 40_000
    covariance = covariances()
    factor = jnp.asarray(np.linalg.cholesky(covariance))
    gain, direct = jnp.asarray(GAIN, float), los(True)
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(count))
    draw = jax.jit(jax.vmap(lambda key: rician_fading(key, direct, factor, gain, kappa)))
    channel = np.asarray(draw(keys)).astype(complex)
    mean = np.sqrt(kappa / (1 + kappa)) * np.asarray(direct)
    for q, k in np.ndindex(APS, USERS):
        power = GAIN[q, k] / (1 + kappa)
        for s in range(ANTENNAS):
            z = channel[:, q, s, k]
            assert_mean(z.real, mean[q, s, k].real, largest_error=0.01)
            assert_mean(z.imag, mean[q, s, k].imag, largest_error=0.01)
            assert_mean(abs(z) ** 2, GAIN[q, k], largest_error=0.03)
        deviation = channel[:, q, :, k] - mean[q, :, k]
        product = deviation[:, 0] * deviation[:, 2].conj()
        expected = power * covariance[q, k, 0, 2]
        assert_mean(product.real, expected.real, largest_error=0.02)
        assert_mean(product.imag, expected.imag, largest_error=0.02)
    other = (channel[:, 0, 0, 0] - mean[0, 0, 0]) * (channel[:, 1, 0, 0] - mean[1, 0, 0]).conj()
    assert_mean(other.real, 0, largest_error=0.02)


def test_fewer_aps_are_a_prefix():
    gain = jnp.asarray(GAIN, float)
    whole = jitted_fading(KEY, los(), None, gain, 2.0)
    first = jitted_fading(KEY, los()[:1], None, gain[:1], 2.0)
    np.testing.assert_allclose(first, whole[:1], atol=1e-6)


def test_gradients_of_fading():
    kappa = jnp.array([[0.0, 0.5], [10.0, jnp.inf]])
    gain = jnp.array([[0.0, 1.0], [2.0, 0.0]])
    direct = los()
    power = lambda gain, kappa: (  # noqa: E731
        abs(rician_fading(KEY, direct, None, gain, kappa)) ** 2
    ).sum()
    gradients = jax.jit(jax.grad(power, argnums=(0, 1)))(gain, kappa)
    assert np.all(np.isfinite(gradients))
    with jax.enable_x64(True):
        direct = los()
        check_grads(
            jax.jit(lambda gain, kappa: rician_fading(KEY, direct, None, gain, kappa)),
            (jnp.asarray(GAIN), jnp.array(0.7)),
            order=1,
        )
