"""The split of the beams that suits users best."""

import jax
import numpy as np
import pytest

from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    deterministic_sum_rate,
    draw_users,
    generalized_mrt,
    make_cell,
)
from jaxmimo.tuning.groups import greedy_groups
from jaxmimo.tuning.splits import best_split

SPLITS = (4, 1), (2, 2)
COUNTS = "azimuth_groups", "elevation_groups"


def system_of(split):
    return Beamforming3D(
        azimuth_antennas=8,
        elevation_antennas=4,
        num_users=4,
        reference_distance=1000.0,
        **dict(zip(COUNTS, split, strict=True)),
    )


@pytest.mark.slow
def test_best_split_has_the_largest_sum_rate_of_all():
    """Each split is the best one of some users; what greedy moves find in it is kept."""
    chosen = set()
    for seed in range(8):
        users = draw_users(jax.random.key(seed), system_of(SPLITS[0]))
        found = best_split(system_of((1, 1)), users, SPLITS)
        split = found.azimuth_groups, found.elevation_groups
        chosen.add(split)
        rates = {}
        for each in SPLITS:
            system = system_of(each)
            groups = greedy_groups(make_cell(system, users)).groups
            rates[each] = float(deterministic_sum_rate(system, users, groups=groups))
        assert rates[split] >= max(rates.values()) * (1 - 1e-3)
        rate = deterministic_sum_rate(system_of(split), users, groups=found)
        np.testing.assert_allclose(rate, rates[split], rtol=1e-3)
    assert chosen == set(SPLITS)


def test_bad_splits_are_told():
    system = system_of((2, 2))
    users = draw_users(jax.random.key(0), system)
    with pytest.raises(ValueError, match="`splits` must hold at least one split"):
        best_split(system, users, [])
    with pytest.raises(ValueError, match="`elevation_groups` must be at most"):
        best_split(system, users, [(2, 5)])
    with pytest.raises(ValueError, match="`scheme` must be a two-stage one"):
        best_split(system, users, [(2, 2)], scheme=generalized_mrt)
