"""Lengths of the cyclic prefix against all delays one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.channel.geometry import distance_3d, uniform_positions
from jaxmimo.transceiver.ofdm import received_powers
from jaxmimo.transceiver.timing import approximate_cyclic_prefix, minimum_cyclic_prefix

BANDWIDTH, SPACING = 400e6, 0.005
LIGHT = 299792458.0
EXACT = jax.jit(minimum_cyclic_prefix, static_argnums=3)


def drop(seed, users=3, aps=4, paths=2):
    rng = np.random.default_rng(seed)
    distances = rng.uniform(10, 400, (users, aps))
    angles = rng.uniform(-np.pi, np.pi, (users, aps, paths))
    excess = rng.exponential(1e-7, (users, aps, paths))
    return distances, angles, excess


def delays(distances, angles, excess, antennas, bandwidth=BANDWIDTH, spacing=SPACING):
    """Delays (users, aps, paths, antennas) [samples] of (1) and (13), one by one."""
    found = np.zeros((*angles.shape, antennas))
    for user, ap, path, antenna in np.ndindex(*found.shape):
        across = antenna * spacing * np.sin(angles[user, ap, path])
        time = (distances[user, ap] + across) / LIGHT + excess[user, ap, path]
        found[user, ap, path, antenna] = bandwidth * time
    return found


@given(seed=st.integers(0, 10_000))
def test_minimum_is_the_spread_of_all_delays(seed):
    distances, angles, excess = drop(seed)
    each = delays(distances, angles, excess, 16).reshape(3, -1)
    with jax.enable_x64(True):
        found = EXACT(BANDWIDTH, distances, SPACING, 16, angles, excess_delays=excess)
        np.testing.assert_allclose(found, np.ptp(each, axis=1), rtol=1e-10)
    single = EXACT(BANDWIDTH, distances, SPACING, 16, angles, excess_delays=excess)
    np.testing.assert_allclose(single, np.ptp(each, axis=1), rtol=1e-5)


def printed(distances, angles, antennas):
    """(15) as printed, users' last and first antenna of the farthest and the nearest AP."""
    each = delays(distances, angles[..., None], np.zeros((*angles.shape, 1)), antennas)[:, :, 0]
    rows = np.arange(len(distances))
    far, near = distances.argmax(1), distances.argmin(1)
    return abs(each[rows, far, -1] - each[rows, near, 0])


@given(seed=st.integers(0, 10_000))
def test_printed_formula_is_a_lower_bound_reached_at_equal_nonnegative_angles(seed):
    distances, angles, _ = drop(seed, users=40, paths=1)
    angles = angles[..., 0]
    equal = np.broadcast_to(abs(angles[:, :1]), angles.shape)
    with jax.enable_x64(True):
        exact = EXACT(BANDWIDTH, distances, SPACING, 64, angles)
        assert np.all(np.asarray(exact) >= printed(distances, angles, 64) - 1e-9)
        assert np.any(np.asarray(exact) > printed(distances, angles, 64) + 0.01)
        exact = EXACT(BANDWIDTH, distances, SPACING, 64, equal)
        np.testing.assert_allclose(exact, printed(distances, equal, 64), rtol=1e-10)


@given(seed=st.integers(0, 10_000))
def test_approximation_is_short_by_two_arrays_at_most(seed):
    distances, angles, _ = drop(seed)
    with jax.enable_x64(True):
        exact = EXACT(BANDWIDTH, distances, SPACING, 64, angles)
        missing = np.asarray(exact - approximate_cyclic_prefix(BANDWIDTH, distances))
    assert np.all(missing >= -1e-9)
    assert np.all(missing <= 2 * BANDWIDTH * 63 * SPACING / LIGHT)


def test_one_antenna_without_excess_is_the_approximation():
    distances, angles, _ = drop(1)
    spread = BANDWIDTH * np.ptp(distances, axis=1) / LIGHT
    np.testing.assert_allclose(EXACT(BANDWIDTH, distances, SPACING, 1, angles), spread, rtol=1e-5)
    np.testing.assert_allclose(approximate_cyclic_prefix(BANDWIDTH, distances), spread, rtol=1e-5)


def test_a_negative_angle_at_the_nearest_ap_adds_to_the_spread():
    found = minimum_cyclic_prefix(
        LIGHT, np.array([[10.0, 20]]), 0.5, 3, np.array([[-np.pi / 2, 0]])
    )
    np.testing.assert_allclose(found, [11], rtol=1e-6)  # from 10 - 1 m to 20 m, a sample a metre


