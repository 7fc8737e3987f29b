"""Every public function refuses what it cannot take: walked from `__all__`, one by one."""

import inspect
import math
import random
import typing
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import jaxmimo
from jaxmimo import beamforming_3d as b3
from jaxmimo import cell_free_iqi as iqi
from jaxmimo import distributed_rician as dr
from jaxmimo import wideband_mmwave as wb
from jaxmimo.core.small_matrices import Parts
from jaxmimo.transceiver.ofdm import PrefixPowers

SIZES = {"aps": 2, "users": 2, "antennas": 3, "paths": 2, "links": 2, "stacked": 6, "rows": 4}
ANY_SIZE = 2

# What functions of one's own, or of the run, are told from is tested with the engine and searches.
ELSEWHERE = {
    "monte_carlo",
    "sweep",
    "programs_kept_in",
    "maximize",
    "maximize_expected",
    "maximize_from_each",
    "max_min",
}
# Classes that functions return; nobody makes them by hand.
RETURNED = {
    "Estimate",
    "Curve",
    "Links",
    "Cell",
    "Groups",
    "FixedPrecoders",
    "FullDimension",
    "TwoStageSLNR",
    "SharedPower",
    "ConditionNumber",
    "MaximumRatioDrop",
    "DownlinkMoments",
    "BalancedPowers",
    "Domain",
    "ExpectedMaximum",
    "GroupSearch",
    "Maximum",
    "TunedGroups",
}
MAY_BE_INFINITE = {  # as their documentation says
    "DistributedRician",
    "asymptotic_se",
    "condition_number",
    "squint_bandwidth",
}


def public() -> dict[str, Callable]:
    """All public functions and constructors, by module and name."""
    found = {}
    for name in jaxmimo.__all__:
        value = getattr(jaxmimo, name)
        if inspect.ismodule(value):
            for inner in value.__all__:
                found[f"{name}.{inner}"] = getattr(value, inner)
        else:
            found[name] = value
    return {path: value for path, value in found.items() if callable(value)}


@pytest.fixture(autouse=True)
def _without_the_hook(monkeypatch):
    # Constructors are to be met as a user meets them, not behind the shape checks of the tests.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def _se(powers: jax.Array) -> jax.Array:
    return jnp.log2(1.0 + powers)


def _hardware() -> jaxmimo.IQImbalance:
    return jaxmimo.IQImbalance(amplitude=0.9, phase=0.1)


def _iqi() -> iqi.CellFreeIQI:
    return iqi.CellFreeIQI(
        beta=np.ones((2, 2)),
        receive=_hardware(),
        transmit=_hardware(),
        user_antennas=1,
        coherence_length=20,
        pilot_snr=1.0,
        data_snr=1.0,
        ap_antennas=2,
    )


def _users() -> b3.Users:
    each = np.array([0.2, 0.4])
    return b3.Users(
        distance=200 * each,
        azimuth=each,
        azimuth_spread=each,
        elevation=each,
        elevation_spread=each,
    )


def _cell() -> b3.Cell:
    system = b3.Beamforming3D(
        azimuth_antennas=4,
        elevation_antennas=4,
        num_users=2,
        azimuth_groups=2,
        elevation_groups=2,
    )
    return b3.make_cell(system, _users())


def _parts(*shape: int) -> Parts:
    return Parts(jnp.ones(shape), jnp.zeros(shape))


# An object of each class that functions take.
OBJECTS: dict[str, Callable[[], object]] = {
    "IQImbalance": _hardware,
    "CellFreeIQI": _iqi,
    "DistributedRician": lambda: dr.DistributedRician(
        num_aps=2, ap_antennas=2, num_users=2, rician_factor=1.0
    ),
    "WidebandMmwave": lambda: wb.WidebandMmwave(num_aps=2, ap_antennas=2, num_users=2),
    "Beamforming3D": lambda: b3.Beamforming3D(
        azimuth_antennas=4,
        elevation_antennas=4,
        num_users=2,
        azimuth_groups=2,
        elevation_groups=2,
    ),
    "Users": _users,
    "Cell": _cell,
    "Parts": lambda: _parts(2, 2),
    "Grid": lambda: wb.Grid(jnp.asarray(-1e6), jnp.asarray(1e6), 3),
    "PrefixPowers": lambda: PrefixPowers(jnp.eye(2) + 0j, jnp.ones((2, 2)), jnp.ones((2, 2))),
}

