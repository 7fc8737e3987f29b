"""Downlink schemes: what a base station makes of a cell's statistics.

A scheme is a function of a cell, `scheme(cell) -> precoding`: the stage of beamforming that knows
statistics only. What it returns is the stage that knows the fading, too, or need not. A scheme of
your own is one more such function; `TwoStageSLNR` counts leakage to any set of users.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Bool, Complex, Float, Int

from jaxmimo.core.batching import replaced_where
from jaxmimo.core.checks import described, require
from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import reciprocal
from jaxmimo.core.small_matrices import Parts, adjoint_product, sum_of_columns
from jaxmimo.rates.deterministic_equivalents import KroneckerCovariances, slnr_powers
from jaxmimo.rates.ergodic import ergodic_rates
from jaxmimo.rates.sinr import sinr_of_powers, spectral_efficiency
from jaxmimo.systems.beamforming_3d.cell import Cell
from jaxmimo.systems.beamforming_3d.two_stage import Chain, two_stage_powers
from jaxmimo.transceiver.combining import (
    IN_GRAM_FORM,
    REGULARIZATION,
    Combiner,
    mmse_combiner,
    regularized_dual,
    zf_combiner,
)


@runtime_checkable
class Precoding(Protocol):
    """The stage of beamforming that knows the fading."""

    def powers(
        self, h: Complex[Array, "users azimuth_antennas elevation_antennas"]
    ) -> Float[Array, "streams users"]:
        """Power over the noise at which users receive each stream, in one realization.

        Args:
            h: Beams of the users' channels over the noise.
        """
        ...

    def rates_in_the_limit(self) -> Float[Array, " users"]:
        """Deterministic equivalent of the users' ergodic rates [bit/s/Hz]."""
        ...


_ROUNDING = 64.0
"""Machine epsilons by which rounding may bring eigenvalues of covariances below zero."""

Scheme = Callable[[Cell], Precoding]
"""A function from a cell to the precoding for it."""


@checked()
def own_group(cell: Cell) -> "TwoStageSLNR":
    """SLNR precoding that counts leakage to the other users of the own group (17)."""
    return _within(cell, 0, diagonal=True, wrap=True)


@checked()
def adjacent_groups(cell: Cell, *, diagonal: bool = True, wrap: bool = True) -> "TwoStageSLNR":
    """SLNR precoding that counts leakage to the own and the adjacent groups (15): the proposal.

    Args:
        cell: The cell.
        diagonal: Whether groups that touch at a corner are adjacent: 3 x 3 groups, not a plus.
        wrap: Whether the first and the last group are adjacent, in both directions, as the
            frequencies of DFT beams are.
    """
    return _within(cell, 1, diagonal=diagonal, wrap=wrap)


@checked()
def all_groups(cell: Cell) -> "TwoStageSLNR":
    """SLNR precoding that counts leakage to all other users (16)."""
    counted = jnp.ones((cell.num_users, cell.num_users), bool)
    return TwoStageSLNR(cell, counted, cell.groups.azimuth_groups + cell.groups.elevation_groups)


@checked()
def generalized_mrt(cell: Cell) -> "FixedPrecoders":
    """Generalized maximum ratio transmission, on the principal eigenvectors of the covariances."""
    return FixedPrecoders(
        cell, cell.azimuth_directions.principal, cell.elevation_directions.principal
    )


@checked()
def full_dimension_slnr(cell: Cell) -> "FullDimension":
    """SLNR precoding of all antennas, without prebeamformers."""
    del cell
    return FullDimension(mmse_combiner)


@checked()
def full_dimension_zf(cell: Cell) -> "FullDimension":
    """Zero forcing with all antennas, without prebeamformers; takes at most M N users."""
    antennas = cell.azimuth.shape[1] * cell.elevation.shape[1]
    if cell.num_users > antennas:
        raise ValueError(
            f"`num_users` must be at most the {antennas} antennas for zero forcing, but is "
            f"{cell.num_users}. Serve fewer users or use `full_dimension_slnr`."
        )
    return FullDimension(zf_combiner)


