"""The cases of system 3: its Monte Carlo against NumPy, and Theorem 1 against its Monte Carlo."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks import numpy_beams
from benchmarks.beams_network import BEAMS, BeamsNetwork, draw_cells, jax_users, numpy_drop
from benchmarks.blas import set_threads
from benchmarks.measures import Effort, basics, each, jax_realizations
from benchmarks.numpy_beams import BeamsDrop, in_threads
from benchmarks.numpy_beams_low_rank import low_rank
from benchmarks.report import Row
from benchmarks.timing import Contender, in_turn
from jaxmimo import beamforming_3d as b3
from jaxmimo.simulation.batches import usable_cores
from jaxmimo.systems.beamforming_3d.cell import channel_factors, draw_channels
from jaxmimo.systems.beamforming_3d.simulation import sum_rates

BASELINES: dict[str, Callable[..., np.ndarray]] = {
    "shared": numpy_beams.shared,
    "low rank": low_rank,
    "antennas": numpy_beams.antennas,
}
"""NumPy's contenders; one BLAS thread suits all of them."""

SIDE_BY_SIDE = 2
"""Drops in one vector operation: their users' problems then fill the lanes of a CPU."""


def beams_sum_rate(effort: Effort, network: BeamsNetwork = BEAMS, azimuth_groups: int = 4) -> Row:
    """The sum rate of one drop, proposal, against NumPy."""
    system = network.system(azimuth_groups)
    users = jax_users(system)
    drop = numpy_drop(system, users)
    count = jax_realizations(effort)
    relative_error = _agreed_relative_error(system, users, drop, count)
    baselines = _baselines(drop, effort)
    timings = in_turn(
        {"jaxmimo": Contender(partial(_simulate, system, users, count), count), **baselines},
        effort.repeats,
    )
    steady = timings["jaxmimo"]
    return Row(
        case="beams-sum-rate" + ("" if azimuth_groups == 4 else f"-{azimuth_groups}"),
        **basics(steady, relative_error),
        ratio_numpy_shared=timings["shared"].over(steady),
        ratio_numpy_pointwise=timings["antennas"].over(steady),
        further={
            "ratio_numpy_low_rank": timings["low rank"].over(steady),
            "ratio_numpy_shared_two_threads": timings["shared, two threads"].over(steady),
            "ratio_numpy_low_rank_two_threads": timings["low rank, two threads"].over(steady),
            **each(timings),
        },
    )


def beams_equivalent(effort: Effort, network: BeamsNetwork = BEAMS) -> Row:
    """Theorem 1 of many drops in one kernel, against Monte Carlo to 1 % in each of them.

    Both start from the statistics of drops, which are timed apart, and both run on all cores, each
    with half of the drops on two.
    """
    measured: dict[str, list[Any]] = {}
    for azimuth_groups in network.azimuth_groups:
        for name, value in _equivalent_measures(effort, network, azimuth_groups).items():
            measured.setdefault(name, []).append(value)
    return Row(
        case="beams-equivalent",
        further={
            "ratio_least": min(measured["ratio_monte_carlo_each"]),
            "azimuth_groups": list(network.azimuth_groups),
            **measured,
        },
    )


