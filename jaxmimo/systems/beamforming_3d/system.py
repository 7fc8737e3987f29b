"""Parameters of the 3D massive MIMO downlink with two-stage beamforming, and its users."""

import math

import equinox as eqx
import jax
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Float, Key

from jaxmimo.channel.geometry import uniform_distances
from jaxmimo.channel.karhunen_loeve import RankRule, eigenvalues_above
from jaxmimo.core.checks import (
    angle,
    angle_array,
    boolean,
    checked_key,
    function,
    is_traced,
    plain_number,
    positive_integer,
    positive_number,
    real_array,
    real_number,
    require,
    require_kind,
    require_memory,
)
from jaxmimo.core.randomness import uniform
from jaxmimo.core.split import computed_once
from jaxmimo.transceiver.prebeamforming import beams_per_group


class Users(eqx.Module):
    """Where the users of a cell are, as the base station sees them.

    Args:
        distance: From the foot of the base station [m].
        azimuth: Angle of departure from boresight [rad].
        azimuth_spread: Half the width of the interval of azimuth angles [rad].
        elevation: Angle of departure in elevation [rad].
        elevation_spread: Half the width of the interval of elevation angles [rad].

    Raises:
        ValueError: If the five do not hold one number per user each, a distance is not positive,
            or a spread is negative.
    """

    distance: Float[Array, " users"]
    azimuth: Float[Array, " users"]
    azimuth_spread: Float[Array, " users"]
    elevation: Float[Array, " users"]
    elevation_spread: Float[Array, " users"]

    def __init__(
        self,
        *,
        distance: ArrayLike,
        azimuth: ArrayLike,
        azimuth_spread: ArrayLike,
        elevation: ArrayLike,
        elevation_spread: ArrayLike,
    ) -> None:
        self.distance = real_array("distance", distance, above=0.0, remedy="Give metres.")
        self.azimuth = angle_array("azimuth", azimuth)
        self.azimuth_spread = angle_array("azimuth_spread", azimuth_spread, minimum=0.0)
        self.elevation = angle_array("elevation", elevation)
        self.elevation_spread = angle_array("elevation_spread", elevation_spread, minimum=0.0)
        count = self.distance.size
        for name, value in vars(self).items():
            require(
                value.shape == (count,) and count > 0,
                f"`{name}` must have shape (users,) = ({count},), but has shape {value.shape}. "
                "Give one number per user, as in `distance`, `azimuth` and the others.",
            )


