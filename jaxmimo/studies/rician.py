"""What the four studies of distributed MIMO under Rician fading share: networks and datasets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import xarray as xr

from jaxmimo.channel.correlation import Covariance
from jaxmimo.core.checks import require
from jaxmimo.core.units import from_db
from jaxmimo.studies import common, domains
from jaxmimo.studies.study import Parameters
from jaxmimo.systems.distributed_rician import (
    DistributedRician,
    ScatteringClusters,
    mmse_combiner,
    mr_combiner,
    uncorrelated,
    zf_combiner,
)
from jaxmimo.transceiver.combining import Combiner

PAPER = "Tominaga et al., On the Spectral Efficiency of D-MIMO Networks under Rician Fading"
PROPAGATION_PHASES = ("off", "on")
CORRELATION_MODELS = ("uncorrelated", "local scattering")
COMBINERS: dict[str, Combiner] = {"MR": mr_combiner, "ZF": zf_combiner, "MMSE": mmse_combiner}

_ATTRIBUTES = {
    "correlation": ("Correlation of two users", "1"),
    "condition_number": ("Condition number, mean", "1"),
    "condition_number_log10": ("Condition number, mean of log10", "1"),
    "condition_number_median": ("Condition number, median", "1"),
    "se": ("SE per user", "bit/s/Hz"),
    "se_cdf": ("Distribution function of the SE", "1"),
    "mmse_gain": ("SE of MMSE over ZF", "bit/s/Hz"),
    "simulated": ("Drops drawn", "1"),
    "propagation_phase": ("Propagation phase", "1"),
    "correlation_model": ("Scattering", "1"),
    "combiner": ("Combiner", "1"),
    "num_aps": ("APs Q", "1"),
    "num_users": ("Users K", "1"),
    "num_antennas": ("Antennas M", "1"),
    "ap_antennas": ("AP antennas S", "1"),
    "rician_factor_db": ("Rician factor", "dB"),
    "se_level": ("SE level", "bit/s/Hz"),
}


@dataclass(frozen=True)
class RicianParameters(Parameters):
    """Parameters that all four studies have."""

    rician_factor_db: tuple[float, ...] = tuple(5.0 * step for step in range(-4, 9))
    """Rician factors kappa, increasing [dB]."""
    path_loss_exponent: Annotated[float, domains.PATH_LOSS_EXPONENT] = 2.0
    """Exponent of the path loss; 2 is free space."""
    power_mw: float = 100.0
    """Transmit power of a user [mW]."""
    angular_std_deg: Annotated[float, domains.SPREAD] = 5.0
    """Local scattering: standard deviation of the angles within a cluster [degrees]."""
    num_clusters: int = 6
    """Local scattering: clusters per link."""
    spread_deg: Annotated[float, domains.SPREAD] = 40.0
    """Local scattering: largest angle between a cluster and the direct path [degrees]."""


def check_layouts(num_antennas: int, num_aps: Sequence[int]) -> None:
    """Refuse numbers of APs among which the antennas cannot be shared out."""
    misfit = next((aps for aps in num_aps if num_antennas % aps), None)
    require(
        misfit is None,
        f"`num_aps` must divide `num_antennas` = {num_antennas}, but {misfit} does not. Leave "
        "it out of --num-aps, or change --num-antennas.",
    )


def check_users(num_antennas: int, num_users: int) -> None:
    """Refuse more users than ZF can separate."""
    require(
        num_users <= num_antennas,
        f"`num_users` must be at most `num_antennas` = {num_antennas}, but got {num_users}. "
        "ZF separates no more users than there are antennas.",
    )


def networks(
    parameters: RicianParameters, layouts: Sequence[tuple[int, int]], num_users: int
) -> tuple[DistributedRician, ...]:
    """Networks for each propagation phase, correlation model and layout, the last varying fastest.

    Args:
        parameters: Parameters of the study.
        layouts: APs and antennas per AP.
        num_users: Users.
    """
    clusters = ScatteringClusters(
        angular_std=math.radians(parameters.angular_std_deg),
        num_clusters=parameters.num_clusters,
        spread=math.radians(parameters.spread_deg),
    )
    models: tuple[Covariance, ...] = (uncorrelated, clusters)
    return tuple(
        DistributedRician(
            num_aps=num_aps,
            ap_antennas=ap_antennas,
            num_users=num_users,
            rician_factor=from_db(np.asarray(parameters.rician_factor_db, float)),
            propagation_phase=phase == "on",
            covariance=covariance,
            power=1e-3 * parameters.power_mw,
            path_loss_exponent=parameters.path_loss_exponent,
        )
        for phase in PROPAGATION_PHASES
        for covariance in models
        for num_aps, ap_antennas in layouts
    )


def layouts_of(num_antennas: int, num_aps: Sequence[int]) -> list[tuple[int, int]]:
    """APs and antennas per AP of networks with equally many antennas in all."""
    return [(aps, num_antennas // aps) for aps in num_aps]


def unfolded(values: Any) -> np.ndarray:
    """Values whose first axis runs over `networks`, with axes for phase, model and layout."""
    values = np.asarray(values)
    return values.reshape(len(PROPAGATION_PHASES), len(CORRELATION_MODELS), -1, *values.shape[1:])


def make_dataset(
    dimensions: dict[str, Any], realizations: int, **variables: tuple[Sequence[str], Any]
) -> xr.Dataset:
    """Labelled dataset with the axes phase and model first, that notes the drops drawn.

    Args:
        dimensions: Values along each dimension beyond phase and model, in the order wanted; a
            single value is noted as a scalar coordinate.
        realizations: Drops drawn.
        variables: Dimensions and values of each variable, in any order of dimensions.
    """
    every = {
        "propagation_phase": PROPAGATION_PHASES,
        "correlation_model": CORRELATION_MODELS,
        **dimensions,
    }
    dataset = common.make_dataset(every, variables, _ATTRIBUTES)
    order = [name for name in every if name in dataset.dims]
    return dataset.transpose(*order).assign_attrs(realizations=realizations)
