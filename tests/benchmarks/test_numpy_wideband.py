"""The NumPy baselines of the wideband responses agree with a looped reference, and each other."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import numpy_wideband
from benchmarks.numpy_wideband import WidebandDrop
from tests.reference import wideband_mmwave as reference

BANDWIDTH = 400e6
NAMES = "shared", "factored", "pointwise", "loop"


def response_of(name, drop):
    return getattr(numpy_wideband, f"response_{name}")(drop)


def se_of(name, drop):
    return getattr(numpy_wideband, f"se_{name}")(drop)


def make_paths(users=3, aps=5, paths=4, antennas=6):
    rng = np.random.default_rng(7)
    return reference.random_paths(rng, users, aps, paths, antennas)


def make_drop(paths, subcarriers):
    return WidebandDrop(
        gains=paths.gains.astype(np.complex64),
        angles=paths.angles,
        distances=paths.distances,
        excess=paths.excess,
        antennas=paths.antennas,
        subcarriers=subcarriers,
        first=float(reference.subcarriers(subcarriers, BANDWIDTH)[0]),
        step=BANDWIDTH / subcarriers,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("subcarriers", [1, 7, 24])
def test_response_equals_the_looped_reference(name, subcarriers):
    paths = make_paths()
    offsets = reference.subcarriers(subcarriers, BANDWIDTH)
    exact = np.array([reference.link_responses(paths, float(f)) for f in offsets])
    response = response_of(name, make_drop(paths, subcarriers))
    assert response.shape == exact.shape
    np.testing.assert_allclose(response, exact, atol=4e-6)  # of magnitude 1
    unsquinted = [reference.link_responses(paths, float(f), squint=False) for f in offsets]
    if subcarriers > 1:  # squint is there to be seen
        assert np.abs(response - unsquinted).max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_se_equals_the_looped_reference(name):
    paths = make_paths()
    offsets = reference.subcarriers(24, BANDWIDTH)
    se = se_of(name, make_drop(paths, 24))
    assert se.shape == (3, 24)
    for combiner, row in zip(numpy_wideband.COMBINERS, se, strict=True):
        exact = reference.band_se(paths, offsets, reference.COMBINERS[combiner], "subcarrier")
        np.testing.assert_allclose(row, exact.mean(1), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES[:-1])
def test_single_precision_stands_unequal_users_and_many_subcarriers(name):
    drop = make_drop(make_paths(users=4, aps=20, antennas=3), 256)
    near_and_far = np.array([1e3, 1e1, 1e-1, 1e-2])[:, None, None]
    drop = replace(drop, gains=drop.gains * near_and_far.astype(np.float32))
    np.testing.assert_allclose(se_of(name, drop), se_of("loop", drop), rtol=2e-4)


def test_links_come_user_by_user():
    drop = make_drop(make_paths(), 4)
    chunks = [(x.start, x.stop) for x in numpy_wideband._Links(drop, 3).chunks()]
    assert chunks == [(0, 3), (3, 5), (5, 8), (8, 10), (10, 13), (13, 15)]


@pytest.mark.parametrize(("subcarriers", "fine"), [(1, 1), (7, 7), (24, 6), (256, 16), (128, 16)])
def test_subcarriers_split_into_factors(subcarriers, fine):
    assert make_drop(make_paths(), subcarriers).fine == fine
