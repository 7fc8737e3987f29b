"""What the three studies of two-stage 3D beamforming share: the cell, schemes, drops, datasets."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial

from jaxmimo.core.checks import require
from jaxmimo.core.units import from_db
from jaxmimo.studies import common, domains
from jaxmimo.studies.beams_costs import TWO_STAGE, count_drop
from jaxmimo.studies.study import Parameters
from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    draw_users,
    eigenvalues_above,
    generalized_mrt,
)
from jaxmimo.systems.beamforming_3d.cell import factor_ranks, make_cells
from jaxmimo.systems.beamforming_3d.schemes import Scheme
from jaxmimo.systems.beamforming_3d.simulation import limits, mean_over_fading

PAPER = (
    "Fan et al., A low-complexity 3D massive MIMO scheme jointly using statistical and "
    "instantaneous CSIT"
)
MRT = "generalized MRT"
SCHEMES: dict[str, Scheme] = {**TWO_STAGE, MRT: generalized_mrt}

_ATTRIBUTES = {
    "sum_rate": ("Sum rate", "bit/s/Hz"),
    "sum_rate_equivalent": ("Sum rate, equivalent", "bit/s/Hz"),
    "relative_excess": ("Equivalent over simulation, minus 1", "1"),
    "lead": ("Lead over the next scheme", "bit/s/Hz"),
    "change": ("Change from the G before", "bit/s/Hz"),
    "flops": ("FLOPs", "10⁶"),
    "flops_grouping": ("Grouping per direction", "10⁶ FLOPs"),
    "flops_overall": ("Overall grouping", "10⁶ FLOPs"),
    "flops_all": ("SLNR, all groups", "10⁶ FLOPs"),
    "flops_adjacent": ("SLNR, adjacent groups", "10⁶ FLOPs"),
    "flops_own": ("SLNR, own group", "10⁶ FLOPs"),
    "simulated": ("Drops drawn", "1"),
    "table": ("Table", "1"),
    "scheme": ("Scheme", "1"),
    "azimuth_antennas": ("Azimuth antennas M", "1"),
    "elevation_antennas": ("Elevation antennas N", "1"),
    "azimuth_groups": ("Azimuth groups G", "1"),
    "elevation_groups": ("Elevation groups L", "1"),
    "num_users": ("Users K", "1"),
}


@dataclass(frozen=True)
class AngleParameters(Parameters):
    """Where users are seen, and how they are grouped; parameters that all three studies have."""

    azimuth_limit_deg: Annotated[float, domains.SPREAD] = 180.0
    """Azimuth angles are uniform up to this, either side of boresight [degrees]."""
    azimuth_spread_deg: Annotated[float, domains.SPREAD] = 20.0
    """Azimuth spreads are uniform up to this [degrees]."""
    elevation_limit_deg: Annotated[float, domains.SPREAD] = 90.0
    """Elevation angles are uniform up to this, either side of boresight [degrees]."""
    elevation_spread_deg: Annotated[float, domains.SPREAD] = 10.0
    """Elevation spreads are uniform up to this [degrees]."""
    antenna_spacing: Annotated[float, domains.WAVELENGTHS] = 0.5
    """Antenna spacing D [wavelengths]."""
    rank_threshold: float = 0.01
    """Eigenvalues of a covariance above this share of the largest one count as its rank."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            0.0 <= self.rank_threshold < 1.0,
            f"`rank_threshold` must be at least 0 and below 1, but got {self.rank_threshold}. It "
            "is a share of the largest eigenvalue: try 0.01.",
        )

    def largest_array(self) -> int:
        """Numbers in the users' channels, and in their covariances in each direction."""
        sizes = {"azimuth_antennas": 1, "elevation_antennas": 1, "num_users": 1}
        for name, value in vars(self).items():
            if (known := re.sub(r"^table_\d+_", "", name)) in sizes:
                sizes[known] = max(sizes[known], int(np.max(value)))
        azimuth, elevation, users = sizes.values()
        return users * max(azimuth * elevation, azimuth**2, elevation**2)


