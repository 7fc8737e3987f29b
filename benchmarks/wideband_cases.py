"""The cases of system 4: responses over a band, the SE on every subcarrier, and its memory."""

from collections.abc import Callable, Mapping
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks import numpy_wideband
from benchmarks.blas import set_threads
from benchmarks.floor import Floor, chained, floor_part, identities
from benchmarks.fresh import peak_bytes
from benchmarks.measures import Effort, basics, each, fresh_measures, jax_contender
from benchmarks.numpy_wideband import WidebandDrop
from benchmarks.report import Row
from benchmarks.timing import Contender, in_turn, side_by_side
from benchmarks.wideband_network import WIDEBAND, WidebandNetwork, random_drop
from benchmarks.workloads import COMBINERS, wideband_figure
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.small_matrices import Parts, inverse
from jaxmimo.core.turns import cos_sin
from jaxmimo.systems.wideband_mmwave.simulation import se_of_links
from jaxmimo.wideband_mmwave import Grid, Links, per_subcarrier

KINDS = ("shared", "factored", "pointwise", "loop")
IN_TURN, FEW_SUBCARRIERS = ("pointwise", "loop"), 16
"""What goes from subcarrier to subcarrier is given few of them; all cost the same."""


def wideband_response(effort: Effort, network: WidebandNetwork = WIDEBAND) -> Row:
    """Responses of all links on all subcarriers, from given paths, against NumPy and the floor."""
    drop = random_drop(network)
    links, grid = links_of(drop)
    responses = eqx.filter_jit(lambda links: lax.map(lambda ap: ap.response(grid), links))
    found = np.transpose(responses(links).merged(), (3, 1, 0, 2))
    _check("responses", found, numpy_wideband.response_shared(drop))
    calls = effort.drops_at_once // 4
    floor = _response_floor(network, effort)
    contenders = {
        "jaxmimo": side_by_side(lambda: jax.block_until_ready(responses(links)), 1, calls),
        "small": _small_products(network, effort),
        **_numpy_contenders("response", network),
        **floor.contenders,
    }
    timings = in_turn(contenders, effort.repeats)
    steady = timings["jaxmimo"]
    small = timings["small"].microseconds * network.multiply_adds
    return Row(
        case="wideband-response",
        steady_s=steady.minimum,
        realizations_per_s=1e6 / steady.microseconds,
        floor_share=floor.share(timings, steady),
        ratio_numpy_shared=timings["shared"].over(steady),
        ratio_numpy_pointwise=timings["pointwise"].over(steady),
        ratio_numpy_loop=timings["loop"].over(steady),
        further={
            "ratio_to_small_products": steady.microseconds / small,
            "floor_small_products_us": small,
            **floor.further(timings, steady),
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
    floor = _se_floor(network, effort)
    contenders = {
        "jaxmimo": jax_contender(figure, effort.drops_at_once),
        **_numpy_contenders("se", network),
        **floor.contenders,
    }
    timings = in_turn(contenders, effort.repeats)
    steady = timings["jaxmimo"]
    return Row(
        case="wideband-se",
        **basics(steady, float(relative_error)),
        **fresh_measures("wideband-se", effort, effort.drops_at_once),
        floor_share=floor.share(timings, steady),
        ratio_numpy_shared=timings["shared"].over(steady),
        ratio_numpy_pointwise=timings["pointwise"].over(steady),
        ratio_numpy_loop=timings["loop"].over(steady),
        further={
            **floor.further(timings, steady),
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
        count = FEW_SUBCARRIERS if kind in IN_TURN else network.subcarriers
        share = count / network.subcarriers
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


def _response_floor(network: WidebandNetwork, effort: Effort) -> Floor:
    """The multiply-adds of the sum over paths, at the best speed of large matrix products."""

    def needed(us: Mapping[str, float]) -> dict[str, float]:
        return {"large_products": us["products"] * network.multiply_adds}

    return Floor({"products": _large_products(effort)}, needed)


def _small_products(network: WidebandNetwork, effort: Effort) -> Contender:
    """What the sum consists of: an antenna's real (2 blocks, 2 paths) times (2 paths, offsets)."""
    fine = 16
    links = network.users * network.antennas
    shape = links, 2 * network.subcarriers // fine, 2 * network.paths
    return _product(effort, shape, fine)


def _se_floor(network: WidebandNetwork, effort: Effort) -> Floor:
    """Draws, exponentials, products and inverses of a drop.

    Exponentials are those of blocks of 32 subcarriers and of 16 offsets from their centres; the
    sum over paths then costs two multiply-adds per path and part of a response, and Gram matrices
    four per pair of users and antenna. ZF and MMSE take an inverse each. One complex normal number
    per path stands for the draws.
    """
    blocks, offsets = network.subcarriers // 32, 16
    responses = network.users * network.aps * network.antennas
    exponentials = responses * network.paths * (blocks + offsets)
    products = responses * network.subcarriers * (2 * network.paths + 4 * network.users)

    def needed(us: Mapping[str, float]) -> dict[str, float]:
        return {
            "random": us["random"],
            "exponentials": us["exponentials"] * exponentials,
            "products": us["products"] * products,
            "inverses": us["inverses"] * 2 * network.subcarriers,
        }

    others = {part: {"": each} for part, each in _other_floor_parts(network, effort).items()}
    ways = {"products": _large_products(effort), "exponentials": _exponentials(effort), **others}
    return Floor(ways, needed)


def _large_products(effort: Effort) -> dict[str, Contender]:
    return {f"large {n}": _product(effort, (n, n), n) for n in (256, 512, 1024)}


def _product(effort: Effort, shape: tuple[int, ...], columns: int) -> Contender:
    """Matrix products, of which a realization is a multiply-add."""

    @jax.jit
    def product(a: Array, b: Array) -> Array:
        return jnp.matmul(a, b, precision="highest")

    a, b = jnp.ones(shape), jnp.ones((*shape[:-2], shape[-1], columns))
    return floor_part(effort, a.size * columns, product, a, b)


def _exponentials(effort: Effort) -> dict[str, Contender]:
    """An exponential, by parts in two arrays or in one."""
    calls = 16
    ways = {"two arrays": cos_sin, "one array": lambda turns: jnp.stack(cos_sin(turns))}
    return {
        f"{way}, {size}": floor_part(
            effort, calls * size, chained(function, calls), jnp.linspace(0.0, 9.0, size)
        )
        for way, function in ways.items()
        for size in (2**13, 2**15)
    }


def _other_floor_parts(network: WidebandNetwork, effort: Effort) -> dict[str, Contender]:
    """Draws of a drop, and the inverse of one matrix of the users."""
    users, chain = network.users, 4
    paths = users * network.aps * network.paths
    unit = identities(users, network.subcarriers)
    draw = jax.jit(lambda key: split_complex_normal(key, (paths,)))

    @jax.jit
    def inverses(a: Parts) -> Parts:
        return lax.fori_loop(0, chain, lambda _, b: inverse(b), a)

    return {
        "random": floor_part(effort, 1, draw, jax.random.key(1)),
        "inverses": floor_part(effort, chain * network.subcarriers, inverses, unit),
    }


def _check(what: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Raise unless both sides agree, but for the rounding of phases of hundreds of turns."""
    error = np.sqrt(np.mean(abs(found - expected) ** 2) / np.mean(abs(expected) ** 2))
    if not error < 1e-3:
        raise AssertionError(f"jaxmimo and NumPy disagree about {what}: relative error {error}")
