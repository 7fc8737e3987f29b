"""Error bars of shares: means of what is true or not, such as outage or a distribution function.

A share of which no draw was an exception has no spread, and is not known all the same. Users of one
drop depend on each other, so that neither drops nor users count the independent draws. Wilson's
interval, with as many draws as would spread by chance as much as the drops do, answers both.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, PyTree

from jaxmimo.core.guards import root
from jaxmimo.simulation.jackknife import jackknife, student


def errors_of_distribution(
    mean: Float[Array | np.ndarray, "... levels"],
    std_error: Float[Array | np.ndarray, "... levels"],
    realizations: int,
) -> np.ndarray:
    """Half Wilson intervals of distribution functions, over Student's quantile.

    The spread of few drops says little about a tail, so that the size of the sample is the
    harmonic mean of what the level says and of what all levels say together. It is at least the
    number of drops, since shares spread no more than if the users of a drop were one.

    Args:
        mean: Shares of the users of a drop, averaged over drops.
        std_error: Their standard errors, by the jackknife over drops.
        realizations: How many drops.

    Returns:
        What `interval_of_share` takes for a standard error.
    """
    share = np.clip(np.asarray(mean, float), 0.0, 1.0)
    chance, spread = share * (1.0 - share), np.asarray(std_error, float) ** 2
    total = spread.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = chance.sum(-1, keepdims=True) / total
        inverse = np.where(spread > 0.0, spread / chance, 0.0)  # of the size at a level
        size = np.where(total > 0.0, 2.0 / (inverse + 1.0 / pooled), 0.0)
    size = np.maximum(size, realizations)
    z = student(realizations)
    return np.sqrt(chance * size + z**2 / 4.0) / (size + z**2)


def interval_of_share(
    mean: Any, std_error: Any, realizations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % interval of a share, from half its length over Student's quantile."""
    share = np.clip(np.asarray(mean, float), 0.0, 1.0)
    chance, half = share * (1.0 - share), student(realizations) * np.asarray(std_error, float)
    spread = np.sqrt(chance**2 + (1.0 - 4.0 * chance) * half**2)
    with np.errstate(invalid="ignore"):
        pull = np.where(half > 0.0, 2.0 * half**2 / (chance + spread), 0.0)  # of 1/2 on the centre
    center = share + (0.5 - share) * pull
    return np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)


def with_unseen(
    statistic: Callable[[PyTree[Array]], PyTree[Array]],
    sums: PyTree[Array],
    counts: Any,
    quantile: Any,
    is_share: tuple[bool, ...],
) -> tuple[PyTree[Array], PyTree[Array], PyTree[Array]]:
    """The jackknife's value and standard error, and what `unseen` adds to the latter."""
    value, error = jackknife(statistic, sums, counts)
    if not any(is_share):
        return value, error, jax.tree.map(lambda e: 0.0 * e, error)  # no constants in a trace
    doubt = unseen(statistic, sums, counts, quantile, is_share)
    return value, jax.tree.map(lambda e, d: root(e**2 + d**2), error, doubt), doubt


def quantile_of(is_share: tuple[bool, ...], realizations: int) -> np.ndarray:
    """Student's quantile for `with_unseen`; without shares it does not matter, nor costs time."""
    return np.asarray(student(realizations) if any(is_share) else 0.0)


def unseen(
    statistic: Callable[[PyTree[Array]], PyTree[Array]],
    sums: PyTree[Array],
    counts: Any,
    quantile: Any,
    is_share: tuple[bool, ...],
) -> PyTree[Array]:
    """By how much a statistic changes if shares without any spread are off by what is possible.

    Where all draws agree, the mean is moved to the end of Wilson's interval, by about 4 / n.

    Args:
        statistic: Function of the mean sample.
        sums: Sums of the sample per block.
        counts: Realizations per block.
        quantile: Of Student's law.
        is_share: Of each array of the sample, whether it is one of yes and no.
    """
    total = counts.sum()
    leaves, structure = jax.tree.flatten(sums)
    means = [leaf.sum(0) / total for leaf in leaves]

    def moved(leaf: Array, mean: Array) -> Array:
        each = leaf / jnp.asarray(counts).reshape(-1, *(1,) * mean.ndim)
        agree = jnp.all(each == each[:1], axis=0)
        step = jnp.where(mean == 0.0, 1.0, -mean) * quantile**2 / (total + quantile**2)
        return jnp.where(agree, mean + step, mean)

    shifted = [
        moved(leaf, mean) if share else mean
        for leaf, mean, share in zip(leaves, means, is_share, strict=True)
    ]
    there, here = (statistic(structure.unflatten(values)) for values in (shifted, means))
    return jax.tree.map(lambda a, b: jnp.abs(a - b) / quantile, there, here)
