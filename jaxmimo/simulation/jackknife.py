"""Standard errors and bias correction for functions of means, from sums over blocks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from jaxmimo.core.guards import root

MOST_BLOCKS = 64
"""Blocks of the jackknife: the standard error itself is then known to 9 %."""


def num_blocks(realizations: int) -> int:
    """Blocks of a run: as many as help, a power of two, none of them empty."""
    return min(MOST_BLOCKS, 2 ** (realizations.bit_length() - 1))


def block_counts(realizations: int, blocks: int) -> np.ndarray:
    """Realizations in each block, when realization i belongs to block `i % blocks`."""
    return (realizations - np.arange(blocks) + blocks - 1) // blocks


def student(realizations: int, level: float = 0.95) -> float:
    """Half length of a two-sided confidence interval in standard errors, by Student's law."""
    from scipy.stats import t

    return float(t.ppf(0.5 + level / 2, num_blocks(realizations) - 1))


def jackknife(
    statistic: Callable[[PyTree[Array]], PyTree[Array]], sums: PyTree[Array], counts: Any
) -> tuple[PyTree[Array], PyTree[Array]]:
    """Bias-corrected value and standard error, for blocks whose sizes may differ by one.

    References:
        Busing, Meijer, van der Leeden, "Delete-m jackknife for unequal m", Statistics and
        Computing 9, 1999.
    """
    blocks, total = len(counts), counts.sum()
    real = jnp.result_type(float)
    everything = jax.tree.map(lambda s: s.sum(0), sums)
    value = statistic(jax.tree.map(lambda s: s / total, everything))

    def without(block_sum: PyTree[Array], count: Array) -> PyTree[Array]:
        rest = total - count
        return statistic(jax.tree.map(lambda a, b: (a - b) / rest, everything, block_sum))

    replicates = jax.vmap(without)(sums, jnp.asarray(counts))
    inverse_share = jnp.asarray(total / counts, real)

    def combine(value: Array, replicates: Array) -> tuple[Array, Array]:
        h = inverse_share.reshape(blocks, *(1,) * value.ndim)
        shift = (h - 1) * (value[None] - replicates)  # of the pseudo-values from `value`
        mean_shift = (shift / h).sum(0)
        deviation = shift - mean_shift[None]
        variance = ((deviation * deviation.conj()).real / (h - 1)).mean(0)
        return value + mean_shift, root(variance)

    pairs = jax.tree.map(combine, value, replicates)
    return jax.tree.transpose(jax.tree.structure(value), jax.tree.structure((0, 0)), pairs)
