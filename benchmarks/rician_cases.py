"""The cases of system 2: the figure of SE against the Rician factor, and its memory."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jax import lax

from benchmarks import numpy_rician
from benchmarks.blas import set_threads
from benchmarks.ceilings import ceiling_share, rician_work
from benchmarks.floor import Floor, floor_part, identities
from benchmarks.fresh import peak_bytes
from benchmarks.measures import (
    Effort,
    basics,
    each,
    fresh_measures,
    jax_contender,
    jax_realizations,
    pooled,
)
from benchmarks.numpy_rician import in_threads
from benchmarks.numpy_rician_gram import gram
from benchmarks.report import Row
from benchmarks.rician_network import RICIAN, RicianNetwork
from benchmarks.timing import Contender, in_turn
from benchmarks.workloads import rician_figure
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.small_matrices import Parts, adjoint_product, inverse

BASELINES: dict[str, Callable[..., np.ndarray]] = {
    "shared": numpy_rician.shared,
    "gram": gram,
    "pointwise": numpy_rician.pointwise,
    "loop": numpy_rician.loop,
}
"""NumPy's contenders; one BLAS thread suits all of them, as `NOTES.md` says."""


def rician_se(effort: Effort, network: RicianNetwork = RICIAN) -> Row:
    """Figure 5: five layouts, 13 Rician factors and three combiners at once, against NumPy."""
    count = jax_realizations(effort)
    relative_error = _agreed_relative_error(network, count)
    floor = _floor(network, effort)
    contenders = {
        "figure": jax_contender(rician_figure(network), count),
        **_baselines(network, effort),
        **floor.contenders,
    }
    timings = in_turn(contenders, effort.repeats)
    steady = timings["figure"]
    return Row(
        case="rician-se",
        **basics(steady, relative_error),
        **fresh_measures("rician-se", effort, 32 * network.realizations),
        floor_share=floor.share(timings, steady),
        ratio_numpy_shared=timings["shared"].over(steady),
        ratio_numpy_pointwise=timings["pointwise"].over(steady),
        ratio_numpy_loop=timings["loop"].over(steady),
        ceiling_share=ceiling_share(steady, *rician_work(network), effort.repeats),
        further={
            "ratio_numpy_gram": timings["gram"].over(steady),
            "ratio_numpy_shared_two_threads": timings["shared, two threads"].over(steady),
            "ratio_numpy_gram_two_threads": timings["gram, two threads"].over(steady),
            **each(timings),
            **floor.further(timings, steady),
        },
    )


def rician_axis(effort: Effort, network: RicianNetwork = RICIAN) -> Row:
    """The whole axis of Rician factors, against a single one."""
    count = jax_realizations(effort)
    whole, one = rician_figure(network), rician_figure(network, rician_db=network.rician_db[:1])
    if not np.allclose(whole(count).mean[..., :1], one(count).mean, rtol=1e-3):
        raise AssertionError("the first Rician factor of the axis disagrees with it alone")
    sides = {"axis": jax_contender(whole, count), "one factor": jax_contender(one, count)}
    timings = in_turn(sides, effort.repeats)
    return Row(
        case="rician-axis",
        further={
            "ratio_axis_to_one_factor": timings["axis"].paired_ratio(timings["one factor"]),
            "values": len(network.rician_db),
            **each(timings),
        },
    )


def rician_memory(effort: Effort) -> Row:
    """Peak memory of few drops and many, of few realizations per drop and many."""
    if not effort.fresh:
        return Row(case="rician-memory")
    per_drop = RICIAN.realizations
    few = peak_bytes("rician-se", 64 * per_drop)
    more_drops = peak_bytes("rician-se", 1024 * per_drop)
    more_realizations = peak_bytes("rician-se-long", 64 * per_drop * 16)
    return Row(
        case="rician-memory",
        peak_bytes=few,
        further={
            "drops": [64, 1024, 16],
            "realizations": [per_drop, per_drop, 64 * per_drop],
            "peak_bytes_each": [few, more_drops, more_realizations],
            "ratio_peak_drops": more_drops / few,
            "ratio_peak_realizations": more_realizations / few,
        },
    )


