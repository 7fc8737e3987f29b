"""The figure of system 3: the sum rate against the number of subsectors, all schemes at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks import numpy_beams_figure
from benchmarks.beams_network import BEAMS, SCHEMES, TWO_STAGE, BeamsNetwork, numpy_figure_drop
from benchmarks.blas import set_threads
from benchmarks.measures import (
    Effort,
    basics,
    each,
    fresh_measures,
    jax_contender,
    jax_realizations,
)
from benchmarks.numpy_beams_figure import Baseline, FigureDrop
from benchmarks.report import Row
from benchmarks.timing import Contender, in_turn, side_by_side
from benchmarks.workloads import beams_figure
from jaxmimo import beamforming_3d as b3
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.small_matrices import Parts, adjoint_product, cholesky, inverse
from jaxmimo.systems.beamforming_3d.cell import factor_ranks

BASELINES: dict[str, Baseline] = {
    "shared": numpy_beams_figure.shared,
    "low rank": numpy_beams_figure.low_rank,
    "pointwise": numpy_beams_figure.pointwise,
    "loop": numpy_beams_figure.loop,
}
"""NumPy's contenders; one BLAS thread suits all of them."""


def beams_groups(effort: Effort, network: BeamsNetwork = BEAMS) -> Row:
    """Figure 6: five numbers of subsectors and four schemes at once, against NumPy.

    jaxmimo draws a drop of users per 64 realizations. NumPy is given such drops ready-made, with
    groups and factors, which flatters it.
    """
    keys = jax.random.split(jax.random.key(3), 4)
    drops = [_numpy_drop(network, key) for key in keys]
    _assert_agreement(network, keys, drops)
    count = jax_realizations(effort)
    contenders = {"figure": jax_contender(beams_figure(network), count)}
    timings = in_turn(contenders | _baselines(network, drops, effort), effort.repeats)
    steady = timings["figure"]
    floor = _floor_microseconds(network, effort.repeats)
    return Row(
        case="beams-groups",
        **basics(steady, _relative_error(network, count)),
        **fresh_measures("beams-groups", effort, 32 * network.realizations),
        floor_share=sum(floor.values()) / steady.microseconds,
        ratio_numpy_shared=timings["shared"].over(steady),
        ratio_numpy_pointwise=timings["pointwise"].over(steady),
        ratio_numpy_loop=timings["loop"].over(steady),
        further={
            "ratio_numpy_low_rank": timings["low rank"].over(steady),
            "ratio_numpy_shared_two_threads": timings["shared, two threads"].over(steady),
            "ratio_numpy_low_rank_two_threads": timings["low rank, two threads"].over(steady),
            **each(timings),
            **floor,
        },
    )


def _numpy_drop(network: BeamsNetwork, key: Array) -> FigureDrop:
    """The drop that `rate_sample` makes of a key."""
    system = network.system(network.azimuth_groups[0])
    users = b3.draw_users(jax.random.split(key)[0], system)
    return numpy_figure_drop(system, users, network.azimuth_groups)


def _assert_agreement(network: BeamsNetwork, keys: Array, drops: Sequence[FigureDrop]) -> None:
    """On the same drops, all baselines must agree with jaxmimo up to the fading."""
    count, system = network.realizations, network.system(network.azimuth_groups[0])
    sample = b3.rate_sample(
        system, scheme=SCHEMES, azimuth_groups=network.azimuth_groups, realizations=count
    )
    means = np.asarray(jax.jit(lambda keys: lax.map(sample, keys))(keys)).mean(0)
    for name, baseline in BASELINES.items():
        each_count = count if name != "loop" else 8
        rates = np.stack([baseline(drop, each_count) for drop in drops])
        per_realization = rates.var(1, ddof=1).mean(0) / len(drops)
        spread = np.sqrt(per_realization * (1 / each_count + 1 / count))
        if not np.all(np.abs(rates.mean((0, 1)) - means) <= 5 * spread):
            raise AssertionError(
                f"NumPy baseline `{name}` disagrees: {rates.mean((0, 1))} against {means} +- "
                f"{spread}"
            )


def _relative_error(network: BeamsNetwork, count: int) -> float:
    """Largest relative standard error of a point of the figure after `count` realizations."""
    simulated = max(count, 64 * network.realizations)
    estimate = beams_figure(network)(simulated)
    return float((estimate.std_error / estimate.mean).max()) * (simulated / count) ** 0.5


def _baselines(
    network: BeamsNetwork, drops: Sequence[FigureDrop], effort: Effort
) -> dict[str, Contender]:
    """Each works through all drops, or those of two threads at once; the slowest takes one."""
    counts = {"loop": max(1, effort.loop_realizations // 8)}
    contenders = {}
    for name, baseline in BASELINES.items():
        count, own = counts.get(name, network.realizations), drops
        if name == "pointwise":
            own = drops[:1]
        run = partial(_over_drops, baseline, own, count, threads=1)
        contenders[name] = Contender(run, count * len(own))
    for name in ("shared", "low rank"):
        run = partial(_over_drops, BASELINES[name], drops, network.realizations, threads=2)
        contenders[f"{name}, two threads"] = Contender(run, network.realizations * len(drops))
    return contenders


def _over_drops(
    baseline: Baseline, drops: Sequence[FigureDrop], realizations: int, *, threads: int
) -> None:
    set_threads(1)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda drop: baseline(drop, realizations), drops))


