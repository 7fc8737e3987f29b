"""What the three I/Q imbalance studies share: parameters, variants, dataset parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from jaxmimo.core.programs import kept_jit
from jaxmimo.core.units import from_db
from jaxmimo.studies import common
from jaxmimo.studies.study import Claim, Parameters
from jaxmimo.studies.verdicts import agree
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
class IqiParameters(Parameters):
    """Parameters that all three studies have; the paper's values."""

    coherence_length: int = 200
    """Coherence interval T [symbols]; pilots take K N of them."""
    pilot_snr_db: float = 0.0
    """Pilot SNR rho_p [dB]."""
    data_snr_db: float = 10.0
    """Downlink data SNR rho_d [dB]."""

    def largest_array(self) -> int:
        """Numbers in the channels of all antennas, of which users have fewer than T."""
        names = ("num_aps", "ap_antennas", "num_users", "user_antennas")
        # Parameters that all three figures have name no network of their own.
        aps, antennas, users, each = (int(np.max(getattr(self, name, 1))) for name in names)
        return aps * antennas * min(users * each, self.coherence_length)


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
        beta=np.ones((num_aps, num_users)),
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


AGREE = 0.05
"""Relative difference within which a simulation must be known to lie at its closed form."""


@kept_jit
def sum_se_closed_form(system: CellFreeIQI) -> Array:
    """Closed-form sum SE, shape (*sweep, estimators)."""
    each = [closed_form_se(system, estimator).sum(-1) for estimator in ESTIMATORS.values()]
    return jnp.stack(each, axis=-1)


def make_dataset(
    dimensions: Mapping[str, Sequence[Any]], **variables: tuple[Sequence[str], np.ndarray]
) -> xr.Dataset:
    """Labelled dataset that notes the realizations drawn."""
    dataset = common.make_dataset(dimensions, variables, _ATTRIBUTES)
    return dataset.assign_attrs(realizations=int(dataset.simulated.max()))


def simulation_agrees(dataset: xr.Dataset) -> Claim:
    """Whether all points lie at the closed form, as closely as the draws can tell."""
    gap = dataset.sum_se - dataset.sum_se_closed_form
    worst = float((abs(gap) / dataset.sum_se_std_error).max())
    relative = float((dataset.sum_se_std_error / dataset.sum_se).max())
    evidence = (
        f"largest deviation {worst:.1f} standard errors; largest standard error "
        f"{100 * relative:.2g} %"
    )
    tolerance = AGREE * dataset.sum_se_closed_form
    margin = agree(dataset, (gap, dataset.sum_se_std_error, tolerance))
    return Claim(
        f"simulation and closed form agree, to {100 * AGREE:g} % at least", margin, evidence
    )
