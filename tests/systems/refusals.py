"""Every constructor and simulation is given what it must refuse, one parameter after another.

Run as a program, without the types that tests check otherwise, as users run it. Prints one line
for each call that was not refused well, and the number of calls at last. With a number n as its
argument it makes one of n calls.
"""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import jax
import numpy as np

import jaxmimo
from jaxmimo import beamforming_3d as b3
from jaxmimo import cell_free_iqi as iqi
from jaxmimo import distributed_rician as dr
from jaxmimo import tuning
from jaxmimo import wideband_mmwave as wb

MODULES = (jaxmimo, b3, iqi, dr, tuning, wb)

WRONG = {
    "nan": np.nan,
    "infinite": np.inf,
    "negative": -1,
    "complex": 1j,
    "text": "text",
    "none": None,
    "true": True,
    "huge": 10**400,
    "large": 10**19,
    "shape": np.ones((2, 3, 1, 5)),
    "empty": np.zeros((0, 0)),
    "list": [1.0, "a"],
    "class": dict,
    "object": object(),
    "masked": np.ma.masked_array(np.ones((2, 2)), np.eye(2, dtype=bool)),
    "key": jax.random.key(0),
    "keys": jax.random.split(jax.random.key(0), 2),
    "generator": np.random.default_rng(0),
}

KEY = jax.random.key(0)
RICIAN = dr.DistributedRician(num_aps=2, ap_antennas=2, num_users=2, rician_factor=1.0)
HARDWARE = jaxmimo.IQImbalance()
IQI = {"receive": HARDWARE, "transmit": HARDWARE, "user_antennas": 1, "coherence_length": 200}
CELL_FREE = iqi.CellFreeIQI(beta=np.ones((3, 2)), pilot_snr=1.0, data_snr=1.0, **IQI)
BEAMS = b3.Beamforming3D(azimuth_antennas=4, elevation_antennas=4, num_users=2)
TWO = np.ones(2)
USERS = b3.Users(distance=TWO, azimuth=TWO, azimuth_spread=TWO, elevation=TWO, elevation_spread=TWO)
BAND = wb.WidebandMmwave(num_aps=2, ap_antennas=2, num_users=2)

CONSTRUCTORS = {
    dr.DistributedRician: {"num_aps": 2, "ap_antennas": 2, "num_users": 2, "rician_factor": 1.0},
    dr.LocalScattering: {"angular_std": 0.1},
    dr.ScatteringClusters: {},
    jaxmimo.IQImbalance: {},
    iqi.CellFreeIQI: {"beta": np.ones((3, 2)), "pilot_snr": 1.0, "data_snr": 1.0, **IQI},
    b3.Beamforming3D: {"azimuth_antennas": 4, "elevation_antennas": 4, "num_users": 2},
    b3.Users: dict.fromkeys(
        ("distance", "azimuth", "azimuth_spread", "elevation", "elevation_spread"), TWO
    ),
    b3.FullDimension: {"combiner": dr.mmse_combiner},
    wb.WidebandMmwave: {"num_aps": 2, "ap_antennas": 2, "num_users": 2},
    tuning.PowerLimits: {"limit": 1.0},
    tuning.TotalPower: {"budget": 1.0},
    tuning.ScaledApBudget: {"amplitudes": np.ones((3, 2))},
    tuning.ApPowerBudget: {},
    tuning.Unconstrained: {},
}
SIMULATIONS = {
    dr.simulate_se: {"key": KEY, "system": RICIAN, "drops": 2},
    dr.se_of_drops: {"key": KEY, "system": RICIAN, "drops": 2},
    dr.se_sample: {"system": RICIAN},
    dr.simulate_condition: {"key": KEY, "system": RICIAN, "drops": 2},
    dr.simulate_correlation: {"key": KEY, "system": RICIAN, "drops": 2},
    dr.maximum_ratio_drop: {"key": KEY, "system": RICIAN},
    iqi.simulate_se: {"key": KEY, "system": CELL_FREE, "realizations": 2},
    iqi.se_model: {"system": CELL_FREE},
    iqi.closed_form_se: {"system": CELL_FREE},
    iqi.asymptotic_se: {"system": CELL_FREE},
    b3.sum_rate: {"key": KEY, "system": BEAMS, "users": USERS, "realizations": 2},
    b3.user_rates: {"key": KEY, "system": BEAMS, "users": USERS, "realizations": 2},
    b3.deterministic_sum_rate: {"system": BEAMS, "users": USERS},
    b3.simulate_sum_rate: {"key": KEY, "system": BEAMS, "drops": 2},
    b3.rate_sample: {"system": BEAMS},
    b3.equivalent_sample: {"system": BEAMS},
    b3.draw_users: {"key": KEY, "system": BEAMS},
    b3.make_cell: {"system": BEAMS, "users": USERS},
    b3.assign_groups: {"system": BEAMS, "users": USERS},
    b3.with_shares: {"scheme": b3.own_group, "shares": TWO},
    wb.simulate_se: {"key": KEY, "system": BAND, "drops": 2},
    wb.se_sample: {"system": BAND},
    wb.simulate_prefix: {"key": KEY, "system": BAND, "prefix_lengths": (1,), "drops": 2},
    wb.prefix_sample: {"system": BAND, "prefix_lengths": (1,)},
    wb.draw_links: {"key": KEY, "system": BAND},
    wb.draw_positions: {"key": KEY, "system": BAND},
    tuning.downlink_se: {"system": CELL_FREE},
    tuning.equal_split: {"system": CELL_FREE},
    tuning.max_min_downlink: {"system": CELL_FREE},
    tuning.uplink_se: {"key": KEY, "system": RICIAN},
    tuning.best_split: {"system": BEAMS, "users": USERS, "splits": [(2, 2)]},
    jaxmimo.monte_carlo: {"sample": jax.random.normal, "key": KEY, "realizations": 2},
}
ELSEWHERE = {
    # What functions return, and what is made of it.
    *(b3.Cell, b3.Groups, b3.FixedPrecoders, b3.SharedPower, b3.TwoStageSLNR, wb.Links, wb.Grid),
    *(dr.ConditionNumber, dr.MaximumRatioDrop, iqi.DownlinkMoments, iqi.moments_of_pilots),
    *(iqi.downlink_moments, iqi.theorem1_se, tuning.with_amplitudes),
    *(jaxmimo.Estimate, jaxmimo.Curve, tuning.BalancedPowers, tuning.ExpectedMaximum),
    *(tuning.GroupSearch, tuning.Maximum, tuning.TunedGroups, tuning.Domain),
    # Functions of arrays.
    *(wb.always_los, wb.never_los, wb.umi_los, dr.uncorrelated, jaxmimo.complex_normal),
    *(jaxmimo.sweep, iqi.full_pilots, iqi.projected_pilots, tuning.maximize_expected),
}
TAKEN = {
    "infinite": {"rician_factor"},
    "negative": {"phase", "azimuth", "elevation"},
    "true": {"propagation_phase", "random_aps", "uniform_area"},
    "shape": {"limit", "angular_std", "spread"},
    "empty": {"limit", "angular_std", "spread"},
    "large": {
        *("rician_factor", "noise_power", "power", "side", "path_loss_exponent", "carrier_hz"),
        *("ap_height", "user_height", "amplitude", "beta", "pilot_snr", "data_snr", "distance"),
        *("reference_distance", "cell_radius", "hole_radius", "limit", "budget", "spacing"),
        *("shares", "tolerance"),
    },
    "key": {"key"},
}
"""What is legitimate besides None where that is the default."""

