"""The NumPy baselines of the figure of system 3 agree with the looped reference and jaxmimo."""

import jax
import numpy as np
import pytest

from benchmarks import numpy_beams_figure as figure
from benchmarks.beams_network import SCHEMES, BeamsNetwork, numpy_figure_drop
from jaxmimo import beamforming_3d as b3
from tests.reference import beamforming_3d as reference

NETWORK = BeamsNetwork(
    azimuth_antennas=8, elevation_antennas=6, users=7, azimuth_groups=(2, 8), elevation_groups=2
)
SYSTEM = NETWORK.system(2)
KEY = jax.random.key(5)
RULES = ("all", "adjacent", "own")


@pytest.fixture(scope="module")
def drop():
    users = b3.draw_users(jax.random.split(KEY)[0], SYSTEM)  # as `rate_sample` does
    return numpy_figure_drop(SYSTEM, users, NETWORK.azimuth_groups)


def channels(drop, normals):
    """Beams (batch, users, M, N) in double precision of normals (users, P, 2, batch, Q)."""
    white = (normals[:, :, 0] + 1j * normals[:, :, 1]).astype(complex) / np.sqrt(2)
    a, e = drop.azimuth.astype(float), drop.elevation.astype(float)
    return np.einsum("kmp,kpbq,knq->bkmn", a, white, e)


def reference_rates(drop, beams):
    """Rates of a realization at the antennas, where phases of beams do not matter."""
    h = np.fft.fft2(beams, norm="ortho").reshape(drop.users, -1)
    mrt = drop.mrt_azimuth[:, :, None] * drop.mrt_elevation[:, None]
    fixed = np.fft.fft2(mrt, norm="ortho").reshape(drop.users, -1)
    rates = []
    for i, count in enumerate(drop.azimuth_groups):
        split = reference.Split(8, 6, count, drop.elevation_groups)
        groups = drop.azimuth_group[i], drop.elevation_group[i]
        precoders = [reference.slnr_precoders(h, split, *groups, 1.0, 1.0, r) for r in RULES]
        sinrs = (reference.sinr(h, a, 1.0, 1.0) for a in (*precoders, fixed))
        rates.append([reference.sum_rate(sinr) for sinr in sinrs])
    return rates


def test_all_points_equal_the_looped_reference(drop):
    work = figure.Figure(drop, 3)
    assert any(len(group.kinds) > 1 for group in work.groups)
    work.normals[...] = np.random.default_rng(0).standard_normal(work.normals.shape)
    h = channels(drop, work.normals)
    expected = [reference_rates(drop, realization) for realization in h]
    np.testing.assert_allclose(work.rates(), expected, rtol=1e-4)
    alone = [figure.rates_of_beams(drop, realization) for realization in h]
    np.testing.assert_allclose(alone, expected, rtol=1e-5)


def test_points_alone_have_the_rates_of_the_figure(drop):
    whole = figure.Figure(drop, 2)
    whole.normals[...] = np.random.default_rng(1).standard_normal(whole.normals.shape)
    rates = whole.rates()
    for index, scheme in np.ndindex(2, 4):
        mrt = scheme == 3
        schemes = slice(0, 0) if mrt else slice(scheme, scheme + 1)
        point = figure.Figure(drop.split_into(index, schemes), 2, mrt)
        point.normals[...] = whole.normals
        np.testing.assert_allclose(point.rates()[:, 0, 0], rates[:, index, scheme], rtol=1e-5)


def test_significant_eigenvectors_make_up_the_covariances(drop):
    few = drop.significant()
    assert few.azimuth.shape[-1] < 8
    for name in ("azimuth", "elevation"):
        all_of, kept = getattr(drop, name), getattr(few, name)
        covariances = all_of @ all_of.swapaxes(1, 2)
        largest = covariances.max((1, 2), keepdims=True)
        np.testing.assert_allclose(
            kept @ kept.swapaxes(1, 2) / largest, covariances / largest, atol=1e-5
        )


def test_mrt_sends_along_principal_eigenvectors(drop):
    for factors, precoders in (
        (drop.azimuth, drop.mrt_azimuth),
        (drop.elevation, drop.mrt_elevation),
    ):
        r = factors.astype(float) @ factors.swapaxes(1, 2)
        power = np.einsum("km,kmp,kp->k", precoders, r, precoders)
        np.testing.assert_allclose(power, np.linalg.eigvalsh(r)[:, -1], rtol=1e-4)


def test_baselines_agree_with_jaxmimo(drop):
    sample = b3.rate_sample(
        SYSTEM, scheme=SCHEMES, azimuth_groups=NETWORK.azimuth_groups, realizations=4096
    )
    expected = np.asarray(jax.jit(sample)(KEY))
    for baseline in (figure.shared, figure.low_rank, figure.pointwise, figure.loop):
        count = 128 if baseline is figure.loop else 1024
        rates = baseline(drop, count)
        assert rates.shape == (count, 2, 4)
        error = rates.std(0, ddof=1) * np.sqrt(1 / count + 1 / 4096)
        assert np.all(error < 0.04 * expected)
        assert np.all(np.abs(rates.mean(0) - expected) < 5 * error)
