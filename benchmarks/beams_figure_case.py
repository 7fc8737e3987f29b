"""The figure of system 3: the sum rate against the number of subsectors, all schemes at once."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks import numpy_beams_figure
from benchmarks.beams_network import BEAMS, TWO_STAGE, BeamsNetwork, numpy_figure_drop
from benchmarks.blas import set_threads
from benchmarks.floor import Floor, chained, floor_part, identities
from benchmarks.measures import (
    Effort,
    basics,
    each,
    fresh_measures,
    jax_contender,
    jax_realizations,
    pooled,
)
from benchmarks.numpy_beams_figure import Baseline, FigureDrop
from benchmarks.report import Row
from benchmarks.timing import Contender, in_turn
from benchmarks.workloads import beams_figure
from jaxmimo import beamforming_3d as b3
from jaxmimo.core.eigenvectors import scaled_eigenvectors
from jaxmimo.core.small_matrices import Parts, adjoint_product, inverse
from jaxmimo.systems.beamforming_3d.cell import ChannelFactors, draw_channels, factor_ranks

BASELINES: dict[str, Baseline] = {
    "shared": numpy_beams_figure.shared,
    "low rank": numpy_beams_figure.low_rank,
    "pointwise": numpy_beams_figure.pointwise,
    "loop": numpy_beams_figure.loop,
}
"""NumPy's contenders; one BLAS thread suits all of them."""

AGREED_DROPS = 16
"""Drops that both sides are compared on; as many as are timed in the quick mode, by one program."""


def beams_groups(effort: Effort, network: BeamsNetwork = BEAMS) -> Row:
    """Figure 6: five numbers of subsectors and four schemes at once, against NumPy.

    jaxmimo draws a drop of users per 64 realizations. NumPy is given such drops ready-made, with
    groups and factors, which flatters it.
    """
    figure = beams_figure(network)
    count = jax_realizations(effort) // 4  # each takes many times as long as in other systems
    drops = [_numpy_drop(network, number) for number in range(AGREED_DROPS)]
    _assert_agreement(network, drops)
    relative_error = _relative_error(network, count)
    floor = _floor(network, effort)
    contenders = {
        "figure": jax_contender(figure, count),
        **_baselines(network, drops[:2], effort),
        **floor.contenders,
    }
    timings = in_turn(contenders, effort.repeats)
    steady = timings["figure"]
    return Row(
        case="beams-groups",
        **basics(steady, relative_error),
        **fresh_measures("beams-groups", effort, 32 * network.realizations),
        floor_share=floor.share(timings, steady),
        ratio_numpy_shared=timings["shared"].over(steady),
        ratio_numpy_pointwise=timings["pointwise"].over(steady),
        ratio_numpy_loop=timings["loop"].over(steady),
        further={
            "ratio_numpy_low_rank": timings["low rank"].over(steady),
            "ratio_numpy_shared_two_threads": timings["shared, two threads"].over(steady),
            "ratio_numpy_low_rank_two_threads": timings["low rank, two threads"].over(steady),
            **each(timings),
            **floor.further(timings, steady),
        },
    )


def _numpy_drop(network: BeamsNetwork, number: int) -> FigureDrop:
    """A drop of the figure from seed 0."""
    system = network.system(network.azimuth_groups[0])
    users = _users_of_drop(system, jax.random.fold_in(jax.random.key(0), number))
    return numpy_figure_drop(system, users, network.azimuth_groups)


@eqx.filter_jit
def _users_of_drop(system: b3.Beamforming3D, key: Array) -> b3.Users:
    return b3.draw_users(jax.random.split(key)[0], system)


def _assert_agreement(network: BeamsNetwork, drops: Sequence[FigureDrop]) -> None:
    """On the same drops, all baselines must agree with jaxmimo up to the fading."""
    count, few = network.realizations, 4
    means = np.asarray(beams_figure(network)(len(drops) * count).mean)
    for name, baseline in BASELINES.items():
        options = {} if name == "loop" else {"batch": few}
        runs = [baseline(drop, few, seed=seed, **options) for seed, drop in enumerate(drops)]
        rates = np.stack(runs)
        per_realization = rates.var(1, ddof=1).mean(0) / len(drops)
        spread = np.sqrt(per_realization * (1 / few + 1 / count))
        if not np.all(np.abs(rates.mean((0, 1)) - means) <= 5 * spread):
            raise AssertionError(
                f"NumPy baseline `{name}` disagrees: {rates.mean((0, 1))} against {means} +- "
                f"{spread}"
            )


