r"""One drop of users: covariances of their beams, and the groups they are put into.

The second stage of beamforming knows these statistics only. Beams are those of
`prebeamforming.beam_covariance`, in which all covariances are real.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Complex, Float, Int, Key
from scipy.special import roots_legendre

from jaxmimo.channel.correlation import one_ring_covariance
from jaxmimo.channel.karhunen_loeve import RankRule, karhunen_loeve
from jaxmimo.channel.pathloss import distance_power_law
from jaxmimo.core.checks import function, integers, is_traced, require, require_kind
from jaxmimo.core.programs import kept_jit
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


class Directions(eqx.Module):
    """What is made of the eigenvectors of the users' covariances, in azimuth or in elevation.

    Attributes:
        factor: Karhunen-Loeve factors of the covariances.
        principal: Principal eigenvectors.
        beam_powers: Power of every beam in the span of the eigenvectors that count.
        rank: How many eigenvectors count, by the rank rule.
    """

    factor: Float[Array, "users beams rank"]
    principal: Float[Array, "users beams"]
    beam_powers: Float[Array, "users beams"]
    rank: Int[Array, " users"]


class Cell(eqx.Module):
    r"""Statistics of a drop, in units of the noise.

    Attributes:
        azimuth: Covariance of the beams in azimuth, of unit average power.
        elevation: Likewise in elevation.
        azimuth_directions: Of the covariances in azimuth.
        elevation_directions: Likewise in elevation.
        snr: $\rho \beta_k / \sigma^2$.
        groups: The users' groups.
    """

    azimuth: Float[Array, "users azimuth_antennas azimuth_antennas"]
    elevation: Float[Array, "users elevation_antennas elevation_antennas"]
    azimuth_directions: Directions
    elevation_directions: Directions
    snr: Float[Array, " users"]
    groups: Groups

    @property
    def num_users(self) -> int:
        """K."""
        return self.snr.size

    def with_groups(self, groups: Groups) -> "Cell":
        """The same users in other groups."""
        return replace(self, groups=groups)

    def split_into(
        self, azimuth_groups: int, elevation_groups: int, *, grouping: Grouping = per_direction
    ) -> "Cell":
        """The same users in other numbers of groups, G and L."""
        azimuth = _captured(self.azimuth_directions, azimuth_groups)
        elevation = _captured(self.elevation_directions, elevation_groups)
        groups = jax.vmap(grouping)(azimuth, elevation)
        return self.with_groups(Groups(*groups, azimuth_groups, elevation_groups))


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


def make_cell(
    system: Beamforming3D,
    users: Users,
    *,
    grouping: Grouping = per_direction,
    ranks: tuple[int, int] | None = None,
) -> Cell:
    """Statistics and groups of the users of a cell.

    Args:
        system: As for `assign_groups`.
        users: As for `assign_groups`.
        grouping: As for `assign_groups`.
        ranks: How many eigenvectors to find in azimuth and elevation, such as `factor_ranks`, which
            takes less time; None finds all.
    """
    check_users(system, users)
    function("grouping", grouping, "`per_direction`")
    antennas = system.azimuth_antennas, system.elevation_antennas
    found = antennas if ranks is None else integers("ranks", ranks)
    require(
        len(found) == 2 and all(1 <= r <= n for r, n in zip(found, antennas, strict=True)),
        f"`ranks` must be two numbers from 1 to the antennas {antennas}, but are {found}. Leave "
        "them out for all eigenvectors.",
    )
    return _make_cell(system, users, (found[0], found[1]), grouping)


def check_users(system: Beamforming3D, users: Users) -> None:
    """Refuse what are not the users of a system."""
    require_kind("system", system, Beamforming3D)
    require_kind("users", users, Users)
    require(
        users.distance.size == system.num_users,
        f"`users` must be the {system.num_users} users of the system, but are "
        f"{users.distance.size}. Match them to `num_users`.",
    )


@kept_jit
def _make_cell(
    system: Beamforming3D, users: Users, ranks: tuple[int, int], grouping: Grouping
) -> Cell:
    array = system.azimuth_antennas, system.elevation_antennas
    (cell,) = cells_of_arrays(system, users, (array,), ranks=(ranks,))
    return cell.split_into(system.azimuth_groups, system.elevation_groups, grouping=grouping)


def cells_of_arrays(
    system: Beamforming3D,
    users: Users,
    arrays: Sequence[tuple[int, int]],
    *,
    ranks: Sequence[tuple[int, int]],
) -> tuple[Cell, ...]:
    """The same users as arrays of several sizes see them, in one group until they are split.

    What arrays with equally many antennas in azimuth, or in elevation, have in common is worked out
    once.

    Args:
        system: The cell; the size of its array does not count.
        users: Its users.
        arrays: Antennas in azimuth and in elevation of every array.
        ranks: Of every array, as for `make_cell`.
    """
    beta = distance_power_law(
        users.distance,
        exponent=system.path_loss_exponent,
        reference_distance=system.reference_distance,
    )
    snr = system.power * beta / system.noise_power
    nobody = jnp.zeros(snr.shape, jnp.int32)

    @cache
    def azimuth(antennas: int, rank: int) -> tuple[Array, Directions]:
        return _seen(system, antennas, rank, users.azimuth, users.azimuth_spread)

    @cache
    def elevation(antennas: int, rank: int) -> tuple[Array, Directions]:
        return _seen(system, antennas, rank, users.elevation, users.elevation_spread)

    def cell(array: tuple[int, int], ranks: tuple[int, int]) -> Cell:
        azimuth_covariances, azimuth_directions = azimuth(array[0], ranks[0])
        elevation_covariances, elevation_directions = elevation(array[1], ranks[1])
        return Cell(
            azimuth_covariances,
            elevation_covariances,
            azimuth_directions,
            elevation_directions,
            snr,
            Groups(nobody, nobody, 1, 1),
        )

    return tuple(cell(*each) for each in zip(arrays, ranks, strict=True))


def make_cells(
    system: Beamforming3D,
    users: Users,
    azimuth_groups: tuple[int, ...],
    *,
    ranks: tuple[int, int] | None = None,
) -> tuple[Cell, ...]:
    """The same cell, split into several numbers of subsectors; arguments as for `make_cell`."""
    cell = make_cell(system, users, ranks=ranks)
    return tuple(cell.split_into(count, system.elevation_groups) for count in azimuth_groups)


def channel_factors(cell: Cell) -> ChannelFactors:
    """Factors of the covariances of a cell.

    References:
        Fan et al., eqs. (5)-(6).
    """
    azimuth = cell.azimuth_directions.factor * amplitude(cell.snr)[:, None, None]
    return ChannelFactors(azimuth, cell.elevation_directions.factor)


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
    """By quadrature of `one_ring_covariance` in NumPy, where no program has to be compiled."""
    turns = 4 * antennas * spacing * spread
    nodes, weights = roots_legendre(64 + math.ceil(4 * turns))
    phase = 2 * np.pi * spacing * np.outer(np.arange(antennas), np.sin(spread * nodes))
    values = np.linalg.svd(np.exp(-1j * phase) * np.sqrt(weights / 2), compute_uv=False) ** 2
    margin = 2
    return min(antennas, int(np.sum(values > precision * values[0])) + margin)


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
    kept = kept.swapaxes(1, 2)  # so that neither product has to turn what it multiplies
    white = split_complex_normal(key, (kept.size,), positions=kept)
    always = jnp.sum(factors.azimuth[:, 0, 0] ** 2) >= 0
    white = computed_once(white, always).reshape(2, users, elevation, azimuth)
    rows = jnp.einsum("kqn,cknm->kqcm", factors.elevation, white, precision="highest")
    h = jnp.einsum("kqcm,kpm->kqcp", rows, factors.azimuth, precision="highest")
    return jnp.swapaxes(lax.complex(h[:, :, 0], h[:, :, 1]), 1, 2)


def _seen(
    system: Beamforming3D, antennas: int, rank: int, angle: Array, spread: Array
) -> tuple[Float[Array, "users antennas antennas"], Directions]:
    """Covariances of beams in one direction, and what is made of their eigenvectors."""

    def of_user(angle: Array, spread: Array) -> Array:
        return beam_covariance(one_ring_covariance(antennas, angle, spread, system.spacing))

    covariances = jax.vmap(of_user)(angle, spread)
    return covariances, _directions(covariances, rank, system.rank_rule)


def _directions(
    covariances: Float[Array, "users beams beams"], rank: int, rank_rule: RankRule
) -> Directions:
    def of_user(covariance: Array) -> tuple[Array, ...]:
        expansion = karhunen_loeve(covariance, rank)
        kept = rank_rule(expansion.values)
        powers = beam_powers(expansion.vectors, kept)
        return expansion.factor, expansion.vectors[:, 0], powers, jnp.sum(kept, dtype=jnp.int32)

    return Directions(*jax.vmap(of_user)(covariances))


def _captured(directions: Directions, groups: int) -> Float[Array, "users groups"]:
    return jax.vmap(lambda powers: captured(powers, groups))(directions.beam_powers)
