"""The jaxmimo side of every case: `run(realizations)` waits for and returns an `Estimate`."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.iqi_network import (
    FIGURE_2,
    LARGE,
    MISMATCH,
    MISMATCH_AMPLITUDES,
    SMALL,
    IqiNetwork,
)
from jaxmimo import Estimate, IQImbalance, cell_free_iqi
from jaxmimo.cell_free_iqi import CellFreeIQI

Workload = Callable[[int], Estimate]


def iqi_system(
    network: IqiNetwork,
    *,
    beta: np.ndarray | None = None,
    amplitudes: Sequence[float] | None = None,
    per_antenna: bool = False,
) -> CellFreeIQI:
    """The system of a network.

    Args:
        network: The network.
        beta: Large-scale fading; None takes 1 for the most APs of the curve.
        amplitudes: Amplitude mismatches to sweep in place of the network's own.
        per_antenna: Give the hardware as arrays (aps, antennas).
    """
    aps = network.num_aps[-1]
    amplitude = np.asarray(network.amplitude if amplitudes is None else amplitudes)
    if amplitudes is not None:
        amplitude = amplitude[:, None, None]
    if per_antenna:
        amplitude = np.broadcast_to(amplitude, (aps, network.ap_antennas))
    hardware = IQImbalance(amplitude=amplitude, phase=network.phase)
    return CellFreeIQI(
        beta=jnp.ones((aps, network.users)) if beta is None else beta.astype(float),
        receive=hardware,
        transmit=hardware,
        user_antennas=network.user_antennas,
        coherence_length=network.coherence_length,
        pilot_snr=network.pilot_snr,
        data_snr=network.data_snr,
        ap_antennas=network.ap_antennas,
    )


def simulate(system: CellFreeIQI, num_aps: tuple[int, ...] | None, realizations: int) -> Estimate:
    """Simulate and wait."""
    estimate = cell_free_iqi.simulate_se(
        jax.random.key(0), system, realizations=realizations, num_aps=num_aps
    )
    return jax.block_until_ready(estimate)


def curve(network: IqiNetwork, *, per_antenna: bool = False) -> Workload:
    """SE of all numbers of APs of a network."""
    return partial(simulate, iqi_system(network, per_antenna=per_antenna), network.num_aps)


def largest(network: IqiNetwork) -> Workload:
    """SE of the largest number of APs alone."""
    return partial(simulate, iqi_system(network), None)


def mismatch_axis(network: IqiNetwork, amplitudes: Sequence[float]) -> Workload:
    """SE for all amplitude mismatches, from the same draws."""
    return partial(simulate, iqi_system(network, amplitudes=amplitudes), None)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "iqi-aps": lambda: curve(FIGURE_2),
    "iqi-aps-1024": lambda: curve(LARGE),
    "iqi-mismatch": lambda: mismatch_axis(MISMATCH, MISMATCH_AMPLITUDES),
    "small": lambda: largest(SMALL),
}
"""Workloads that a fresh process can be asked for by name."""
