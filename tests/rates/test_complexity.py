"""FLOP counts against those of single steps, and against published tables."""

import inspect
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.complexity import (
    generalized_mrt_flops,
    grouping_flops,
    overall_grouping_flops,
    slnr_flops,
)

RANKS = [3, 40, 64], [1, 12, 7]


def step_by_step(size, rank, beams):
    """Two projectors, their difference, its norm, an eigendecomposition of a covariance."""
    projectors = (2 * rank - 1) * size**2 + (2 * beams - 1) * size**2
    return projectors + size**2 + 2 * size**2 - 1 + size**3


def test_grouping():
    b_az, b_el = 64 // 5, 12 // 4
    expected = sum(
        step_by_step(64, az, b_az) + step_by_step(12, el, b_el)
        for az, el in zip(*RANKS, strict=True)
    )
    overall = sum(
        step_by_step(64 * 12, az * el, b_az * b_el) for az, el in zip(*RANKS, strict=True)
    )
    for ranks in (RANKS, [np.array(r, np.int8) for r in RANKS], [jnp.array(r) for r in RANKS]):
        for count, value in (
            (grouping_flops(64, 12, 5, 4, *ranks), expected),
            (overall_grouping_flops(64, 12, 5, 4, *ranks), overall),
        ):
            assert type(count) is int
            assert count == value
    mean = grouping_flops(64, 12, 5, 4, [2.5], [1.5])
    assert mean == (grouping_flops(64, 12, 5, 4, [2, 3], [1, 2])) / 2
    assert grouping_flops(64, 12, 5, 4, [], []) == 0


def test_slnr_of_all_users_is_that_of_the_table(verified):
    published = {4: 3.353e7, 8: 1.5475e7, 16: 7.5186e6, 32: 3.7176e6, 64: 1.85e6}
    for groups, flops in published.items():
        verified(
            "Fan et al., FLOPs of SLNR precoding (23)",
            "the published table",
            slnr_flops(64, 12, groups, 4, np.full(20, 19)),
            flops,
            rtol=2e-4,
        )


def test_slnr_counts_halves_and_huge_arrays_exactly():
    for m, n, counts in ((7, 3, [0, 1, 5]), (7, 3, [2, 2]), (6 * 10**5, 6 * 10**5, [10**6])):
        expected = Fraction(0)
        for x in counts:
            b = (m // 3) * (n // 3)
            expected += b**3 + 3 * b**2 + 2 * b * m * n + Fraction(5 * b, 2) + 1
            expected += b * x * (2 * m * n - 1) + b**2 * (2 * x - 1)
        count = slnr_flops(m, n, 3, 3, counts)
        assert count == expected
        assert isinstance(count, int) == (expected.denominator == 1)


def test_generalized_mrt():
    assert generalized_mrt_flops(64, 12, 20) == 5_292_800


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (grouping_flops, (4, 4, 5, 1, [1], [1]), "`num_groups` must be at most num_antennas = 4"),
        (grouping_flops, (4, 4, 2, 2, [1, 2], [1]), "`elevation_ranks` must be as long as"),
        (grouping_flops, (4, 4, 2, 2, [5], [1]), r"`azimuth_ranks` must be in \[0, 4\]"),
        (overall_grouping_flops, (4, 4, 2, 2, [1], [-1]), r"`elevation_ranks` must be in \[0, 4\]"),
        (slnr_flops, (4, 0, 2, 2, [1]), "`elevation_antennas` must be at least 1"),
        (slnr_flops, (4, 4, 2, 2, [[1]]), "`interferers` must be one axis"),
        (slnr_flops, (4, 4, 2, 2, [-1]), "`interferers` must be at least 0"),
        (generalized_mrt_flops, (4, 4, 2.5), "`num_users` must be an integer"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(function, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}") as error:
        inspect.unwrap(function)(*arguments)
    assert "\n" not in str(error.value)
