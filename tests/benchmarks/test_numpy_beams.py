"""The NumPy baselines of the sum rate agree with the looped reference, and with each other."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import numpy_beams
from benchmarks.numpy_beams import BeamsDrop, estimate
from benchmarks.numpy_beams_low_rank import LowRank, beam_factors, low_rank
from tests.reference import beamforming_3d as reference

SHAPES = {
    "Gram matrices of users": (8, 6, 2, 2, "adjacent"),
    "Gram matrices of beams, beams left over": (9, 5, 4, 2, "adjacent"),
    "own group": (8, 4, 4, 2, "own"),
}
ALPHA = 0.01


def make_drop(across, down, azimuth_groups, elevation_groups, rule, users=7):
    drop = reference.draw_drop(np.random.default_rng(4), users, across, down, farthest=400.0)
    groups = reference.grouping_2d(drop.r_az, drop.r_el, azimuth_groups, elevation_groups)[:2]
    counted = np.zeros((users, users), bool)
    for u in range(users):
        found = reference.leakage_set(u, *groups, azimuth_groups, elevation_groups, rule)
        counted[u, found] = True
    factors = (
        np.array([reference.square_root(r) for r in correlations]).astype(np.complex64)
        for correlations in (drop.r_az, drop.r_el)
    )
    return BeamsDrop(*factors, drop.beta, *groups, counted, azimuth_groups, elevation_groups, ALPHA)


def exact_rates(drop, rule, channels):
    """Sum rates of channels (realizations, users, M N)."""
    split = reference.Split(*drop.antennas, drop.azimuth_groups, drop.elevation_groups)
    groups = drop.azimuth_group, drop.elevation_group

    def rate(h):
        a = reference.slnr_precoders(h, split, *groups, 1 / drop.alpha, 1.0, rule)
        return reference.sum_rate(reference.sinr(h, a, 1 / drop.alpha, 1.0))

    return [rate(h) for h in channels]


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    return request.param


@pytest.mark.parametrize("in_beams", [False, True])
def test_baseline_equals_the_looped_reference(shape, in_beams):
    drop, batch = make_drop(*shape), 3
    seen = numpy_beams.in_beams(drop) if in_beams else drop
    channels = numpy_beams._Channels(seen, batch)
    precoding = numpy_beams._Precoding(seen, batch)
    assert precoding.by_users == (shape[1] != 5)
    np.random.default_rng(0).standard_normal(out=channels.normals, dtype=np.float32)
    v = channels.white.astype(complex) / np.sqrt(2)  # (users, M, batch, N)
    h = np.einsum("kmp,kpbq,knq->bkmn", drop.azimuth, v, drop.elevation)
    h *= np.sqrt(drop.beta)[:, None, None]
    seen = channels.set_channels()
    beams = seen if in_beams else numpy_beams._Transform(seen)(seen)
    expected = exact_rates(drop, shape[-1], h.reshape(batch, drop.users, -1))
    np.testing.assert_allclose(precoding.rates(beams), expected, rtol=1e-4)


def test_low_rank_equals_the_looped_reference(shape):
    drop, batch = make_drop(*shape), 3
    work = LowRank(drop, batch)
    np.random.default_rng(0).standard_normal(out=work.normals, dtype=np.float32)
    work.set_beams()
    real, imaginary = np.split(work.beams.astype(float), 2, axis=1)
    beams = np.zeros((batch, drop.users, *drop.antennas), complex)
    for c, (across, down) in enumerate(drop.beams_of(*group) for group in work.groups):
        block = (real + 1j * imaginary)[:, :, c]
        beams[:, :, across, down] = block.reshape(batch, drop.users, *drop.beams)
    h = np.fft.fft2(beams, norm="ortho")  # phases of beams do not matter
    expected = exact_rates(drop, shape[-1], h.reshape(batch, drop.users, -1))
    np.testing.assert_allclose(work.rates(), expected, rtol=1e-4)


def test_factors_of_low_rank_have_the_covariances_of_beams():
    drop = make_drop(16, 4, 4, 2, "adjacent")
    groups = np.array([[3, 0], [1, 1]])
    split = reference.Split(*drop.antennas, 4, 2)
    b = np.concatenate([reference.prebeamformer(split, *group) for group in groups], axis=1)
    for user, factor in enumerate(beam_factors(drop, groups)):
        assert len(factor) < 64
        a = np.kron(drop.azimuth[user], drop.elevation[user]).astype(complex)
        expected = drop.beta[user] * b.conj().T @ a @ a.conj().T @ b
        covariance = 2.0 * factor.T @ factor
        largest = np.abs(expected).max()
        np.testing.assert_allclose(np.abs(covariance), np.abs(expected), atol=1e-5 * largest)


def test_low_rank_needs_a_uniform_array():
    drop = make_drop(*SHAPES["own group"])
    uneven = replace(drop, azimuth=drop.azimuth * np.arange(1, 9)[:, None])
    with pytest.raises(ValueError, match="both ends of the array"):
        LowRank(uneven, 1)


def test_baselines_agree():
    drop = make_drop(*SHAPES["Gram matrices of users"])
    rates = numpy_beams.shared(drop, 512)
    np.testing.assert_allclose(rates, numpy_beams.antennas(drop, 512), rtol=1e-5)
    one, other = estimate(rates), estimate(low_rank(drop, 512, seed=1))
    error = np.hypot(one.std_error, other.std_error)
    assert error < 0.02 * one.mean
    assert abs(one.mean - other.mean) < 5 * error


def test_estimate():
    mean, error = estimate(np.array([1, 2, 3, 4], np.float32))
    assert mean == 2.5
    np.testing.assert_allclose(error, np.sqrt(5 / 3) / 2)


def test_threads_share_the_realizations_out():
    drop = make_drop(*SHAPES["own group"])
    rates = numpy_beams.in_threads(low_rank, drop, 128)
    alone = [low_rank(drop, 64, seed=seed) for seed in (0, 1)]
    np.testing.assert_array_equal(rates, np.concatenate(alone))
    with pytest.raises(ValueError, match="multiple of `threads`"):
        numpy_beams.in_threads(low_rank, drop, 3)


def test_batch_must_divide_the_realizations():
    with pytest.raises(ValueError, match="multiple of the batch"):
        numpy_beams.shared(make_drop(*SHAPES["own group"]), 1)