@dataclass(frozen=True)
class RateParameters(AngleParameters):
    """Parameters of the studies of the sum rate."""

    power_db: float = 20.0
    """Transmit power rho of each stream over the noise [dB]."""
    path_loss_exponent: Annotated[float, domains.PATH_LOSS_EXPONENT] = 3.8
    """Exponent gamma of the path loss."""
    reference_distance: Annotated[float, domains.LENGTH] = 100.0
    """Distance of no path loss [m]; the paper has 1, where users then hear next to nothing."""
    cell_radius: Annotated[float, domains.LENGTH] = 1600.0
    """Largest distance of a user [m]."""
    hole_radius: Annotated[float, domains.LENGTH] = 100.0
    """Smallest distance of a user [m]."""
    fading_realizations: int = 32
    """Fading realizations per drop of the users."""


def make_system(
    parameters: AngleParameters,
    azimuth_antennas: int,
    elevation_antennas: int,
    num_users: int,
    azimuth_groups: int,
    elevation_groups: int,
) -> Beamforming3D:
    """The cell of a study."""
    radio = {}
    if isinstance(parameters, RateParameters):
        radio = {
            "power": from_db(parameters.power_db),
            "path_loss_exponent": parameters.path_loss_exponent,
            "reference_distance": parameters.reference_distance,
            "cell_radius": parameters.cell_radius,
            "hole_radius": parameters.hole_radius,
        }
    return Beamforming3D(
        azimuth_antennas=azimuth_antennas,
        elevation_antennas=elevation_antennas,
        num_users=num_users,
        azimuth_groups=azimuth_groups,
        elevation_groups=elevation_groups,
        azimuth_limit=math.radians(parameters.azimuth_limit_deg),
        azimuth_spread_limit=math.radians(parameters.azimuth_spread_deg),
        elevation_limit=math.radians(parameters.elevation_limit_deg),
        elevation_spread_limit=math.radians(parameters.elevation_spread_deg),
        spacing=parameters.antenna_spacing,
        rank_rule=Partial(eigenvalues_above, relative=parameters.rank_threshold),
        **radio,
    )


def both_rates(
    system: Beamforming3D,
    schemes: Sequence[Scheme],
    azimuth_groups: Sequence[int],
    fading_realizations: int,
) -> Partial:
    """Function of a key to simulated and equivalent sum rates of one drop, and what FLOPs need.

    Args:
        system: The cell.
        schemes: Downlink schemes; those of `TWO_STAGE` come first.
        azimuth_groups: Numbers of subsectors.
        fading_realizations: Fading realizations of the simulation.

    Returns:
        Function to a dictionary: `simulated` and `equivalent`, shape (azimuth_groups, schemes),
        and the means over users of `count_drop`, along azimuth_groups.
    """
    return Partial(
        _both_rates,
        system,
        tuple(schemes),
        tuple(azimuth_groups),
        fading_realizations,
        factor_ranks(system),
    )


def _both_rates(
    system: Beamforming3D,
    schemes: tuple[Scheme, ...],
    azimuth_groups: tuple[int, ...],
    fading_realizations: int,
    ranks: tuple[int, int],
    key: Array,
) -> dict[str, Array]:
    users_key, fading_key = jax.random.split(key)  # as `rate_sample` does: the same drops
    cells = make_cells(system, draw_users(users_key, system), azimuth_groups, ranks=ranks)
    counts = [count_drop(cell) for cell in cells]
    return {
        "simulated": mean_over_fading(fading_key, cells, schemes, realizations=fading_realizations),
        "equivalent": limits(cells, schemes),
        **{name: jnp.stack([each[name] for each in counts]) for name in counts[0]},
    }


def make_dataset(
    dimensions: dict[str, Any], realizations: int, **variables: tuple[Sequence[str], Any]
) -> xr.Dataset:
    """Labelled dataset that notes the drops drawn; arguments as for `common.make_dataset`."""
    dataset = common.make_dataset(dimensions, variables, _ATTRIBUTES)
    return dataset.assign_attrs(realizations=realizations)


def schemes_of(dataset: xr.Dataset) -> list[str]:
    """Names of the schemes of a result."""
    return [str(scheme) for scheme in dataset.scheme.values]
