"""Uplink powers of distributed MIMO tuned for fairness and for throughput: MR and MMSE combining.

Powers for maximum ratio come from its closed form; powers for MMSE combining, which has none, from
stochastic gradients. MMSE combining is simulated on fading that no search has seen.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array, lax
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.channel.geometry import uniform_positions
from jaxmimo.core.checks import require
from jaxmimo.core.units import from_db
from jaxmimo.studies import convergence, domains, rician, tune_power
from jaxmimo.studies.rician_se import se_levels
from jaxmimo.studies.study import Claim, Parameters, Sampling, Study
from jaxmimo.studies.tune_power import FAIR, MAX_MIN, OWN_MEASURE, SUM
from jaxmimo.studies.verdicts import all_above, exactly
from jaxmimo.systems.distributed_rician import (
    DistributedRician,
    MaximumRatioDrop,
    maximum_ratio_drop,
)
from jaxmimo.tuning import (
    PowerLimits,
    balanced_powers,
    fractional_power_control,
    maximize_expected,
    maximize_from_each,
    proportional_fairness,
    soft_min,
    uplink_se,
)

FULL, FRACTIONAL = "full power", "fractional power control"
MAX_MIN_MMSE, FAIR_MMSE = f"{MAX_MIN}, by draws", f"{FAIR}, by draws"
ALLOCATIONS = (FULL, FRACTIONAL, MAX_MIN, FAIR, SUM, MAX_MIN_MMSE, FAIR_MMSE)
MR, MMSE = "MR, closed form", "MMSE, simulated"
SEARCHES = (f"MR, {FAIR}", f"MR, {SUM}", f"MMSE, {MAX_MIN}, in rounds of 25")
"""Searches whose convergence is recorded: fairness with MMSE stays at its start, full power."""
LITTLE = 0.01
"""Share of the geometric mean that tuning may add to full power for this to do."""
_CHUNK = 16
"""Fading realizations per key."""
_WEIGHTS = (0.0, 1.0)
"""Of both ends of an objective: the two searches are one compilation."""
_STEPS = 400
"""Steps of a search for MR, at most."""
_TEMPERATURE = 0.1
"""Of the soft minimum that stands for the smallest SE with MMSE combining [bit/s/Hz]."""


@dataclass(frozen=True)
class TunePowerRician(Parameters):
    """Parameters of the comparison: users at different distances to the APs."""

    num_aps: int = 16
    """APs Q."""
    ap_antennas: int = 1
    """AP antennas S."""
    num_users: int = 10
    """Users K."""
    rician_factor_db: float = 0.0
    """Rician factor kappa [dB]."""
    path_loss_exponent: Annotated[float, domains.PATH_LOSS_EXPONENT] = 3.67
    """Exponent of the path loss; 2 is free space."""
    side_m: float = 250.0
    """Side of the square [m]."""
    power_mw: float = 100.0
    """Largest power of a user [mW]."""
    exponent: Annotated[float, domains.EXPONENT] = 0.5
    """Share of the path loss, in decibels, that fractional power control makes up for."""
    fading_realizations: int = 256
    """Fading realizations per drop that MMSE combining is judged by, in sixteens."""
    max_rounds: int = 20
    """Rounds of stochastic gradient steps after which to stop in any case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        make_system(self)
        require(
            self.fading_realizations >= _CHUNK,
            f"`fading_realizations` must be at least {_CHUNK}, but got {self.fading_realizations}. "
            "They are drawn in sixteens; give a few hundred.",
        )

    def largest_array(self) -> int:
        """Numbers in the channel."""
        return self.num_aps * self.ap_antennas * self.num_users


def make_system(
    parameters: TunePowerRician, user_positions: Array | None = None
) -> DistributedRician:
    """The network, with propagation phases and uncorrelated scattering."""
    return DistributedRician(
        num_aps=parameters.num_aps,
        ap_antennas=parameters.ap_antennas,
        num_users=parameters.num_users,
        rician_factor=from_db(parameters.rician_factor_db),
        propagation_phase=True,
        power=1e-3 * parameters.power_mw,
        path_loss_exponent=parameters.path_loss_exponent,
        side=parameters.side_m,
        user_positions=user_positions,
    )


