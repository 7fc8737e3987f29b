"""Downlink powers of cell-free networks tuned for fairness and throughput, with imbalance."""

import math
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import xarray as xr
from jax import Array, lax
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.channel.geometry import distance_3d, uniform_positions
from jaxmimo.channel.pathloss import umi_street_canyon
from jaxmimo.channel.umi_street_canyon import draw_large_scale, umi_los
from jaxmimo.core.units import from_db, noise_power
from jaxmimo.studies import convergence, domains, iqi, tune_power
from jaxmimo.studies.study import Claim, Parameters, Sampling, Study
from jaxmimo.studies.tune_power import FAIR, MAX_MIN, OWN_MEASURE, SUM
from jaxmimo.studies.verdicts import all_above, exactly
from jaxmimo.systems.cell_free_iqi import CellFreeIQI
from jaxmimo.transceiver.hardware import IQImbalance
from jaxmimo.tuning import (
    Maximum,
    ScaledApBudget,
    downlink_se,
    equal_split,
    fractional_split,
    max_min_downlink,
    maximize_from_each,
    proportional_fairness,
    sum_se,
)

EQUAL, FRACTIONAL = "equal split", "fractional power control"
HEURISTICS = (EQUAL, FRACTIONAL)
ALLOCATIONS = (*HEURISTICS, MAX_MIN, FAIR, SUM)
SEARCHES = (MAX_MIN, FAIR, SUM, f"{FAIR}, impaired", f"{SUM}, impaired")
PERFECT, IMPAIRED = iqi.HARDWARE
_AP_HEIGHT, _USER_HEIGHT = 10.0, 1.5
"""[m]"""
_MAX_STEPS = 500
_STEPS = convergence.steps_up_to(_MAX_STEPS)
LITTLE = 0.1
"""Share of a gain that knowing the hardware may add to powers for these to do without."""

_ATTRIBUTES = {
    "hardware": ("Hardware", "1"),
    "objective": ("Objective", "1"),
    "retuned_gain": ("Gain, impaired, by tuning for that hardware", "bit/s/Hz"),
}


@dataclass(frozen=True)
class TunePowerIqi(Parameters):
    """Parameters of the comparison; size and powers are those of Ngo et al., 2017."""

    num_aps: int = 50
    """APs M, at random places."""
    num_users: int = 10
    """Users K, at random places."""
    ap_antennas: int = 1
    """AP antennas L."""
    side_m: float = 1000.0
    """Side of the square [m]."""
    carrier_ghz: float = 1.9
    """Carrier frequency [GHz]."""
    coherence_length: int = 200
    """Coherence interval T [symbols]; pilots take K."""
    ap_power_mw: float = 200.0
    """Power of an AP [mW]."""
    pilot_power_mw: float = 100.0
    """Power of a user's pilots [mW]."""
    amplitude_mismatch: Annotated[float, domains.AMPLITUDE] = 0.5
    """Amplitude mismatch g = f of the impaired hardware."""
    phase_mismatch_deg: float = 15.0
    """Phase mismatch theta = alpha of the impaired hardware [degrees]."""
    exponent: Annotated[float, domains.EXPONENT] = 0.5
    """Exponent of the gains to which fractional power control makes powers proportional."""

    def __post_init__(self) -> None:
        super().__post_init__()
        make_system(self, jnp.ones((self.num_aps, self.num_users)), IQImbalance())

    def largest_array(self) -> int:
        """Numbers in the channel."""
        return self.num_aps * self.ap_antennas * self.num_users


def make_system(parameters: TunePowerIqi, beta: Array, hardware: IQImbalance) -> CellFreeIQI:
    """A network with gains over the noise [1/W]."""
    return CellFreeIQI(
        beta=beta,
        receive=hardware,
        transmit=hardware,
        user_antennas=1,
        coherence_length=parameters.coherence_length,
        pilot_snr=1e-3 * parameters.pilot_power_mw,
        data_snr=1e-3 * parameters.ap_power_mw,
        ap_antennas=parameters.ap_antennas,
    )


