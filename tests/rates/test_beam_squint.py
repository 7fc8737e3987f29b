"""Beam squint against direct sums over the antennas, bisection, FFTs and random users."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.randomness import uniform
from jaxmimo.rates import beam_squint

CARRIER = 28e9
SPACING = SPEED_OF_LIGHT / CARRIER / 2
OFFSETS = np.array([-2e8, -1e6, 0.0, 3.0, 5e7, 2e8, 2.8e10, 5.6e10, 1e11])
ANGLES = np.array([-np.pi / 2, -0.4, 0.0, 1e-9, 0.3, np.pi / 3, np.pi / 2, 2.0])

gain = jax.jit(beam_squint.beam_squint_gain, static_argnums=1)
leakage = jax.jit(beam_squint.dft_leakage, static_argnums=1)
pointing = jax.jit(beam_squint.pointing_angle)
pointing_error = jax.jit(beam_squint.pointing_error)


def response(frequency, num_antennas, spacing, angle):
    """Unit-norm response of the array at a frequency, straight from the definition."""
    antenna = np.arange(num_antennas)
    phases = 2 * np.pi * frequency[..., None] * antenna * spacing * np.sin(angle)[..., None]
    return np.exp(-1j * phases / SPEED_OF_LIGHT) / np.sqrt(num_antennas)


# Array gain


@pytest.mark.parametrize("num_antennas", [1, 2, 16, 64, 256])
def test_gain_is_that_of_the_direct_sum(num_antennas, verified):
    offset, angle = OFFSETS[:, None], ANGLES[None, :]
    sine, antenna = np.sin(angle)[..., None], np.arange(num_antennas)
    waves = np.exp(-2j * np.pi * offset[..., None] * SPACING * sine * antenna / SPEED_OF_LIGHT)
    with jax.enable_x64(True):
        found = np.asarray(gain(offset, num_antennas, SPACING, angle))
    verified(
        "Ahn et al., gain of a squinting beam (Section III-B)",
        "direct sum",
        found,
        abs(waves.mean(-1)) ** 2,
        atol=1e-12,
    )
    assert np.all((found >= 0) & (found <= 1))
    np.testing.assert_array_equal(found[:, 2], 1)  # boresight
    np.testing.assert_array_equal(found[2], 1)  # carrier


def test_gain_of_beam_steered_at_the_carrier():
    """The combiner is the response at the carrier; its gain at the carrier is M."""
    beam = response(np.array(CARRIER), 64, SPACING, np.array(0.9))
    received = response(CARRIER + OFFSETS[:6], 64, SPACING, np.full(6, 0.9))
    expected = abs(received @ beam.conj()) ** 2
    with jax.enable_x64(True):
        np.testing.assert_allclose(gain(OFFSETS[:6], 64, SPACING, 0.9), expected, atol=1e-11)


def test_edge_losses_at_60_degrees():
    losses = [-10 * np.log10(gain(2e8, antennas, SPACING, np.pi / 3)) for antennas in (16, 64, 256)]
    np.testing.assert_allclose(losses, [0.0349, 0.5671, 12.231], rtol=2e-3)


@pytest.mark.parametrize("x64", [False, True])
def test_gradients_are_finite_at_the_corners(x64):
    def total(offset, spacing, angle):
        powers = beam_squint.beam_squint_gain(offset, 64, spacing, angle).sum()
        shares = beam_squint.dft_leakage(offset, 64, spacing, angle, CARRIER)
        width = beam_squint.squint_bandwidth(64, spacing, angle)
        errors = beam_squint.pointing_error(offset, CARRIER, angle)
        finite = jnp.where(jnp.isfinite(width), width, 0.0)
        return powers + (shares**2).sum() + 1e-9 * finite.sum() + errors.sum()

    with jax.enable_x64(x64):
        offset, angle = np.meshgrid(OFFSETS, ANGLES)
        slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(
            jnp.asarray(offset), jnp.asarray(SPACING), jnp.asarray(angle)
        )
        for slope in slopes:
            assert np.isfinite(slope).all()


def test_mean_gain_is_that_of_quadrature_and_of_random_users(assert_mean, verified):
    node, weight = np.polynomial.legendre.leggauss(200)
    with jax.enable_x64(True):
        offsets = np.array([[0.0, 1e8], [-2e8, 5e6]])
        powers = gain(offsets[..., None], 256, SPACING, 0.2 + np.pi / 3 * node[None, None])
        mean = beam_squint.mean_squint_gain(offsets, 256, SPACING, 0.2, np.pi / 3 / np.sqrt(3))
    verified(
        "Ours, mean gain of a squinting beam",
        "quadrature",
        mean,
        np.asarray(powers) @ weight / 2,
        atol=1e-12,
    )
    users = np.pi / 3 * (2 * uniform(jax.random.key(3), (40_000,)) - 1)
    mean = beam_squint.mean_squint_gain(2e8, 256, SPACING, 0.0, np.pi / 3 / np.sqrt(3))
    assert_mean(gain(2e8, 256, SPACING, users), float(mean), largest_error=2e-3)


# Where the beam points


def test_pointing_angle_is_where_the_gain_is_largest():
    grid = np.linspace(-np.pi / 2, np.pi / 2, 200_001)
    for offset, angle in ((2e8, 1.0), (-2e8, 1.0), (1e9, -0.5), (-5e8, 1.45), (-1e9, -1.5)):
        turns = ((CARRIER + offset) * np.sin(grid) - CARRIER * np.sin(angle)) / CARRIER / 2
        kernel = abs(np.exp(-2j * np.pi * turns[:, None] * np.arange(8)).mean(-1))
        with jax.enable_x64(True):
            found = pointing(offset, CARRIER, angle)
        np.testing.assert_allclose(found, grid[kernel.argmax()], atol=2e-5)
    assert float(found) == pytest.approx(-np.pi / 2)  # the peak has left visible space


@given(st.floats(-0.5, 2.0), st.floats(-np.pi / 2, np.pi / 2))
def test_pointing_angle_is_the_arcsine(ratio, angle):
    sine = np.sin(angle) / (1 + ratio)
    with jax.enable_x64(True):
        found = float(pointing(ratio * CARRIER, CARRIER, angle))
        behind = float(pointing(ratio * CARRIER, CARRIER, np.pi - angle))
    if abs(sine) < 1:
        np.testing.assert_allclose(np.sin(found), sine, atol=1e-14)
        np.testing.assert_allclose(found, np.arcsin(sine), atol=4e-8)
    elif abs(sine) > 1 + 1e-12:
        np.testing.assert_allclose(found, np.copysign(np.pi / 2, sine), rtol=1e-15)
    if abs(angle) < np.pi / 2:
        turn = 2 * np.pi * round((behind - (np.pi - found)) / (2 * np.pi))
        np.testing.assert_allclose(behind - turn, np.pi - found, atol=4e-8)


def test_pointing_error_keeps_its_digits():
    """To first order it is -tan(theta) f / f_c; single precision of the angle would spoil it."""
    for angle in (0.3, 1.0, -1.2):
        expected = -np.tan(np.float64(np.float32(angle))) * 1e4 / CARRIER
        np.testing.assert_allclose(pointing_error(1e4, CARRIER, angle), expected, rtol=3e-6)
    assert float(pointing_error(0.0, CARRIER, 1.0)) == 0
    with jax.enable_x64(True):
        slope = jax.grad(beam_squint.pointing_error)(0.0, CARRIER, 1.0)
        np.testing.assert_allclose(slope, -np.tan(1.0) / CARRIER, rtol=1e-14)
    with pytest.raises(ValueError, match="`frequency_offset` must be above -carrier"):
        beam_squint.pointing_angle(-CARRIER, CARRIER, 0.1)


# Bandwidth


@pytest.mark.parametrize("num_antennas", [2, 3, 16, 64, 256, 4096])
def test_gain_halves_at_the_edges_of_the_bandwidth(num_antennas):
    with jax.enable_x64(True):
        width = beam_squint.squint_bandwidth(num_antennas, SPACING, jnp.asarray([0.3, -np.pi / 3]))
        edge = gain(width / 2, num_antennas, SPACING, jnp.asarray([0.3, -np.pi / 3]))
        inside = gain(0.499 * width, num_antennas, SPACING, jnp.asarray([0.3, -np.pi / 3]))
    np.testing.assert_allclose(edge, 0.5, rtol=1e-11)
    assert np.all(np.asarray(inside) > 0.5)


def test_how_exact_the_constant_of_many_antennas_is():
    excess = [beam_squint.half_power_width(m) / 0.886 - 1 for m in (2, 4, 8, 16, 64, 256)]
    np.testing.assert_allclose(excess, [0.1287, 0.0280, 0.0067, 0.00157, 0, 0], atol=2e-4)
    u = beam_squint.half_power_width(10**6) / 2
    np.testing.assert_allclose(np.sinc(u) ** 2, 0.5, rtol=1e-9)


def test_bandwidth_is_infinite_without_squint():
    assert beam_squint.squint_bandwidth(64, SPACING, 0.0) == np.inf
    assert beam_squint.squint_bandwidth(1, SPACING, 1.0) == np.inf
    assert gain(1e15, 1, SPACING, 1.0) == 1


# Leakage


@pytest.mark.parametrize("num_antennas", [1, 5, 16, 256])
def test_leakage_is_the_inverse_fft_of_the_response(num_antennas, verified):
    offset, angle = OFFSETS[:6, None], ANGLES[None, :]
    waves = response(CARRIER + offset, num_antennas, SPACING, angle + 0 * offset)
    expected = abs(np.fft.ifft(waves, norm="ortho")) ** 2
    with jax.enable_x64(True):
        shares = np.asarray(leakage(offset, num_antennas, SPACING, angle, CARRIER))
    assert shares.shape == (6, 8, num_antennas)
    verified("Ahn et al., leakage over DFT bins", "inverse FFT", shares, expected, atol=1e-11)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-12)


def test_peak_moves_by_m_x_bins():
    """Angles on the grid leak nothing at the carrier; offsets of 1/(M lag) move them by a bin."""
    sine = np.array([3, 20, -17]) * 2 / 64
    with jax.enable_x64(True):
        angle = np.arcsin(sine)
        centre = leakage(0.0, 64, SPACING, angle, CARRIER)
        np.testing.assert_allclose(centre[np.arange(3), [3, 20, 47]], 1, rtol=1e-12)
        offset = SPEED_OF_LIGHT / (64 * SPACING * sine)
        moved = leakage(offset, 64, SPACING, angle, CARRIER)
        np.testing.assert_allclose(moved, np.roll(centre, 1, axis=-1), atol=1e-11)
        # In between, the centre of gravity of the two strongest bins, in amplitude, tells x.
        shares = leakage(0.3 * offset, 64, SPACING, angle, CARRIER)
        weak, strong = (shares[np.arange(3), bins] ** 0.5 for bins in ([4, 21, 48], [3, 20, 47]))
        np.testing.assert_allclose(weak / (weak + strong), 0.3, atol=1e-3)


def test_macro_steering_leaks_with_the_same_kernel():
    distances = 40.0 + 12.5 * np.arange(8)
    offset = np.array([0.0, 3e6, -1.7e7])
    steering = np.exp(-2j * np.pi * offset[:, None] * distances / SPEED_OF_LIGHT) / np.sqrt(8)
    with jax.enable_x64(True):
        shares = leakage(offset, 8, 12.5, np.pi / 2, 0.0)
    np.testing.assert_allclose(shares, abs(np.fft.ifft(steering, norm="ortho")) ** 2, atol=1e-13)


def test_single_precision():
    offset, angle = np.float32(OFFSETS[:6, None]), np.float32(ANGLES[None, :])
    with jax.enable_x64(True):
        double = leakage(offset.astype(float), 64, SPACING, angle.astype(float), CARRIER)
    single = leakage(offset, 64, SPACING, angle, CARRIER)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=0, atol=3e-5)


def test_arrays_without_antennas_are_refused():
    for function in (
        lambda: beam_squint.beam_squint_gain(1e8, 0, SPACING, 0.3),
        lambda: beam_squint.squint_bandwidth(0, SPACING, 0.3),
        lambda: beam_squint.dft_leakage(1e8, 0, SPACING, 0.3, CARRIER),
    ):
        with pytest.raises(ValueError, match="`num_antennas` must be at least 1"):
            function()
