"""System 1 with powers per AP and user: against the equal split, simulation and Ngo et al."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo import IQImbalance
from jaxmimo.cell_free_iqi import (
    CellFreeIQI,
    asymptotic_se,
    closed_form_se,
    linear_mmse,
    simulate_se,
    widely_linear_mmse,
)
from tests.reference import max_min as reference

both_estimators = pytest.mark.parametrize(
    "estimator", [linear_mmse, widely_linear_mmse], ids=lambda e: e.__name__
)


def mixed_system(*, common=False, **other):
    """Nothing equal to anything else."""
    rng = np.random.default_rng(7)
    shape = (1, 1) if common else (6, 2)

    def hardware():
        return IQImbalance(
            amplitude=rng.uniform(0.3, 1.2, shape), phase=rng.uniform(-0.6, 0.6, shape)
        )

    return CellFreeIQI(
        **{
            "beta": rng.exponential(size=(6, 3)),
            "receive": hardware(),
            "transmit": hardware(),
            "user_antennas": 2,
            "coherence_length": 50,
            "pilot_length": 8,
            "pilot_snr": 0.7,
            "data_snr": 3.0,
            "ap_antennas": 2,
            **other,
        }
    )


def mixed_amplitudes():
    """Full power and less, a silent AP, users without power at some AP."""
    rng = np.random.default_rng(3)
    amplitudes = rng.uniform(0.1, 1.0, (6, 3))
    amplitudes /= np.linalg.norm(amplitudes, axis=1, keepdims=True) * (1.0 + 1e-7)
    amplitudes *= np.array([1.0, 1.0, 0.7, 0.0, 0.9, 1.0])[:, None]
    amplitudes[4:, 0] = 0.0
    return amplitudes


@both_estimators
def test_equal_amplitudes_are_the_equal_split(estimator):
    equal = np.full((6, 3), 3**-0.5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            closed_form_se(mixed_system(amplitudes=equal), estimator),
            closed_form_se(mixed_system(), estimator),
            rtol=1e-13,
        )


@pytest.mark.parametrize("common", [False, True])
def test_simulation_agrees_with_the_closed_form(common, verified):
    system = mixed_system(common=common, amplitudes=mixed_amplitudes())
    estimators = (linear_mmse, widely_linear_mmse)
    estimate = simulate_se(jax.random.key(3), system, realizations=20_000, estimator=estimators)
    expected = np.stack([closed_form_se(system, estimator) for estimator in estimators])
    assert np.all(estimate.std_error < 0.006 * expected)
    error = estimate.std_error
    verified(
        "Sutton et al., Theorem 1 with powers",
        "closed form",
        estimate.mean,
        expected,
        std_error=error,
    )


def test_sweep_over_amplitudes_equals_each_alone():
    alone = [mixed_system(amplitudes=a * mixed_amplitudes()) for a in (1.0, 0.5)]
    swept = mixed_system(amplitudes=np.stack([s.amplitudes for s in alone]))
    np.testing.assert_allclose(closed_form_se(swept), [closed_form_se(s) for s in alone], rtol=1e-6)
    one, both = (simulate_se(jax.random.key(2), s, realizations=64) for s in (alone[1], swept))
    np.testing.assert_allclose(both.mean[1], one.mean, rtol=1e-4)


def test_matched_single_antennas_are_those_of_ngo_et_al(verified):
    rng = np.random.default_rng(0)
    beta, energy, snr = rng.exponential(size=(8, 4)), 4 * 0.3, 5.0
    gamma = reference.estimate_power(beta, energy)
    eta = rng.uniform(size=(8, 4)) / gamma
    eta /= (eta * gamma).sum(1, keepdims=True) * rng.uniform(1.0, 2.0, (8, 1))
    with jax.enable_x64(True):
        system = CellFreeIQI(
            beta=beta,
            receive=IQImbalance(),
            transmit=IQImbalance(),
            user_antennas=1,
            coherence_length=50,
            pilot_snr=0.3,
            data_snr=snr,
            amplitudes=np.sqrt(eta * gamma),
        )
        expected = (1 - 4 / 50) * np.log2(1 + reference.downlink_sinr(eta, beta, gamma, snr))
        verified(
            "Sutton et al., SE with powers of one antenna per AP and user",
            "closed form of Ngo et al.",
            closed_form_se(system),
            expected,
            rtol=1e-12,
        )


def test_one_amplitude_for_all_aps_keeps_the_limit_of_many_aps():
    """The image grows with the signal, whatever the powers."""
    np.testing.assert_allclose(
        asymptotic_se(mixed_system(common=True, amplitudes=np.full((6, 3), 0.2))),
        asymptotic_se(mixed_system(common=True)),
        rtol=1e-5,
    )


@both_estimators
def test_gradients_are_finite_without_any_power_and_finite_differences_elsewhere(estimator):
    with jax.enable_x64(True):
        system = mixed_system(amplitudes=np.zeros((6, 3)))

        def total(amplitudes):
            given = eqx.tree_at(lambda s: s.amplitudes, system, amplitudes)
            return closed_form_se(given, estimator).sum()

        assert np.all(np.isfinite(jax.grad(total)(jnp.zeros((6, 3)))))
        point = jnp.asarray(mixed_amplitudes())
        way = jnp.asarray(np.random.default_rng(1).standard_normal((6, 3)))
        difference = (total(point + 1e-6 * way) - total(point - 1e-6 * way)) / 2e-6
        np.testing.assert_allclose(jnp.vdot(jax.grad(total)(point), way), difference, rtol=1e-7)


@pytest.mark.parametrize(
    "amplitudes", [np.ones((6, 3)), np.zeros((3, 6)), np.zeros(3), np.full((6, 3), np.nan)]
)
def test_bad_amplitudes_are_named_in_one_line(amplitudes):
    with pytest.raises(ValueError, match="`amplitudes`") as error:
        mixed_system(amplitudes=amplitudes)
    assert "\n" not in str(error.value)
