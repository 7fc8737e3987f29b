"""What a kernel cannot do without, each part at the best speed measured in this process."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.iqi_network import IqiNetwork
from benchmarks.measures import Effort
from benchmarks.timing import Contender, Timing, in_turn, repeated
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.small_matrices import Parts
from jaxmimo.core.split import cross_products

_BATCHES = {"cpu": (16, 64), "default": (256, 2048)}


def _floor_contenders(network: IqiNetwork, effort: Effort) -> dict[str, Contender]:
    """The random numbers and the matrix products of the largest network, in batches of some sizes.

    Random numbers are written to memory once; products are those of all parts, over all antennas
    at once.
    """
    shape, contenders = (network.rows, network.streams), {}

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
        contenders |= {
            f"draw {batch}": floor_part(effort, batch, draw, keys),
            f"multiply {batch}": floor_part(effort, batch, multiply, g, w),
            f"multiply matrices {batch}": floor_part(effort, batch, batched, g, w),
        }
    return contenders


def floor_microseconds(network: IqiNetwork, effort: Effort) -> dict[str, float]:
    """Fastest random numbers and fastest products, per realization [us]."""
    timings = in_turn(_floor_contenders(network, effort), effort.repeats)

    def best(prefix: str) -> float:
        return min(t.microseconds for name, t in timings.items() if name.startswith(prefix))

    return {"floor_random_us": best("draw"), "floor_products_us": best("multiply")}


def floor_part(
    effort: Effort, realizations: float, function: Callable[..., object], *arguments: object
) -> Contender:
    """Something that a kernel does, on all cores at once; of so many realizations a call."""
    return repeated(
        lambda: jax.block_until_ready(function(*arguments)), realizations, effort.floor_seconds
    )


def identities(size: int, lanes: int) -> Parts:
    """Matrices that stay themselves along a chain of inverses or products."""
    identity = np.broadcast_to(np.eye(size, dtype=np.float32)[..., None], (size, size, lanes))
    return Parts(jnp.asarray(identity), jnp.asarray(np.zeros_like(identity)))


def floor_share(parts: dict[str, float], steady: Timing) -> float:
    """Share of its floor that a kernel reaches; 1 is perfect."""
    return sum(parts.values()) / steady.microseconds
