"""Sight, shadowing and spreads in the street canyon, against the standard's formulas."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxmimo.channel import umi_street_canyon
from jaxmimo.channel.umi_street_canyon import (
    LOS,
    NLOS,
    always_los,
    draw_large_scale,
    los_probability,
    never_los,
    umi_los,
)

CARRIER = 28e9
FAR_APART = jnp.array([[0.0, 0.0], [1e4, 0.0]])
# Table 7.5-6 at 28 GHz, means and standard deviations: SF, K, lg DS, lg ASD.
MOMENTS = {
    True: ((0, 9, -7.490976, 1.136880), (4, 5, 0.38, 0.41)),
    False: ((0, 0, -7.180976, 1.193648), (7.82, 0, 0.513984, 0.490864)),
}


draw_jitted = jax.jit(draw_large_scale)
both_states = jax.jit(umi_street_canyon._both_states, static_argnums=2)


def parameters(key, positions, los, carrier=CARRIER):
    """Shape (4, aps, users), in the standard's units and order."""
    draw = draw_jitted(jax.random.key(key), positions, los, carrier)
    degrees = np.rad2deg(np.asarray(draw.angle_spread, np.float64))
    lg_delay, lg_angle = np.log10(np.asarray(draw.delay_spread, np.float64)), np.log10(degrees)
    return np.stack([draw.shadowing_db, draw.k_factor_db, lg_delay, lg_angle])


@functools.cache
def standardized(apart):
    """Normalised parameters of two users, by state; angle spreads are not cut yet here.

    The cut takes 5 % of the angle spreads; without it, all parameters are normal.
    """
    positions = jnp.array([[20.0, 3.0], [20.0, 3.0 + apart]])
    values = np.asarray(both_states(jax.random.key(1), positions, 20_000, CARRIER), np.float64)
    result = {}
    for number, los in enumerate((True, False)):
        mean, std = (np.array(moments)[:, None, None] for moments in MOMENTS[los])
        result[los] = (values[:, :, number] - mean) / np.where(std > 0, std, 1)
    return result


@pytest.mark.parametrize("los", [True, False])
def test_parameters_have_the_moments_of_the_table(los, assert_mean):
    values = standardized(7.0)[los][..., 0]
    matrix = (LOS if los else NLOS).cross_correlations
    for p in range(4):
        if not los and p == 1:
            np.testing.assert_array_equal(values[p], 0)  # no K factor without sight
            continue
        assert_mean(values[p], 0, largest_error=0.008)
        assert_mean(values[p] ** 2, 1, largest_error=0.012)
        for q in range(p):
            if los or q != 1:
                assert_mean(values[p] * values[q], matrix[p][q], largest_error=0.01)


def test_cross_correlations_by_name():
    # Rows and columns SF, K, DS, ASD of the table's Part 1.
    los, nlos = np.array(LOS.cross_correlations), np.array(NLOS.cross_correlations)
    for matrix in (los, nlos):
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_array_equal(np.diag(matrix), 1)
    asd_ds, asd_sf, ds_sf, asd_k, ds_k, sf_k = los[3, 2], los[3, 0], los[2, 0], *los[1, [3, 2, 0]]
    assert (asd_ds, asd_sf, ds_sf, asd_k, ds_k, sf_k) == (0.5, -0.5, -0.4, -0.2, -0.7, 0.5)
    assert (nlos[3, 2], nlos[3, 0], nlos[2, 0]) == (0, 0, -0.7)


@pytest.mark.parametrize("los", [True, False])
def test_parameters_fade_over_the_ground(los, assert_mean):
    apart = 7.0
    statistics = LOS if los else NLOS
    values = standardized(apart)[los]
    of_fields = np.exp(-apart / np.array(statistics.correlation_distances))
    mixing = np.linalg.cholesky(statistics.cross_correlations)
    expected = (mixing * of_fields[None, :]) @ mixing.T
    assert expected[0, 0] == pytest.approx(np.exp(-apart / (10 if los else 13)))
    for p in (0, 1, 2, 3) if los else (0, 2, 3):
        product = values[p, :, 0] * values[p, :, 1]
        assert_mean(product, expected[p, p], largest_error=0.01)


def test_states_and_aps_are_independent(assert_mean):
    values = standardized(7.0)
    for p in (0, 2, 3):
        assert_mean(values[True][p, :, 0] * values[False][p, :, 0], 0, largest_error=0.01)
        assert_mean(values[True][p, 1:, 0] * values[True][p, :-1, 0], 0, largest_error=0.01)


