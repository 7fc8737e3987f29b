"""Parameters of the distributed MIMO uplink under Rician fading."""

from typing import Any

import equinox as eqx
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from jaxmimo.channel.correlation import Covariance, checked_covariance, uncorrelated
from jaxmimo.channel.geometry import ap_grid, common_origin
from jaxmimo.channel.pathloss import LEAST_CARRIER
from jaxmimo.core.checks import (
    boolean_number,
    carrier,
    plain_number,
    positive_integer,
    positive_number,
    real_array,
    real_number,
    require,
    require_memory,
)
from jaxmimo.core.units import noise_power as thermal_noise_power


class DistributedRician(eqx.Module):
    r"""Q APs with S antennas each serve K single-antenna users jointly, in the uplink.

    APs hang on a grid over a square, users are dropped uniformly in it. Channels are spatially
    correlated Rician fading (1)-(4); the network knows least-squares estimates from orthogonal
    pilots (5)-(6), or others, and combines linearly (12). All real parameters may be traced, so
    that the SE can be differentiated with respect to positions, powers and Rician factors.

    Args:
        num_aps: Q.
        ap_antennas: S, so that M = Q S.
        num_users: K.
        rician_factor: $\kappa \ge 0$ [linear], infinity included: a number, or one per link, shape
            (aps, users). One leading axis more sweeps it: shape (sweep,) or (sweep, aps, users).
        propagation_phase: Whether the direct path has the phase $e^{-j 2\pi d/\lambda}$ of its
            distance. The paper leaves it out, so that the arrays of all APs add up in phase.
        covariance: Scattering of a link: `uncorrelated`, `LocalScattering(...)`,
            `ScatteringClusters(...)` of `jaxmimo.channel.correlation`, or a function of your own.
        power: Transmit power $p$ of data and pilots, a number or one per user [W].
        noise_power: $\sigma^2$ [W]; None means 20 MHz at a noise figure of 9 dB.
        pilot_length: $\tau \ge K$ [symbols]; None means K.
        side: Side of the square [m].
        ap_height: Height of the APs [m].
        user_height: Height of the users [m].
        path_loss_exponent: Exponent of the log-distance model; 2 is free space.
        carrier_hz: Carrier frequency [Hz].
        spacing: Antenna spacing [wavelengths]; a plain number.
        ap_positions: Positions of the APs, shape (aps, 2) [m]; None means the grid.
        user_positions: Positions of the users, shape (users, 2) [m]; None drops them at random.
            Where both are given, they are kept as counted from the first AP.

    Raises:
        ValueError: If shapes or lengths do not fit, or values are negative or not finite.

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        Section II and Table I.
    """

    rician_factor: Float[Array, "..."]
    propagation_phase: Bool[Array, ""]
    covariance: Any
    power: Float[Array, "*users"]
    noise_power: Float[Array, ""]
    side: Float[Array, ""]
    ap_height: Float[Array, ""]
    user_height: Float[Array, ""]
    path_loss_exponent: Float[Array, ""]
    carrier_hz: Float[Array, ""]
    ap_positions: Float[Array, "aps 2"]
    user_positions: Float[Array, "users 2"] | None
    ap_antennas: int = eqx.field(static=True)
    num_users: int = eqx.field(static=True)
    pilot_length: int = eqx.field(static=True)
    spacing: float = eqx.field(static=True)

    def __init__(
        self,
        *,
        num_aps: int,
        ap_antennas: int,
        num_users: int,
        rician_factor: ArrayLike,
        propagation_phase: bool | Bool[Array, ""] = False,
        covariance: Covariance = uncorrelated,
        power: ArrayLike = 0.1,
        noise_power: ArrayLike | None = None,
        pilot_length: int | None = None,
        side: ArrayLike = 100.0,
        ap_height: ArrayLike = 12.0,
        user_height: ArrayLike = 1.5,
        path_loss_exponent: ArrayLike = 2.0,
        carrier_hz: ArrayLike = 3.5e9,
        spacing: float = 0.5,
        ap_positions: ArrayLike | None = None,
        user_positions: ArrayLike | None = None,
    ) -> None:
        num_aps = positive_integer("num_aps", num_aps)
        self.ap_antennas = positive_integer("ap_antennas", ap_antennas)
        self.num_users = positive_integer("num_users", num_users)
        require_memory(
            "channels", num_aps=num_aps, ap_antennas=self.ap_antennas, num_users=self.num_users
        )
        self.pilot_length = self._checked_pilot_length(pilot_length)
        self.rician_factor = real_array(
            "rician_factor", rician_factor, minimum=0.0, allow_infinity=True
        )
        self.propagation_phase = boolean_number("propagation_phase", propagation_phase)
        self.spacing = plain_number("spacing", spacing)
        checked_covariance(covariance, self.ap_antennas, self.spacing)
        # A plain function is no leaf that `jax.jit` accepts; wrapped, it is part of the type.
        plain = not isinstance(covariance, eqx.Module | Partial)
        self.covariance = Partial(covariance) if plain else covariance
        self.power = real_array("power", power, minimum=0.0)
        default_noise = thermal_noise_power(20e6, 9.0) if noise_power is None else noise_power
        self.noise_power = positive_number("noise_power", default_noise)
        self.side = real_number("side", side)
        self.ap_height = real_number("ap_height", ap_height)
        self.user_height = real_number("user_height", user_height)
        self.path_loss_exponent = real_number("path_loss_exponent", path_loss_exponent)
        self.carrier_hz = carrier("carrier_hz", carrier_hz, minimum=LEAST_CARRIER)
        if ap_positions is not None and user_positions is not None:
            ap_positions, user_positions = common_origin(ap_positions, user_positions)
        grid = ap_grid(num_aps, self.side) if ap_positions is None else ap_positions
        self.ap_positions = real_array("ap_positions", grid)
        self.user_positions = (
            None if user_positions is None else real_array("user_positions", user_positions)
        )
        self._check_shapes(num_aps)

    @property
    def num_aps(self) -> int:
        """Q."""
        return self.ap_positions.shape[0]

    @property
    def num_antennas(self) -> int:
        """M = Q S."""
        return self.num_aps * self.ap_antennas

    @property
    def height_difference(self) -> Float[Array, ""]:
        """Height of the APs over the users [m]."""
        return self.ap_height - self.user_height

    @property
    def sweep_length(self) -> int | None:
        """Number of Rician factors swept, None if there is one."""
        swept = self.rician_factor.ndim in (1, 3)
        return self.rician_factor.shape[0] if swept else None

    @property
    def is_uncorrelated(self) -> bool:
        """Whether scattering is uncorrelated."""
        return isinstance(self.covariance, Partial) and self.covariance.func is uncorrelated

    @property
    def is_common(self) -> bool:
        """Whether all links share one Rician factor, as its shape tells."""
        return self.rician_factor.ndim <= 1

    def _checked_pilot_length(self, given: int | None) -> int:
        length = self.num_users if given is None else positive_integer("pilot_length", given)
        require(
            length >= self.num_users,
            f"`pilot_length` must be at least the {self.num_users} users, but got {length}. "
            "Raise `pilot_length` or serve fewer users.",
        )
        return length

    def _check_shapes(self, num_aps: int) -> None:
        links = (num_aps, self.num_users)
        shape = self.rician_factor.shape
        require(
            len(shape) <= 3 and (len(shape) <= 1 or shape[-2:] == links) and 0 not in shape,
            f"`rician_factor` must be a number or have shape (aps, users) = {links}, with a "
            f"leading axis if it is swept, but has shape {shape}. Match it to the network.",
        )
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
