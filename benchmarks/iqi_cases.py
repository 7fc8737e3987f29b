"""The cases of system 1: the curve over APs, the axis of mismatches, and their scaling."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks import numpy_iqi
from benchmarks.agreement import agreed_relative_error, check_baseline, exact_curve
from benchmarks.blas import set_threads, thread_choices
from benchmarks.ceilings import ceiling_share, iqi_work
from benchmarks.floor import iqi_floor
from benchmarks.iqi_network import FIGURE_2, LARGE, MISMATCH, MISMATCH_AMPLITUDES, IqiNetwork
from benchmarks.measures import (
    Effort,
    basics,
    each,
    fresh_measures,
    jax_contender,
    jax_realizations,
)
from benchmarks.report import Row
from benchmarks.timing import Contender, Timing, fastest, in_turn
from benchmarks.workloads import curve, iqi_system, largest, mismatch_axis
from jaxmimo import cell_free_iqi


def iqi_aps(effort: Effort, network: IqiNetwork = FIGURE_2, name: str = "iqi-aps") -> Row:
    """Figure 2: a whole curve over the number of APs, against its largest point and NumPy."""
    count, exact = jax_realizations(effort), exact_curve(network)
    relative_error = agreed_relative_error(curve(network), count, exact)
    _check_baselines(network, effort, exact)
    contenders = {
        "curve": jax_contender(curve(network), count),
        "largest": jax_contender(largest(network), count),
        **_baselines(network, effort),
    }
    floor = iqi_floor(network, effort)
    timings = in_turn({**contenders, **floor.contenders}, effort.repeats)
    steady = timings["curve"]

    def ratio(slow: str, fast: str = "curve") -> float:
        return timings[slow].over(timings[fast])

    return Row(
        case=name,
        **basics(steady, relative_error),
        **fresh_measures(name, effort, effort.memory_figure[0]),
        floor_share=floor.share(timings, steady),
        ratio_numpy_shared=ratio("shared"),
        ratio_numpy_pointwise=ratio("pointwise"),
        ratio_numpy_loop=ratio("loop"),
        ceiling_share=ceiling_share(steady, *iqi_work(network), effort.repeats),
        further={
            "ratio_numpy_split": ratio("split"),
            "ratio_curve_to_largest": steady.paired_ratio(timings["largest"]),
            **_paired(timings),
            **each(timings),
            **floor.further(timings, steady),
        },
    )


def iqi_aps_large(effort: Effort) -> Row:
    """Up to 1024 APs, against the largest point; agreement at every point."""
    count = max(128, jax_realizations(effort) // 8)
    relative_error = agreed_relative_error(curve(LARGE), count, exact_curve(LARGE))
    sides = {
        "curve": jax_contender(curve(LARGE), count),
        "largest": jax_contender(largest(LARGE), count),
    }
    floor = iqi_floor(LARGE, effort)
    timings = in_turn({**sides, **floor.contenders}, effort.repeats)
    return Row(
        case="iqi-aps-1024",
        **basics(timings["curve"], relative_error),
        **fresh_measures("iqi-aps-1024", effort, 128),
        floor_share=floor.share(timings, timings["curve"]),
        further={
            "ratio_curve_to_largest": timings["curve"].paired_ratio(timings["largest"]),
            **each(timings),
            **floor.further(timings, timings["curve"]),
        },
    )


def iqi_mismatch(
    effort: Effort,
    network: IqiNetwork = MISMATCH,
    amplitudes: tuple[float, ...] = MISMATCH_AMPLITUDES,
) -> Row:
    """Figure 1: a whole axis of amplitude mismatches, against a single value."""
    count = jax_realizations(effort)
    system = iqi_system(network, amplitudes=amplitudes)
    exact = np.asarray(cell_free_iqi.closed_form_se(system).sum(-1))
    axis = mismatch_axis(network, amplitudes)
    relative_error = agreed_relative_error(axis, count, exact)
    sides = {
        "axis": jax_contender(axis, count),
        "single": jax_contender(largest(network), count),
    }
    floor = iqi_floor(network, effort)
    timings = in_turn({**sides, **floor.contenders}, effort.repeats)
    return Row(
        case="iqi-mismatch",
        **basics(timings["axis"], relative_error),
        **fresh_measures("iqi-mismatch", effort, effort.memory_figure[0]),
        floor_share=floor.share(timings, timings["axis"]),
        further={
            "ratio_axis_to_single": timings["axis"].paired_ratio(timings["single"]),
            "values": len(amplitudes),
            **each(timings),
            **floor.further(timings, timings["axis"]),
        },
    )


def iqi_per_antenna(effort: Effort, network: IqiNetwork = FIGURE_2) -> Row:
    """Figure 2 with hardware given antenna by antenna, against hardware that all have in common."""
    count, exact = jax_realizations(effort), exact_curve(network)
    common, per_antenna = curve(network), curve(network, per_antenna=True)
    agreed_relative_error(per_antenna, count // 4, exact)
    sides = {
        "common": jax_contender(common, count),
        "per antenna": jax_contender(per_antenna, count // 4),
    }
    timings = in_turn(sides, effort.repeats)
    steady = timings["per antenna"]
    return Row(
        case="iqi-per-antenna",
        steady_s=steady.minimum,
        realizations_per_s=1e6 / steady.microseconds,
        further={
            "ratio_per_antenna_to_common": steady.paired_ratio(timings["common"]),
            **each(timings),
        },
    )


def _check_baselines(network: IqiNetwork, effort: Effort, exact: np.ndarray) -> None:
    check_baseline("shared", numpy_iqi.shared, network, effort.numpy_realizations, exact)
    check_baseline("split", numpy_iqi.split, network, effort.numpy_realizations, exact)
    check_baseline("pointwise", numpy_iqi.pointwise, network, effort.pointwise_realizations, exact)
    check_baseline("loop", numpy_iqi.loop, network, effort.loop_realizations, exact)


def _baselines(network: IqiNetwork, effort: Effort) -> dict[str, Contender]:
    """NumPy's contenders, each with the BLAS threads that suit it best."""
    threads = {name: _best_threads(name, network) for name in ("shared", "split")}
    plans = {
        "shared": (effort.numpy_realizations, threads["shared"]),
        "split": (effort.numpy_realizations, threads["split"]),
        "pointwise": (effort.pointwise_realizations, threads["shared"]),
        "loop": (effort.loop_realizations, 1),
    }
    return {name: _numpy(name, network, *plan) for name, plan in plans.items()}


def _best_threads(name: str, network: IqiNetwork) -> int:
    count = 8 * numpy_iqi.BLOCKS
    trials = {str(n): _numpy(name, network, count, n) for n in thread_choices()}
    return int(fastest(trials))


def _numpy(name: str, network: IqiNetwork, realizations: int, threads: int) -> Contender:
    call = partial(
        _baseline, name=name, network=network, realizations=realizations, threads=threads
    )
    return Contender(call, realizations)


def _baseline(*, name: str, network: IqiNetwork, realizations: int, threads: int) -> object:
    set_threads(threads)
    return getattr(numpy_iqi, name)(network, realizations)


def _paired(timings: Mapping[str, Timing]) -> dict[str, Any]:
    """Medians of NumPy's ratios round by round, the more flattering statistic."""
    names = ("shared", "split", "pointwise", "loop")
    ratios = {name: timings[name].paired_ratio(timings["curve"]) for name in names}
    return {"paired_ratios_numpy": ratios}