def draw_gains(key: Array, parameters: TunePowerIqi) -> Array:
    """Large-scale gains over the noise [1/W], (aps, users), of a random network.

    References:
        3GPP TR 38.901, urban micro cells in street canyons, with sight and shadowing at random.
    """
    ap_key, user_key, los_key, shadowing_key = jax.random.split(key, 4)
    carrier_hz = 1e9 * parameters.carrier_ghz
    aps = uniform_positions(ap_key, parameters.num_aps, parameters.side_m)
    users = uniform_positions(user_key, parameters.num_users, parameters.side_m)
    distance = distance_3d(aps, users, 0.0)
    los = umi_los(los_key, distance)
    shadowing_db = draw_large_scale(shadowing_key, users, los, carrier_hz).shadowing_db
    loss_db = umi_street_canyon(distance, carrier_hz, _AP_HEIGHT, _USER_HEIGHT, los)
    return from_db(shadowing_db - loss_db) / noise_power(20e6, 9.0)


def run(parameters: TunePowerIqi, sampling: Sampling) -> xr.Dataset:
    """Tune every network, and average over networks."""
    # Maximum ratio over M L antennas reaches no larger SINR than M L.
    top = math.log2(1.0 + parameters.num_aps * parameters.ap_antennas)
    levels = tune_power.levels_up_to(top)
    dimensions = {
        "allocation": ALLOCATIONS,
        "hardware": iqi.HARDWARE,
        "se_level": levels,
        "objective": (FAIR, SUM),
        "search": SEARCHES,
        "step": _STEPS,
        "num_aps": parameters.num_aps,
        "num_users": parameters.num_users,
        "ap_antennas": parameters.ap_antennas,
    }
    sample = Partial(_sample, parameters, jnp.asarray(levels))
    return tune_power.simulate(sample, sampling, dimensions, "hardware", _ATTRIBUTES)


def _sample(parameters: TunePowerIqi, levels: Array, key: Array) -> dict[str, Array]:
    """Measures of one network.

    All allocations are for perfect hardware, and are used with the impaired one as they are. What
    the gradient gains by knowing the impaired one comes apart.
    """
    beta = draw_gains(key, parameters)
    swept = iqi.perfect_and_impaired(parameters.amplitude_mismatch, parameters.phase_mismatch_deg)

    perfect = make_system(parameters, beta, IQImbalance())
    fair = max_min_downlink(perfect, max_steps=_MAX_STEPS)
    heuristics = [equal_split(perfect), fractional_split(beta, exponent=parameters.exponent)]
    starts = jnp.stack([*heuristics, fair.parameters])

    def with_hardware(known: Array, hardware: IQImbalance) -> tuple[Array, Maximum]:
        found = _tuned(downlink_se(make_system(parameters, beta, hardware)), starts, known)
        return found.parameters, found

    _, tuned = lax.scan(with_hardware, jnp.stack([fair.parameters, fair.parameters]), swept)
    every = jnp.concatenate([starts, *tuned.parameters])

    def rates(hardware: IQImbalance) -> Array:
        return jax.vmap(downlink_se(make_system(parameters, beta, hardware)))(every)

    se = jnp.moveaxis(jax.vmap(rates)(swept), 0, 1)
    for_perfect, for_impaired = se[: len(ALLOCATIONS)], se[len(ALLOCATIONS) :, 1]
    result = tune_power.measures(for_perfect, levels, heuristics=len(HEURISTICS))
    used = for_perfect[ALLOCATIONS.index(FAIR) :, 1]
    gains = [
        own(again) - own(borrowed)
        for own, again, borrowed in zip(
            (proportional_fairness, sum_se), for_impaired, used, strict=True
        )
    ]
    return result | {"retuned_gain": jnp.stack(gains)} | _progress(fair, tuned)


