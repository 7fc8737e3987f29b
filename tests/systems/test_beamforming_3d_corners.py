"""System 3: corners and errors."""

from functools import cache

import equinox as eqx
import jax
import numpy as np
import pytest

from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    Users,
    adjacent_groups,
    deterministic_sum_rate,
    draw_users,
    full_dimension_slnr,
    full_dimension_zf,
    generalized_mrt,
    simulate_sum_rate,
    sum_rate,
)

KEY = jax.random.key(1)
SHORT = {"drops": 4, "realizations": 3}
SCHEMES = (adjacent_groups, generalized_mrt)


def cell(azimuth_groups=4, elevation_groups=2, users=6, **other):
    return Beamforming3D(
        **{
            "azimuth_antennas": 8,
            "elevation_antennas": 4,
            "num_users": users,
            "azimuth_groups": azimuth_groups,
            "elevation_groups": elevation_groups,
            **other,
        }
    )


def at(distance, azimuth, spread=0.1, elevation=0.3):
    """Users at these distances and azimuth angles."""
    distance, azimuth = np.broadcast_arrays(np.asarray(distance, float), azimuth)
    same = np.ones(distance.shape)
    return Users(
        distance=distance,
        azimuth=azimuth,
        azimuth_spread=spread * same,
        elevation=elevation * same,
        elevation_spread=0.5 * spread * same,
    )


# Corners

CORNERS = {
    "one group for all": (at(200.0, np.linspace(0.1, 0.11, 6)), {}),
    "at one place": (at(np.full(6, 200.0), 0.4), {}),
    "no spread": (at(np.linspace(100, 1500, 6), np.linspace(-3, 3, 6), 0.0), {}),
    "no spread at one place": (at(np.full(6, 200.0), 0.4, 0.0), {}),
    "near and far": (at(np.geomspace(1, 1e5, 6), np.linspace(-3, 3, 6)), {}),
    "literal reference": (at(np.linspace(100, 1500, 6), 0.5), {"reference_distance": 1.0}),
    "60 dB": (at(np.full(6, 100.0), np.linspace(-3, 3, 6)), {"power": 1e6}),
    "silent": (at(np.full(6, 1e3), np.linspace(-3, 3, 6)), {"power": 1e-20}),
}


@cache
def simulated(schemes):
    return eqx.filter_jit(lambda s, u: sum_rate(KEY, s, u, scheme=schemes, realizations=4).mean)


def equivalents(system, users):
    return deterministic_sum_rate(system, users, scheme=SCHEMES)


@pytest.mark.parametrize("corner", CORNERS)
def test_no_corner_gives_nan(corner):
    users, change = CORNERS[corner]
    for run in (simulated((*SCHEMES, full_dimension_slnr, full_dimension_zf)), equivalents):
        rates = np.asarray(run(cell(**change), users))
        assert np.all(np.isfinite(rates)), rates
        assert np.all(rates >= 0), rates
        if corner in ("one group for all", "near and far"):
            assert np.all(rates > 0), rates


def test_one_user():
    system = cell(1, 1, 1)
    rates = equivalents(system, draw_users(KEY, system))
    assert np.all(np.isfinite(rates) & (rates > 0)), rates
    assert rates[0] > rates[1], rates  # who knows the fading does better


def test_more_users_than_antennas():
    system = cell(8, 4, 40)
    users = draw_users(KEY, system)
    for run in (simulated((adjacent_groups, full_dimension_slnr)), equivalents):
        rates = np.asarray(run(system, users))
        assert np.all(np.isfinite(rates) & (rates > 0)), rates


# Errors


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"azimuth_antennas": 0}, "azimuth_antennas"),
        ({"azimuth_groups": 9}, "azimuth_groups"),
        ({"azimuth_groups": 0}, "azimuth_groups"),
        ({"elevation_groups": 5}, "elevation_groups"),
        ({"users": 0}, "num_users"),
        ({"power": 0.0}, "power"),
        ({"power": np.ones(2)}, "power"),
        ({"noise_power": -1.0}, "noise_power"),
        ({"path_loss_exponent": np.nan}, "path_loss_exponent"),
        ({"reference_distance": 0.0}, "reference_distance"),
        ({"hole_radius": 2000.0}, "hole_radius"),
        ({"azimuth_spread_limit": -0.1}, "azimuth_spread_limit"),
        ({"spacing": 0.0}, "spacing"),
    ],
)
def test_bad_parameters_are_named_in_one_line(change, parameter):
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        cell(**change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"scheme": []}, "scheme"),
        ({"azimuth_groups": [4, 9]}, "azimuth_groups"),
        ({"azimuth_groups": []}, "azimuth_groups"),
        ({"realizations": 0}, "realizations"),
        ({"drops": 1}, "drops"),
        ({"scheme": full_dimension_zf, "system": cell(users=33)}, "num_users"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_bad_simulations_are_refused_in_one_line(change, parameter):
    arguments = {"system": cell(), **SHORT, **change}
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        simulate_sum_rate(KEY, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"distance": -1.0}, "distance"),
        ({"distance": 0.0}, "distance"),
        ({"azimuth": np.nan}, "azimuth"),
        ({"azimuth_spread": -0.1}, "azimuth_spread"),
        ({"elevation_spread": [0.1, 0.2]}, "elevation_spread"),
    ],
)
def test_bad_users_are_named_in_one_line(change, parameter):
    good = dict.fromkeys(
        ("distance", "azimuth", "azimuth_spread", "elevation", "elevation_spread"), 1.0
    )
    values = {name: np.atleast_1d(value) for name, value in {**good, **change}.items()}
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        Users(**values)
    assert "\n" not in str(error.value)


def test_users_must_be_as_many_as_the_system_serves():
    with pytest.raises(ValueError, match="`users` must be the 6 users") as error:
        deterministic_sum_rate(cell(), at([100.0, 200.0], 0.1))
    assert "\n" not in str(error.value)
