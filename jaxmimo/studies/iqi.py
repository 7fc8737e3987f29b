"""What the three I/Q imbalance studies share: parameters, variants, simulation, dataset parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial

from jaxmimo.core.units import from_db
from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
from jaxmimo.studies.study import Progress, Sampling
from jaxmimo.systems.cell_free_iqi import (
    CellFreeIQI,
    DownlinkMoments,
    closed_form_se,
    linear_mmse,
    theorem1_se,
    widely_linear_mmse,
)
from jaxmimo.transceiver.estimation import Estimator
from jaxmimo.transceiver.hardware import IQImbalance

PAPER = (
    "Sutton, Ngo, Matthaiou, Cell-Free Massive MIMO with Multiple-Antenna Users under I/Q Imbalance"
)
ESTIMATORS: dict[str, Estimator] = {"linear": linear_mmse, "widely linear": widely_linear_mmse}
HARDWARE = ("perfect", "impaired")

_ATTRIBUTES = {
    "sum_se": ("Sum SE", "bit/s/Hz"),
    "sum_se_std_error": ("Standard error of sum SE", "bit/s/Hz"),
    "sum_se_closed_form": ("Sum SE, closed form", "bit/s/Hz"),
    "sum_se_limit": ("Limit of sum SE for many APs", "bit/s/Hz"),
    "simulated": ("Realizations drawn", "1"),
    "amplitude_mismatch": ("Amplitude mismatch g", "1"),
    "num_aps": ("APs M", "1"),
    "num_users": ("Users K", "1"),
    "ap_antennas": ("AP antennas L", "1"),
    "user_antennas": ("User antennas N", "1"),
    "hardware": ("Hardware", "1"),
    "estimator": ("Estimator", "1"),
}


@dataclass(frozen=True)
class IqiParameters:
    """Parameters that all three studies have; the paper's values."""

    coherence_length: int = 200
    """Coherence interval T [symbols]; pilots take K N of them."""
    pilot_snr_db: float = 0.0
    """Pilot SNR rho_p [dB]."""
    data_snr_db: float = 10.0
    """Downlink data SNR rho_d [dB]."""


def make_system(
    parameters: IqiParameters,
    *,
    num_aps: int,
    num_users: int,
    ap_antennas: int,
    user_antennas: int,
    hardware: IQImbalance,
) -> CellFreeIQI:
    """The paper's network: beta = 1, and the same imbalance on transmit and receive."""
    return CellFreeIQI(
        beta=jnp.ones((num_aps, num_users)),
        receive=hardware,
        transmit=hardware,
        user_antennas=user_antennas,
        coherence_length=parameters.coherence_length,
        pilot_snr=from_db(parameters.pilot_snr_db),
        data_snr=from_db(parameters.data_snr_db),
        ap_antennas=ap_antennas,
    )


def perfect_and_impaired(amplitude: float, phase_deg: float) -> IQImbalance:
    """Matched hardware and the given mismatch, as a sweep over `HARDWARE`."""
    return IQImbalance(
        amplitude=np.reshape([1.0, amplitude], (2, 1, 1)),
        phase=np.reshape([0.0, np.deg2rad(phase_deg)], (2, 1, 1)),
    )


def sum_se(system: CellFreeIQI, moments: DownlinkMoments) -> Array:
    """Sum over users of the SE of Theorem 1 [bit/s/Hz]."""
    return theorem1_se(system, moments).sum(-1)


def sum_se_closed_form(system: CellFreeIQI) -> np.ndarray:
    """Closed-form sum SE, shape (*sweep, estimators)."""
    each = [closed_form_se(system, estimator).sum(-1) for estimator in ESTIMATORS.values()]
    return np.stack(each, axis=-1)


def simulate(
    sample: Partial, statistic: Callable[[Any], Any], sampling: Sampling, label: str
) -> Estimate:
    """Run the engine as the command asked for, and pass its progress on."""

    def report(done: int, estimate: Estimate) -> None:
        if sampling.progress is not None:
            error = estimate.relative_error
            sampling.progress(Progress(done, sampling.realizations, error, label))

    return monte_carlo(
        sample,
        sampling.key,
        sampling.realizations,
        statistic=statistic,
        target_error=sampling.target_error,
        progress=report,
    )


def make_dataset(
    dimensions: Mapping[str, Sequence[Any]], **variables: tuple[Sequence[str], np.ndarray]
) -> xr.Dataset:
    """Dataset with long names and units on every variable and coordinate."""
    dataset = xr.Dataset(
        {name: (tuple(dims), np.asarray(values)) for name, (dims, values) in variables.items()},
        coords={name: list(values) for name, values in dimensions.items()},
    )
    dataset.attrs["realizations"] = int(dataset.simulated.max())
    for name in dataset.variables:
        long_name, units = _ATTRIBUTES[str(name)]
        dataset[name].attrs = {"long_name": long_name, "units": units}
    return dataset


def simulation_agrees(dataset: xr.Dataset) -> tuple[bool, str]:
    """Whether all points lie within 5 standard errors of the closed form, and how far they do."""
    deviation = abs(dataset.sum_se - dataset.sum_se_closed_form) / dataset.sum_se_std_error
    worst = float(deviation.max())
    relative = float((dataset.sum_se_std_error / dataset.sum_se).max())
    evidence = (
        f"largest deviation {worst:.1f} standard errors; largest standard error "
        f"{100 * relative:.2g} %"
    )
    return worst < 5.0, evidence


def percent(values: xr.DataArray | np.ndarray) -> str:
    """A list of ratios as percentages."""
    return ", ".join(f"{100 * value:.1f}" for value in np.ravel(values)) + " %"
