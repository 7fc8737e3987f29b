"""Clusters and rays of one link, against the standard's procedure written out in NumPy."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.channel.clusters import MAX_CLUSTERS, RAY_OFFSETS, SUB_CLUSTER_DELAYS, draw_paths

DELAY_SPREAD, ANGLE_SPREAD, K_DB, LOS_ANGLE = 50e-9, 0.2, 9.0, 0.3
K = 10 ** (K_DB / 10)


@functools.cache
def draws(los, num_rays, count=4000):
    """Powers, angles and delays of many links, and their gains."""
    draw = functools.partial(draw_paths, num_rays=num_rays)
    batch = jax.jit(jax.vmap(draw, in_axes=(0, None, None, None, None, None)))
    keys = jax.random.split(jax.random.key(11), count)
    gains, angles, delays = batch(keys, LOS_ANGLE, los, DELAY_SPREAD, ANGLE_SPREAD, K_DB)
    gains = np.asarray(gains, np.complex128)
    return np.abs(gains) ** 2, np.asarray(angles, float), np.asarray(delays, float), gains


def clusters(paths, num_rays):
    """Everything but the direct path, shape (draws, clusters, rays)."""
    return paths[:, 1:].reshape(len(paths), MAX_CLUSTERS, num_rays)


def by_the_standard(los, count=4000):
    """Section 7.5, steps 5-7, as written: one ray per cluster, the direct path in front."""
    random = np.random.default_rng(12)
    number, r_tau = (12, 3.0) if los else (19, 2.1)
    shape = (count, number)
    tau = np.sort(-r_tau * DELAY_SPREAD * np.log(random.uniform(size=shape)), axis=1)
    tau = tau - tau[:, :1]
    powers = np.exp(-tau * (r_tau - 1) / (r_tau * DELAY_SPREAD))
    powers *= 10 ** (-random.normal(scale=3.0, size=shape) / 10)
    powers[powers < powers.max(1, keepdims=True) * 10**-2.5] = 0
    powers /= powers.sum(1, keepdims=True)
    with_direct = powers.copy()
    c_phi = 1.273
    if los:
        with_direct = powers / (K + 1)
        with_direct[:, 0] += K / (K + 1)
        c_phi = 1.146 * (1.1035 - 0.028 * K_DB - 0.002 * K_DB**2 + 0.0001 * K_DB**3)
        tau = tau / (0.7705 - 0.0433 * K_DB + 0.0002 * K_DB**2 + 0.000017 * K_DB**3)
    share = np.maximum(with_direct / with_direct.max(1, keepdims=True), 1e-30)
    angles = 2 * (ANGLE_SPREAD / 1.4) * np.sqrt(-np.log(share)) / c_phi
    angles = angles * random.choice([-1, 1], shape) + random.normal(
        scale=ANGLE_SPREAD / 7, size=shape
    )
    direct = np.zeros((count, 1))
    if los:
        angles = angles - angles[:, :1]
        powers, direct = powers / (K + 1), direct + K / (K + 1)
    paths = (
        np.hstack([direct, powers]),
        np.hstack([direct * 0, angles]),
        np.hstack([direct * 0, tau]),
    )
    return paths[0], paths[1] + LOS_ANGLE, paths[2]


def spreads(powers, angles, delays):
    """Of each draw: delay spread, and angle spread as the standard's Annex A defines it."""
    mean = np.sum(powers * delays, 1)
    delay = np.sqrt(np.maximum(np.sum(powers * delays**2, 1) - mean**2, 0))
    resultant = np.abs(np.sum(powers * np.exp(1j * angles), 1))
    return delay, np.sqrt(-2 * np.log(np.minimum(resultant, 1)))


@pytest.mark.parametrize("los", [True, False])
@pytest.mark.parametrize("num_rays", [1, 20])
def test_powers_and_first_delays(los, num_rays):
    powers, angles, delays, gains = draws(los, num_rays)
    assert powers.shape == (4000, 19 * num_rays + 1)
    np.testing.assert_allclose(powers.sum(1), 1, atol=2e-6)
    np.testing.assert_allclose(gains[:, 0], np.sqrt(K / (K + 1)) if los else 0, rtol=1e-6)
    np.testing.assert_array_equal(delays[:, 0], 0)
    np.testing.assert_array_equal(delays[:, 1], 0)
    np.testing.assert_allclose(angles[:, 0], LOS_ANGLE, rtol=1e-6)
    assert delays.min() == 0
    of_clusters = clusters(powers, num_rays)
    np.testing.assert_allclose(of_clusters, of_clusters[..., :1].repeat(num_rays, -1), rtol=1e-5)
    assert np.count_nonzero(of_clusters[:, :, 0].any(0)) == (12 if los else 19)
    np.testing.assert_array_equal(delays[powers == 0], 0)


