"""FLOPs in the studies of two-stage 3D beamforming: what they depend on, and their means.

Counts are linear in ranks and in numbers of users, so that their means are counts of means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmimo.rates.complexity import grouping_flops, overall_grouping_flops, slnr_flops
from jaxmimo.systems.beamforming_3d import (
    Cell,
    TwoStageSLNR,
    adjacent_groups,
    all_groups,
    own_group,
)

PROPOSAL = "adjacent groups"
TWO_STAGE: dict[str, Callable[[Cell], TwoStageSLNR]] = {
    "all groups": all_groups,
    PROPOSAL: adjacent_groups,
    "own group": own_group,
}
"""SLNR precoding by the groups that leakage is counted to; the proposal is in the middle."""
MILLION = 1e6
"""FLOPs are given in millions."""


def count_drop(cell: Cell, num_users: int | None = None) -> dict[str, Array]:
    """What the FLOPs of a drop depend on, in the mean over its first users.

    Args:
        cell: The cell.
        num_users: Users to look at, the first of the cell; None for all.

    Returns:
        Ranks in azimuth and in elevation, their product, and the users whose leakage a precoder of
        each of `TWO_STAGE` limits.
    """
    first = slice(num_users)
    azimuth, elevation = cell.azimuth_directions.rank[first], cell.elevation_directions.rank[first]
    leaks = [scheme(cell).counted[first, first] for scheme in TWO_STAGE.values()]
    return {
        "azimuth_rank": (1.0 * azimuth).mean(),
        "elevation_rank": (1.0 * elevation).mean(),
        "rank": (1.0 * azimuth * elevation).mean(),
        "interferers": jnp.stack([each.sum(1).mean() - 1.0 for each in leaks]),
    }


@dataclass(frozen=True)
class Shape:
    """Antennas, groups and users that FLOPs are counted for."""

    azimuth_antennas: int
    elevation_antennas: int
    azimuth_groups: int
    elevation_groups: int
    num_users: int

    @property
    def of_array(self) -> tuple[int, int, int, int]:
        """The arguments that the counts begin with."""
        return (
            self.azimuth_antennas,
            self.elevation_antennas,
            self.azimuth_groups,
            self.elevation_groups,
        )

    @property
    def of_cell(self) -> tuple[int, int, int, int, int]:
        """The arguments of `make_system` after the parameters."""
        return (
            self.azimuth_antennas,
            self.elevation_antennas,
            self.num_users,
            self.azimuth_groups,
            self.elevation_groups,
        )


def mean_grouping_flops(
    shapes: Sequence[Shape], azimuth_ranks: ArrayLike, elevation_ranks: ArrayLike
) -> Array:
    """Millions of FLOPs of grouping per direction (13), which are linear in the mean ranks."""
    none, azimuth, elevation = (
        _per_user([grouping_flops(*shape.of_array, [ranks[0]], [ranks[1]]) for shape in shapes])
        for ranks in ((0, 0), (1, 0), (0, 1))
    )
    per_user = (
        none
        + (azimuth - none) * jnp.asarray(azimuth_ranks)
        + (elevation - none) * jnp.asarray(elevation_ranks)
    )
    return _users(shapes) * per_user


def mean_overall_flops(shapes: Sequence[Shape], ranks: ArrayLike) -> Array:
    """Millions of FLOPs of overall grouping (14), which are linear in the mean product of ranks."""
    none, one = (
        _per_user([overall_grouping_flops(*shape.of_array, [r], [r]) for shape in shapes])
        for r in (0, 1)
    )
    return _users(shapes) * (none + (one - none) * jnp.asarray(ranks))


def mean_slnr_flops(shapes: Sequence[Shape], interferers: ArrayLike) -> Array:
    """Millions of FLOPs of SLNR precoding (23), which are linear in the mean of interferers.

    Args:
        shapes: What they are counted for.
        interferers: Users whose leakage a precoder limits, shape (shapes, schemes).
    """
    none, one = (
        _per_user([slnr_flops(*shape.of_array, [x]) for shape in shapes])[:, None] for x in (0, 1)
    )
    return _users(shapes)[:, None] * (none + (one - none) * jnp.asarray(interferers))


def _per_user(flops: Sequence[int | float]) -> Array:
    return jnp.asarray(np.asarray(flops, float) / MILLION)


def _users(shapes: Sequence[Shape]) -> Array:
    return jnp.asarray([float(shape.num_users) for shape in shapes])
