"""The engine: what it adds to its kernel, cost and memory over decades, two devices."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import PyTree

from benchmarks.fresh import peak_bytes, run_fresh
from benchmarks.iqi_network import FIGURE_2, SMALL
from benchmarks.measures import Effort, jax_realizations
from benchmarks.report import Row
from benchmarks.timing import Contender, in_turn, side_by_side
from benchmarks.workloads import curve, iqi_system, largest
from jaxmimo import cell_free_iqi
from jaxmimo.simulation.batches import promising_batch
from jaxmimo.simulation.block_sums import block_sums
from jaxmimo.simulation.jackknife import num_blocks
from jaxmimo.simulation.model import Model

DECADES = (10**3, 10**4, 10**5, 10**6)


def engine_overhead(effort: Effort) -> Row:
    """The curve of figure 2 by the engine, against its kernel called once on each core."""
    count = 4 * jax_realizations(effort)  # so that the final estimate hardly counts
    sample, _ = cell_free_iqi.se_model(iqi_system(FIGURE_2), num_aps=FIGURE_2.num_aps)
    key = jax.random.key(0)
    batch, blocks = promising_batch(Model(sample, key).jaxpr), num_blocks(count)
    bounds = jnp.asarray([0, 0, count])

    @eqx.filter_jit
    def kernel(sample: Partial, key: Array, bounds: Array) -> PyTree[Array]:
        first, start, stop = bounds  # traced, as those of chunks are
        return block_sums(sample, key, first, start, stop, blocks, batch)

    run = curve(FIGURE_2)
    timings = in_turn(
        {
            "engine": Contender(lambda: run(count), count),
            "kernel": side_by_side(
                lambda: jax.block_until_ready(kernel(sample, key, bounds)),
                count,
                calls=1,
            ),
        },
        max(10, effort.repeats),
    )
    ratio = timings["engine"].paired_ratio(timings["kernel"])
    return Row(
        case="engine-overhead",
        steady_s=timings["engine"].minimum,
        further={
            "ratio_engine_to_kernel": ratio,
            "ratio_of_minima": timings["engine"].microseconds / timings["kernel"].microseconds,
        },
    )


def engine_decades(effort: Effort) -> Row:
    """Cost of a small network from a thousand realizations to a million, and of one more of them.

    A call costs some milliseconds besides, whatever its realizations.
    """
    run = largest(SMALL)
    counts = DECADES if jax.default_backend() == "cpu" else tuple(64 * n for n in DECADES)
    repeats = {n: max(1, min(effort.repeats, 10**5 // n)) for n in counts}
    each = {
        n: in_turn({"run": Contender(lambda n=n: run(n), n)}, repeats[n])["run"] for n in counts
    }
    seconds = np.asarray([each[n].minimum for n in counts])
    marginal = np.diff(seconds) / np.diff(counts)
    return Row(
        case="engine-decades",
        further={
            "realizations": list(counts),
            "seconds": seconds.tolist(),
            "marginal_us": (1e6 * marginal).tolist(),
            "ratio_last_to_first_decade": float(marginal[-1] / marginal[0]),
        },
    )


def engine_devices(effort: Effort) -> Row:
    """Figure 2 on two CPU devices, and on one with a thread per core, against one core alone."""
    if not effort.fresh or jax.default_backend() != "cpu":
        return Row(case="engine-devices")
    count = effort.realizations
    seconds = {
        "one_core": _second_run(count, cores=(0,)),
        "two_devices": _second_run(count, devices=2),
        "threads": _second_run(count),
    }
    return Row(
        case="engine-devices",
        further={
            **{f"{name}_s": value for name, value in seconds.items()},
            "ratio_two_devices": seconds["one_core"] / seconds["two_devices"],
            "ratio_threads": seconds["one_core"] / seconds["threads"],
        },
    )


def memory(effort: Effort) -> Row:
    """Peak memory of few realizations and of many, each in a process of its own."""
    if not effort.fresh:
        return Row(case="memory")
    further: dict[str, Any] = {}
    for kind, name, counts in (
        ("small", "small", effort.memory_small),
        ("figure_2", "iqi-aps", effort.memory_figure),
    ):
        few, many = (peak_bytes(name, count) for count in counts)
        further |= {
            f"realizations_{kind}": list(counts),
            f"peak_bytes_{kind}": [few, many],
            f"ratio_peak_{kind}": many / few,
        }
    return Row(case="memory", peak_bytes=max(further["peak_bytes_small"]), further=further)


def _second_run(count: int, **options: Any) -> float:
    return min(run_fresh("iqi-aps", count, **options)["second_s"] for _ in range(3))
