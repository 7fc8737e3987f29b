"""User grouping against the literal distances of projectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.transceiver.grouping import (
    beam_powers,
    captured,
    nearest_group,
    overall,
    per_direction,
)
from tests.reference import beamforming_3d as reference

SPLITS = [(10, 6, 4, 3), (10, 6, 3, 2), (10, 6, 1, 1), (10, 6, 10, 6)]
SAFE = 1e-6


@pytest.fixture(scope="module")
def drop():
    return reference.draw_drop(np.random.default_rng(0), 25, 10, 6)


def dft(n):
    m = np.arange(n)
    return np.exp(-2j * np.pi * np.outer(m, m) / n) / np.sqrt(n)


def powers(correlations):
    """Beam powers (users, beams), from eigenvectors of which only some are kept."""
    result = []
    for r in correlations:
        values, vectors = reference.eigen(r)
        kept = np.arange(len(values)) < reference.num_kept(values)
        result.append(beam_powers(jnp.asarray(dft(len(r)).conj().T @ vectors), jnp.asarray(kept)))
    return jnp.stack(result)


@pytest.mark.parametrize(("m", "n", "azimuth_groups", "elevation_groups"), SPLITS)
def test_groups_are_those_of_the_literal_distances(drop, m, n, azimuth_groups, elevation_groups):
    expected_az, expected_el, margin_az, margin_el = reference.grouping_2d(
        drop.r_az, drop.r_el, azimuth_groups, elevation_groups
    )
    both_az, both_el, margin_both = reference.grouping_overall(
        drop.r_az[:8], drop.r_el[:8], azimuth_groups, elevation_groups
    )
    with jax.enable_x64(True):
        azimuth = jax.vmap(lambda p: captured(p, azimuth_groups))(powers(drop.r_az))
        elevation = jax.vmap(lambda p: captured(p, elevation_groups))(powers(drop.r_el))
        two_d = jax.jit(jax.vmap(per_direction))(azimuth, elevation)
        both = jax.jit(jax.vmap(overall))(azimuth, elevation)
    safe_az, safe_el = margin_az > SAFE, margin_el > SAFE
    assert np.mean(safe_az & safe_el) > 0.8
    for found in (two_d, both):
        assert found[0].dtype == found[1].dtype == jnp.int32
        np.testing.assert_array_equal(found[0][safe_az & safe_el], expected_az[safe_az & safe_el])
        np.testing.assert_array_equal(found[1][safe_az & safe_el], expected_el[safe_az & safe_el])
    safe = margin_both > SAFE
    np.testing.assert_array_equal(both[0][:8][safe], both_az[safe])
    np.testing.assert_array_equal(both[1][:8][safe], both_el[safe])


def test_what_is_captured_is_the_distance(drop):
    with jax.enable_x64(True):
        found = np.asarray(captured(powers(drop.r_az[:1])[0], 4))
    u = reference.eigenspace(drop.r_az[0])
    for g in range(4):
        b = reference.dft_prebeamformer(10, 4, g)
        distance = u.shape[1] + b.shape[1] - 2 * found[g]
        np.testing.assert_allclose(distance, reference.projector_distance(u, b), atol=1e-12)


def test_all_vectors_have_power_one_in_every_beam():
    with jax.enable_x64(True):
        q = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
        np.testing.assert_allclose(beam_powers(jnp.asarray(q), jnp.ones(5, bool)), 1, rtol=1e-12)
        np.testing.assert_array_equal(beam_powers(jnp.asarray(q), jnp.zeros(5, bool)), 0)


def test_beams_that_are_left_over_belong_to_no_group():
    power = jnp.arange(7.0)
    np.testing.assert_array_equal(captured(power, 3), [1, 5, 9])
    np.testing.assert_array_equal(captured(power, 1), [21])
    np.testing.assert_array_equal(captured(power, 7), np.arange(7))


def test_the_first_of_equal_groups_is_taken():
    tied = jnp.array([1.0, 2.0, 2.0])
    assert nearest_group(tied) == 1
    for rule in (per_direction, overall):
        assert [int(i) for i in rule(tied, tied[:1])] == [1, 0]
        assert [int(i) for i in rule(tied[:1], tied)] == [0, 1]
        assert [int(i) for i in rule(tied, tied)] == [1, 1]


def test_more_groups_than_beams_are_refused():
    with pytest.raises(ValueError, match="`num_groups` must be at most") as error:
        captured(jnp.ones(3), 4)
    assert "\n" not in str(error.value)
