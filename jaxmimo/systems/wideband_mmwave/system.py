"""Parameters of the mmWave cell-free uplink over a wide band."""

from functools import partial

import equinox as eqx
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.channel.frequency_grid import Grid
from jaxmimo.channel.geometry import ap_grid, common_origin
from jaxmimo.channel.multipath import check_band
from jaxmimo.channel.pathloss import (
    ENVIRONMENT_HEIGHT,
    LEAST_CANYON_CARRIER,
    SPEED_OF_LIGHT,
    wavelength,
)
from jaxmimo.channel.umi_street_canyon import LosModel, never_los
from jaxmimo.core.checks import (
    boolean,
    carrier,
    function,
    is_traced,
    positive_integer,
    real_array,
    real_number,
    require,
    require_memory,
)
from jaxmimo.core.units import noise_power as thermal_noise_power


class WidebandMmwave(eqx.Module):
    r"""L APs with linear arrays of M antennas serve K single-antenna users jointly over a band W.

    APs hang on a grid over a square, or anywhere in it; users are dropped uniformly. The links are
    those of
    3GPP TR 38.901, UMi-Street Canyon, with the delays of the paper: over the band, a wave's delay
    to each AP (1) and to each antenna turns its phase, (6). Receivers know the channel and combine
    linearly across all antennas of all APs, subcarrier by subcarrier. Each user's first path
    arrives on time at the nearest AP; its power is spread evenly over the subcarriers.

    Args:
        num_aps: L.
        ap_antennas: M.
        num_users: K.
        bandwidth_hz: W [Hz]; a leading axis sweeps it.
        num_subcarriers: P.
        carrier_hz: $f_c$ [Hz]; the models of the links begin at 0.5 GHz.
        spacing: Antenna spacing [wavelengths at the carrier].
        power: Transmit power of a user over the whole band, a number or one per user [W].
        noise_figure_db: Noise figure of the APs [dB].
        side: Side of the square [m].
        ap_height: Height of the APs [m], above the 1 m that the model has for the street.
        user_height: Height of the users [m], likewise.
        line_of_sight: Which links have a line of sight: `never_los`, as in the paper, `umi_los` or
            `always_los` of `jaxmimo.channel.umi_street_canyon`, or a function of your own.
        num_rays: Rays per cluster of scatterers: 20, as in the standard, or 1.
        random_aps: Whether each drop places the APs at random, too, instead of on the grid.
        ap_positions: Positions of the APs, shape (aps, 2) [m]; None means the grid.
        user_positions: Positions of the users, shape (users, 2) [m]; None drops them at random.
            Where both are given, they are kept as counted from the first AP.

    Raises:
        ValueError: If shapes do not fit, or values are not physical: a band that reaches down to
            zero, antennas closer than a tenth of a wavelength.

    References:
        Ahn et al., "On the Spatial-Wideband Effects in Millimeter-Wave Cell-Free Massive MIMO".
    """

    bandwidth_hz: Float[Array, "*sweep"]
    carrier_hz: Float[Array, ""]
    spacing: Float[Array, ""]
    power: Float[Array, "*users"]
    noise_figure_db: Float[Array, ""]
    side: Float[Array, ""]
    ap_height: Float[Array, ""]
    user_height: Float[Array, ""]
    ap_positions: Float[Array, "aps 2"]
    user_positions: Float[Array, "users 2"] | None
    line_of_sight: Partial
    ap_antennas: int = eqx.field(static=True)
    num_users: int = eqx.field(static=True)
    num_subcarriers: int = eqx.field(static=True)
    num_rays: int = eqx.field(static=True)
    random_aps: bool = eqx.field(static=True)

    def __init__(
        self,
        *,
        num_aps: int,
        ap_antennas: int,
        num_users: int,
        bandwidth_hz: ArrayLike = 400e6,
        num_subcarriers: int = 256,
        carrier_hz: ArrayLike = 28e9,
        spacing: ArrayLike = 0.5,
        power: ArrayLike = 0.2,
        noise_figure_db: ArrayLike = 9.0,
        side: ArrayLike = 500.0,
        ap_height: ArrayLike = 10.0,
        user_height: ArrayLike = 1.5,
        line_of_sight: LosModel = never_los,
        num_rays: int = 20,
        random_aps: bool = False,
        ap_positions: ArrayLike | None = None,
        user_positions: ArrayLike | None = None,
    ) -> None:
        num_aps = positive_integer("num_aps", num_aps)
        self.ap_antennas = positive_integer("ap_antennas", ap_antennas)
        self.num_users = positive_integer("num_users", num_users)
        self.num_subcarriers = positive_integer("num_subcarriers", num_subcarriers)
        require_memory(
            "channels", num_aps=num_aps, ap_antennas=self.ap_antennas, num_users=self.num_users
        )
        self.num_rays = positive_integer("num_rays", num_rays)
        require(
            self.num_rays in (1, 20),
            f"`num_rays` must be 1 or 20, but got {num_rays}. The standard has 20 rays.",
        )
        self.bandwidth_hz = real_array(
            "bandwidth_hz", bandwidth_hz, minimum=1e3, remedy="Give it in Hz: 400e6 for 400 MHz."
        )
        self.carrier_hz = carrier("carrier_hz", carrier_hz, minimum=LEAST_CANYON_CARRIER)
        self.spacing = real_number("spacing", spacing)
        self.power = real_array("power", power, minimum=0.0)
        self.noise_figure_db = real_number(
            "noise_figure_db", noise_figure_db, maximum=100.0, remedy="Give decibels."
        )
        self.side = real_number("side", side)
        over_street = partial(
            real_number, above=ENVIRONMENT_HEIGHT, remedy="That is how high the street is [m]."
        )
        self.ap_height = over_street("ap_height", ap_height)
        self.user_height = over_street("user_height", user_height)
        function("line_of_sight", line_of_sight, "`never_los`")
        # A plain function is no leaf that `jax.jit` accepts; wrapped, it is part of the type.
        wrapped = isinstance(line_of_sight, Partial)
        self.line_of_sight = line_of_sight if wrapped else Partial(line_of_sight)
        self.random_aps = boolean("random_aps", random_aps)
        require(
            not (self.random_aps and ap_positions is not None),
            "`random_aps` must be False where `ap_positions` are given. Leave one of them out.",
        )
        if ap_positions is not None and user_positions is not None:
            ap_positions, user_positions = common_origin(ap_positions, user_positions)
        grid = ap_grid(num_aps, self.side) if ap_positions is None else ap_positions
        self.ap_positions = real_array("ap_positions", grid)
        self.user_positions = (
            None if user_positions is None else real_array("user_positions", user_positions)
        )
        self._check_band()
        self._check_shapes(num_aps)

    @property
    def num_aps(self) -> int:
        """L."""
        return self.ap_positions.shape[0]

    @property
    def spacing_m(self) -> Array:
        r"""$\Delta$ [m]."""
        return self.spacing * wavelength(self.carrier_hz)

    @property
    def noise_power(self) -> Float[Array, "*sweep"]:
        """Noise over the whole band [W]."""
        return thermal_noise_power(self.bandwidth_hz, self.noise_figure_db)

    def grid(self, count: int) -> Grid:
        """Centres of `count` equal parts of the band, from the carrier."""
        step = self.bandwidth_hz / count
        return Grid(0.5 * (step - self.bandwidth_hz), step, count)

    def _check_band(self) -> None:
        require(
            self.bandwidth_hz.ndim <= 1 and self.bandwidth_hz.size > 0,
            "`bandwidth_hz` must be a number, or have one axis that sweeps it, but has shape "
            f"{self.bandwidth_hz.shape}.",
        )
        if is_traced(self.bandwidth_hz, self.carrier_hz, self.spacing):
            return
        bandwidth, carrier, spacing = map(
            np.asarray, (self.bandwidth_hz, self.carrier_hz, self.spacing)
        )
        require(
            bool(np.all(bandwidth < 2 * carrier)),
            f"`bandwidth_hz` must be less than twice `carrier_hz` = {self.carrier_hz:g} Hz, but "
            f"got {self.bandwidth_hz}. The band is centred at the carrier.",
        )
        check_band(-0.5 * bandwidth, carrier, spacing * (SPEED_OF_LIGHT / carrier), "spacing")

    def _check_shapes(self, num_aps: int) -> None:
        require(
            self.power.shape in ((), (self.num_users,)),
            f"`power` must be a number or have shape (users,) = ({self.num_users},), but has shape "
            f"{self.power.shape}. Give one power per user.",
        )
        for name, positions, count in (
            ("ap_positions", self.ap_positions, num_aps),
            ("user_positions", self.user_positions, self.num_users),
        ):
            require(
                positions is None or positions.shape == (count, 2),
                f"`{name}` must have shape ({count}, 2), but has shape "
                f"{None if positions is None else positions.shape}. Give x and y of each.",
            )
