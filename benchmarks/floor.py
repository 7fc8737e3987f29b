"""What a kernel cannot do without, each part at the best speed measured beside the kernel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.iqi_network import IqiNetwork
from benchmarks.measures import Effort
from benchmarks.timing import Contender, Timing, repeated
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.small_matrices import Parts
from jaxmimo.core.split import cross_products

_BATCHES = {"cpu": (16, 64), "default": (256, 2048)}


@dataclass(frozen=True)
class Floor:
    """What a kernel cannot do without.

    Attributes:
        ways: How each part may be done, by names; the way that is fastest in the median counts.
        needed: From microseconds of the parts to those that a realization needs at least.
    """

    ways: Mapping[str, Mapping[str, Contender]]
    needed: Callable[[Mapping[str, float]], dict[str, float]]

    @property
    def contenders(self) -> dict[str, Contender]:
        """What to time, in the same rounds as the kernel."""
        return {
            _name(part, way): contender
            for part, ways in self.ways.items()
            for way, contender in ways.items()
        }

    def share(self, timings: Mapping[str, Timing], steady: Timing) -> float:
        """Share of its floor that a kernel reaches; 1 is perfect.

        The median of the shares of all rounds: neighbours change less within a round than between.
        """
        parts = self._fastest(timings)
        shares = [
            sum(self.needed({part: each.rounds[i] for part, each in parts.items()}).values()) / us
            for i, us in enumerate(steady.rounds)
        ]
        return float(np.median(shares))

    def further(self, timings: Mapping[str, Timing], steady: Timing) -> dict[str, float]:
        """The shortest times, and the share of these, which need not be of the same moments."""
        parts = self._fastest(timings)
        shortest = self.needed({part: each.microseconds for part, each in parts.items()})
        return {
            "floor_share_of_minima": sum(shortest.values()) / steady.microseconds,
            **{f"floor_{name}_us": us for name, us in shortest.items()},
        }

    def _fastest(self, timings: Mapping[str, Timing]) -> dict[str, Timing]:
        """Chosen once: the fastest of every round would be the luckiest."""
        every = {
            part: [timings[_name(part, way)] for way in ways] for part, ways in self.ways.items()
        }
        return {
            part: min(timed, key=lambda each: np.median(each.rounds))
            for part, timed in every.items()
        }


def _name(part: str, way: str) -> str:
    return f"floor {part}, {way}"


def iqi_floor(network: IqiNetwork, effort: Effort) -> Floor:
    """The random numbers and the matrix products of the largest network, in batches of some sizes.

    Random numbers are written to memory once; products are those of all parts, over all antennas
    at once.
    """
    shape = network.rows, network.streams
    ways: dict[str, dict[str, Contender]] = {"random": {}, "products": {}}

    @jax.jit
    def draw(keys: Array) -> Array:
        return jax.vmap(lambda key: split_complex_normal(key, shape))(keys)

    multiply = jax.jit(jax.vmap(cross_products))
    batched = jax.jit(
        lambda g, w: lax.dot_general(
            g.reshape(len(g), shape[0], -1),
            w.reshape(len(w), shape[0], -1),
            (((1,), (1,)), ((0,), (0,))),
            precision=lax.Precision.HIGHEST,
        )
    )
    for batch in _BATCHES.get(jax.default_backend(), _BATCHES["default"])[: effort.floor_batches]:
        keys = jax.random.split(jax.random.key(0), 2 * batch)
        g, w = jnp.split(draw(keys), 2)
        ways["random"][f"{batch}"] = floor_part(effort, batch, draw, keys)
        ways["products"][f"of parts, {batch}"] = floor_part(effort, batch, multiply, g, w)
        ways["products"][f"of matrices, {batch}"] = floor_part(effort, batch, batched, g, w)
    return Floor(ways, dict)


def floor_part(
    effort: Effort, realizations: float, function: Callable[..., object], *arguments: object
) -> Contender:
    """Something that a kernel does, on all cores at once; of so many realizations a call."""
    return repeated(
        lambda: jax.block_until_ready(function(*arguments)), realizations, effort.floor_seconds
    )


def chained(function: Callable[..., object], calls: int) -> Callable[..., object]:
    """The function so many times in one program, as a kernel has it.

    Starting programs then does not count, nor does memory for all results: each takes the place of
    the one before. A number of that one goes into the first argument, so that no call can be left
    out.
    """

    def again(_: int, state: tuple[Sequence[object], object]) -> tuple[Sequence[object], object]:
        arguments, result = state
        leaves, tree = jax.tree.flatten(arguments)
        number = jnp.minimum(jax.tree.leaves(result)[0].real.ravel()[0], 1.0)
        first = (0,) * leaves[0].ndim
        leaves[0] = leaves[0].at[first].set(number.astype(leaves[0].dtype))
        arguments = jax.tree.unflatten(tree, leaves)
        return arguments, function(*arguments)

    @jax.jit
    def run(*arguments: object) -> object:
        return lax.fori_loop(1, calls, again, (arguments, function(*arguments)))[1]

    return run


def identities(size: int, lanes: int) -> Parts:
    """Matrices that stay themselves along a chain of inverses or products."""
    identity = np.broadcast_to(np.eye(size, dtype=np.float32)[..., None], (size, size, lanes))
    return Parts(jnp.asarray(identity), jnp.asarray(np.zeros_like(identity)))
