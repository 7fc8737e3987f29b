"""Use-and-then-forget SE of system 2: against its own simulation, looped, and at the corners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.distributed_rician import DistributedRician, LocalScattering, maximum_ratio_drop
from jaxmimo.systems.distributed_rician.drop import draw_drop, draw_fading

POWERS = np.array([0.1, 0.02, 0.05])


def network(**other):
    return DistributedRician(
        **{
            "num_aps": 3,
            "ap_antennas": 2,
            "num_users": 3,
            "rician_factor": 1.5,
            "propagation_phase": True,
            "noise_power": 1e-9,
            "power": POWERS,
            **other,
        }
    )


def simulated_sinr(key, system, realizations):
    """SINR of means over fading, and its error by a jackknife over blocks of realizations."""
    drop_key, fading_key = jax.random.split(key)
    drop = draw_drop(drop_key, system)
    white, noise = draw_fading(fading_key, *drop.los.shape, 0, realizations, drop.always)
    draws = drop.draws(white, noise, drop.error_variance)
    h = np.asarray(draws.channel(draws.los_amplitude[0], draws.nlos_amplitude[0]).merged())
    estimate = h + np.asarray(draws.error.merged())

    gains = np.moveaxis(estimate, 2, 0).swapaxes(1, 2).conj() @ np.moveaxis(h, 2, 0)
    own = np.diagonal(gains, axis1=1, axis2=2)
    received = (np.abs(gains) ** 2).sum(2) + (np.abs(estimate) ** 2).sum(0).T
    own, received = (each.reshape(32, -1, each.shape[1]).mean(1) for each in (own, received))

    def sinr(own, received):
        signal = np.abs(own) ** 2
        return signal / (received - signal)

    left_out = sinr(*((32 * each.mean(0) - each) / 31 for each in (own, received)))
    error = np.sqrt(31 / 32 * ((left_out - left_out.mean(0)) ** 2).sum(0))
    return sinr(own.mean(0), received.mean(0)), error


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"covariance": LocalScattering(angular_std=0.2)},
        {"rician_factor": np.arange(9.0).reshape(3, 3) / 3},
        {"rician_factor": 0.0, "pilot_length": 7},
    ],
    ids=["uncorrelated", "correlated", "by link", "rayleigh"],
)
def test_closed_form_is_that_of_simulated_moments(change, verified):
    system, key = network(**change), jax.random.key(4)
    sinr, error = simulated_sinr(key, system, 12_800)
    expected = np.exp2(maximum_ratio_drop(key, system).se(jnp.asarray(POWERS))) - 1
    assert np.all(error < 0.07 * expected)
    name = "Ours, SINR of maximum ratio in a Rician drop"
    verified(name, "simulated moments", sinr, expected, std_error=error)


def test_one_antenna_without_scattering_is_elementary():
    """A channel that is known but for its pilot's noise: SINR = p^2 / (p + (p + 1) / tau)."""
    system = network(num_aps=1, ap_antennas=1, num_users=1, rician_factor=np.inf, power=0.1)
    drop = maximum_ratio_drop(jax.random.key(0), system)
    p = 0.3 * float(drop.gain[0])
    np.testing.assert_allclose(
        drop.se(jnp.asarray([0.3]))[0], np.log2(1 + p**2 / (p + (p + 1))), rtol=1e-5
    )


def test_gradients_are_finite_differences_and_finite_without_power():
    with jax.enable_x64(True):
        drop = maximum_ratio_drop(jax.random.key(1), network())
        assert np.all(np.isfinite(jax.jacobian(drop.se)(jnp.zeros(3))))
        point, way = jnp.asarray(POWERS), jnp.asarray([1.0, -2.0, 0.5])
        difference = (drop.se(point + 1e-7 * way) - drop.se(point - 1e-7 * way)) / 2e-7
        np.testing.assert_allclose(jax.jacobian(drop.se)(point) @ way, difference, rtol=1e-6)


def test_swept_factors_are_refused():
    with pytest.raises(ValueError, match="`rician_factor`"):
        maximum_ratio_drop(jax.random.key(0), network(rician_factor=np.ones(2)))