def run(parameters: TunePowerRician, sampling: Sampling) -> xr.Dataset:
    """Tune every drop, and average over drops."""
    levels = se_levels(make_system(parameters))
    steps = convergence.steps_up_to(_STEPS)
    dimensions = {
        "allocation": ALLOCATIONS,
        "combiner": (MR, MMSE),
        "search": SEARCHES,
        "step": steps,
        "se_level": levels,
        "num_aps": parameters.num_aps,
        "num_users": parameters.num_users,
        "ap_antennas": parameters.ap_antennas,
        "rician_factor_db": parameters.rician_factor_db,
    }
    sample = Partial(_sample, parameters, tuple(steps.tolist()), jnp.asarray(levels))
    return tune_power.simulate(sample, sampling, dimensions, "combiner", _ATTRIBUTES)


_ATTRIBUTES = {
    "combiner": ("Combiner", "1"),
    "rician_factor_db": ("Rician factor", "dB"),
    "settled": ("Share of stochastic searches that came to rest", "1"),
}


def _sample(
    parameters: TunePowerRician, steps: tuple[int, ...], levels: Array, key: Array
) -> dict[str, Array]:
    """Measures of one drop of the users, and how its searches went."""
    places_key, tuning_key, test_key = jax.random.split(key, 3)
    places = uniform_positions(places_key, parameters.num_users, parameters.side_m)
    system = make_system(parameters, places)
    drop = maximum_ratio_drop(key, system)  # places are given, and nothing is drawn
    limit = jnp.broadcast_to(system.power, drop.gain.shape)
    of_mr, histories = _for_maximum_ratio(drop, limit, parameters.exponent)
    paths, settled = _for_mmse(system, tuning_key, limit, parameters.max_rounds)
    every = jnp.concatenate([of_mr, paths[:, -1], paths[0]])
    keys = jax.random.split(test_key, parameters.fading_realizations // _CHUNK)
    over_powers = jax.vmap(_fading_se, in_axes=(None, None, 0))
    simulated = lax.map(lambda each: over_powers(system, each, every), keys).mean(0)
    # Points passed on the way to max-min are judged by fading that has not chosen them.
    kept, passed = jnp.split(simulated, [len(ALLOCATIONS)])
    reached = jax.vmap(Partial(_lowest_to_fair, jnp.asarray(0.0)))(passed)
    histories = (*histories, reached)
    lacking = [convergence.shortfall(each, np.asarray(steps)) for each in histories]
    closed_form = jax.vmap(drop.se)(every[: len(ALLOCATIONS)])
    se = jnp.stack([closed_form, kept], axis=1)
    result = tune_power.measures(se, levels, heuristics=2)
    return {**result, "settled": settled.mean(), "shortfall_by_step": jnp.stack(lacking)}


def _fading_se(system: DistributedRician, key: Array, power: Array) -> Array:
    """SE of each user with MMSE combining, on fading of this key alone: the users have places."""
    return uplink_se(key, system, realizations=_CHUNK)(power)


def _for_mmse(
    system: DistributedRician, key: Array, limit: Array, max_rounds: int
) -> tuple[Array, Array]:
    """Best powers after each round of both searches, and whether these came to rest."""

    def search(weight: Array) -> tuple[Array, Array]:
        found = maximize_expected(
            Partial(_fading_se, system),
            key,
            limit,
            statistic=Partial(_lowest_to_fair, weight),
            domain=PowerLimits(limit),
            batch=1,
            held_out=2 * _CHUNK,
            max_rounds=max_rounds,
        )
        return found.path, found.converged

    return lax.map(
        search, jnp.asarray(_WEIGHTS)
    )  # one after another, since one needs far fewer rounds


def _lowest_to_fair(weight: Array, se: Array) -> Array:
    """From the smallest SE, at weight 0, to proportional fairness, at weight 1."""
    lowest = soft_min(se, _TEMPERATURE)
    return (1.0 - weight) * lowest + weight * proportional_fairness(se)


def _for_maximum_ratio(
    drop: MaximumRatioDrop, limit: Array, exponent: float
) -> tuple[Array, Array]:
    """Powers of the allocations that the closed form decides, and values after each step."""
    fractional = fractional_power_control(drop.gain, limit, exponent=exponent)
    fair = balanced_powers(drop.se, limit).powers
    starts = jnp.stack([limit, fractional, fair])

    def search(weight: Array) -> tuple[Array, Array]:
        objective = Partial(_objective, drop, weight)
        domain = PowerLimits(limit)
        found = maximize_from_each(objective, starts, domain=domain, max_steps=_STEPS)
        return found.parameters, found.history

    powers, histories = jax.vmap(search)(jnp.asarray(_WEIGHTS))
    return jnp.concatenate([starts, powers]), histories


def _objective(drop: MaximumRatioDrop, weight: Array, power: Array) -> Array:
    return tune_power.fair_to_sum(weight, drop.se(power))


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw distributions of the SE, a panel for each combiner."""
    return tune_power.plot(dataset, ax, "combiner", shared=False)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge what tuning has to show, by differences of the same drops."""
    names = (MAX_MIN, FAIR, SUM)
    mr, mmse = (dataset.sel(combiner=name) for name in (MR, MMSE))
    of_mr = {name: tune_power.gain_of(mr, name, OWN_MEASURE[name]) for name in names}
    shares = tune_power.kept(mr, names)
    of_mmse = {
        name: tune_power.gain_of(mmse, name, measure)
        for name, measure in ((MAX_MIN_MMSE, "min_se"), (FAIR_MMSE, "geometric_mean_se"))
    }
    borrowed = {name: tune_power.gain_of(mmse, name, OWN_MEASURE[name]) for name in names}
    full = mmse.sel(allocation=FULL)
    fair, its_error = (float(full[f"geometric_mean_se{suffix}"]) for suffix in ("", "_std_error"))
    error = math.hypot(of_mmse[FAIR_MMSE][1], LITTLE * its_error)
    return [
        Claim(
            f"with MR each allocation beats {FULL} by its own measure",
            all_above(dataset, *of_mr.values()),
            tune_power.listed(dataset, of_mr),
        ),
        Claim(
            f"and is not below {FULL} or {FRACTIONAL} in any drop",
            exactly(all(share == 1.0 for share in shares.values())),
            f"in {', '.join(f'{100 * share:.1f} % ({name})' for name, share in shares.items())} "
            f"of {dataset.realizations} drops",
        ),
        Claim(
            f"max-min powers tuned by draws beat {FULL} with MMSE, on fading they have not seen",
            all_above(dataset, of_mmse[MAX_MIN_MMSE]),
            f"{tune_power.listed(dataset, {MAX_MIN_MMSE: of_mmse[MAX_MIN_MMSE]})}; "
            f"{100 * float(dataset.settled):.0f} % of the searches came to rest",
        ),
        Claim(
            f"for proportional fairness with MMSE {FULL} is enough",
            all_above(dataset, (LITTLE * fair - of_mmse[FAIR_MMSE][0], error)),
            f"{tune_power.listed(dataset, {FAIR_MMSE: of_mmse[FAIR_MMSE]})} at {fair:.2f} bit/s/Hz",
        ),
        Claim(
            f"powers tuned for MR are worse than {FULL} with MMSE",
            all_above(dataset, *((-gain, error) for gain, error in borrowed.values())),
            tune_power.listed(dataset, borrowed),
        ),
    ]


STUDY = Study(
    name="tune-power-rician",
    summary="SE of users of the distributed MIMO uplink with tuned powers, MR and MMSE",
    paper=rician.PAPER,
    figure="Table I's power as the start, with other path loss; the tuning is ours",
    parameters=TunePowerRician,
    realizations=100,
    run=run,
    plot=plot,
    claims=claims,
    convergence=convergence.plot,
)
