"""The cell of system 3 that is measured, and its drops."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.numpy_beams import BeamsDrop
from benchmarks.numpy_beams_figure import FigureDrop
from jaxmimo import beamforming_3d as b3
from jaxmimo.systems.beamforming_3d.cell import channel_factors, factor_ranks, make_cells


@dataclass(frozen=True)
class BeamsNetwork:
    """Figure 6: the sum rate against the number of subsectors.

    Attributes:
        azimuth_antennas: M.
        elevation_antennas: N.
        users: K.
        azimuth_groups: Values of G.
        elevation_groups: L.
        drops: Drops of which the deterministic equivalent is taken in one kernel.
        realizations: Fading realizations per drop of the figure.
    """

    azimuth_antennas: int = 64
    elevation_antennas: int = 12
    users: int = 20
    azimuth_groups: tuple[int, ...] = (4, 8, 16, 32, 64)
    elevation_groups: int = 4
    drops: int = 64
    realizations: int = 64

    def system(self, azimuth_groups: int) -> b3.Beamforming3D:
        """The cell, split into G subsectors."""
        return b3.Beamforming3D(
            azimuth_antennas=self.azimuth_antennas,
            elevation_antennas=self.elevation_antennas,
            num_users=self.users,
            azimuth_groups=azimuth_groups,
            elevation_groups=self.elevation_groups,
        )


BEAMS = BeamsNetwork()

TWO_STAGE = (b3.all_groups, b3.adjacent_groups, b3.own_group)
"""SLNR precoding by the groups that leakage is counted to, as the figure has it."""

SCHEMES = (*TWO_STAGE, b3.generalized_mrt)
"""All schemes of the figure, in the order of the baselines' results."""


def draw_cells(system: b3.Beamforming3D, keys: Array) -> b3.Cell:
    """Statistics of a drop per key."""
    return _draw_cells(system, keys, factor_ranks(system))


@eqx.filter_jit
def _draw_cells(system: b3.Beamforming3D, keys: Array, ranks: tuple[int, int]) -> b3.Cell:
    def of_drop(key: Array) -> b3.Cell:
        return b3.make_cell(system, b3.draw_users(key, system), ranks=ranks)

    return lax.map(of_drop, keys)


def numpy_drop(system: b3.Beamforming3D, users: b3.Users) -> BeamsDrop:
    """The same drop for NumPy, with factors of the covariances at the antennas."""
    cell = b3.make_cell(system, users)
    factors = channel_factors(cell)
    amplitude = np.sqrt(np.asarray(cell.snr))[:, None, None]
    return BeamsDrop(
        azimuth=_at_antennas(np.asarray(factors.azimuth) / amplitude),
        elevation=_at_antennas(np.asarray(factors.elevation)),
        beta=np.asarray(cell.snr),
        azimuth_group=np.asarray(cell.groups.azimuth),
        elevation_group=np.asarray(cell.groups.elevation),
        counted=np.asarray(b3.adjacent_groups(cell).counted),
        azimuth_groups=system.azimuth_groups,
        elevation_groups=system.elevation_groups,
        alpha=1.0,
    )


def numpy_figure_drop(
    system: b3.Beamforming3D, users: b3.Users, azimuth_groups: Sequence[int]
) -> FigureDrop:
    """The same drop of the whole figure for NumPy: `TWO_STAGE` schemes, then generalized MRT.

    Covariances, their factors in beams, groups and masks all come from jaxmimo. Making them is not
    timed for NumPy, while jaxmimo is timed with them for every drop, which flatters NumPy.
    """
    statistics = _figure_statistics(system, users, tuple(azimuth_groups))
    return FigureDrop(
        **{name: np.array(value) for name, value in statistics.items()},
        azimuth_groups=tuple(azimuth_groups),
        elevation_groups=system.elevation_groups,
    )


@eqx.filter_jit
def _figure_statistics(
    system: b3.Beamforming3D, users: b3.Users, azimuth_groups: tuple[int, ...]
) -> dict[str, Array]:
    """The arrays of a `FigureDrop`."""
    cells = make_cells(system, users, azimuth_groups)
    factors, mrt = channel_factors(cells[0]), b3.generalized_mrt(cells[0])
    masks = [[scheme(cell).counted for scheme in TWO_STAGE] for cell in cells]
    return {
        "azimuth": factors.azimuth,
        "elevation": factors.elevation,
        "azimuth_group": jnp.stack([cell.groups.azimuth for cell in cells]),
        "elevation_group": jnp.stack([cell.groups.elevation for cell in cells]),
        "counted": jnp.array(masks),
        "mrt_azimuth": mrt.azimuth,
        "mrt_elevation": mrt.elevation,
    }


def _at_antennas(factors: np.ndarray) -> np.ndarray:
    """Factors of antennas from those of the centred beams."""
    n = factors.shape[1]
    middle = np.arange(n) - (n - 1) / 2
    beams = np.exp(-2j * np.pi * np.outer(middle, np.arange(n)) / n) / np.sqrt(n)
    return (beams @ factors).astype(np.complex64)


def jax_users(system: b3.Beamforming3D) -> b3.Users:
    """The drop that both sides simulate."""
    return b3.draw_users(jax.random.key(3), system)
