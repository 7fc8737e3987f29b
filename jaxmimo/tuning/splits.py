"""How many groups to split the beams into: subsectors times annular regions."""

from collections.abc import Sequence
from dataclasses import replace

from jaxmimo.core.checks import require
from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    Groups,
    Users,
    adjacent_groups,
    make_cell,
)
from jaxmimo.systems.beamforming_3d.cell import factor_ranks
from jaxmimo.systems.beamforming_3d.schemes import Scheme
from jaxmimo.tuning.groups import greedy_groups


def best_split(
    system: Beamforming3D,
    users: Users,
    splits: Sequence[tuple[int, int]],
    *,
    scheme: Scheme = adjacent_groups,
) -> Groups:
    """Groups of the split with the largest sum rate, by the equivalent, after greedy moves.

    No split need be good on average to be the best one for some users: what counts is where
    between them its groups end. Arrays of each split have shapes of their own, so that this is a
    loop over compiled searches, and not for `jax.jit` or `jax.vmap`.

    Args:
        system: The cell; its own numbers of groups do not matter.
        users: The users.
        splits: Numbers of groups (G, L) in azimuth and elevation to choose from. Those with equally
            many beams per group cost a precoder the same.
        scheme: A two-stage scheme whose precoders count leakage by the users' groups.

    Raises:
        ValueError: If there is no split, or one has more groups than antennas, or the scheme is no
            two-stage one.
    """
    require(len(splits) > 0, "`splits` must hold at least one split. Give [(8, 4)].")
    ranks = factor_ranks(system, users)
    searches = [
        greedy_groups(make_cell(_split(system, *counts), users, ranks=ranks), scheme=scheme)
        for counts in splits
    ]
    return max(searches, key=lambda search: float(search.sum_rate)).groups


def _split(system: Beamforming3D, azimuth_groups: int, elevation_groups: int) -> Beamforming3D:
    return replace(system, azimuth_groups=azimuth_groups, elevation_groups=elevation_groups)
