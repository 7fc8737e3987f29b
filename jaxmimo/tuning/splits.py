"""How many groups to split the beams into: subsectors times annular regions."""

from collections.abc import Sequence
from dataclasses import replace

from jaxmimo.core.checks import described, function, integers, require
from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    Groups,
    Users,
    adjacent_groups,
    make_cell,
)
from jaxmimo.systems.beamforming_3d.cell import check_users, factor_ranks
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
    check_users(system, users)
    function("scheme", scheme, "`adjacent_groups`")
    ranks = factor_ranks(system, users)
    searches = [
        greedy_groups(make_cell(_split(system, *counts), users, ranks=ranks), scheme=scheme)
        for counts in _checked(splits)
    ]
    return max(searches, key=lambda search: float(search.sum_rate)).groups


def _checked(splits: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    require(
        isinstance(splits, Sequence) and not isinstance(splits, str) and len(splits) > 0,
        f"`splits` must hold at least one split, but is {described(splits)}. Give [(8, 4)].",
    )
    counts = [integers("splits", split) for split in splits]
    require(
        all(len(each) == 2 for each in counts),
        f"`splits` must hold pairs of numbers of groups, but has {counts}. Give [(8, 4)].",
    )
    return counts


def _split(system: Beamforming3D, azimuth_groups: int, elevation_groups: int) -> Beamforming3D:
    return replace(system, azimuth_groups=azimuth_groups, elevation_groups=elevation_groups)