def _progress(fair: Maximum, tuned: Maximum) -> dict[str, Array]:
    """How the `SEARCHES` went; `tuned` are those of each hardware and objective."""
    lacking = convergence.shortfall(tuned.history, _STEPS).reshape(-1, len(_STEPS))
    first = convergence.shortfall(fair.history, _STEPS)
    return {
        "shortfall_by_step": jnp.concatenate([first[None], lacking]),
        "certified": jnp.append(fair.converged, tuned.converged),
        "steps_taken": jnp.append(fair.steps, tuned.steps),
    }


def _tuned(se: Partial, starts: Array, known: Array) -> Maximum:
    """Largest geometric mean and largest sum, one after the other along the leading axis.

    The sum has many maxima. Searches start from heuristics, from what the search before them
    found, at first max-min powers, the last of `starts`, and from what is `known` to suit the
    objective.
    """
    domain = ScaledApBudget(starts[-1])

    def search(latest: Array, aim: tuple[Array, Array]) -> tuple[Array, Maximum]:
        weight, own = aim
        found = maximize_from_each(
            Partial(_objective, se, weight),
            jnp.concatenate([starts[:-1], jnp.stack([latest, own])]),
            domain=domain,
            max_steps=_MAX_STEPS,
        )
        return found.parameters, found

    return lax.scan(search, starts[-1], (jnp.asarray([0.0, 1.0]), known))[1]


def _objective(se: Partial, weight: Array, amplitudes: Array) -> Array:
    return tune_power.fair_to_sum(weight, se(amplitudes))


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw distributions of the SE, a panel for each hardware."""
    return tune_power.plot(dataset, ax, "hardware")


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge what tuning has to show, by differences of the same networks."""
    names = (MAX_MIN, FAIR, SUM)
    perfect, impaired = (dataset.sel(hardware=name) for name in iqi.HARDWARE)
    with_perfect, with_impaired = (
        {name: tune_power.gain_of(each, name, OWN_MEASURE[name]) for name in names}
        for each in (perfect, impaired)
    )
    shares = tune_power.kept(perfect, names)
    again = {}
    for name in (FAIR, SUM):
        one = dataset.sel(objective=name)
        again[name] = float(one.retuned_gain), float(one.retuned_gain_std_error)
    return [
        Claim(
            f"each allocation beats the {EQUAL} by its own measure",
            all_above(dataset, *with_perfect.values()),
            tune_power.listed(dataset, with_perfect),
        ),
        Claim(
            f"and is not below the {EQUAL} or {FRACTIONAL} in any network",
            exactly(all(share == 1.0 for share in shares.values())),
            f"in {', '.join(f'{100 * share:.1f} % ({name})' for name, share in shares.items())} "
            f"of {dataset.realizations} networks",
        ),
        Claim(
            "powers tuned for perfect hardware gain with impaired hardware, too",
            all_above(dataset, *with_impaired.values()),
            tune_power.listed(dataset, with_impaired),
        ),
        Claim(
            "tuning for the impaired hardware itself adds little",
            all_above(dataset, *(_little(again[name], with_impaired[name]) for name in again)),
            tune_power.listed(dataset, again),
        ),
        Claim(
            "every search ends by its certificate: little is left to gain, to first order",
            exactly((dataset.certified == 1.0).all()),
            ", ".join(
                f"{name}: {100 * share:.0f} % in {steps:.0f} steps"
                for name, share, steps in zip(
                    dataset.search.values,
                    dataset.certified.values,
                    dataset.steps_taken.values,
                    strict=True,
                )
            ),
        ),
    ]


def _little(more: tuple[float, float], gain: tuple[float, float]) -> tuple[float, float]:
    """How much less than a little of a gain something adds, with the standard error."""
    return LITTLE * gain[0] - more[0], math.hypot(more[1], LITTLE * gain[1])


STUDY = Study(
    name="tune-power-iqi",
    summary="SE of users of a cell-free downlink with tuned powers, with and without imbalance",
    paper=iqi.PAPER,
    figure="eq. (14) as the start, in random networks; the tuning is ours",
    parameters=TunePowerIqi,
    realizations=100,
    run=run,
    plot=plot,
    claims=claims,
    convergence=convergence.plot,
)