NAMED = {
    "`num_aps` must be an integer, but got 1.5": partial(
        iqi.simulate_se, KEY, CELL_FREE, realizations=2, num_aps=[1.5, 2.7]
    ),
    "`combiner` must be a function, but is 'mmse'. Use `mmse_combiner`": partial(
        dr.simulate_se, KEY, RICIAN, combiner="mmse", drops=2
    ),
    "`estimator` must be a function, but is None. Use `least_squares`": partial(
        dr.se_sample, RICIAN, estimator=None
    ),
    "`covariance` must be a function, but is an array of dtype float64 and shape (4, 4)": partial(
        dr.DistributedRician, **CONSTRUCTORS[dr.DistributedRician], covariance=np.eye(4)
    ),
    "`covariance` must be a function, but is the class LocalScattering": partial(
        dr.DistributedRician, **CONSTRUCTORS[dr.DistributedRician], covariance=dr.LocalScattering
    ),
    "`system` must be a `DistributedRician`, but is": partial(dr.simulate_se, RICIAN, KEY, drops=2),
    "`key` must be a typed key, but is a value of type int": partial(
        dr.simulate_se, 0, RICIAN, drops=2
    ),
    "`key` must be a typed key, but is a value of type Generator": partial(
        dr.se_of_drops, np.random.default_rng(0), RICIAN, drops=2
    ),
    "`key` must be a single key, but has shape (2,)": partial(
        wb.simulate_se, jax.random.split(KEY), BAND, drops=2
    ),
}
"""Calls of the wrong kind, by what they are told."""


def entries() -> dict[Callable[..., Any], dict[str, Any]]:
    """All constructors and simulations, each with arguments that it takes."""
    return {**CONSTRUCTORS, **SIMULATIONS}


def forgotten() -> list[str]:
    """Public constructors, and functions of systems or keys, that have no entry."""
    missing = []
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if not callable(value) or value in entries() or value in ELSEWHERE:
                continue
            parameters = [] if inspect.isclass(value) else inspect.signature(value).parameters
            if inspect.isclass(value) or {"key", "system"} & set(parameters):
                missing.append(f"{module.__name__}.{name}")
    return missing


def calls() -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Every call that must be refused: its name, the parameter, and itself."""
    for called, right in entries().items():
        for name, parameter in inspect.signature(called).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD or name in ("checkpoint", "devices"):
                continue  # paths, and what JAX has
            for wrong, value in WRONG.items():
                optional = parameter.default is None and name not in right
                optional = optional or name == "subcarriers"
                taken = name in TAKEN.get(wrong, ()) or (wrong == "none" and optional)
                if not taken:
                    title = f"{called.__module__}.{called.__name__}({name}={wrong})"
                    yield title, name, partial(called, **{**right, name: value})


def complaint(words: str, call: Callable[[], object]) -> str | None:
    """What is wrong with how a call is refused, if anything is: words of it are known."""
    try:
        found = call()
    except ValueError as error:
        text = str(error)
        if words in text and "\n" not in text:
            return None
        return f"ValueError: {text!r}"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = str(error).splitlines() or [""]
        return f"{type(error).__name__} {text[0]} ({place.filename}:{place.lineno})"
    return f"returned {type(found)!s}"


def main() -> int:
    """Make all calls."""
    total, wrong = 0, 0
    for name in forgotten():
        print(f"{name} has no entry in {__file__}")
        wrong += 1
    for words, call in NAMED.items():
        text = complaint(words, call)
        if text:
            print(f"{words}: {text}"[:300])
            wrong += 1
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for title, name, call in islice(calls(), 0, None, every):
        total += 1
        if text := complaint(f"`{name}`", call):
            print(f"{title}: {text}"[:300])
            wrong += 1
    print(f"{total} calls, {wrong} not refused well")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