# Values of parameters by name, where one would not do; by path and name before by name.
VALUES: dict[str, object] = {
    "key": jax.random.key(1),
    "shape": (2, 2),
    "num_antennas": 3,
    "num_groups": 2,
    "azimuth_antennas": 4,
    "elevation_antennas": 4,
    "azimuth_groups": 2,
    "elevation_groups": 2,
    "num_aps": 2,
    "ap_antennas": 2,
    "num_users": 2,
    "user_antennas": 1,
    "coherence_length": 20,
    "pilot_length": 4,
    "num_subcarriers": 16,
    "num_taps": 3,
    "count": 3,
    "group": 1,
    "los": True,
    "carrier": 28e9,
    "carrier_hz": 28e9,
    "carrier_frequency": 28e9,
    "bandwidth": 1e8,
    "spacing": 0.5,
    "spacing_m": 0.005,
    "angle": 0.3,
    "angular_std": 0.1,
    "spread": 0.1,
    "ap_height": 10.0,
    "ue_height": 1.5,
    "exponent": 2.0,
    "frequency": 1e6,
    "frequencies": np.array([1e6, 2e6]),
    "frequency_1": 1e6,
    "frequency_2": 2e6,
    "frequency_offset": 1e6,
    "frequency_difference": 1e6,
    "fraction": 0.9,
    "relative": 0.1,
    "gains": np.ones((2, 2, 2)) + 0j,
    "angles": np.full((2, 2, 2), 0.2),
    "distances": np.full((2, 2), 30.0),
    "excess_delays": np.full((2, 2, 2), 1e-8),
    "azimuth_ranks": [1, 2],
    "elevation_ranks": [2, 1],
    "interferers": [1, 1],
    "se": _se,
    "combiner": jaxmimo.mr_combiner,
    "limit": np.array([1.0, 2.0]),
    "shares": np.array([1.0, 1.0]),
    "splits": [(2, 2)],
    "prefix_lengths": (0, 4),
    "scheme": b3.own_group,
    "rms_delay_spread": 1e-7,
    "drops": 2,
    "realizations": 2,
    "beta": np.ones((2, 2)),
    "noise": 1.0,
    "budget": 1.0,
}
SPECIAL: dict[str, dict[str, object]] = {
    "uplink_sinr": {"combiner": np.eye(3, 2) + 0j},
    "wideband_mmwave.grid_response": {"lags": np.full((2, 2), 1e-11), "num_antennas": 2},
    "wideband_mmwave.macro_steering": {"distances": np.array([10.0, 20.0])},
    "wideband_mmwave.macro_correlation": {"distances": np.array([10.0, 20.0])},
    "wideband_mmwave.channel_taps": {"gains": np.ones(2) + 0j},
    "wideband_mmwave.received_powers": {"prefix_lengths": 4.0},
    "wideband_mmwave.cyclic_prefix_weights": {"delay_samples": 3.0},
    "wideband_mmwave.common_angles": {"micro": np.stack([np.eye(3)] * 2) + 0j},
    "pathloss.log_distance_gain": {"distance": 50.0},
    "pathloss.distance_power_law": {"distance": 50.0},
    "tuning.fractional_power_control": {"limit": 1.0},
    "tuning.balanced_split": {},
    "beamforming_3d.Users": {
        name: np.array([0.2, 0.4])
        for name in ("distance", "azimuth", "azimuth_spread", "elevation", "elevation_spread")
    },
    "cell_free_iqi.CellFreeIQI": {
        "receive": _hardware(),
        "transmit": _hardware(),
        "pilot_snr": 1.0,
        "data_snr": 1.0,
    },
    "wideband_mmwave.Grid": {"first": 0.0, "step": 1e6},
    "tuning.ScaledApBudget": {"amplitudes": np.full((2, 2), 0.5)},
}


def example(path: str, name: str, annotation: object) -> object:
    """A value that a parameter takes."""
    special = SPECIAL.get(path, {})
    if name in special:
        return special[name]
    members = typing.get_args(annotation) or (annotation,)
    for member in (annotation, *members):
        if getattr(member, "__name__", "") in OBJECTS:
            return OBJECTS[member.__name__]()  # pyright: ignore
    for member in (annotation, *members):
        if inspect.isclass(member) and issubclass(member, jaxtyping.AbstractArray):
            return _array(member, name)
    if name in VALUES:
        return VALUES[name]
    return 1.0