def test_each_link_has_the_parameters_of_its_state():
    los = jnp.array([[True, False], [False, True], [True, True]])
    mixed = parameters(3, FAR_APART, los)
    for state in (True, False):
        alike = parameters(3, FAR_APART, jnp.full_like(los, state))
        np.testing.assert_array_equal(mixed[:, los == state], alike[:, los == state])
    of_fields = both_states(jax.random.key(3), FAR_APART, 3, CARRIER)
    expected = np.where(los[None], of_fields[:, :, 0], of_fields[:, :, 1])
    expected[3] = np.minimum(expected[3], np.log10(104))
    np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("x64", [False, True])
def test_users_at_one_place_share_their_parameters(x64):
    with jax.enable_x64(x64):
        los = jnp.array([[True] * 3, [False] * 3])
        positions = jnp.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
        values = parameters(4, positions, los)
        # Rounding leaves a share of its square root.
        tolerance = 1e-6 if x64 else 2e-2
        np.testing.assert_allclose(values[..., 1:], values[..., :1].repeat(2, -1), atol=tolerance)

        def total(positions):
            draw = draw_large_scale(jax.random.key(4), positions, los, CARRIER)
            return jnp.sum(draw.shadowing_db) + jnp.sum(jnp.log(draw.delay_spread))

        assert np.isfinite(jax.jit(jax.grad(total))(positions)).all()


def test_angle_spreads_are_capped(assert_mean):
    draw = draw_jitted(jax.random.key(5), FAR_APART, jnp.zeros((10_000, 2), bool), CARRIER)
    degrees = np.rad2deg(np.asarray(draw.angle_spread, np.float64))
    assert degrees.max() == pytest.approx(104)
    mean, std = MOMENTS[False][0][3], MOMENTS[False][1][3]
    capped = norm.sf((np.log10(104) - mean) / std)
    assert_mean((degrees > 104 - 1e-4).ravel(), capped, largest_error=0.002)


def test_low_carriers_count_as_two_gigahertz():
    los = jnp.array([[True, False]])
    low, two, higher = (parameters(6, FAR_APART, los, carrier) for carrier in (7e8, 2e9, 3e9))
    np.testing.assert_array_equal(low, two)
    assert np.all(two[2] > higher[2])
    lg_delay = 0.24 * np.log10(4 / 3)
    assert two[2, 0, 0] - higher[2, 0, 0] == pytest.approx(lg_delay, abs=1e-5)


def test_fewer_aps_are_the_first_of_more():
    los = jnp.array([[True, False], [False, False], [True, True]])
    more, fewer = (parameters(7, FAR_APART, los[:aps]) for aps in (3, 2))
    np.testing.assert_allclose(fewer, more[:, :2], rtol=1e-5)


def test_probability_of_sight(assert_mean):
    distance = np.array([0.0, 5.0, 18.0, 36.0, 100.0, 1000.0])
    far = 18 / distance[3:]
    expected = [1, 1, 1, *(far + np.exp(-distance[3:] / 36) * (1 - far))]
    np.testing.assert_allclose(los_probability(distance), expected, rtol=1e-6)
    np.testing.assert_allclose(los_probability(36.0), 0.5 + 0.5 / np.e, rtol=1e-6)

    distances = jnp.tile(jnp.array([[10.0, 50.0]]), (20_000, 1))
    key = jax.random.key(8)
    seen = umi_los(key, distances)
    assert bool(seen[:, 0].all())
    assert_mean(seen[:, 1], 0.36 + 0.64 * np.exp(-50 / 36), largest_error=0.01)
    assert always_los(key, distances).all()
    assert always_los(key, distances).shape == never_los(key, distances).shape == (20_000, 2)
    assert not never_los(key, distances).any()


def test_no_lapack():
    arguments = (jax.random.key(0), FAR_APART, jnp.ones((3, 2), bool), jnp.asarray(CARRIER))
    text = draw_jitted.lower(*arguments).compile().as_text()
    assert text
    called = " ".join(re.findall(r'custom_call_target="([^"]*)"', text))
    assert "lapack" not in called.lower()


def test_refusals():
    key, los = jax.random.key(0), jnp.ones((3, 2), bool)
    with pytest.raises(ValueError, match="`carrier_hz` must"):
        draw_large_scale(key, FAR_APART, los, 0.0)
    with pytest.raises(ValueError, match="`distance_2d` must"):
        los_probability(-1.0)
