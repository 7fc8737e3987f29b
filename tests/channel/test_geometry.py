import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy import stats

from jaxmimo.channel.geometry import (
    ap_grid,
    azimuth,
    distance_3d,
    uniform_distances,
    uniform_positions,
)

LEAST_P_VALUE = 5.7e-7  # that of five standard errors
coordinate = st.floats(-1e3, 1e3, width=32)
position = st.tuples(coordinate, coordinate)


@pytest.mark.parametrize(
    ("num_aps", "rows"), [(1, 1), (2, 1), (4, 2), (7, 1), (8, 2), (12, 3), (16, 4), (64, 8)]
)
def test_grid_is_the_squarest_partition(num_aps, rows):
    columns = num_aps // rows
    expected = [
        ((column + 0.5) * 100 / columns, (row + 0.5) * 100 / rows)
        for row in range(rows)
        for column in range(columns)
    ]
    np.testing.assert_allclose(ap_grid(num_aps, 100.0), expected, rtol=1e-6)


@settings(max_examples=15)
@given(st.integers(1, 200))
def test_grid_is_centred_with_equal_cells(num_aps):
    grid = np.asarray(ap_grid(num_aps, 1.0))
    np.testing.assert_allclose(grid.mean(axis=0), 0.5, rtol=1e-5)
    np.testing.assert_allclose(grid + grid[::-1], 1, rtol=1e-5)
    rows, columns = len(set(grid[:, 1])), len(set(grid[:, 0]))
    assert rows * columns == num_aps
    assert rows <= columns
    assert not any(num_aps % r == 0 for r in range(rows + 1, int(num_aps**0.5) + 1))


def test_grid_side_may_be_traced():
    np.testing.assert_allclose(jax.grad(lambda s: ap_grid(4, s).sum())(3.0), 4, rtol=1e-6)


def test_grid_refuses_no_aps():
    with pytest.raises(ValueError, match="`num_aps` must be at least 1, but got 0"):
        ap_grid(0, 1.0)


@pytest.mark.parametrize("x64", [False, True])
def test_positions_are_uniform_in_the_square(x64):
    with jax.enable_x64(x64):
        positions = np.asarray(uniform_positions(jax.random.key(1), 20_000, 50.0))
        first = np.asarray(uniform_positions(jax.random.key(1), 7, 50.0))
    np.testing.assert_array_equal(first, positions[:7])
    assert positions.dtype == (np.float64 if x64 else np.float32)
    assert np.all((positions >= 0) & (positions <= 50))
    for axis in (0, 1):
        assert stats.kstest(positions[:, axis], "uniform", (0, 50)).pvalue > LEAST_P_VALUE
    correlation = np.corrcoef(positions.T)[0, 1]
    assert abs(correlation) < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("uniform_area", [False, True])
def test_distances_are_uniform_in_distance_or_area(uniform_area):
    key = jax.random.key(2)
    distance = np.asarray(uniform_distances(key, 20_000, 100.0, 1600.0, uniform_area=uniform_area))
    first = uniform_distances(key, 7, 100.0, 1600.0, uniform_area=uniform_area)
    np.testing.assert_array_equal(first, distance[:7])
    power = 2 if uniform_area else 1
    inner, outer = 100.0**power, 1600.0**power
    share = (distance.astype(float) ** power - inner) / (outer - inner)
    assert np.all((share > -1e-6) & (share < 1 + 1e-6))
    assert stats.kstest(share, "uniform").pvalue > LEAST_P_VALUE
    same = uniform_distances(key, 5, 3.0, 3.0, uniform_area=uniform_area)
    np.testing.assert_allclose(same, 3.0, rtol=1e-6)


@given(st.lists(position, min_size=2, max_size=2), st.lists(position, min_size=3, max_size=3))
def test_distance_and_angle_are_those_of_the_offset(aps, users):
    with jax.enable_x64(True):
        ap_array, user_array = jnp.array(aps), jnp.array(users)
        ground = np.asarray(distance_3d(ap_array, user_array, 0.0))
        distance = np.asarray(distance_3d(ap_array, user_array, 10.5))
        angle = np.asarray(azimuth(ap_array, user_array))
    offset = np.array(users)[None] - np.array(aps)[:, None]
    np.testing.assert_allclose(distance**2, (offset**2).sum(-1) + 10.5**2, rtol=1e-12)
    np.testing.assert_allclose(ground * np.cos(angle), offset[..., 0], atol=1e-10)
    np.testing.assert_allclose(ground * np.sin(angle), offset[..., 1], atol=1e-10)
    assert np.all(abs(angle) <= np.pi)


def test_angles_are_measured_from_the_boresight():
    users = jnp.array([[2.0, 1.0], [1.0, 2.0], [0.0, 1.0], [1.0, 0.0]])
    angle = azimuth(jnp.array([[1.0, 1.0]]), users)
    np.testing.assert_allclose(angle, [[0, np.pi / 2, np.pi, -np.pi / 2]], rtol=1e-6)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("separation", [0.0, 1e-45, 1e-30, 1e-19, 1e-10])
def test_values_and_gradients_are_finite_where_user_and_ap_meet(x64, separation):
    with jax.enable_x64(x64):
        ap, user = jnp.zeros((1, 2)), jnp.full((1, 2), separation)
        for function in (azimuth, lambda a, u: distance_3d(a, u, 0.0)):
            value, gradients = jax.jit(
                jax.value_and_grad(lambda a, u, f=function: f(a, u).sum(), argnums=(0, 1))
            )(ap, user)
            assert np.isfinite(value)
            assert np.all(np.isfinite(gradients))
            if separation == 0:
                assert value == 0
                assert np.all(np.asarray(gradients) == 0)
        height_gradient = jax.grad(lambda h: distance_3d(ap, user, h).sum())(10.5)
        np.testing.assert_allclose(height_gradient, 1.0, rtol=1e-6)


def test_gradients():
    with jax.enable_x64(True):
        aps, users = jnp.array([[0.0, 1.0], [4.0, -2.0]]), jnp.array([[3.0, 1.5]])
        check_grads(jax.jit(lambda a, u: distance_3d(a, u, 2.0)), (aps, users), order=2, eps=1e-5)
        check_grads(jax.jit(azimuth), (aps, users), order=2, eps=1e-5)
