"""The cases of system 4: responses over a band, the SE on every subcarrier, and its memory."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import numpy_wideband
from benchmarks.blas import set_threads
from benchmarks.fresh import peak_bytes
from benchmarks.measures import Effort, basics, each, fresh_measures, jax_contender
from benchmarks.numpy_wideband import WidebandDrop
from benchmarks.report import Row
from benchmarks.timing import Contender, in_turn, side_by_side
from benchmarks.wideband_network import WIDEBAND, WidebandNetwork, random_drop
from benchmarks.workloads import COMBINERS, wideband_figure
from jaxmimo.core.small_matrices import Parts
from jaxmimo.systems.wideband_mmwave.simulation import se_of_links
from jaxmimo.wideband_mmwave import Grid, Links, per_subcarrier

KINDS = ("shared", "factored", "pointwise", "loop")
LOOP_SUBCARRIERS = 8
"""Of which loops take a part; all cost the same."""


def wideband_response(effort: Effort, network: WidebandNetwork = WIDEBAND) -> Row:
    """Responses of all links on all subcarriers, from given paths, against NumPy and the floor."""
    drop = random_drop(network)
    links, grid = links_of(drop)
    responses = eqx.filter_jit(lambda links: lax.map(lambda ap: ap.response(grid), links))
    found = np.transpose(responses(links).merged(), (3, 1, 0, 2))
    _check("responses", found, numpy_wideband.response_shared(drop))
    calls = effort.drops_at_once // 4
    baselines = _numpy_contenders("response", network)
    contenders = {
        "jaxmimo": side_by_side(lambda: jax.block_until_ready(responses(links)), 1, calls),
        **baselines,
    }
    timings = in_turn(contenders, effort.repeats)
    steady, floor = timings["jaxmimo"], _floor_microseconds(network, effort.repeats)
    return Row(
        case="wideband-response",
        steady_s=steady.minimum,
        realizations_per_s=1e6 / steady.microseconds,
        floor_share=floor["floor_large_products_us"] / steady.microseconds,
        ratio_numpy_shared=timings["shared"].over(steady),
        ratio_numpy_pointwise=timings["pointwise"].over(steady),
        ratio_numpy_loop=timings["loop"].over(steady),
        further={
            "ratio_to_large_products": steady.microseconds / floor["floor_large_products_us"],
            "ratio_to_small_products": steady.microseconds / floor["floor_small_products_us"],
            **floor,
            "ratio_numpy_factored": timings["factored"].over(steady),
            "ratio_numpy_shared_two_threads": timings["shared, two threads"].over(steady),
            "ratio_numpy_factored_two_threads": timings["factored, two threads"].over(steady),
            **each(timings),
        },
    )


def wideband_se(effort: Effort, network: WidebandNetwork = WIDEBAND) -> Row:
    """SE of three combiners on every subcarrier; NumPy is given its paths, jaxmimo draws them."""
    drop = random_drop(network)
    links, grid = links_of(drop)
    sent = jnp.ones(network.users)
    se = se_of_links(links, grid, COMBINERS, (per_subcarrier,), (network.antennas,), sent)
    _check("SE", np.asarray(se[0, 0].mean(-1)), numpy_wideband.se_shared(drop))
    figure = wideband_figure(network)
    estimate = figure(effort.drops_at_once)
    relative_error = np.asarray(estimate.std_error.mean(-1) / estimate.mean.mean(-1)).max()
    baselines = _numpy_contenders("se", network)
    contenders = {
        "jaxmimo": jax_contender(figure, effort.drops_at_once),
        **baselines,
    }
    timings = in_turn(contenders, effort.repeats)
    steady = timings["jaxmimo"]
    return Row(
        case="wideband-se",
        **basics(steady, float(relative_error)),
        **fresh_measures("wideband-se", effort, effort.drops_at_once),
        ratio_numpy_shared=timings["shared"].over(steady),
        ratio_numpy_pointwise=timings["pointwise"].over(steady),
        ratio_numpy_loop=timings["loop"].over(steady),
        further={
            "ratio_numpy_factored": timings["factored"].over(steady),
            "ratio_numpy_shared_two_threads": timings["shared, two threads"].over(steady),
            "ratio_numpy_factored_two_threads": timings["factored, two threads"].over(steady),
            **each(timings),
        },
    )


def wideband_memory(effort: Effort) -> Row:
    """Peak memory of few drops and of many."""
    if not effort.fresh:
        return Row(case="wideband-memory")
    drops = (16, 128)
    few, many = (peak_bytes("wideband-se", count) for count in drops)
    return Row(
        case="wideband-memory",
        peak_bytes=few,
        further={
            "drops": list(drops),
            "peak_bytes_each": [few, many],
            "ratio_peak_drops": many / few,
        },
    )


def links_of(drop: WidebandDrop) -> tuple[Links, Grid]:
    """Paths of a NumPy drop, as jaxmimo has them."""

    def aps_first(a: np.ndarray) -> jax.Array:
        return jnp.asarray(np.swapaxes(a, 0, 1), jnp.float32)

    delays = drop.delays - drop.delays.min((1, 2), keepdims=True)
    links = Links(
        gains=Parts(aps_first(drop.gains.real), aps_first(drop.gains.imag)),
        angles=aps_first(drop.angles),
        delays=aps_first(drop.delays),
        lags=aps_first(drop.elements / drop.carrier),
        distances=aps_first(drop.distances),
        carrier=jnp.full(delays.shape[1], drop.carrier),
        num_antennas=drop.antennas,
    )
    return links, Grid(jnp.asarray(drop.first), jnp.asarray(drop.step), drop.subcarriers)


def _numpy_contenders(what: str, network: WidebandNetwork) -> dict[str, Contender]:
    contenders = {}
    for kind in KINDS:
        baseline = getattr(numpy_wideband, f"{what}_{kind}")
        share = LOOP_SUBCARRIERS / network.subcarriers if kind == "loop" else 1.0
        count = LOOP_SUBCARRIERS if kind == "loop" else None
        drop = random_drop(network, count)
        contenders[kind] = Contender(partial(_with_one_blas_thread, baseline, drop), share)
    for kind in ("shared", "factored"):
        baseline = getattr(numpy_wideband, f"{what}_{kind}")
        drop = random_drop(network)
        call = partial(_with_one_blas_thread, baseline, drop)
        contenders[f"{kind}, two threads"] = side_by_side(call, 1, 1)
    return contenders


def _with_one_blas_thread(baseline: Callable[[WidebandDrop], np.ndarray], drop: WidebandDrop):
    set_threads(1)
    return baseline(drop)


def _floor_microseconds(network: WidebandNetwork, repeats: int) -> dict[str, float]:
    """The multiply-adds of the sum over paths, at the best speed of matrix products here.

    Of large matrices, and of the small ones that the sum consists of: real products of an antenna's
    (2 blocks, 2 paths) and (2 paths, offsets).
    """

    @jax.jit
    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.matmul(a, b, precision="highest")

    fine = 16
    links = network.users * network.antennas
    small = ((links, 2 * network.subcarriers // fine, 2 * network.paths), fine)
    large = {f"large {n}": ((n, n), n) for n in (256, 512, 1024)}
    contenders = {}
    for name, (shape, columns) in {**large, "small": small}.items():
        a, b = jnp.ones(shape), jnp.ones((*shape[:-2], shape[-1], columns))
        call = partial(lambda a, b: jax.block_until_ready(product(a, b)), a, b)
        contenders[name] = side_by_side(call, a.size * columns, 16)
    timings = in_turn(contenders, repeats)
    best = min(timings[name].microseconds for name in large)
    return {
        "floor_large_products_us": best * network.multiply_adds,
        "floor_small_products_us": timings["small"].microseconds * network.multiply_adds,
    }


def _check(what: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Raise unless both sides agree, but for the rounding of phases of hundreds of turns."""
    error = np.sqrt(np.mean(abs(found - expected) ** 2) / np.mean(abs(expected) ** 2))
    if not error < 1e-3:
        raise AssertionError(f"jaxmimo and NumPy disagree about {what}: relative error {error}")
