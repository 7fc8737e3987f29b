"""What the studies of mmWave cell-free massive MIMO over wide bands share: networks, datasets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from jaxmimo.core.checks import require
from jaxmimo.studies import common
from jaxmimo.studies.study import Parameters
from jaxmimo.systems.wideband_mmwave import (
    WidebandMmwave,
    at_carrier,
    mmse_combiner,
    mr_combiner,
    never_los,
    per_subcarrier,
    umi_los,
    without_squint,
    zf_combiner,
)
from jaxmimo.systems.wideband_mmwave.designs import Design
from jaxmimo.transceiver.combining import Combiner

PAPER = "Ahn et al., On the Spatial-Wideband Effects in Millimeter-Wave Cell-Free Massive MIMO"
COMBINERS: dict[str, Combiner] = {"MR": mr_combiner, "ZF": zf_combiner, "MMSE": mmse_combiner}
DESIGNS: dict[str, Design] = {
    "per subcarrier": per_subcarrier,
    "without squint": without_squint,
    "at carrier": at_carrier,
}

_ATTRIBUTES = {
    "se": ("SE per user", "bit/s/Hz"),
    "advantage": ("SE of the best prefix over others", "bit/s/Hz"),
    "over": ("Over", "1"),
    "loss_without_prefix": ("SE lost without a prefix", "1"),
    "se_over_band": ("SE per user", "bit/s/Hz"),
    "price": ("SE lost", "1"),
    "minimum_prefix_median": ("Minimum cyclic prefix, median", "samples"),
    "minimum_prefix_cdf": ("Distribution function of the minimum cyclic prefix", "1"),
    "beyond_approximation": ("Minimum cyclic prefix, share of the antennas", "samples"),
    "bandwidth_mhz": ("Bandwidth W", "MHz"),
    "ap_antennas": ("AP antennas M", "1"),
    "num_aps": ("APs L", "1"),
    "num_users": ("Users K", "1"),
    "num_subcarriers": ("Subcarriers P", "1"),
    "design": ("Designed", "1"),
    "combiner": ("Combiner", "1"),
    "band_position": ("Place in the band f/W", "1"),
    "prefix_length": ("Cyclic prefix C", "samples"),
    "prefix_level": ("Cyclic prefix", "samples"),
}


@dataclass(frozen=True)
class NetworkParameters(Parameters):
    """Parameters that studies with a network have."""

    num_users: int = 8
    """Users K."""
    side_m: float = 500.0
    """Side of the square [m]."""
    carrier_ghz: float = 28.0
    """Carrier frequency [GHz]."""
    power_dbm: float = 23.0
    """Transmit power of a user over the whole band [dBm]."""
    noise_figure_db: float = 9.0
    """Noise figure of the APs [dB]."""
    line_of_sight: bool = False
    """Draw lines of sight by the standard's probability; the paper has none."""
    num_rays: int = 1
    """Rays per cluster of scatterers, 1 or the standard's 20; a link has 19 clusters."""

    def largest_array(self) -> int:
        """Numbers in the channels of all antennas on one subcarrier."""
        return math.prod(
            int(np.max(getattr(self, name))) for name in ("num_aps", "ap_antennas", "num_users")
        )

    def network(
        self,
        *,
        num_aps: int,
        ap_antennas: int,
        bandwidth_mhz: float | Sequence[float],
        num_subcarriers: int,
        random_aps: bool = False,
    ) -> WidebandMmwave:
        """A network of these users, with one bandwidth or several."""
        return WidebandMmwave(
            num_aps=num_aps,
            ap_antennas=ap_antennas,
            num_users=self.num_users,
            bandwidth_hz=1e6 * np.asarray(bandwidth_mhz, float),
            num_subcarriers=num_subcarriers,
            carrier_hz=1e9 * self.carrier_ghz,
            power=10.0 ** (self.power_dbm / 10.0 - 3.0),
            noise_figure_db=self.noise_figure_db,
            side=self.side_m,
            line_of_sight=umi_los if self.line_of_sight else never_los,
            num_rays=self.num_rays,
            random_aps=random_aps,
        )


def check_bandwidths(bandwidths: Sequence[float], carrier_ghz: float) -> None:
    """Refuse bands that reach down to zero."""
    require(
        bandwidths[-1] < 2e3 * carrier_ghz,
        f"`bandwidth_mhz` must be less than twice `carrier_ghz` = {carrier_ghz:g}, but holds "
        f"{bandwidths[-1]:g}. The band is centred at the carrier.",
    )


def selected(dataset: xr.Dataset, **values: Any) -> xr.Dataset:
    """`dataset` at these values of dimensions, of which some may have been selected before."""
    return dataset.sel({dim: value for dim, value in values.items() if dim in dataset.dims})


def make_dataset(
    dimensions: Mapping[str, Any], realizations: int, **variables: tuple[Sequence[str], Any]
) -> xr.Dataset:
    """Labelled dataset that notes the drops drawn.

    Args:
        dimensions: Values along each dimension; a single value is noted as a scalar coordinate.
        realizations: Drops drawn.
        variables: Dimensions and values of each variable.
    """
    dataset = common.make_dataset(dimensions, variables, _ATTRIBUTES)
    return dataset.assign_attrs(realizations=realizations)