class Beamforming3D(eqx.Module):
    r"""A base station with a rectangular array serves single-antenna users in one cell, downlink.

    Scatterers form a ring about every user (4), fading is Rayleigh with a covariance that is a
    Kronecker product of one in azimuth and one in elevation (3). DFT prebeamformers split the cell
    into G subsectors times L annular regions; users are grouped by their covariances.

    The paper has $r_0 = 1$ m and noise of power 1; with $\rho$ = 20 dB its users would then hear
    next to nothing, so $r_0$ is 100 m here, the radius of the cell's hole. For the literal reading,
    give `reference_distance=1`.

    Args:
        azimuth_antennas: M.
        elevation_antennas: N.
        num_users: K.
        azimuth_groups: G, at most M.
        elevation_groups: L, at most N.
        power: Transmit power $\rho$ of each stream [W], positive.
        noise_power: $\sigma^2$ [W], positive.
        path_loss_exponent: $\gamma$.
        reference_distance: $r_0$, where the path loss is 1 [m].
        cell_radius: Largest distance of a user [m].
        hole_radius: Smallest distance of a user [m].
        uniform_area: Whether users are spread evenly over the area, rather than the distance.
        azimuth_limit: Users are at azimuth angles up to this [rad], either side of boresight.
        azimuth_spread_limit: Their azimuth spreads are uniform up to this [rad]; 20 degrees.
        elevation_limit: As `azimuth_limit`, in elevation [rad].
        elevation_spread_limit: As `azimuth_spread_limit`, in elevation [rad]; 10 degrees.
        spacing: Antenna spacing D [wavelengths]; a plain number.
        rank_rule: Which eigenvectors of a covariance count in user grouping, such as
            `captured_energy` of `jaxmimo.channel.karhunen_loeve`. The default keeps eigenvalues
            above a hundredth of the largest. With a threshold near rounding most users of many
            groups end up in near ties.

    Raises:
        ValueError: If there are more groups than antennas in a direction, or values are out of
            their ranges.

    References:
        Fan, He, Huang, Yang, "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", EURASIP J. Wireless Commun. Netw. 2016, Sections 2 and 5.
    """

    power: Float[Array, ""]
    noise_power: Float[Array, ""]
    path_loss_exponent: Float[Array, ""]
    reference_distance: Float[Array, ""]
    cell_radius: Float[Array, ""]
    hole_radius: Float[Array, ""]
    azimuth_limit: Float[Array, ""]
    azimuth_spread_limit: Float[Array, ""]
    elevation_limit: Float[Array, ""]
    elevation_spread_limit: Float[Array, ""]
    rank_rule: Partial
    azimuth_antennas: int = eqx.field(static=True)
    elevation_antennas: int = eqx.field(static=True)
    num_users: int = eqx.field(static=True)
    azimuth_groups: int = eqx.field(static=True)
    elevation_groups: int = eqx.field(static=True)
    uniform_area: bool = eqx.field(static=True)
    spacing: float = eqx.field(static=True)

    def __init__(
        self,
        *,
        azimuth_antennas: int,
        elevation_antennas: int,
        num_users: int,
        azimuth_groups: int = 4,
        elevation_groups: int = 4,
        power: ArrayLike = 100.0,
        noise_power: ArrayLike = 1.0,
        path_loss_exponent: ArrayLike = 3.8,
        reference_distance: ArrayLike = 100.0,
        cell_radius: ArrayLike = 1600.0,
        hole_radius: ArrayLike = 100.0,
        uniform_area: bool = False,
        azimuth_limit: ArrayLike = math.pi,
        azimuth_spread_limit: ArrayLike = math.pi / 9,
        elevation_limit: ArrayLike = math.pi / 2,
        elevation_spread_limit: ArrayLike = math.pi / 18,
        spacing: float = 0.5,
        rank_rule: RankRule = eigenvalues_above,
    ) -> None:
        self.azimuth_antennas = positive_integer("azimuth_antennas", azimuth_antennas)
        self.elevation_antennas = positive_integer("elevation_antennas", elevation_antennas)
        self.num_users = positive_integer("num_users", num_users)
        require_memory(
            "channels",
            num_users=self.num_users,
            azimuth_antennas=self.azimuth_antennas,
            elevation_antennas=self.elevation_antennas,
        )
        self.azimuth_groups = check_groups("azimuth", self.azimuth_antennas, azimuth_groups)
        self.elevation_groups = check_groups("elevation", self.elevation_antennas, elevation_groups)
        self.power = positive_number("power", power)
        self.noise_power = positive_number("noise_power", noise_power)
        self.path_loss_exponent = real_number("path_loss_exponent", path_loss_exponent)
        self.reference_distance = positive_number("reference_distance", reference_distance)
        self.cell_radius = positive_number("cell_radius", cell_radius)
        self.hole_radius = positive_number("hole_radius", hole_radius)
        require(
            is_traced(self.cell_radius, self.hole_radius)
            or bool(np.asarray(self.hole_radius) <= np.asarray(self.cell_radius)),
            f"`hole_radius` must be at most cell_radius = {cell_radius}, but got {hole_radius}. "
            "Users live between the two.",
        )
        self.uniform_area = boolean("uniform_area", uniform_area)
        self.azimuth_limit = angle("azimuth_limit", azimuth_limit)
        self.azimuth_spread_limit = angle("azimuth_spread_limit", azimuth_spread_limit)
        self.elevation_limit = angle("elevation_limit", elevation_limit)
        self.elevation_spread_limit = angle("elevation_spread_limit", elevation_spread_limit)
        self.spacing = plain_number("spacing", spacing)
        function("rank_rule", rank_rule, "`eigenvalues_above`")
        # A plain function is no leaf that `jax.jit` accepts; wrapped, it is part of the type.
        self.rank_rule = rank_rule if isinstance(rank_rule, Partial) else Partial(rank_rule)

    @property
    def azimuth_beams(self) -> int:
        """Beams of a group in azimuth."""
        return self.azimuth_antennas // self.azimuth_groups

    @property
    def elevation_beams(self) -> int:
        """Beams of a group in elevation."""
        return self.elevation_antennas // self.elevation_groups


def draw_users(key: Key[Array, ""], system: Beamforming3D) -> Users:
    """Drop users at random into the cell.

    Fewer users are the first of more; neither antennas nor groups change them.

    Args:
        key: Typed key; use it once.
        system: The cell.

    References:
        Fan et al., Section 5.
    """
    require_kind("system", system, Beamforming3D)
    distance_key, *keys = jax.random.split(checked_key(key), 5)
    count = system.num_users

    def either_side(key: Array, limit: Array) -> Array:
        return limit * (2.0 * uniform(key, (count,)) - 1.0)

    users = Users(
        distance=uniform_distances(
            distance_key,
            count,
            system.hole_radius,
            system.cell_radius,
            uniform_area=system.uniform_area,
        ),
        azimuth=either_side(keys[0], system.azimuth_limit),
        azimuth_spread=system.azimuth_spread_limit * uniform(keys[1], (count,)),
        elevation=either_side(keys[2], system.elevation_limit),
        elevation_spread=system.elevation_spread_limit * uniform(keys[3], (count,)),
    )
    always = system.noise_power > 0
    return jax.tree.map(lambda places: computed_once(places, always), users)


def check_groups(direction: str, antennas: int, groups: int) -> int:
    """A number of groups, refused if it leaves a group without a beam."""
    groups = positive_integer(f"{direction}_groups", groups)
    try:
        beams_per_group(antennas, groups)
    except ValueError as error:
        message = str(error)
        message = message.replace("num_antennas", f"{direction}_antennas")
        raise ValueError(message.replace("num_groups", f"{direction}_groups")) from None
    return groups