def _equivalent_measures(
    effort: Effort, network: BeamsNetwork, azimuth_groups: int
) -> dict[str, float]:
    system = network.system(azimuth_groups)
    keys = jax.random.split(jax.random.key(0), network.drops)
    cells = draw_cells(system, keys)
    needed, excess = _needed_realizations(cells)
    parts = [_part(cells, i) for i in range(usable_cores())]
    simulate = partial(_simulated, realizations=needed)
    contenders = {
        "equivalent": _on_all_cores(lambda i: _equivalents(parts[i])),
        "simulation": _on_all_cores(lambda i: simulate(parts[i])),
        "statistics": _on_all_cores(lambda i: draw_cells(system, _part(keys, i))),
    }
    timings = in_turn(contenders, max(3, effort.repeats // 2))
    equivalent, simulation = timings["equivalent"], timings["simulation"]
    statistics = timings["statistics"].minimum
    whole = (simulation.minimum + statistics) / (equivalent.minimum + statistics)
    per_drop = 1e3 / network.drops
    return {
        "ratio_monte_carlo_each": whole,
        "ratio_without_statistics_each": simulation.over(equivalent),
        "realizations_for_one_percent_each": needed,
        "equivalent_over_simulation_each": excess,
        "equivalent_ms_each": equivalent.minimum * per_drop,
        "simulation_ms_each": simulation.minimum * per_drop,
        "statistics_ms_each": statistics * per_drop,
    }


def _needed_realizations(cells: b3.Cell) -> tuple[int, float]:
    """Realizations to a standard error of 1 % in every drop, and equivalent over simulation."""
    rates = np.asarray(_simulated(cells, realizations=128))
    mean, spread = rates.mean(1), rates.std(1, ddof=1)
    excess = float((np.asarray(_equivalents(cells)) / mean).mean())
    if not 0.97 < excess < 1.2:
        raise AssertionError(f"the equivalent is {excess} times the simulated sum rate")
    return int(np.ceil(((spread / mean).max() / 0.01) ** 2)), excess


@jax.jit
def _equivalents(cells: b3.Cell) -> Array:
    def of_cell(cell: b3.Cell) -> Array:
        return b3.adjacent_groups(cell).rates_in_the_limit().sum()

    return lax.map(of_cell, cells, batch_size=SIDE_BY_SIDE)


@partial(jax.jit, static_argnames="realizations")
def _simulated(cells: b3.Cell, *, realizations: int) -> Array:
    """Sum rates (drops, realizations) of the proposal."""

    def of_cell(cell: b3.Cell) -> Array:
        precodings, factors = [[b3.adjacent_groups(cell)]], channel_factors(cell)

        def of_realization(i: Array) -> Array:
            h = draw_channels(jax.random.fold_in(jax.random.key(1), i), factors)
            return sum_rates(precodings, h)[0, 0]

        return lax.map(of_realization, jnp.arange(realizations), batch_size=SIDE_BY_SIDE)

    return lax.map(of_cell, cells)


def _part(tree: Any, index: int) -> Any:
    """One core's share of the drops."""
    cores = usable_cores()
    return jax.tree.map(lambda leaf: leaf[index * len(leaf) // cores :][: len(leaf) // cores], tree)


def _on_all_cores(call: Callable[[int], Any]) -> Contender:
    def run() -> None:
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(lambda i: jax.block_until_ready(call(i)), range(usable_cores())))

    return Contender(run)


def _simulate(system: b3.Beamforming3D, users: b3.Users, realizations: int) -> Any:
    estimate = b3.sum_rate(jax.random.key(0), system, users, realizations=realizations)
    return jax.block_until_ready(estimate)


def _agreed_relative_error(
    system: b3.Beamforming3D, users: b3.Users, drop: BeamsDrop, count: int
) -> float:
    """Relative standard error of `count` realizations; all baselines must agree with jaxmimo."""
    estimate = _simulate(system, users, count)
    for name, baseline in BASELINES.items():
        theirs = numpy_beams.estimate(baseline(drop, 256))
        spread = np.hypot(float(estimate.std_error), theirs.std_error)
        if abs(theirs.mean - float(estimate.mean)) > 5 * spread:
            raise AssertionError(f"NumPy baseline `{name}` disagrees: {theirs} against {estimate}")
    return estimate.relative_error


def _baselines(drop: BeamsDrop, effort: Effort) -> dict[str, Contender]:
    count = 2 * effort.numpy_realizations
    contenders = {}
    for name, baseline in BASELINES.items():
        run = partial(_with_one_blas_thread, baseline, drop, count)
        contenders[name] = Contender(run, count)
    for name in ("shared", "low rank"):
        run = partial(_with_one_blas_thread, partial(in_threads, BASELINES[name]), drop, count)
        contenders[f"{name}, two threads"] = Contender(run, count)
    return contenders


def _with_one_blas_thread(
    baseline: Callable[..., np.ndarray], drop: BeamsDrop, realizations: int
) -> np.ndarray:
    set_threads(1)
    return baseline(drop, realizations)