class TwoStageSLNR(eqx.Module):
    """SLNR precoding in the beams of each user's group.

    Attributes:
        cell: The cell.
        counted: Entry (u, s) tells whether the precoder of user u counts leakage to user s.
        reach: How far away counted groups may be: what is counted within less is counted, too. So
            schemes of different reach share work. None promises nothing.
    """

    cell: Cell
    counted: Bool[Array, "users users"]
    reach: int | None = eqx.field(static=True, default=None)

    def counts_all_of(self, other: "TwoStageSLNR") -> bool:
        """Whether all that another precoding counts surely counts here, too."""
        if self.reach is None or other.reach is None:
            return False
        return self.cell.groups is other.cell.groups and self.reach > other.reach

    def powers(
        self, h: Complex[Array, "users azimuth_antennas elevation_antennas"]
    ) -> Float[Array, "streams users"]:
        """Powers over the noise, eqs. (15)-(17)."""
        return two_stage_powers(h, [Chain(self.cell.groups, self.counted[None])])[0][0]

    def powers_in_the_limit(self) -> Float[Array, "streams users"]:
        """Deterministic equivalents of the powers over the noise, Theorem 1."""
        groups = self.cell.groups
        users = jnp.arange(self.cell.num_users)
        counted = self.counted.astype(self.cell.snr.dtype)
        of_streams = jax.vmap(stream_in_the_limit, (None, 0, 0, 0, 0))
        return of_streams(self.cell, users, counted, groups.azimuth, groups.elevation)

    def rates_in_the_limit(self) -> Float[Array, " users"]:
        """Theorem 1."""
        return spectral_efficiency(sinr_of_powers(self.powers_in_the_limit()))

    def rates_by_shares(self) -> Partial:
        """Theorem 1 as a function of the shares (users,) that the streams have of the power."""
        return Partial(_rates_of_shares, self.powers_in_the_limit())


def nested(precodings: Sequence[Precoding]) -> list[tuple[list[int], Chain]]:
    """Two-stage precodings in chains, each of which counts all that the one before it counts.

    Returns:
        For every chain the numbers of its precodings, and itself.
    """
    two_stage = {i: p for i, p in enumerate(precodings) if isinstance(p, TwoStageSLNR)}
    chains: list[list[int]] = []
    for i in sorted(two_stage, key=lambda i: two_stage[i].reach or 0):
        into = (chain for chain in chains if two_stage[i].counts_all_of(two_stage[chain[-1]]))
        if (chain := next(into, None)) is None:
            chains.append([i])
        else:
            chain.append(i)

    def of(numbers: list[int]) -> Chain:
        members = [two_stage[i] for i in numbers]
        return Chain(members[0].cell.groups, jnp.stack([p.counted for p in members]))

    return [(numbers, of(numbers)) for numbers in chains]


class FixedPrecoders(eqx.Module):
    """Precoders that do not follow the fading, Kronecker products of real vectors of unit norm.

    Attributes:
        cell: The cell.
        azimuth: Their factors in azimuth.
        elevation: Their factors in elevation.
    """

    cell: Cell
    azimuth: Float[Array, "streams azimuth_antennas"]
    elevation: Float[Array, "streams elevation_antennas"]

    def powers(
        self, h: Complex[Array, "users azimuth_antennas elevation_antennas"]
    ) -> Float[Array, "streams users"]:
        """Powers over the noise."""
        turned = jnp.swapaxes(h, 1, 2)  # as draws lie in memory
        parts = jnp.stack([turned.real, turned.imag], axis=2)
        across = jnp.einsum("kncm,um->kncu", parts, self.azimuth, precision="highest")
        gains = sum_of_columns(across * self.elevation.T[None, :, None])
        return jnp.sum(gains**2, 1).T

    def rates_in_the_limit(self) -> Float[Array, " users"]:
        """Ergodic rates without approximation, since the gains are Gaussian."""
        return ergodic_rates(self._gains())

    def rates_by_shares(self) -> Partial:
        """The same as a function of the shares (users,) that the streams have of the power."""
        return Partial(_ergodic_rates_of_shares, self._gains())

    def _gains(self) -> Float[Array, "users streams streams"]:
        """Covariances of the gains of all streams to each user, over the noise."""

        def gains(covariances: Array, precoders: Array) -> Array:
            return jnp.einsum(
                "um,kmp,vp->kuv", precoders, covariances, precoders, precision="highest"
            )

        across = gains(self.cell.azimuth, self.azimuth) * self.cell.snr[:, None, None]
        return across * gains(self.cell.elevation, self.elevation)