def _floor_microseconds(network: BeamsNetwork, repeats: int) -> dict[str, float]:
    """Draws, matrix products and solutions of the figure, each at its best speed here.

    Precoders through Gram matrices of users cost one factorization for all sets of counted users,
    which are nested; through those of beams one for each set. The faster way counts, and so does
    the faster of elimination and the sweep operator. Substitutions, norms and rates are left out.
    """
    best: dict[str, float] = {}
    for batch in (2, 8):
        for part, timing in in_turn(_floor_contenders(network, batch), repeats).items():
            best[part] = min(best.get(part, np.inf), timing.microseconds)
    ways = [_cheapest_precoders(network, best, _beams(network, g)) for g in network.azimuth_groups]
    precoders = {part: sum(way[part] for way in ways) for part in ways[0]}
    floor = {"random": best["random"], "synthesis": best["synthesis"], **precoders}
    return {f"floor_{part}_us": us for part, us in floor.items()}


def _cheapest_precoders(
    network: BeamsNetwork, best: dict[str, float], beams: int
) -> dict[str, float]:
    """Parts of the precoders of a point, through users or, where these are fewer, beams."""
    sets, users = len(TWO_STAGE), network.users

    def fastest(*names: str) -> float:
        return min(best[name] for name in names)

    through_users = {
        "gram": fastest(f"gram {beams}", f"gram products {beams}"),
        "solve": fastest(f"eliminate {users}", f"sweep {users}"),
        "gains": 0.0,  # what the sweep leaves in the other rows
    }
    if beams >= users:
        return through_users
    through_beams = {
        "gram": sets * best[f"gram of beams {beams}"],
        "solve": sets * fastest(f"eliminate {beams}", f"sweep {beams}"),
        "gains": sets * best[f"gains {beams}"],
    }
    return min(through_users, through_beams, key=lambda way: sum(way.values()))


def _beams(network: BeamsNetwork, azimuth_groups: int) -> int:
    """Beams of a group."""
    across = network.azimuth_antennas // azimuth_groups
    return across * (network.elevation_antennas // network.elevation_groups)


def _floor_contenders(network: BeamsNetwork, batch: int) -> dict[str, Contender]:
    """The parts for all streams of `batch` realizations of a point of the figure."""
    users, lanes = network.users, network.users * batch
    ranks = factor_ranks(network.system(network.azimuth_groups[0]))
    shape = (users, ranks[0], batch, ranks[1])
    draw = jax.jit(lambda key: split_complex_normal(key, shape))
    white = draw(jax.random.key(0))
    azimuth = jnp.ones((users, network.azimuth_antennas, ranks[0]))
    elevation = jnp.ones((users, network.elevation_antennas, ranks[1]))

    @jax.jit
    def synthesis(white: Array) -> Array:
        rows = jnp.einsum("kpm,kmbcn->kpbcn", azimuth, white, precision="highest")
        return jnp.einsum("kpbcn,kqn->kpbcq", rows, elevation, precision="highest")

    multiply = jax.jit(adjoint_product)
    products = jax.jit(lambda a, b: jnp.einsum("lub,lvb->luv", a, b, precision="highest"))

    def contender(function: Callable[..., object], *arguments: object, chain: int = 1) -> Contender:
        def call() -> object:
            return jax.block_until_ready(function(*arguments))

        return side_by_side(call, chain * batch, calls=4)

    contenders = {
        "random": contender(draw, jax.random.key(1)),
        "synthesis": contender(synthesis, white),
    }
    contenders |= _solutions(contender, users, lanes)
    for beams in (_beams(network, groups) for groups in network.azimuth_groups):
        seen = _ones(beams, users, lanes)
        contenders[f"gram {beams}"] = contender(multiply, seen, seen)
        rows = jnp.ones((lanes, users, 2 * beams))
        contenders[f"gram products {beams}"] = contender(
            products, rows, jnp.concatenate([rows, rows], 1)
        )
        if beams < users:
            turned, own = _ones(users, beams, lanes), _ones(beams, 1, lanes)
            contenders[f"gram of beams {beams}"] = contender(multiply, turned, turned)
            contenders[f"gains {beams}"] = contender(multiply, seen, own)
            contenders |= _solutions(contender, beams, lanes)
    return contenders


def _solutions(contender: Callable[..., Contender], size: int, lanes: int) -> dict[str, Contender]:
    """Factorizations and inverses, in chains, so that starting programs does not count."""
    chain = 4
    identity = jnp.broadcast_to(jnp.eye(size)[..., None], (size, size, lanes))
    unit = Parts(identity, jnp.zeros_like(identity))  # stays itself along a chain

    def chained(function: Callable[[Parts], Parts]) -> Callable[[Parts], Parts]:
        return jax.jit(lambda a: lax.fori_loop(0, chain, lambda _, b: function(b), a))

    return {
        f"eliminate {size}": contender(chained(cholesky), unit, chain=chain),
        f"sweep {size}": contender(chained(inverse), unit, chain=chain),
    }


def _ones(rows: int, columns: int, lanes: int) -> Parts:
    ones = jnp.ones((rows, columns, lanes))
    return Parts(ones, -ones)
