"""Gradients of every objective through every system, against central differences in double."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo import IQImbalance
from jaxmimo.beamforming_3d import (
    Beamforming3D,
    adjacent_groups,
    draw_users,
    generalized_mrt,
    make_cell,
)
from jaxmimo.cell_free_iqi import CellFreeIQI, linear_mmse, widely_linear_mmse
from jaxmimo.distributed_rician import DistributedRician, maximum_ratio_drop, mmse_combiner
from jaxmimo.tuning import (
    cell_se,
    downlink_se,
    proportional_fairness,
    soft_min,
    sum_se,
    uplink_se,
)
from jaxmimo.tuning.groups import soft_rates
from jaxmimo.wideband_mmwave import WidebandMmwave

WEIGHTS = np.array([0.2, 0.3, 0.5])
KEY = jax.random.key(0)
STEP = 1e-4
"""Of the differences, over each number: their error is some of its squares."""


def weighted_sum(se):
    return WEIGHTS @ se


def weighted_soft_min(se):
    return soft_min(se, 0.1, jnp.asarray(WEIGHTS))


def largest_share(se):
    """An objective that a person may pass."""
    return -jnp.max(se) / jnp.sum(se)


OBJECTIVES = {
    "sum": sum_se,
    "proportional fairness": proportional_fairness,
    "soft minimum": lambda se: soft_min(se, 0.3),
    "weighted soft minimum": weighted_soft_min,
    "weighted sum": weighted_sum,
    "largest share": largest_share,
}


def amplitudes(rng):
    return rng.uniform(0.1, 0.5, (4, 3))


def powers(rng):
    return rng.uniform(0.02, 0.1, 3)


def shares(rng):
    return rng.uniform(0.2, 1.5, 3)


def downlink(estimator):
    """All antennas of all APs differ, at both ends."""

    def hardware(rng):
        return IQImbalance(
            amplitude=rng.uniform(0.5, 1.0, (4, 2)), phase=rng.uniform(-0.4, 0.4, (4, 2))
        )

    rng = np.random.default_rng(1)
    system = CellFreeIQI(
        beta=rng.exponential(size=(4, 3)),
        receive=hardware(rng),
        transmit=hardware(rng),
        user_antennas=2,
        coherence_length=50,
        pilot_snr=0.7,
        data_snr=3.0,
        ap_antennas=2,
    )
    return downlink_se(system, estimator)


def rician():
    return DistributedRician(
        num_aps=2, ap_antennas=2, num_users=3, rician_factor=1.0, noise_power=1e-8
    )


def simulated_uplink():
    return uplink_se(KEY, rician(), realizations=4, combiner=mmse_combiner)


def wideband_uplink():
    system = WidebandMmwave(
        num_aps=2, ap_antennas=2, num_users=3, num_subcarriers=4, side=60.0, num_rays=1
    )
    return uplink_se(KEY, system, subcarriers=2, combiner=mmse_combiner)


def cell():
    system = Beamforming3D(
        azimuth_antennas=4,
        elevation_antennas=4,
        num_users=3,
        azimuth_groups=2,
        elevation_groups=2,
        reference_distance=400.0,
    )
    return make_cell(system, draw_users(KEY, system))


CASES = {
    "closed form, downlink, linear": (lambda: downlink(linear_mmse), amplitudes),
    "closed form, downlink, widely linear": (lambda: downlink(widely_linear_mmse), amplitudes),
    "closed form, uplink": (lambda: maximum_ratio_drop(KEY, rician()).se, powers),
    "simulated uplink": (simulated_uplink, powers),
    "wideband uplink": (wideband_uplink, powers),
    "cell, two stages": (lambda: cell_se(cell(), adjacent_groups), shares),
    "cell, fixed precoders": (lambda: cell_se(cell(), generalized_mrt), shares),
    "soft groups": (
        lambda: Partial(soft_rates, cell()),
        lambda rng: rng.dirichlet(np.full(4, 2.0), 3),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_central_differences(case):
    """Along every coordinate by itself."""
    make, draw = CASES[case]
    with jax.enable_x64(True):
        se = make()
        point = draw(np.random.default_rng(0))

        @jax.jit
        def values_and_gradients(point):
            # What `jax.grad` of the composition does, with one backward pass for all objectives.
            rates, pull_back = jax.vjp(se, point)
            pairs = [jax.value_and_grad(each)(rates) for each in OBJECTIVES.values()]
            values, slopes = (jnp.stack(each) for each in zip(*pairs, strict=True))
            return values, jax.vmap(lambda slope: pull_back(slope)[0])(slopes)

        differences = np.zeros((len(OBJECTIVES), point.size))
        for i in range(point.size):
            step = STEP * point.flat[i] * np.eye(point.size)[i].reshape(point.shape)
            up, down = (np.asarray(values_and_gradients(point + s)[0]) for s in (step, -step))
            differences[:, i] = (up - down) / (2 * step.flat[i])
        gradients = np.asarray(values_and_gradients(point)[1]).reshape(differences.shape)
    for name, gradient, expected in zip(OBJECTIVES, gradients, differences, strict=True):
        scale = np.abs(gradient).max()
        assert scale > 1e-4, name
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-6 * scale, err_msg=name)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_of_objectives_are_central_differences(objective):
    se, function = np.array([0.5, 2.0, 3.7]), OBJECTIVES[objective]
    with jax.enable_x64(True):
        slope = jax.grad(function)(jnp.asarray(se))
        for user in range(3):
            step = 1e-5 * np.eye(3)[user]
            difference = (
                function(jnp.asarray(se + step)) - function(jnp.asarray(se - step))
            ) / 2e-5
            np.testing.assert_allclose(slope[user], difference, rtol=1e-7, atol=1e-10)
