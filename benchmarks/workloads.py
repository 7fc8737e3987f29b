"""The jaxmimo side of every case: it waits for its `Estimate` and returns it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from benchmarks.beams_network import BEAMS, SCHEMES, BeamsNetwork
from benchmarks.iqi_network import (
    FIGURE_2,
    LARGE,
    MISMATCH,
    MISMATCH_AMPLITUDES,
    SMALL,
    IqiNetwork,
)
from benchmarks.rician_network import RICIAN, RicianNetwork
from benchmarks.wideband_network import WIDEBAND, WidebandNetwork
from jaxmimo import (
    Estimate,
    IQImbalance,
    beamforming_3d,
    cell_free_iqi,
    distributed_rician,
    mmse_combiner,
    monte_carlo,
    mr_combiner,
    wideband_mmwave,
    zf_combiner,
)
from jaxmimo.cell_free_iqi import CellFreeIQI
from jaxmimo.core.units import noise_power
from jaxmimo.distributed_rician import DistributedRician
from jaxmimo.studies import STUDIES
from jaxmimo.studies.study import Sampling
from jaxmimo.wideband_mmwave import WidebandMmwave


class Workload(Protocol):
    """A simulation of a case."""

    def __call__(self, realizations: int, *, seed: int = 0) -> Estimate:
        """Simulate realizations from the key of a seed."""
        ...


COMBINERS = (mr_combiner, zf_combiner, mmse_combiner)
"""In the order of the baselines' results."""


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


def curve(network: IqiNetwork, *, per_antenna: bool = False) -> Workload:
    """Sum SE of all numbers of APs of a network."""
    return partial(_simulate_iqi, iqi_system(network, per_antenna=per_antenna), network.num_aps)


def largest(network: IqiNetwork) -> Workload:
    """Sum SE of the largest number of APs alone."""
    return partial(_simulate_iqi, iqi_system(network), None)


def mismatch_axis(network: IqiNetwork, amplitudes: Sequence[float]) -> Workload:
    """Sum SE for all amplitude mismatches, from the same draws."""
    return partial(_simulate_iqi, iqi_system(network, amplitudes=amplitudes), None)


def _simulate_iqi(
    system: CellFreeIQI, num_aps: tuple[int, ...] | None, realizations: int, *, seed: int = 0
) -> Estimate:
    moments, se = cell_free_iqi.se_model(system, num_aps=num_aps)
    estimate = monte_carlo(
        moments, jax.random.key(seed), realizations, statistic=Partial(_sum_of_users, se)
    )
    return jax.block_until_ready(estimate)


def _sum_of_users(se: Partial, moments: object) -> Array:
    return se(moments).sum(-1)


def rician_systems(network: RicianNetwork, rician_db: Sequence[float]) -> list[DistributedRician]:
    """All layouts of a network of system 2."""
    return [
        DistributedRician(
            num_aps=num_aps,
            ap_antennas=network.antennas // num_aps,
            num_users=network.users,
            rician_factor=10.0 ** (np.asarray(rician_db) / 10.0),
            power=10.0 ** (network.power_dbm / 10.0 - 3.0),
            noise_power=noise_power(network.bandwidth, network.noise_figure, network.noise_density),
            side=network.side,
            ap_height=network.ap_height,
            user_height=network.user_height,
            path_loss_exponent=network.exponent,
            carrier_hz=network.frequency,
            spacing=network.spacing,
        )
        for num_aps in network.num_aps
    ]


def rician_figure(
    network: RicianNetwork,
    *,
    rician_db: Sequence[float] | None = None,
    realizations: int | None = None,
) -> Workload:
    """Mean SE of all layouts, combiners and Rician factors, from the same draws."""
    factors = network.rician_db if rician_db is None else rician_db
    fading = realizations or network.realizations
    return partial(_simulate_rician, rician_systems(network, factors), fading)


def _simulate_rician(
    systems: list[DistributedRician], fading: int, realizations: int, *, seed: int = 0
) -> Estimate:
    estimate = distributed_rician.simulate_se(
        jax.random.key(seed),
        systems,
        combiner=COMBINERS,
        drops=realizations // fading,
        realizations=fading,
    )
    return jax.block_until_ready(estimate)


def wideband_figure(network: WidebandNetwork) -> Workload:
    """Mean SE of all combiners on all subcarriers, over drops of users."""
    return partial(_simulate_wideband, wideband_system(network))


def wideband_system(network: WidebandNetwork) -> WidebandMmwave:
    """The system of a network, with a path per cluster."""
    return WidebandMmwave(
        num_aps=network.aps,
        ap_antennas=network.antennas,
        num_users=network.users,
        bandwidth_hz=network.bandwidth,
        num_subcarriers=network.subcarriers,
        carrier_hz=network.carrier,
        num_rays=1,
    )


def _simulate_wideband(system: WidebandMmwave, realizations: int, *, seed: int = 0) -> Estimate:
    estimate = wideband_mmwave.simulate_se(
        jax.random.key(seed), system, combiner=COMBINERS, drops=realizations
    )
    return jax.block_until_ready(estimate)


def _study(name: str) -> Callable[[int], object]:
    """A study with its default parameters."""
    study = STUDIES[name]

    def run(realizations: int) -> object:
        return study.run(study.parameters(), Sampling(jax.random.key(0), realizations))

    return run


def beams_figure(network: BeamsNetwork) -> Workload:
    """Mean sum rate of all numbers of groups and schemes, from the same draws."""
    return partial(_simulate_beams, network)


def _simulate_beams(network: BeamsNetwork, realizations: int, *, seed: int = 0) -> Estimate:
    estimate = beamforming_3d.simulate_sum_rate(
        jax.random.key(seed),
        network.system(network.azimuth_groups[0]),
        scheme=SCHEMES,
        azimuth_groups=network.azimuth_groups,
        drops=max(2, realizations // network.realizations),
        realizations=network.realizations,
    )
    return jax.block_until_ready(estimate)


WORKLOADS: dict[str, Callable[[], Callable[[int], object]]] = {
    "iqi-aps": lambda: curve(FIGURE_2),
    "iqi-aps-1024": lambda: curve(LARGE),
    "iqi-mismatch": lambda: mismatch_axis(MISMATCH, MISMATCH_AMPLITUDES),
    "small": lambda: largest(SMALL),
    "rician-se": lambda: rician_figure(RICIAN),
    "wideband-se": lambda: wideband_figure(WIDEBAND),
    "beams-groups": lambda: beams_figure(BEAMS),
    "rician-se-long": lambda: rician_figure(RICIAN, realizations=64 * RICIAN.realizations),
    **{f"study-{name}": partial(_study, name) for name in STUDIES},
}
"""Workloads that a fresh process can be asked for by name."""
