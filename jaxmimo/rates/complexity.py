"""Floating point operations (FLOPs) of user grouping and precoding on a rectangular array.

Each complex operation counts as one. Counts of integers are exact: they are Python integers, which
do not overflow. They are the published formulas, which count what a plain implementation does, not
what this library computes.
"""

import numpy as np
from numpy.typing import ArrayLike

from jaxmimo.core.checks import integer, require
from jaxmimo.transceiver.prebeamforming import beams_per_group

__all__ = ["generalized_mrt_flops", "grouping_flops", "overall_grouping_flops", "slnr_flops"]


def grouping_flops(
    azimuth_antennas: int,
    elevation_antennas: int,
    azimuth_groups: int,
    elevation_groups: int,
    azimuth_ranks: ArrayLike,
    elevation_ranks: ArrayLike,
) -> int | float:
    r"""FLOPs of grouping users per direction, with an eigendecomposition of each covariance.

    $$C = \sum_k \bigl[(2 r_{k,el} + 2 b_{el} + 1) N^2 - 1 + (2 r_{k,az} + 2 b_{az} + 1) M^2 - 1
        + N^3 + M^3\bigr]$$

    Args:
        azimuth_antennas: $M$.
        elevation_antennas: $N$.
        azimuth_groups: $G$, where $b_{az} = \lfloor M / G \rfloor$.
        elevation_groups: $L$, where $b_{el} = \lfloor N / L \rfloor$.
        azimuth_ranks: $r_{k,az}$ of every user; means are taken, too.
        elevation_ranks: $r_{k,el}$ of every user.

    Returns:
        An `int` for whole ranks.

    Raises:
        ValueError: If there are more groups than antennas in a direction, the ranks are not one
            axis of numbers in [0, antennas], or their lengths differ.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eq. (13).
    """
    m, n = _antennas(azimuth_antennas, elevation_antennas)
    b_az, b_el = beams_per_group(m, azimuth_groups), beams_per_group(n, elevation_groups)
    return sum(
        (2 * r_el + 2 * b_el + 1) * n**2 - 1 + (2 * r_az + 2 * b_az + 1) * m**2 - 1 + n**3 + m**3
        for r_az, r_el in _ranks(azimuth_ranks, elevation_ranks, m, n)
    )


def overall_grouping_flops(
    azimuth_antennas: int,
    elevation_antennas: int,
    azimuth_groups: int,
    elevation_groups: int,
    azimuth_ranks: ArrayLike,
    elevation_ranks: ArrayLike,
) -> int | float:
    r"""FLOPs of grouping users by the covariance of the whole array.

    $$C = \sum_k \bigl[(2 r_{k,az} r_{k,el} + 2 b_{az} b_{el} + 1) (MN)^2 - 1 + (MN)^3\bigr]$$

    Arguments, result and errors are those of `grouping_flops`.

    References:
        Fan et al., eq. (14).
    """
    m, n = _antennas(azimuth_antennas, elevation_antennas)
    b = beams_per_group(m, azimuth_groups) * beams_per_group(n, elevation_groups)
    return sum(
        (2 * r_az * r_el + 2 * b + 1) * (m * n) ** 2 - 1 + (m * n) ** 3
        for r_az, r_el in _ranks(azimuth_ranks, elevation_ranks, m, n)
    )


def slnr_flops(
    azimuth_antennas: int,
    elevation_antennas: int,
    azimuth_groups: int,
    elevation_groups: int,
    interferers: ArrayLike,
) -> int | float:
    r"""FLOPs of SLNR precoding behind DFT prebeamformers, for one channel realization.

    $$C = \sum_k \bigl[b^3 + 3 b^2 + 2 b M N + \tfrac52 b + 1 + b x_k (2 M N - 1)
        + b^2 (2 x_k - 1)\bigr], \qquad b = \lfloor M/G \rfloor \lfloor N/L \rfloor$$

    The last two terms are the effective channels of the interferers and their Gram matrix. As
    published, the last one is negative for a user without any.

    Args:
        azimuth_antennas: $M$.
        elevation_antennas: $N$.
        azimuth_groups: $G$.
        elevation_groups: $L$.
        interferers: $x_k$ of every user, the number of other users whose leakage it limits: those
            of its group, of its neighbourhood, or all. Means are taken, too.

    Returns:
        An `int`, or a `float` where a half is left.

    Raises:
        ValueError: If there are more groups than antennas in a direction, or `interferers` is not
            one axis of numbers from 0.

    References:
        Fan et al., eq. (23).
    """
    m, n = _antennas(azimuth_antennas, elevation_antennas)
    b = beams_per_group(m, azimuth_groups) * beams_per_group(n, elevation_groups)
    own = b**3 + 3 * b**2 + 2 * b * m * n + 1
    # Halves are left to the end, so that all sums are of integers.
    twice = sum(
        2 * (own + b * x * (2 * m * n - 1) + b**2 * (2 * x - 1)) + 5 * b
        for x in _per_user("interferers", interferers, None)
    )
    return twice // 2 if twice % 2 == 0 else twice / 2


def generalized_mrt_flops(azimuth_antennas: int, elevation_antennas: int, num_users: int) -> int:
    r"""FLOPs of precoding along the principal eigenvectors, $(M^3 + N^3 + M N) K$.

    Args:
        azimuth_antennas: $M$.
        elevation_antennas: $N$.
        num_users: $K$.

    Raises:
        ValueError: If there is no antenna in a direction, or `num_users` is negative.

    References:
        Fan et al., Section 5.
    """
    m, n = _antennas(azimuth_antennas, elevation_antennas)
    users = integer("num_users", num_users)
    require(users >= 0, f"`num_users` must be at least 0, but got {users}. Count the users.")
    return (m**3 + n**3 + m * n) * users


def _antennas(azimuth_antennas: int, elevation_antennas: int) -> tuple[int, int]:
    counts = (
        integer("azimuth_antennas", azimuth_antennas),
        integer("elevation_antennas", elevation_antennas),
    )
    for name, count in zip(("azimuth_antennas", "elevation_antennas"), counts, strict=True):
        require(count >= 1, f"`{name}` must be at least 1, but got {count}. Give one or more.")
    return counts


def _ranks(
    azimuth_ranks: ArrayLike, elevation_ranks: ArrayLike, azimuth: int, elevation: int
) -> list[tuple[int | float, int | float]]:
    """Pairs of ranks, one per user."""
    az = _per_user("azimuth_ranks", azimuth_ranks, azimuth)
    el = _per_user("elevation_ranks", elevation_ranks, elevation)
    require(
        len(az) == len(el),
        f"`elevation_ranks` must be as long as `azimuth_ranks`, {len(az)}, but has {len(el)}. Give "
        "both ranks of every user.",
    )
    return list(zip(az, el, strict=True))


def _per_user(name: str, values: ArrayLike, largest: int | None) -> list[int | float]:
    """Numbers of Python, one per user."""
    array = np.asarray(values)
    require(
        array.ndim == 1 and array.dtype.kind in "iuf",
        f"`{name}` must be one axis of numbers, one per user, but has shape {array.shape} and "
        f"dtype {array.dtype}. Count one drop at a time.",
    )
    within = "at least 0" if largest is None else f"in [0, {largest}], the number of antennas"
    outside = [x for x in array.tolist() if not 0 <= x <= (np.inf if largest is None else largest)]
    require(
        not outside,
        f"`{name}` must be {within}, but holds {outside[:1]}. Check the users it was counted for.",
    )
    return array.tolist()