def test_a_prefix_of_this_length_is_free_of_interference_and_none_that_is_shorter():
    distances, angles, excess = drop(2, users=1)
    with jax.enable_x64(True):
        needed = minimum_cyclic_prefix(
            BANDWIDTH, distances, SPACING, 8, angles, excess_delays=excess
        )[0]
        each = delays(distances, angles, excess, 8).ravel()
        late = jnp.asarray(each - each.min())
        lengths = jnp.stack([needed + 1e-9, needed - 0.01])
        found = received_powers(jnp.ones(late.size, complex), late, lengths, 2048)
    with_all, with_less = np.asarray(found.inter_symbol)
    assert with_all == 0
    assert with_less > 0


@pytest.mark.parametrize(("aps", "median"), [(4, 78.073), (16, 126.326), (64, 152.110)])
def test_medians_of_uniform_drops(aps, median, assert_mean):
    """500 m square, 100 MHz, all positions uniform; medians of 10^6 drops of another program."""

    def prefix(key):
        of_aps, of_users = jax.random.split(key)
        places = uniform_positions(of_aps, aps, 500.0), uniform_positions(of_users, 1, 500.0)
        return approximate_cyclic_prefix(100e6, distance_3d(*places, 0.0).T)[0]

    found = jax.jit(jax.vmap(prefix))(jax.random.split(jax.random.key(0), 20_000))
    assert_mean(np.asarray(found) < median, 0.5, largest_error=0.004)


# Shapes, gradients, errors


def test_shapes_of_one_user_of_many_and_of_drops():
    distances, angles, excess = drop(3)
    many = EXACT(BANDWIDTH, distances, SPACING, 8, angles, excess_delays=excess)
    assert many.shape == (3,)
    one = EXACT(BANDWIDTH, distances[0], SPACING, 8, angles[0], excess_delays=excess[0])
    np.testing.assert_allclose(one, many[0], rtol=1e-6)
    drops = [np.stack([x, x]) for x in (distances, angles, excess)]
    found = EXACT(BANDWIDTH, drops[0], SPACING, 8, drops[1], excess_delays=drops[2])
    np.testing.assert_allclose(found, np.stack([many, many]), rtol=1e-6)
    common = EXACT(BANDWIDTH, distances, SPACING, 8, angles[..., 0], excess_delays=excess)
    apart = EXACT(
        BANDWIDTH, distances, SPACING, 8, angles[..., :1].repeat(2, -1), excess_delays=excess
    )
    np.testing.assert_allclose(common, apart, rtol=1e-6)


def test_gradients():
    distances, angles, excess = drop(4)
    with jax.enable_x64(True):
        check_grads(
            lambda w, d, a, e: EXACT(w * 1e8, d, 0.5, 8, a, excess_delays=e * 1e-7),
            (4.0, jnp.asarray(distances), jnp.asarray(angles), jnp.asarray(excess * 1e7)),
            order=1,
        )


def test_gradients_are_finite_where_all_delays_are_equal():
    slopes = jax.grad(
        lambda d, a: minimum_cyclic_prefix(BANDWIDTH, d, SPACING, 8, a).sum(), argnums=(0, 1)
    )(jnp.zeros((2, 3)), jnp.zeros((2, 3)))
    for leaf in slopes:
        assert np.all(np.isfinite(leaf))


ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: minimum_cyclic_prefix(-1.0, ONES, 0.1, 4, ONES), "`bandwidth` must be at least 0"),
        (lambda: jax.jit(lambda: approximate_cyclic_prefix(-1.0, ONES))(), "`bandwidth`"),
        (lambda: minimum_cyclic_prefix(1.0, ONES, -0.1, 4, ONES), "`spacing_m` must be at least 0"),
        (lambda: minimum_cyclic_prefix(1.0, ONES, 0.1, 0, ONES), "`num_antennas` .* at least 1"),
        (lambda: minimum_cyclic_prefix(1.0, ONES, 0.1, 4, ONES[0]), r"`angles` .*\(3,\)"),
        (lambda: minimum_cyclic_prefix(1.0, ONES, 0.1, 4, ONES.T), r"`angles` .*\(3, 2\)"),
        (
            lambda: minimum_cyclic_prefix(1.0, ONES, 0.1, 4, ONES, excess_delays=ONES[0]),
            "`excess_delays` must have shape",
        ),
        (
            lambda: minimum_cyclic_prefix(
                1.0, ONES, 0.1, 4, np.ones((2, 3, 5)), excess_delays=np.ones((2, 3, 4))
            ),
            "`excess_delays` .* paths = 5",
        ),
        (lambda: approximate_cyclic_prefix(1.0, 3.0), r"`distances` .* has shape \(\)"),
        (lambda: approximate_cyclic_prefix(1.0, ONES[:, :0]), "one distance or more"),
        (lambda: approximate_cyclic_prefix(np.nan, ONES), "`bandwidth` must be finite"),
    ],
)
def test_errors_are_one_line(call, match):
    with pytest.raises(ValueError, match=match) as error:
        call()
    assert "\n" not in str(error.value)
