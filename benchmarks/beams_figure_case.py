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
from jaxmimo.core.small_matrices import Parts, adjoint_product, inverse
from jaxmimo.systems.beamforming_3d.cell import ChannelFactors, draw_channels, factor_ranks

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
    """Channels, matrix products and solutions of the figure, each at its best speed here.

    Precoders through Gram matrices of users cost one factorization for all sets of counted users,
    which are nested; through those of beams one for each set. The faster way counts. Factors are
    inverses by the sweep operator, the fastest there is here. Norms and rates are left out.
    """
    best: dict[str, float] = {}
    for batch in (2, 8):
        for part, timing in in_turn(_floor_contenders(network, batch), repeats).items():
            best[part] = min(best.get(part, np.inf), timing.microseconds)
    ways = [_cheapest_precoders(network, best, _beams(network, g)) for g in network.azimuth_groups]
    precoders = {part: sum(way[part] for way in ways) for part in ways[0]}
    floor = {"channels": best["channels"], **precoders}
    return {f"floor_{part}_us": us for part, us in floor.items()}


def _cheapest_precoders(
    network: BeamsNetwork, best: dict[str, float], beams: int
) -> dict[str, float]:
    """Parts of the precoders of a point, through users or, where these are fewer, beams."""
    sets, users = len(TWO_STAGE), network.users

    through_users = {
        "gram": min(best[f"gram {beams}"], best[f"gram products {beams}"]),
        "solve": best[f"solve {users}"],
        "gains": 0.0,  # what the sweep leaves in the other rows
    }
    if beams >= users:
        return through_users
    through_beams = {
        "gram": sets * best[f"gram of beams {beams}"],
        "solve": sets * best[f"solve {beams}"],
        "gains": sets * best[f"gains {beams}"],
    }
    return min(through_users, through_beams, key=lambda way: sum(way.values()))


def _beams(network: BeamsNetwork, azimuth_groups: int) -> int:
    """Beams of a group."""
    across = network.azimuth_antennas // azimuth_groups
    return across * (network.elevation_antennas // network.elevation_groups)


_CALLS = 16


def _floor_contenders(network: BeamsNetwork, batch: int) -> dict[str, Contender]:
    """The parts for all streams of `batch` realizations of a point of the figure."""
    users, lanes = network.users, network.users * batch
    ranks = factor_ranks(network.system(network.azimuth_groups[0]))
    factors = ChannelFactors(
        jnp.ones((users, network.azimuth_antennas, ranks[0])),
        jnp.ones((users, network.elevation_antennas, ranks[1])),
    )

    def channels(keys: Array) -> Array:
        return jax.vmap(lambda key: draw_channels(key, factors))(keys)

    def products(a: Array, b: Array) -> Array:
        return jnp.einsum("lub,lvb->luv", a, b, precision="highest")

    def contender(function: Callable[..., object], *arguments: object) -> Contender:
        """Many calls in one program, as the kernel has them: starting programs does not count."""
        many = jax.tree.map(lambda leaf: jnp.stack([leaf] * _CALLS), arguments)
        run = jax.jit(lambda many: lax.map(lambda each: function(*each), many))
        return side_by_side(lambda: jax.block_until_ready(run(many)), _CALLS * batch, calls=2)

    contenders = {"channels": contender(channels, jax.random.split(jax.random.key(0), batch))}
    contenders |= {f"solve {users}": contender(inverse, _units(users, lanes))}
    for beams in (_beams(network, groups) for groups in network.azimuth_groups):
        seen = _ones(beams, users, lanes)
        contenders[f"gram {beams}"] = contender(adjoint_product, seen, seen)
        rows = jnp.ones((lanes, users, 2 * beams))
        contenders[f"gram products {beams}"] = contender(
            products, rows, jnp.concatenate([rows, rows], 1)
        )
        if beams < users:
            turned, own = _ones(users, beams, lanes), _ones(beams, 1, lanes)
            contenders[f"gram of beams {beams}"] = contender(adjoint_product, turned, turned)
            contenders[f"gains {beams}"] = contender(adjoint_product, seen, own)
            contenders[f"solve {beams}"] = contender(inverse, _units(beams, lanes))
    return contenders


def _units(size: int, lanes: int) -> Parts:
    identity = jnp.broadcast_to(jnp.eye(size)[..., None], (size, size, lanes))
    return Parts(identity, jnp.zeros_like(identity))


def _ones(rows: int, columns: int, lanes: int) -> Parts:
    ones = jnp.ones((rows, columns, lanes))
    return Parts(ones, -ones)
