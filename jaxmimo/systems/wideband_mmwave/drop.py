r"""One drop of users: the paths of every link, and what APs see of them over the band.

APs come first, since the network is worked through AP by AP. Delays count from the arrival of a
user's first path at the nearest AP; the propagation they leave out turns all of a user's channel by
one phase, which no rate depends on.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Key

from jaxmimo.channel.antennas import delay
from jaxmimo.channel.clusters import draw_paths
from jaxmimo.channel.frequency_grid import Grid, grid_response, response_as_computed
from jaxmimo.channel.geometry import azimuth, distance_3d, uniform_positions
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT, umi_street_canyon, wavelength
from jaxmimo.channel.umi_street_canyon import draw_large_scale
from jaxmimo.core.checks import checked_key, require_kind
from jaxmimo.core.small_matrices import Parts
from jaxmimo.core.units import amplitude, from_db
from jaxmimo.systems.wideband_mmwave.system import WidebandMmwave


class Links(eqx.Module):
    r"""Paths between an AP, or all of them as a leading axis, and the users.

    Attributes:
        gains: Amplitude over the noise of the whole band, shape (..., users, paths).
        angles: From the AP's boresight [rad].
        delays: At the first antenna, beyond the user's first arrival [s].
        lags: Delay from antenna to antenna [s].
        distances: From AP to user, shape (..., users) [m].
        carrier: $f_c$ [Hz].
        num_antennas: M.
    """

    gains: Parts
    angles: Float[Array, "*aps users paths"]
    delays: Float[Array, "*aps users paths"]
    lags: Float[Array, "*aps users paths"]
    distances: Float[Array, "*aps users"]
    carrier: Float[Array, "*aps"]
    num_antennas: int = eqx.field(static=True)

    def response(self, grid: Grid, *, squint: bool = True) -> Parts:
        """Responses of one AP's links, shape (users, antennas, subcarriers).

        Args:
            grid: Subcarriers.
            squint: Whether antennas' phases follow the frequency.
        """
        return grid_response(*self._paths(grid), squint=squint)

    def response_as_computed(self, grid: Grid) -> Parts:
        """The same as it is computed fastest, shape (users, antennas, blocks, 2, half)."""
        return response_as_computed(*self._paths(grid))

    def _paths(self, grid: Grid) -> tuple[Parts, Array, Array, Grid, Array, int]:
        return self.gains, self.lags, self.delays, grid, self.carrier, self.num_antennas

    def over_noise(self, noise_power: Array) -> "Links":
        """The same links with gains over another noise."""
        gains = self.gains * (1.0 / jnp.sqrt(noise_power))
        return eqx.tree_at(lambda links: links.gains, self, gains)


def draw_positions(
    key: Key[Array, ""], system: WidebandMmwave
) -> tuple[Float[Array, "aps 2"], Float[Array, "users 2"]]:
    """Where the APs and the users of a drop are [m], as far as these are not given."""
    require_kind("system", system, WidebandMmwave)
    ap_key, user_key = jax.random.split(checked_key(key))
    aps, users = system.ap_positions, system.user_positions
    if system.random_aps:
        aps = uniform_positions(ap_key, system.num_aps, system.side)
    if users is None:
        users = uniform_positions(user_key, system.num_users, system.side)
    return aps, users


def draw_links(key: Key[Array, ""], system: WidebandMmwave) -> Links:
    """Drop users into the network and draw the paths of all links, over a noise of one watt.

    The draws do not depend on the bandwidth, nor on the number of antennas.

    References:
        Ahn et al., Section II, with 3GPP TR 38.901 for the gains, angles and excess delays.
    """
    require_kind("system", system, WidebandMmwave)
    position_key, los_key, large_key, path_key = jax.random.split(checked_key(key), 4)
    aps, users = draw_positions(position_key, system)
    distance_2d = distance_3d(aps, users, 0.0)
    distance = distance_3d(aps, users, system.ap_height - system.user_height)
    los = system.line_of_sight(los_key, distance_2d)
    large = draw_large_scale(large_key, users, los, system.carrier_hz)
    loss_db = umi_street_canyon(
        distance_2d, system.carrier_hz, system.ap_height, system.user_height, los
    )
    snr = (
        from_db(large.shadowing_db - loss_db) * jnp.broadcast_to(system.power, los.shape[1:])[None]
    )

    def of_link(key: Array, *statistics: Array) -> tuple[Array, Array, Array]:
        return draw_paths(key, *statistics, num_rays=system.num_rays)

    alpha, angles, excess = jax.vmap(jax.vmap(of_link))(
        jax.random.split(path_key, los.shape),
        azimuth(aps, users),
        los,
        large.delay_spread,
        large.angle_spread,
        large.k_factor_db,
    )
    carrier_phase = delay(distance / wavelength(system.carrier_hz))
    delays = distance[..., None] / SPEED_OF_LIGHT + excess
    return Links(
        gains=Parts.of(alpha * (amplitude(snr) * carrier_phase)[..., None]),
        angles=angles,
        delays=delays - jnp.min(delays, axis=(0, 2), keepdims=True),
        lags=system.spacing_m * jnp.sin(angles) / SPEED_OF_LIGHT,
        distances=distance,
        carrier=jnp.broadcast_to(system.carrier_hz, distance.shape[:1]),
        num_antennas=system.ap_antennas,
    )