def _array(annotation: typing.Any, name: str) -> object:
    if annotation.dtype is jaxtyping.Key:
        return VALUES["key"]
    axes = [axis.lstrip("*") for axis in annotation.dim_str.split() if axis != "..."]
    shape = tuple(int(a) if a.isdigit() else SIZES.get(a, ANY_SIZE) for a in axes)
    if len(shape) >= 2 and shape[-1] == shape[-2]:
        found = np.broadcast_to(np.eye(shape[-1]), shape).copy()
    else:
        found = 0.5 + 0.25 * np.arange(math.prod(shape)).reshape(shape)
    kinds = {"Complex": complex, "Bool": bool, "Int": int}
    return found.astype(kinds.get(annotation.dtype.__name__, float))


def wrong(value: object) -> Iterator[tuple[str, object]]:
    """Values that are wrong, or not what is meant, where this one is right."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        yield from (("integer", 0), ("raw", jax.random.PRNGKey(0)), ("text", "key"))
        yield from (("generator", np.random.default_rng(0)), ("batch", jax.random.split(value)))
    elif isinstance(value, bool):
        yield from (("text", "yes"), ("number", 2.5))
    elif isinstance(value, int):
        yield from (("fraction", 1.5), ("negative", -1), ("text", "three"), ("huge", 10**400))
        yield from (("many", 10**19), ("list", [1.5, 2.0]), ("nan", math.nan))
    elif isinstance(value, float | np.ndarray) and np.asarray(value).dtype.kind in "fc":
        array = np.asarray(value)
        yield from (("nan", array * math.nan), ("inf", array + math.inf), ("negative", -array))
        yield from (("text", "one"), ("object", 10**400), ("masked", np.ma.masked_array(array)))
        yield from (("complex", array * 1j), ("batch", np.stack([array] * 5)))
        yield "traced type", jnp.ones(array.shape, complex)
        if array.ndim:
            yield from (
                ("short", array[:-1]),
                ("flat", array[0]),
                ("long", np.concatenate([array] * 2)),
            )
    elif isinstance(value, np.ndarray):
        yield from (("text", "one"), ("float", value + 0.5), ("batch", np.stack([value] * 5)))
    elif isinstance(value, eqx.Module | tuple) or inspect.isfunction(value) or callable(value):
        yield from (("array", np.eye(2)), ("text", "mmse"), ("number", 3.5))
        yield from (("class", dict), ("nothing at all", object()))


def cases() -> list[tuple[str, str, str]]:
    """Function, parameter and kind of wrong value."""
    found = []
    for path, function in public().items():
        if path.split(".")[-1] in ELSEWHERE | RETURNED:
            continue
        for name, value in arguments(path, function).items():
            found += [(path, name, kind) for kind, _ in wrong(value)]
    return found


def arguments(path: str, function: Callable) -> dict[str, object]:
    """Values that a function takes, without those that have a default."""
    return {
        name: example(path, name, parameter.annotation)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (parameter.default is parameter.empty or name in ("law", "combiner", "scheme"))
    }


def fault(path: str, name: str, kind: str) -> str | None:
    """What is wrong about the answer to a wrong value; None if it is an answer."""
    function = public()[path]
    given = arguments(path, function)
    given[name] = dict(wrong(given[name]))[kind]
    try:
        found = call(function, given)
    except ValueError as error:
        message = str(error)
        if "\n" in message or "`" not in message:
            return f"an error that names nothing: {message!r}"
        return None
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:100]}"
    numbers = [
        np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(found, eqx.is_inexact_array))
    ]
    if kind == "nan" and not any(np.isnan(leaf).any() for leaf in numbers):
        return "a result from NaN"
    announced = kind == "nan" or path.split(".")[-1] in MAY_BE_INFINITE
    if not announced and not all(np.isfinite(leaf).all() for leaf in numbers):
        return "a result that is not finite"
    return None


def call(function: Callable, given: dict[str, object]) -> object:
    """The call, with all by position that can be given so."""
    parameters = inspect.signature(function).parameters
    by_name = {n: v for n, v in given.items() if parameters[n].kind is parameters[n].KEYWORD_ONLY}
    return function(*(v for n, v in given.items() if n not in by_name), **by_name)


def check(chosen: list[tuple[str, str, str]]) -> None:
    found = {case: problem for case in chosen if (problem := fault(*case)) is not None}
    assert not found, "\n".join(f"{case}: {problem}" for case, problem in found.items())


def test_a_hundred_random_wrong_calls_are_refused():
    check(random.Random(0).sample(cases(), 100))


@pytest.mark.slow
def test_all_wrong_calls_are_refused():
    everything = cases()
    assert len(everything) > 1000
    check(everything)
