"""The wideband response three ways, taps, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxmimo.channel.frequency_grid import Grid, grid_response, response_as_computed
from jaxmimo.channel.multipath import channel_taps, frequency_response, stacked_response
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.small_matrices import Parts

CARRIER = 28e9
SPACING = 0.5 * SPEED_OF_LIGHT / CARRIER


def paths(users=3, aps=4, number=5, seed=0):
    random = np.random.default_rng(seed)
    shape = (users, aps, number)
    return (
        jnp.asarray(random.normal(size=shape) + 1j * random.normal(size=shape)),
        jnp.asarray(random.uniform(-1.5, 1.5, shape)),
        jnp.asarray(random.uniform(1, 500, shape[:2])),
        jnp.asarray(random.uniform(0, 3e-7, shape)),
    )


def by_definition(gains, angles, distances, excess, frequencies, antennas):
    """(6), in plain NumPy."""
    gains, angles, distances, excess = (np.asarray(a) for a in (gains, angles, distances, excess))
    f = np.asarray(frequencies, np.float64)[:, None, None, None, None]
    m = np.arange(antennas)[None, None, None, :, None]
    sine = np.sin(angles)[None, :, :, None]
    delays = (distances[..., None] / SPEED_OF_LIGHT + excess)[None, :, :, None]
    phase = f * delays + (CARRIER + f) * m * SPACING * sine / SPEED_OF_LIGHT
    return np.sum(gains[None, :, :, None] * np.exp(-2j * np.pi * phase), -1)


def on_grid(gains, angles, distances, excess, grid, antennas, **options):
    links = lambda a: a.reshape(-1, gains.shape[-1])  # noqa: E731
    lags = SPACING * jnp.sin(angles) / SPEED_OF_LIGHT
    delays = distances[..., None] / SPEED_OF_LIGHT + excess
    response = grid_response(
        Parts.of(links(gains)),
        links(lags),
        links(delays),
        grid,
        jnp.asarray(CARRIER),
        antennas,
        **options,
    ).merged()
    return jnp.moveaxis(response.reshape(*gains.shape[:2], antennas, grid.count), -1, 0)


@pytest.mark.parametrize("count", [1, 2, 20, 33, 256])
def test_frequencies_are_at_their_places(count):
    grid = Grid(jnp.asarray(-2e8), jnp.asarray(4e8 / count), count)
    gains, angles, distances, excess = (a.reshape(-1, a.shape[-1]) for a in paths())
    lags = SPACING * jnp.sin(angles) / SPEED_OF_LIGHT
    delays = distances.reshape(-1, 1) / SPEED_OF_LIGHT + excess
    given = Parts.of(gains), lags, delays, grid, jnp.asarray(CARRIER), 3
    computed = response_as_computed(*given)
    ordered = grid_response(*given)
    assert sorted(grid.places) == list(range(np.prod(computed.shape[2:])))
    at_places = computed.reshape(*computed.shape[:2], -1)[..., grid.places[:count]]
    np.testing.assert_allclose(at_places.merged(), ordered.merged(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("count", "antennas"), [(1, 1), (20, 7), (33, 16), (256, 2)])
def test_three_forms_agree(count, antennas, verified):
    with jax.enable_x64(True):
        grid = Grid(jnp.asarray(-2e8), jnp.asarray(4e8 / count), count)
        given = paths()
        expected = by_definition(*given, grid.frequencies, antennas)
        response = frequency_response(*given, grid.frequencies, CARRIER, SPACING, antennas)
        verified("Ahn et al., response (5)-(6)", "its definition", response, expected, atol=1e-10)
        verified(
            "Ahn et al., response on equally spaced subcarriers",
            "its definition",
            on_grid(*given, grid, antennas),
            expected,
            atol=1e-10,
        )
        for index in (0, count - 1):
            stacked = stacked_response(*given, grid.frequencies[index], CARRIER, SPACING, antennas)
            ordered = np.swapaxes(expected[index], 1, 2).reshape(3, -1)  # entry m L + l
            verified(
                "Ahn et al., stacked response (7)-(11)",
                "its definition",
                stacked,
                ordered,
                atol=1e-10,
            )


def test_single_precision_keeps_the_phases():
    given = [jnp.asarray(a, a.dtype) for a in paths(number=20)]
    grid = Grid(jnp.asarray(-2e8), jnp.asarray(4e8 / 256), 256)
    expected = by_definition(*given, grid.frequencies, 64)
    scale = np.sqrt(np.mean(abs(expected) ** 2))
    # Delays of 667 samples are known to 24 digits: 4e-5 turns.
    response = frequency_response(*given, grid.frequencies, CARRIER, SPACING, 64)
    assert response.dtype == np.complex64
    assert np.sqrt(np.mean(abs(response - expected) ** 2)) < 3e-4 * scale
    response = on_grid(*given, grid, 64)
    assert response.dtype == np.complex64
    assert np.sqrt(np.mean(abs(response - expected) ** 2)) < 3e-4 * scale


@pytest.mark.parametrize("count", [16, 1024, 4096])
def test_single_precision_knows_the_phase_of_thousands_of_turns(count):
    """Ten gigahertz of band and a kilometre of path: 33000 turns, which are what is given."""
    gains, angles, distances, excess = paths(users=2, aps=2)
    delays = (distances[..., None] * 2 / SPEED_OF_LIGHT + excess).astype(np.float32)
    given = (gains, angles, 0 * distances, delays)
    grid = Grid(jnp.float32(-5e9), jnp.float32(1e10 / count), count)
    exactly = float(grid.first) + float(grid.step) * np.arange(count)
    expected = by_definition(*given, exactly, 8)
    scale = np.sqrt(np.mean(abs(expected) ** 2))
    assert np.max(abs(on_grid(*given, grid, 8) - expected)) < 1e-4 * scale
    rounded = np.asarray(exactly, np.float32)
    expected = by_definition(*given, rounded, 8)
    response = frequency_response(*given, rounded, CARRIER, SPACING, 8)
    assert np.max(abs(response - expected)) < 1e-4 * scale
    stacked = stacked_response(*given, rounded[-1], CARRIER, SPACING, 8)
    ordered = np.swapaxes(expected[-1], 1, 2).reshape(2, -1)
    assert np.max(abs(stacked - ordered)) < 1e-4 * scale


def test_without_squint_antennas_have_the_phases_of_the_carrier():
    with jax.enable_x64(True):
        gains, angles, distances, excess = paths(number=2)
        grid = Grid(jnp.asarray(-2e8), jnp.asarray(1e8), 5)
        found = on_grid(gains, angles, distances, excess, grid, 6, squint=False)
        delays = np.asarray(distances[..., None] / SPEED_OF_LIGHT + excess)
        turning = np.exp(-2j * np.pi * np.asarray(grid.frequencies)[:, None, None, None] * delays)
        for index in range(5):
            turned = jnp.asarray(gains * turning[index])
            at_carrier = by_definition(turned, angles, 0 * distances, 0 * excess, [0.0], 6)[0]
            np.testing.assert_allclose(found[index], at_carrier, atol=1e-10)
        with_squint = on_grid(gains, angles, distances, excess, grid, 6)
        np.testing.assert_allclose(found[2], with_squint[2], atol=1e-10)  # at the carrier itself
        assert np.max(abs(found[0] - with_squint[0])) > 1e-3


def test_common_distance_turns_one_phase():
    gains, angles, distances, excess = paths()
    frequencies = jnp.asarray([-1e8, 3e7])
    with jax.enable_x64(True):
        here = frequency_response(
            gains, angles, distances, excess, frequencies, CARRIER, SPACING, 4
        )
        there = frequency_response(
            gains, angles, distances + 30.0, excess, frequencies, CARRIER, SPACING, 4
        )
    ratio = np.asarray(there / here)
    turn = np.exp(-2j * np.pi * np.asarray([-1e8, 3e7]) * 30.0 / SPEED_OF_LIGHT)
    np.testing.assert_allclose(ratio, np.broadcast_to(turn[:, None, None, None], ratio.shape), 1e-5)


@pytest.mark.parametrize("squint", [True, False])
def test_vmap_and_gradients(squint):
    with jax.enable_x64(True):
        gains, angles, distances, excess = paths(users=2, aps=1, number=2)
        grid = Grid(jnp.asarray(-2e8), jnp.asarray(1e8), 5)
        several = jax.vmap(lambda d: on_grid(gains, angles, d, excess, grid, 3, squint=squint))
        together = several(jnp.stack([distances, 2 * distances]))
        alone = on_grid(gains, angles, 2 * distances, excess, grid, 3, squint=squint)
        np.testing.assert_allclose(together[1], alone, atol=1e-12)

        def power(angles, distances):
            h = on_grid(gains, angles, distances, excess, grid, 3, squint=squint)
            return jnp.sum(jnp.abs(h[:, 0] + h[:, 1]) ** 2)

        check_grads(power, (angles, distances / 100), order=1, modes=("fwd", "rev"), rtol=1e-4)

        def general(angles, distances):
            h = frequency_response(
                gains, angles, distances, excess, grid.frequencies, CARRIER, SPACING, 3
            )
            return jnp.sum(jnp.abs(h[:, 0] + h[:, 1]) ** 2)

        check_grads(general, (angles, distances / 100), order=1, modes=("fwd", "rev"), rtol=1e-4)


def test_taps_are_the_response_over_time():
    random = np.random.default_rng(3)
    taps, samples = 16, np.asarray([0, 3, 3, 7, 15])
    gains = jnp.asarray(random.normal(size=(2, 5)) + 1j * random.normal(size=(2, 5)))
    delay = jnp.broadcast_to(jnp.asarray(samples, float), (2, 5))
    found = np.asarray(channel_taps(gains, delay, taps))
    p = np.arange(taps)
    response = np.einsum(
        "kn,np->kp", np.asarray(gains), np.exp(-2j * np.pi * np.outer(samples, p) / taps)
    )
    np.testing.assert_allclose(np.fft.fft(found, axis=-1), response, atol=1e-5)
    outside = channel_taps(gains, delay - 4.0, 4)  # paths at -4, -1, -1, 3, 11
    np.testing.assert_allclose(outside[:, 3], gains[:, 3], atol=1e-6)
    assert np.all(np.asarray(outside[:, :3]) == 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"carrier": 0.0}, "`carrier` must be at least 1e.06 Hz"),
        ({"carrier": -1.0}, "`carrier` must be at least 1e.06 Hz"),
        ({"frequencies": np.asarray([-29e9])}, "`frequencies` must stay above"),
        (
            {"spacing_m": 0.5 * SPACING * 0.1},
            "`spacing_m` must lie between 0.1 and 100",
        ),
        ({"spacing_m": 5.0}, "Half a wavelength is 299792458"),
        ({"spacing_m": float("nan")}, "`spacing_m` must be finite"),
        ({"num_antennas": 0}, "`num_antennas` must be at least 1"),
        ({"distances": jnp.ones((3, 3))}, "`distances` must have shape"),
        ({"angles": jnp.ones((3, 4))}, "`angles` must have shape"),
    ],
)
def test_errors_teach(change, message):
    gains, angles, distances, excess = paths()
    given = {
        "gains": gains,
        "angles": angles,
        "distances": distances,
        "excess_delays": excess,
        "frequencies": jnp.asarray([0.0]),
        "carrier": CARRIER,
        "spacing_m": SPACING,
        "num_antennas": 4,
    }
    with pytest.raises(ValueError, match=message):
        frequency_response(**{**given, **change})
