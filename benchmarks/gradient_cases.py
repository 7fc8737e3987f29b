"""Gradients of Monte Carlo sum SEs by powers, or by large-scale gains, against their values."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks.beams_network import BEAMS
from benchmarks.iqi_network import FIGURE_2
from benchmarks.measures import Effort
from benchmarks.report import Row
from benchmarks.rician_network import RICIAN
from benchmarks.timing import Contender, in_turn
from benchmarks.wideband_network import WIDEBAND
from benchmarks.workloads import iqi_system, rician_systems, wideband_system
from jaxmimo import (
    beamforming_3d,
    cell_free_iqi,
    distributed_rician,
    mmse_combiner,
    wideband_mmwave,
)

Function = Callable[[Array], Array]


def gradients(effort: Effort) -> Row:
    """Value and gradient in one program, over the value alone, for each system."""
    contenders = {}
    for system, (function, point) in _functions(effort).items():
        value, both = jax.jit(function), jax.jit(jax.value_and_grad(function))
        _check(system, value, both, point)
        contenders[system] = _contender(value, point)
        contenders[f"{system}, gradient"] = _contender(both, point)
    timings = in_turn(contenders, effort.repeats)
    ratios = {
        system: timings[f"{system}, gradient"].paired_ratio(timings[system])
        for system in ("iqi", "rician", "beams", "wideband")
    }
    return Row(
        case="gradients",
        further={
            "ratio_most": max(ratios.values()),
            **{f"ratio_gradient_{system}": ratio for system, ratio in ratios.items()},
        },
    )


def _functions(effort: Effort) -> dict[str, tuple[Function, Array]]:
    """Sum SE of each system with MMSE combining or SLNR precoding, and where it is taken."""
    scale = 1 if jax.default_backend() == "cpu" else 64
    key, drops = jax.random.key(0), scale * max(1, effort.drops_at_once // 4)
    iqi = iqi_system(FIGURE_2)
    rician = eqx.tree_at(lambda s: s.rician_factor, rician_systems(RICIAN, [0.0])[0], jnp.ones(()))
    cell = BEAMS.system(8)
    users = beamforming_3d.draw_users(jax.random.key(3), cell)
    wideband = wideband_system(WIDEBAND)

    def of_iqi(beta: Array) -> Array:
        system = eqx.tree_at(lambda s: s.beta, iqi, beta)
        return cell_free_iqi.simulate_se(key, system, realizations=16 * drops).mean.sum()

    def of_rician(power: Array) -> Array:
        system = eqx.tree_at(lambda s: s.power, rician, power)
        options = {"combiner": mmse_combiner, "drops": 4 * drops, "realizations": 32}
        return distributed_rician.simulate_se(key, system, **options).mean.sum()

    def of_beams(power: Array) -> Array:
        system = eqx.tree_at(lambda s: s.power, cell, power)
        return beamforming_3d.sum_rate(key, system, users, realizations=16 * drops).mean

    def of_wideband(power: Array) -> Array:
        system = eqx.tree_at(lambda s: s.power, wideband, power)
        options = {"combiner": mmse_combiner, "drops": drops}
        return wideband_mmwave.simulate_se(key, system, **options).mean.sum()

    return {
        "iqi": (of_iqi, iqi.beta),
        "rician": (of_rician, jnp.full(RICIAN.users, 0.1)),
        "beams": (of_beams, cell.power),
        "wideband": (of_wideband, jnp.full(WIDEBAND.users, 0.1)),
    }


def _check(system: str, value: Function, both: Function, point: Array) -> None:
    """Raise unless the slope along the point agrees with a finite difference."""
    step = 0.02
    slope = float(jnp.sum(both(point)[1] * point))
    ends = [float(value(point * (1.0 + sign * step))) for sign in (1.0, -1.0)]
    difference = (ends[0] - ends[1]) / (2 * step)
    if not np.isclose(slope, difference, rtol=0.05):
        raise AssertionError(f"gradient of {system}: slope {slope}, difference {difference}")


def _contender(function: Function, point: Array) -> Contender:
    return Contender(partial(_wait_for, function, point))


def _wait_for(function: Function, point: Array) -> object:
    return jax.block_until_ready(function(point))
