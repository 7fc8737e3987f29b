r"""One drop of users: covariances of their beams, and the groups they are put into.

The second stage of beamforming knows these statistics only. Beams are those of
`prebeamforming.beam_covariance`, in which all covariances are real.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Complex, Float, Int, Key

from jaxmimo.channel.correlation import one_ring_covariance
from jaxmimo.channel.karhunen_loeve import RankRule, channel_factor, karhunen_loeve
from jaxmimo.channel.pathloss import distance_power_law
from jaxmimo.core.checks import is_traced, require
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.split import computed_once
from jaxmimo.core.units import amplitude
from jaxmimo.systems.beamforming_3d.system import Beamforming3D, Users
from jaxmimo.transceiver.grouping import beam_powers, captured, per_direction
from jaxmimo.transceiver.prebeamforming import beam_covariance

Grouping = Callable[[Array, Array], tuple[Array, Array]]
"""From what groups capture of a user, in azimuth and in elevation, to its group in both."""


class Groups(eqx.Module):
    """The group of every user.

    Attributes:
        azimuth: Subsector g, from 0.
        elevation: Annular region l, from 0.
        azimuth_groups: G.
        elevation_groups: L.
    """

    azimuth: Int[Array, " users"]
    elevation: Int[Array, " users"]
    azimuth_groups: int = eqx.field(static=True)
    elevation_groups: int = eqx.field(static=True)


class Cell(eqx.Module):
    r"""Statistics of a drop, in units of the noise.

    Attributes:
        azimuth: Covariance of the beams in azimuth, of unit average power.
        elevation: Likewise in elevation.
        snr: $\rho \beta_k / \sigma^2$.
        azimuth_rank: Eigenvectors that count in azimuth, by the rank rule.
        elevation_rank: Likewise in elevation.
        groups: The users' groups.
    """

    azimuth: Float[Array, "users azimuth_antennas azimuth_antennas"]
    elevation: Float[Array, "users elevation_antennas elevation_antennas"]
    snr: Float[Array, " users"]
    azimuth_rank: Int[Array, " users"]
    elevation_rank: Int[Array, " users"]
    groups: Groups

    @property
    def num_users(self) -> int:
        """K."""
        return self.snr.size

    def with_groups(self, groups: Groups) -> "Cell":
        """The same users in other groups."""
        return eqx.tree_at(lambda cell: cell.groups, self, groups)


class ChannelFactors(eqx.Module):
    r"""Karhunen-Loeve factors of the channels: $H_k = A_k V_k E_k^T$ with white $V_k$.

    Row p, column q of $H_k$ is beam p in azimuth and q in elevation.

    Attributes:
        azimuth: $A_k$, with the user's signal-to-noise ratio.
        elevation: $E_k$.
    """

    azimuth: Float[Array, "users azimuth_antennas azimuth_rank"]
    elevation: Float[Array, "users elevation_antennas elevation_rank"]


def assign_groups(
    system: Beamforming3D, users: Users, *, grouping: Grouping = per_direction
) -> Groups:
    """Put users into groups by their covariances.

    Args:
        system: The cell; its rank rule decides which eigenvectors count.
        users: The users.
        grouping: `per_direction` (2D-FQUG) or `overall`, of `jaxmimo.transceiver.grouping`.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, Algorithm 1 and eqs. (10)-(12).
    """
    return make_cell(system, users, grouping=grouping).groups


def make_cell(system: Beamforming3D, users: Users, *, grouping: Grouping = per_direction) -> Cell:
    """Statistics and groups of the users of a cell; arguments as for `assign_groups`."""
    return make_cells(system, users, (system.azimuth_groups,), grouping=grouping)[0]


@eqx.filter_jit
def make_cells(
    system: Beamforming3D,
    users: Users,
    azimuth_groups: tuple[int, ...],
    *,
    grouping: Grouping = per_direction,
) -> tuple[Cell, ...]:
    """The same cell, split into other numbers of subsectors; arguments as for `assign_groups`."""
    require(
        users.distance.size == system.num_users,
        f"`users` must be the {system.num_users} users of the system, but are "
        f"{users.distance.size}. Match them to `num_users`.",
    )
    azimuth = _beam_covariances(
        system.azimuth_antennas, users.azimuth, users.azimuth_spread, system.spacing
    )
    elevation = _beam_covariances(
        system.elevation_antennas, users.elevation, users.elevation_spread, system.spacing
    )
    beta = distance_power_law(
        users.distance,
        exponent=system.path_loss_exponent,
        reference_distance=system.reference_distance,
    )
    snr = system.power * beta / system.noise_power
    azimuth_powers, azimuth_rank = _beam_powers(azimuth, system.rank_rule)
    elevation_powers, elevation_rank = _beam_powers(elevation, system.rank_rule)

    def split_into(azimuth_groups: int) -> Cell:
        counts = azimuth_groups, system.elevation_groups
        groups = _groups(azimuth_powers, elevation_powers, *counts, grouping)
        return Cell(azimuth, elevation, snr, azimuth_rank, elevation_rank, groups)

    return tuple(split_into(count) for count in azimuth_groups)


@partial(jax.jit, static_argnames="ranks")
def channel_factors(cell: Cell, ranks: tuple[int, int] | None = None) -> ChannelFactors:
    """Factors of the covariances of a cell.

    Args:
        cell: The cell.
        ranks: How many eigenvectors to keep in azimuth and elevation, such as `factor_ranks`; None
            keeps all.

    References:
        Fan et al., eqs. (5)-(6).
    """
    azimuth = jax.vmap(channel_factor)(cell.azimuth) * amplitude(cell.snr)[:, None, None]
    elevation = jax.vmap(channel_factor)(cell.elevation)
    if ranks is None:
        return ChannelFactors(azimuth, elevation)
    return ChannelFactors(azimuth[:, :, : ranks[0]], elevation[:, :, : ranks[1]])


def factor_ranks(system: Beamforming3D, users: Users | None = None) -> tuple[int, int]:
    """Eigenvectors in azimuth and elevation that hold more than rounding of the widest user.

    Users are at most as wide as the system's limits, or as those that are given. In sines, a user
    is widest at boresight. All eigenvectors count where spreads are traced.
    """
    antennas = system.azimuth_antennas, system.elevation_antennas
    if is_traced(system, users):
        return antennas
    spreads = system.azimuth_spread_limit, system.elevation_spread_limit
    if users is not None:
        given = users.azimuth_spread, users.elevation_spread
        spreads = tuple(max(s, np.max(u)) for s, u in zip(spreads, given, strict=True))
    precision = float(jnp.finfo(jnp.result_type(float)).eps)
    azimuth, elevation = (
        _rank_at_boresight(n, float(spread), system.spacing, precision)
        for n, spread in zip(antennas, spreads, strict=True)
    )
    return azimuth, elevation


@lru_cache(maxsize=64)
def _rank_at_boresight(antennas: int, spread: float, spacing: float, precision: float) -> int:
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        values = np.linalg.eigvalsh(np.asarray(one_ring_covariance(antennas, 0.0, spread, spacing)))
    margin = 2
    return min(antennas, int(np.sum(values > precision * values[-1])) + margin)


def draw_channels(
    key: Key[Array, ""], factors: ChannelFactors
) -> Complex[Array, "users azimuth_antennas elevation_antennas"]:
    """Beams of the channels of one realization, over the noise, through their Kronecker factors.

    References:
        Fan et al., eq. (6).
    """
    users, azimuth_antennas, azimuth = factors.azimuth.shape
    _, elevation_antennas, elevation = factors.elevation.shape
    # Numbered as if no eigenvector were left out, so that draws do not depend on how many are.
    number = np.arange(users * azimuth_antennas * elevation_antennas)
    kept = number.reshape(users, azimuth_antennas, elevation_antennas)[:, :azimuth, :elevation]
    white = split_complex_normal(key, (kept.size,), positions=kept)
    always = jnp.sum(factors.azimuth[:, 0, 0] ** 2) >= 0
    white = computed_once(white, always).reshape(2, users, azimuth, elevation)
    rows = jnp.einsum("kpm,ckmn->ckpn", factors.azimuth, white, precision="highest")
    h = jnp.einsum("ckpn,kqn->ckpq", rows, factors.elevation, precision="highest")
    return lax.complex(h[0], h[1])


def _beam_covariances(
    antennas: int, angle: Array, spread: Array, spacing: float
) -> Float[Array, "users antennas antennas"]:
    def of_user(angle: Array, spread: Array) -> Array:
        return beam_covariance(one_ring_covariance(antennas, angle, spread, spacing))

    return jax.vmap(of_user)(angle, spread)


def _beam_powers(
    covariances: Array, rank_rule: RankRule
) -> tuple[Float[Array, "users beams"], Int[Array, " users"]]:
    """Power of every beam in the span of the eigenvectors that count, and how many these are."""

    def of_user(covariance: Array) -> tuple[Array, Array]:
        vectors, values = karhunen_loeve(covariance)
        kept = rank_rule(values)
        return beam_powers(vectors, kept), jnp.sum(kept, dtype=jnp.int32)

    return jax.vmap(of_user)(covariances)


def _groups(
    azimuth: Float[Array, "users azimuth_beams"],
    elevation: Float[Array, "users elevation_beams"],
    azimuth_groups: int,
    elevation_groups: int,
    grouping: Grouping,
) -> Groups:
    def of_user(azimuth: Array, elevation: Array) -> tuple[Array, Array]:
        return grouping(captured(azimuth, azimuth_groups), captured(elevation, elevation_groups))

    return Groups(*jax.vmap(of_user)(azimuth, elevation), azimuth_groups, elevation_groups)
