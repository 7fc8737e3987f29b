"""Sum SE and fairness by gradient, against heuristics and against random restarts of L-BFGS."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo import IQImbalance
from jaxmimo.cell_free_iqi import CellFreeIQI
from jaxmimo.distributed_rician import DistributedRician, maximum_ratio_drop
from jaxmimo.tuning import (
    ApPowerBudget,
    PowerLimits,
    downlink_se,
    equal_split,
    fractional_power_control,
    max_min_downlink,
    maximize,
    maximize_from_each,
    proportional_fairness,
    sum_se,
)
from tests.reference import max_min as reference

LIMIT = 0.1


def uplinks(count, aps, users):
    """Statistics of drops of the maximum-ratio uplink over a square kilometre."""
    system = DistributedRician(
        num_aps=aps,
        ap_antennas=1,
        num_users=users,
        rician_factor=1.0,
        side=1000.0,
        path_loss_exponent=3.67,
        propagation_phase=True,
    )
    keys = jax.random.split(jax.random.key(0), count)
    return jax.jit(jax.vmap(lambda key: maximum_ratio_drop(key, system)))(keys)


def total(drop, powers):
    return sum_se(drop.se(powers))


@jax.jit
@jax.vmap
def searched(drop):
    limit = jnp.full_like(drop.gain, LIMIT)
    heuristics = [fractional_power_control(drop.gain, limit, exponent=x) for x in (0.0, 0.5, 1.0)]
    starts = jnp.stack(heuristics)
    found = maximize_from_each(Partial(total, drop), starts, domain=PowerLimits(limit))
    return found, jax.vmap(Partial(total, drop))(starts)


def assert_sum_se_is_optimal(count, aps, users, *, restarts):
    drops = uplinks(count, aps, users)
    found, heuristics = searched(drops)
    assert np.all(found.converged)
    assert np.all(found.value[:, None] >= heuristics * (1 - 1e-6))
    assert np.all((found.parameters >= 0) & (found.parameters <= LIMIT))
    ratios = []
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)), drops)
        cost = jax.jit(jax.value_and_grad(lambda powers, drop: -total(drop, powers)))
        for i in range(count):
            drop = jax.tree.map(lambda leaf, i=i: leaf[i], wide)

            def cost_and_slope(shares, drop=drop):
                value, slope = cost(LIMIT * jnp.asarray(shares), drop)
                return float(value), LIMIT * np.asarray(slope)

            best = reference.best_of_restarts(
                cost_and_slope, np.ones(users), starts=restarts, seed=i
            )
            ratios.append(float(found.value[i]) / best)
    assert np.mean(ratios) >= 0.995


def test_uplink_is_as_good_as_random_restarts():
    assert_sum_se_is_optimal(4, 12, 4, restarts=6)


@pytest.mark.slow
def test_uplink_is_as_good_as_random_restarts_in_a_hundred_networks():
    assert_sum_se_is_optimal(100, 50, 10, restarts=20)


def test_downlink_gains_by_every_objective_and_keeps_the_budget():
    system = CellFreeIQI(
        beta=reference.three_slope_network(3, 10, 4),
        receive=IQImbalance(),
        transmit=IQImbalance(),
        user_antennas=1,
        coherence_length=200,
        pilot_snr=0.1,
        data_snr=0.2,
        ap_antennas=1,
    )
    se, domain = downlink_se(system), ApPowerBudget()
    fair = max_min_downlink(system)

    def search(weight):
        """From proportional fairness to the sum."""

        def objective(amplitudes):
            rates = se(amplitudes)
            mean = rates.size * proportional_fairness(rates)
            return weight * sum_se(rates) + (1.0 - weight) * mean

        return maximize(objective, equal_split(system), domain=domain, max_steps=300)

    found = jax.jit(jax.vmap(search))(jnp.asarray([0.0, 1.0]))
    assert np.all(found.converged)
    assert np.all((found.parameters**2).sum(-1) <= 1 + 1e-6)
    rates = jax.vmap(se)(found.parameters)
    equal = se(equal_split(system))
    # Each objective is best by its own measure.
    geometric = [proportional_fairness(r) for r in (*rates, equal, se(fair.parameters))]
    sums = [sum_se(r) for r in (*rates, equal, se(fair.parameters))]
    assert geometric[0] > max(geometric[1:]) * (1 - 1e-3)
    assert sums[1] > max(sums[0], *sums[2:]) * (1 - 1e-3)
    assert sums[1] > 1.2 * sums[2]
    assert fair.value + fair.gap >= max(r.min() for r in rates)