def _agreed_relative_error(network: RicianNetwork, count: int) -> float:
    """Relative standard error of `count` realizations; all baselines must agree with jaxmimo."""
    runs = max(1, 256 * network.realizations // count)
    mean, error = pooled(rician_figure(network), count, runs)
    many_drops = replace(network, realizations=4)  # errors are over drops
    for name, baseline in BASELINES.items():
        se = baseline(many_drops, 64 if name != "loop" else 16)
        spread = np.hypot(error, se.std(0, ddof=1) / np.sqrt(len(se)))
        if not np.all(np.abs(se.mean(0) - mean) <= np.maximum(5 * spread, 0.01 * mean)):
            raise AssertionError(
                f"NumPy baseline `{name}` disagrees: {se.mean(0)} against {mean} +- {spread}"
            )
    return float((error / mean).max()) * runs**0.5


def _numpy_drops(name: str, network: RicianNetwork, effort: Effort) -> int:
    count = {"pointwise": effort.pointwise_realizations, "loop": 4 * effort.loop_realizations}
    return max(2, count.get(name, effort.numpy_realizations) // network.realizations)


def _baselines(network: RicianNetwork, effort: Effort) -> dict[str, Contender]:
    contenders = {}
    for name, baseline in BASELINES.items():
        drops = _numpy_drops(name, network, effort)
        run = partial(_with_one_blas_thread, baseline, network, drops)
        contenders[name] = Contender(run, drops * network.realizations)
    for name in ("shared", "gram"):
        drops = _numpy_drops(name, network, effort)
        run = partial(_with_one_blas_thread, partial(in_threads, BASELINES[name]), network, drops)
        contenders[f"{name}, two threads"] = Contender(run, drops * network.realizations)
    return contenders


def _with_one_blas_thread(
    baseline: Callable[..., np.ndarray], network: RicianNetwork, drops: int
) -> np.ndarray:
    set_threads(1)
    return baseline(network, drops)


def _floor(network: RicianNetwork, effort: Effort) -> Floor:
    """Draws, Gram products, inverses and products of the figure, in batches of some sizes."""
    points = 2 * len(network.num_aps) * len(network.rician_db)  # ZF and MMSE
    times = {"random": 1, "gram": len(network.num_aps), "inverse": points, "product": points}
    ways: dict[str, dict[str, Contender]] = {part: {} for part in times}
    for batch in (256, 1024, 512, 128)[: effort.floor_batches]:
        for part, contender in _floor_parts(network, effort, batch).items():
            ways[part][f"{batch}"] = contender

    def needed(us: Mapping[str, float]) -> dict[str, float]:
        return {part: count * us[part] for part, count in times.items()}

    return Floor(ways, needed)


def _floor_parts(network: RicianNetwork, effort: Effort, batch: int) -> dict[str, Contender]:
    """Each part as a chain of calls in one program, so that starting programs does not count."""
    antennas, users, chain = network.antennas, network.users, 16
    draw = jax.jit(lambda key: split_complex_normal(key, (antennas, 2 * users, batch)))
    drawn = draw(jax.random.key(0))
    parts = Parts(drawn[..., 0, :], drawn[..., 1, :])
    unit = identities(users, batch)
    multiply = jax.jit(adjoint_product)

    @jax.jit
    def inverses(a: Parts) -> Parts:
        return lax.fori_loop(0, chain, lambda _, b: inverse(b), a)

    @jax.jit
    def products(a: Parts, b: Parts) -> Parts:
        return lax.fori_loop(0, chain, lambda _, c: adjoint_product(c, b), a)

    def contender(count: int, function: Callable[..., object], *arguments: object) -> Contender:
        return floor_part(effort, count * batch, function, *arguments)

    return {
        "random": contender(1, draw, jax.random.key(1)),
        "gram": contender(1, multiply, parts, parts),
        "inverse": contender(chain, inverses, unit),
        "product": contender(chain, products, unit, unit),
    }