@pytest.mark.parametrize("los", [True, False])
def test_weak_clusters_are_left_out(los):
    powers = clusters(draws(los, 1)[0], 1)[:, : 12 if los else 19, 0]
    present = np.where(powers > 0, powers, 1)
    assert (present / powers.max(1, keepdims=True)).min() > 10**-2.5
    assert 0 < np.mean(powers == 0) < 0.2


def statistics(powers, angles, delays):
    """Numbers that tell whether two sets of draws follow one law; absent paths count nothing."""
    angles = angles - LOS_ANGLE
    return {
        "power of a cluster": powers[:, 3],
        "powers": np.sum(powers**2, 1),
        "delay of a cluster": powers[:, 4] * delays[:, 4],
        "delay of a late cluster": powers[:, 9] * delays[:, 9],
        "angle of a cluster": powers[:, 2] * np.abs(angles[:, 2]),
        "angles": np.sum(powers * np.abs(angles), 1),
        "angles without powers": np.sum(np.where(powers > 0, angles**2, 0), 1),
        "delays without powers": np.sum(np.where(powers > 0, delays, 0), 1),
        "delay spread": spreads(powers, angles, delays)[0],
        "angle spread": spreads(powers, angles, delays)[1],
    }


@pytest.mark.parametrize("los", [True, False])
def test_paths_follow_the_standard(los, assert_mean):
    reference = statistics(*by_the_standard(los))
    paths = (array[:, : 13 if los else 20] for array in draws(los, 1)[:3])
    for name, found in statistics(*paths).items():
        expected = reference[name]
        for power in (1, 2):
            difference = (found**power - expected**power) / np.std(expected**power)
            assert_mean(difference, 0, largest_error=0.03)


@pytest.mark.parametrize(
    ("los", "num_rays", "delay", "angle"),
    [(True, 1, 1.025, 0.961), (True, 20, 1.029, 0.965), (False, 1, 0.973, 1.029)],
)
def test_spreads_are_near_those_asked_for(los, num_rays, delay, angle, assert_mean):
    """The procedure only comes near them: the figures are measured with 100,000 draws."""
    delay_spread, angle_spread = spreads(*draws(los, num_rays)[:3])
    assert_mean(delay_spread / DELAY_SPREAD, delay, largest_error=0.006)
    assert_mean(angle_spread / ANGLE_SPREAD, angle, largest_error=0.006)


def test_rays_widen_clusters_without_sight():
    one, twenty = (spreads(*draws(False, rays)[:3]) for rays in (1, 20))
    # The clusters are the same. Annex A's spread squared is -2 ln |E exp(j angle)|, to which the
    # rays of every cluster contribute the same factor.
    added = twenty[1] ** 2 - one[1] ** 2
    factor = np.mean(np.cos(np.deg2rad(10) * RAY_OFFSETS))
    np.testing.assert_allclose(added, -2 * np.log(factor), atol=2e-5)


def test_rays_of_the_table():
    assert len(RAY_OFFSETS) == len(SUB_CLUSTER_DELAYS) == 20
    assert RAY_OFFSETS.sum() == pytest.approx(0, abs=1e-12)
    assert np.mean(RAY_OFFSETS**2) == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(
        np.flatnonzero(SUB_CLUSTER_DELAYS == 1.28) + 1, [9, 10, 11, 12, 17, 18]
    )
    np.testing.assert_array_equal(np.flatnonzero(SUB_CLUSTER_DELAYS == 2.56) + 1, [13, 14, 15, 16])
    assert np.count_nonzero(SUB_CLUSTER_DELAYS) == 10


@pytest.mark.parametrize(("los", "degrees", "seconds"), [(True, 3, 5e-9), (False, 10, 11e-9)])
def test_rays_spread_around_their_clusters(los, degrees, seconds):
    powers, angles, delays, _ = (clusters(paths, 20) for paths in draws(los, 20))
    _, cluster_angles, cluster_delays, _ = (clusters(paths, 1) for paths in draws(los, 1))
    offsets = np.broadcast_to(np.deg2rad(degrees) * RAY_OFFSETS, angles.shape)
    np.testing.assert_allclose(angles - cluster_angles, offsets, atol=2e-6)

    late = delays - cluster_delays
    order = np.argsort(-powers[:, :, 0], axis=1)
    in_order = np.take_along_axis(late, order[..., None], axis=1)
    expected = np.broadcast_to(seconds * SUB_CLUSTER_DELAYS, in_order[:, :2].shape)
    np.testing.assert_allclose(in_order[:, :2], expected, atol=1e-13)
    np.testing.assert_array_equal(in_order[:, 2:], 0)


