"""How the cost of a realization grows with users and with subcarriers."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from benchmarks.agreement import agreed_relative_error, exact_curve
from benchmarks.iqi_network import IqiNetwork
from benchmarks.measures import Effort, jax_contender, jax_realizations
from benchmarks.report import Row
from benchmarks.timing import Contender, in_turn
from benchmarks.wideband_network import WIDEBAND
from benchmarks.workloads import COMBINERS, largest, wideband_system
from jaxmimo import wideband_mmwave

USERS = (8, 16, 32, 64, 128)
MANY_USERS = IqiNetwork(num_aps=(64,), ap_antennas=2, user_antennas=1)
SUBCARRIERS = (64, 256, 1024)


def users_of_system_1(effort: Effort) -> Row:
    """From 8 to 128 users of 64 APs: the products grow with the square of the users."""
    networks = {users: replace(MANY_USERS, users=users) for users in USERS}
    count = 2 * jax_realizations(effort)  # so that the milliseconds of a call hardly count
    for network in networks.values():
        agreed_relative_error(largest(network), count, exact_curve(network)[-1])
    return _growth(
        "users", networks, lambda users: jax_contender(largest(networks[users]), count), effort
    )


def subcarriers_of_system_4(effort: Effort) -> Row:
    """From 64 to 1024 subcarriers of the same band, all combiners."""
    system = wideband_system(WIDEBAND)
    drops = max(4, effort.drops_at_once // 4)

    def simulate(subcarriers: int, drops: int) -> Any:
        estimate = wideband_mmwave.simulate_se(
            jax.random.key(0), system, combiner=COMBINERS, subcarriers=subcarriers, drops=drops
        )
        return jax.block_until_ready(estimate)

    means = [np.asarray(simulate(count, drops).mean.mean(-1)) for count in SUBCARRIERS]
    if not np.allclose(means[0], means[-1], rtol=0.05):
        raise AssertionError(f"SE of {SUBCARRIERS} subcarriers disagree: {means}")
    return _growth(
        "subcarriers",
        SUBCARRIERS,
        lambda count: jax_contender(lambda drops: simulate(count, drops), drops),
        effort,
    )


def _growth(
    what: str, values: Collection[int], contender: Callable[[int], Contender], effort: Effort
) -> Row:
    """Microseconds per realization at each value, and the power of it that the cost grows with."""
    timings = in_turn({str(value): contender(value) for value in values}, effort.repeats)
    cost = np.array([timings[str(value)].microseconds for value in values])
    powers = np.diff(np.log(cost)) / np.diff(np.log(np.array(list(values), float)))
    return Row(
        case=f"scaling-{what}",
        further={
            what: list(values),
            "microseconds": cost.tolist(),
            "powers": powers.tolist(),
            "last_power": float(powers[-1]),
        },
    )