class FullDimension(eqx.Module):
    """Linear precoding of all antennas, with the dual uplink's combining vectors.

    Attributes:
        combiner: A scheme of `jaxmimo.transceiver.combining` that has a Gram form.
    """

    combiner: Combiner = eqx.field(static=True)

    def __check_init__(self) -> None:
        require(
            any(self.combiner is each for each in IN_GRAM_FORM),
            f"`combiner` must be one with a Gram form, but is {described(self.combiner)}. Use "
            "`mmse_combiner` or `zf_combiner`.",
        )

    def powers(
        self, h: Complex[Array, "users azimuth_antennas elevation_antennas"]
    ) -> Float[Array, "streams users"]:
        """Powers over the noise."""
        channels = h.reshape(h.shape[0], -1).T
        gram = Parts.of(jnp.matmul(channels.T.conj(), channels, precision="highest"))
        gains, norms, lost = IN_GRAM_FORM[self.combiner](gram, Parts.zeros(gram.shape), 1.0)
        powers = gains.power * reciprocal(norms)[:, None]
        if lost is None:
            return powers

        def from_channels() -> Array:
            h = Parts.of(channels)
            v = regularized_dual(h, REGULARIZATION[self.combiner], one_by_one=True)
            return adjoint_product(v, h).power * reciprocal(v.power.sum(0))[:, None]

        return replaced_where(lost, from_channels, powers)

    def rates_in_the_limit(self) -> Float[Array, " users"]:
        """Not provided."""
        raise ValueError(
            "`scheme` must be one with a deterministic equivalent, but full-dimension precoding "
            "has none here. Use `sum_rate`, or a two-stage scheme."
        )


def stream_in_the_limit(
    cell: Cell, user: Array, counted: Float[Array, " users"], azimuth: Array, elevation: Array
) -> Float[Array, " users"]:
    """Powers over the noise at which users receive the SLNR-precoded stream of one, by Theorem 1.

    Args:
        cell: The cell; its users' groups do not matter.
        user: The stream's user.
        counted: Weights with which the precoder counts leakage to the users.
        azimuth: Subsector whose beams send the stream.
        elevation: Annular region whose beams send it.
    """
    groups = cell.groups
    covariances = KroneckerCovariances(
        _block(cell.azimuth, azimuth, groups.azimuth_groups) * cell.snr[:, None, None],
        _block(cell.elevation, elevation, groups.elevation_groups),
    )
    return slnr_powers(covariances, counted, user)


def _rates_of_shares(
    powers: Float[Array, "streams users"], shares: Float[Array, " users"]
) -> Float[Array, " users"]:
    return spectral_efficiency(sinr_of_powers(shares[:, None] * powers))


def _ergodic_rates_of_shares(
    gains: Float[Array, "users streams streams"], shares: Float[Array, " users"]
) -> Float[Array, " users"]:
    # The slope at a share of zero is finite, but that of its root is not.
    amplitudes = jnp.sqrt(shares + float(jnp.finfo(shares.dtype).eps) ** 2)
    return ergodic_rates(gains * (amplitudes[:, None] * amplitudes[None])[None])


def _within(cell: Cell, reach: int, *, diagonal: bool, wrap: bool) -> TwoStageSLNR:
    """Counts leakage to groups at most `reach` steps away."""
    groups = cell.groups
    azimuth = _steps(groups.azimuth, groups.azimuth_groups, wrap)
    elevation = _steps(groups.elevation, groups.elevation_groups, wrap)
    away = jnp.maximum(azimuth, elevation) if diagonal else azimuth + elevation
    return TwoStageSLNR(cell, away <= reach, reach)


def _steps(group: Int[Array, " users"], count: int, wrap: bool) -> Int[Array, "users users"]:
    steps = jnp.abs(group[:, None] - group[None, :])
    return jnp.minimum(steps, count - steps) if wrap else steps


def _block(
    covariances: Float[Array, "users antennas antennas"], group: Array, count: int
) -> Float[Array, "users beams beams"]:
    """Covariances of the beams of one group."""
    users, antennas, _ = covariances.shape
    beams = antennas // count
    start = (jnp.zeros_like(group), group * beams, group * beams)
    block = lax.dynamic_slice(covariances, start, (users, beams, beams))
    # Where a user is not seen, rounding leaves matrices that are no covariances. Precoders of unit
    # norm make much of them: powers would be below zero.
    margin = _ROUNDING * float(jnp.finfo(block.dtype).eps)
    return block + margin * jnp.eye(beams, dtype=block.dtype)[None]
