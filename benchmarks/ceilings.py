"""What the device can do at best: arithmetic and memory bandwidth, measured in the same run."""

from functools import cache

import jax
import jax.numpy as jnp

from benchmarks.iqi_network import IqiNetwork
from benchmarks.measures import Effort
from benchmarks.report import Row
from benchmarks.rician_network import RicianNetwork
from benchmarks.timing import Contender, Timing, in_turn

_SIZES = {"cpu": ((1024, 2048), 2**24), "default": ((4096, 8192), 2**28)}
"""Sides of the matrices that are multiplied, and numbers that are streamed."""


def ceilings(effort: Effort) -> Row:
    """Fastest single-precision product and fastest stream of memory of all cores."""
    flops, bandwidth = measured_ceilings(effort.repeats)
    return Row(
        case="ceilings",
        further={"gigaflops_per_s": flops / 1e9, "gigabytes_per_s": bandwidth / 1e9},
    )


@cache
def measured_ceilings(repeats: int) -> tuple[float, float]:
    """Floating-point operations and bytes per second; measured once per process."""
    sides, numbers = _SIZES.get(jax.default_backend(), _SIZES["default"])

    @jax.jit
    def product(a: jax.Array) -> jax.Array:
        return jnp.matmul(a, a, precision="highest")

    @jax.jit
    def triad(a: jax.Array, b: jax.Array) -> jax.Array:
        return a + 0.5 * b

    contenders = {}
    for side in sides:
        matrix = jnp.ones((side, side))
        contenders[f"product {side}"] = Contender(
            lambda matrix=matrix: jax.block_until_ready(product(matrix)), 2 * side**3
        )
    a, b = jnp.zeros(numbers), jnp.ones(numbers)
    contenders["triad"] = Contender(lambda: jax.block_until_ready(triad(a, b)), 3 * a.nbytes)
    timings = in_turn(contenders, repeats)
    rates = {name: 1e6 / timing.microseconds for name, timing in timings.items()}
    return max(rates[f"product {side}"] for side in sides), rates["triad"]


def ceiling_share(steady: Timing, flops: float, moved_bytes: float, repeats: int) -> float:
    """Time that the ceilings allow the necessary work of a realization, over what it takes.

    Operations and memory are taken to overlap, so the slower of them decides.
    """
    flops_per_s, bytes_per_s = measured_ceilings(repeats)
    return 1e6 * max(flops / flops_per_s, moved_bytes / bytes_per_s) / steady.microseconds


def iqi_work(network: IqiNetwork) -> tuple[float, float]:
    """Operations of the products, and bytes of the draws written and read once."""
    draws = 2 * 2 * network.rows * network.streams  # channel and estimate, real and imaginary
    return 2.0 * (2 * network.streams) ** 2 * network.rows, 2.0 * 4 * draws


def rician_work(network: RicianNetwork) -> tuple[float, float]:
    """Operations of Gram matrices, inverses and gains, and bytes of the draws once each way."""
    points = len(network.num_aps) * len(network.rician_db)
    users, antennas = network.users, network.antennas
    gram = 6 * 8 * users**2 * antennas * len(network.num_aps)
    solves = 2 * 2 * 8 * users**3 * points  # ZF and MMSE: an inverse and a product each
    draws = 2 * 2 * users * antennas
    return float(gram + solves), 2.0 * 4 * draws