def test_first_cluster_comes_from_the_user_in_sight():
    _, angles, _, _ = draws(True, 1)
    np.testing.assert_array_equal(angles[:, 1], angles[:, 0])
    without = draws(False, 1)[1]
    assert np.std(without[:, 1]) > 0.05


def test_phases_are_even(assert_mean):
    for los in (True, False):
        gains = draws(los, 20)[3]
        scattered = gains[:, 1:].sum(1)
        power = 1 / (K + 1) if los else 1.0
        assert_mean(np.abs(scattered) ** 2 / power, 1, largest_error=0.02)
        assert_mean((scattered**2).real / power, 0, largest_error=0.02)


def test_spreads_scale_and_angles_turn():
    with jax.enable_x64(True):
        draw = jax.jit(functools.partial(draw_paths, jax.random.key(3), num_rays=1))
        for los in (True, False):
            gains, angles, delays = draw(0.0, los, 1e-8, 0.1, 5.0)
            same, wider, longer = draw(0.4, los, 3e-8, 0.2, 5.0)
            np.testing.assert_array_equal(same, gains)
            np.testing.assert_allclose(wider, 0.4 + 2 * angles, rtol=1e-12)
            np.testing.assert_allclose(longer, 3 * delays, rtol=1e-12)


@pytest.mark.parametrize("x64", [False, True])
def test_corners_are_finite(x64):
    """No spread, no rays but the direct one, and no direct one; one kernel for both states."""
    with jax.enable_x64(x64):
        statistics = (
            jnp.array([True, False, True, True, True, False]),
            jnp.array([0.0, 0.0, 1e-7, 1e-7, 1e-7, 1e-7]),
            jnp.array([0.0, 0.0, 0.3, 0.3, 0.3, 1.8]),
            jnp.array([9.0, 9.0, jnp.inf, -jnp.inf, 60.0, -jnp.inf]),
        )
        batch = jax.jit(jax.vmap(draw_paths, in_axes=(None, None, 0, 0, 0, 0)))
        gains, angles, delays = batch(jax.random.key(5), 0.1, *statistics)
        for array in (gains, angles, delays):
            assert np.isfinite(array).all()
        power = np.sum(np.abs(gains) ** 2, axis=1)
        np.testing.assert_allclose(power, 1, atol=1e-12 if x64 else 2e-6)
        np.testing.assert_allclose(
            np.abs(gains[:, 0]) ** 2, [0.888184, 0, 1, 0, 0.999999, 0], atol=1e-6
        )


@pytest.mark.parametrize("num_rays", [1, 20])
def test_gradients(num_rays):
    def weighted(los, angle, delay, spread, k_db):
        paths = draw_paths(
            jax.random.key(6), angle, los, delay * 1e-9, spread, k_db, num_rays=num_rays
        )
        weights = jnp.cos(jnp.arange(paths[1].size, dtype=float))
        in_all = paths[0].real + 2 * paths[0].imag + 0.3 * jnp.sin(paths[1]) + paths[2] * 1e7
        return jnp.sum(weights * in_all)

    with jax.enable_x64(True):
        slopes = jax.jit(jax.grad(weighted, argnums=(1, 2, 3, 4)))
        value = jax.jit(weighted)
        for los in (True, False):
            point, step = np.array([0.2, 40.0, 0.3, 7.0]), 1e-5
            changes = [
                (value(los, *(point + step * unit)) - value(los, *(point - step * unit)))
                / (2 * step)
                for unit in np.eye(4)
            ]
            np.testing.assert_allclose(slopes(los, *point), changes, rtol=1e-6, atol=1e-8)
            assert (changes[3] != 0) == los
            assert np.isfinite(slopes(los, 0.2, 0.0, 0.0, 7.0)).all()


def test_no_lapack():
    keys = jax.random.split(jax.random.key(0), 8)
    batch = jax.jit(jax.vmap(draw_paths, in_axes=(0, None, None, None, None, None)))
    text = batch.lower(keys, 0.0, True, 1e-8, 0.1, 9.0).compile().as_text()
    assert text
    called = " ".join(re.findall(r'custom_call_target="([^"]*)"', text))
    assert "lapack" not in called.lower()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_rays": 5}, "`num_rays` must be 1 or 20"),
        ({"delay_spread": -1e-9}, "`delay_spread` must"),
        ({"angle_spread": np.nan}, "`angle_spread` must"),
        (
            {"angle_spread": np.ones(2)},
            r"`angle_spread` must have shape \(\), but",
        ),
        ({"k_factor_db": np.nan}, "`k_factor_db` must"),
    ],
)
def test_refusals(changed, message):
    link = {
        "los_angle": 0.0,
        "los": True,
        "delay_spread": 1e-8,
        "angle_spread": 0.1,
        "k_factor_db": 9.0,
    }
    with pytest.raises(ValueError, match=message):
        draw_paths(jax.random.key(0), **{**link, **changed})
