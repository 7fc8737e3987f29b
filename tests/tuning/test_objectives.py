"""Objectives: their values, and their gradients through the systems against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo import IQImbalance
from jaxmimo.cell_free_iqi import CellFreeIQI, widely_linear_mmse
from jaxmimo.distributed_rician import DistributedRician, maximum_ratio_drop, mr_combiner
from jaxmimo.tuning import (
    downlink_se,
    proportional_fairness,
    soft_min,
    sum_se,
    uplink_se,
)
from jaxmimo.wideband_mmwave import WidebandMmwave

SE = np.array([0.5, 2.0, 4.0])


def cold_min(se):
    return soft_min(se, 0.1, jnp.asarray([0.2, 0.3, 0.5]))


def largest_share(se):
    """An objective that a person may pass."""
    return -jnp.max(se) / jnp.sum(se)


OBJECTIVES = [sum_se, proportional_fairness, cold_min, largest_share]


def test_values():
    se = jnp.asarray(SE)
    np.testing.assert_allclose(sum_se(se), 6.5, rtol=1e-6)
    np.testing.assert_allclose(proportional_fairness(se), 4.0 ** (1 / 3), rtol=1e-6)
    expected = -0.5 * np.log(np.mean(np.exp(-SE / 0.5)))
    np.testing.assert_allclose(soft_min(se, 0.5), expected, rtol=1e-6)
    np.testing.assert_allclose(soft_min(se, 1e-4), 0.5, rtol=1e-3)
    np.testing.assert_allclose(soft_min(se, 1e4), SE.mean(), rtol=1e-3)
    np.testing.assert_allclose(soft_min(se, 0.3, jnp.asarray([0.0, 1.0, 0.0])), 2.0, rtol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES[:3])
def test_users_without_se_give_no_nan(objective):
    for se in (jnp.asarray([0.0, 1.0, 2.0]), jnp.zeros(3) + 1e-30):
        assert np.isfinite(objective(se))
        assert np.all(np.isfinite(jax.grad(objective)(se)))


KINDS = ["closed form, downlink", "closed form, uplink", "simulated uplink", "wideband uplink"]


def hardware():
    return IQImbalance(amplitude=0.8, phase=0.2)


def systems():
    """SE functions of all kinds, and powers at which they are smooth."""
    rng = np.random.default_rng(0)
    downlink = CellFreeIQI(
        beta=rng.exponential(size=(4, 3)),
        receive=hardware(),
        transmit=hardware(),
        user_antennas=2,
        coherence_length=50,
        pilot_snr=0.7,
        data_snr=3.0,
        ap_antennas=2,
    )
    amplitudes, powers = rng.uniform(0.1, 0.5, (4, 3)), rng.uniform(0.02, 0.1, 3)
    rician = DistributedRician(
        num_aps=2, ap_antennas=2, num_users=3, rician_factor=1.0, noise_power=1e-8
    )
    wideband = WidebandMmwave(
        num_aps=2, ap_antennas=2, num_users=3, num_subcarriers=4, side=60.0, num_rays=1
    )
    key = jax.random.key(0)
    cases = (
        (downlink_se(downlink, widely_linear_mmse), amplitudes),
        (maximum_ratio_drop(key, rician).se, powers),
        (uplink_se(key, rician, realizations=4, combiner=mr_combiner), powers),
        (uplink_se(key, wideband, subcarriers=2, combiner=mr_combiner), powers),
    )
    return dict(zip(KINDS, cases, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_central_differences(name):
    with jax.enable_x64(True):
        se, point = systems()[name]
        point = jnp.asarray(point)
        way = point * np.random.default_rng(1).standard_normal(point.shape)
        step = 1e-5

        @jax.jit
        def values_and_slopes(point):
            rates, pull_back = jax.vjp(se, point)
            gradients = [pull_back(jax.grad(objective)(rates))[0] for objective in OBJECTIVES]
            values = [objective(rates) for objective in OBJECTIVES]
            return jnp.stack(values), jnp.stack([jnp.vdot(each, way) for each in gradients])

        up, down = (values_and_slopes(point + sign * step * way)[0] for sign in (1, -1))
        slopes = values_and_slopes(point)[1]
        assert np.all(np.abs(slopes) > 1e-4)
        np.testing.assert_allclose(slopes, (up - down) / (2 * step), rtol=1e-6)