def _relative_error(network: BeamsNetwork, count: int) -> float:
    """Largest relative standard error of a point of the figure after `count` realizations."""
    runs = max(1, 64 * network.realizations // count)
    mean, error = pooled(beams_figure(network), count, runs)
    return float((error / mean).max()) * runs**0.5


def _baselines(
    network: BeamsNetwork, drops: Sequence[FigureDrop], effort: Effort
) -> dict[str, Contender]:
    """Each works through all drops, or those of two threads at once; the slowest takes one."""
    counts = {"loop": max(1, effort.loop_realizations // 4)}
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


def _floor(network: BeamsNetwork, effort: Effort) -> Floor:
    """Eigenvectors, channels, matrix products and solutions, in batches of some sizes.

    Precoders through Gram matrices of users cost one factorization for all sets of counted users,
    which are nested; through those of beams one for each set. The faster way counts. Factors are
    inverses by the sweep operator, the fastest there is here. Norms and rates are left out.
    """
    ways: dict[str, dict[str, Contender]] = {}
    for batch in (8, 4, 2)[: effort.floor_batches]:
        for (part, way), contender in _floor_parts(network, effort, batch).items():
            ways.setdefault(part, {})[f"{way} {batch}"] = contender
    ways["eigenvectors"] = {"rotations": _eigenvectors(network, effort)}

    def needed(us: Mapping[str, float]) -> dict[str, float]:
        beams = [_beams(network, groups) for groups in network.azimuth_groups]
        points = [_cheapest_precoders(network, us, each) for each in beams]
        precoders = {part: sum(point[part] for point in points) for part in points[0]}
        return {"eigenvectors": us["eigenvectors"], "channels": us["channels"], **precoders}

    return Floor(ways, needed)


def _cheapest_precoders(
    network: BeamsNetwork, us: Mapping[str, float], beams: int
) -> dict[str, float]:
    """Parts of the precoders of a point, through users or, where these are fewer, beams."""
    sets, users = len(TWO_STAGE), network.users

    through_users = {
        "gram": us[f"gram {beams}"],
        "solve": us[f"solve {users}"],
        "gains": 0.0,  # what the sweep leaves in the other rows
    }
    if beams >= users:
        return through_users
    through_beams = {
        "gram": sets * us[f"gram of beams {beams}"],
        "solve": sets * us[f"solve {beams}"],
        "gains": sets * us[f"gains {beams}"],
    }
    return min(through_users, through_beams, key=lambda way: sum(way.values()))


def _beams(network: BeamsNetwork, azimuth_groups: int) -> int:
    """Beams of a group."""
    across = network.azimuth_antennas // azimuth_groups
    return across * (network.elevation_antennas // network.elevation_groups)


def _eigenvectors(network: BeamsNetwork, effort: Effort) -> Contender:
    """Those of a drop, which its realizations share."""
    system = network.system(network.azimuth_groups[0])
    cell = b3.make_cell(system, _users_of_drop(system, jax.random.key(0)))
    covariances = [jnp.moveaxis(each, 0, -1) for each in (cell.azimuth, cell.elevation)]
    ranks = factor_ranks(system)

    @jax.jit
    def find(covariances: list[Array]) -> list[Array]:
        return [scaled_eigenvectors(*each) for each in zip(covariances, ranks, strict=True)]

    return floor_part(effort, network.realizations, find, covariances)


_CALLS = 16


def _floor_parts(
    network: BeamsNetwork, effort: Effort, batch: int
) -> dict[tuple[str, str], Contender]:
    """Parts and their ways, for all streams of `batch` realizations of a point of the figure."""
    users, lanes = network.users, network.users * batch
    ranks = factor_ranks(network.system(network.azimuth_groups[0]))
    factors = ChannelFactors(
        jnp.asarray(_ones(users, network.azimuth_antennas, ranks[0])),
        jnp.asarray(_ones(users, network.elevation_antennas, ranks[1])),
    )

    def channels(seeds: Array, factors: ChannelFactors) -> Array:
        def of_seed(seed: Array) -> Array:
            h = draw_channels(jax.random.key(seed), factors)
            return jnp.swapaxes(h, 1, 2)  # as it is drawn and read: turning it does not count

        return jax.vmap(of_seed)(seeds)

    def products(parts: Array) -> Array:
        return jnp.einsum("lub,lvb->luv", parts, parts, precision="highest")

    def contender(function: Callable[..., object], *arguments: object) -> Contender:
        return floor_part(effort, _CALLS * batch, chained(function, _CALLS), *arguments)

    contenders = {("channels", "loops"): contender(channels, np.arange(batch), factors)}
    contenders[f"solve {users}", "loops"] = contender(inverse, identities(users, lanes))
    for beams in (_beams(network, groups) for groups in network.azimuth_groups):
        seen = _parts(beams, users, lanes)
        contenders[f"gram {beams}", "loops"] = contender(adjoint_product, seen, seen)
        parts = _ones(lanes, 2 * users, beams)
        contenders[f"gram {beams}", "products"] = contender(products, parts)
        if beams < users:
            turned, own = _parts(users, beams, lanes), _parts(beams, 1, lanes)
            contenders[f"gram of beams {beams}", "loops"] = contender(
                adjoint_product, turned, turned
            )
            contenders[f"gains {beams}", "loops"] = contender(adjoint_product, seen, own)
            contenders[f"solve {beams}", "loops"] = contender(inverse, identities(beams, lanes))
    return contenders


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)  # by NumPy, which has nothing to compile


def _parts(rows: int, columns: int, lanes: int) -> Parts:
    ones = _ones(rows, columns, lanes)
    return Parts(jnp.asarray(ones), jnp.asarray(-ones))
