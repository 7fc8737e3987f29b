r"""Karhunen-Loeve expansion of correlated fading: $h = U \Lambda^{1/2} v$ with white $v$.

Covariances are real here, as those of the beams of linear arrays are; see
`transceiver.prebeamforming.beam_covariance`.

Eigenvectors are not unique: of repeated eigenvalues, such as those of the null space of a narrow
scatterer, only the space they span is, and its rotation has no derivative. The rules for gradients
here are right for whatever does not depend on that choice, and finite always.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from jaxmimo.core.checks import is_traced, require
from jaxmimo.core.contracts import checked
from jaxmimo.core.eigenvectors import scaled_eigenvectors
from jaxmimo.core.guards import reciprocal_root
from jaxmimo.core.rules import at_least_one, semidefinite, share

RankRule = Callable[[Float[Array, " n"]], Bool[Array, " n"]]
"""Which eigenvalues, in descending order, count as a channel's: a mask that keeps the first ones.
Bind other parameters with `functools.partial`."""


class Expansion(eqx.Module):
    r"""Karhunen-Loeve expansion of a covariance.

    Attributes:
        vectors: $U$, an eigenvector per column, its largest entry positive.
        values: $\lambda_1 \ge \lambda_2 \ge \dots \ge 0$.
        factor: $A = U \Lambda^{1/2}$: $h = A v$ is $\mathcal{CN}(0, A A^T)$.
    """

    vectors: Float[Array, "n rank"]
    values: Float[Array, " rank"]
    factor: Float[Array, "n rank"]


@checked(covariance=semidefinite, rank=at_least_one)
def karhunen_loeve(covariance: Float[Array, "n n"], rank: int | None = None) -> Expansion:
    r"""Eigenvectors and eigenvalues of a covariance, $R = U \Lambda U^T$, the largest first.

    What rounding leaves of the null space is zero: such eigenvalues, and then their vectors.

    The gradient turns eigenvectors only among eigenvalues that differ by more than rounding. It
    is right for functions of the values, and of spaces that belong to separate values. Any factor
    with $A A^T = R$ gives the same statistics, so its gradient may follow any of them. It follows
    $dA = S A$ with the symmetric solution of $S R + R S = dR$, which exists where eigenvalues are
    repeated or zero, and for which $dA\, A^T + A\, dA^T = dR$. For one realization of $v$, it is
    thus not the gradient of $U \Lambda^{1/2} v$, which need not exist; its mean over $v$ is the
    gradient of the mean.

    Args:
        covariance: $R$, real, symmetric and positive semidefinite but for rounding.
        rank: How many eigenvectors to find, at least as many as have eigenvalues above rounding;
            None finds all.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eqs. (5)-(6).
    """
    return _expansion(covariance, rank)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _expansion(covariance: Float[Array, "n n"], rank: int | None) -> Expansion:
    size = covariance.shape[0]
    factor = scaled_eigenvectors(covariance, size if rank is None else rank)
    values = jnp.sum(factor**2, axis=1)
    order = jnp.argsort(-values)
    factor, values = factor[order].T, values[order]
    # The sign that makes the largest entry positive, so that devices and precisions agree.
    largest = jnp.argmax(jnp.abs(factor), axis=0, keepdims=True)
    factor = factor * jnp.sign(jnp.take_along_axis(factor, largest, axis=0))
    return Expansion(factor * reciprocal_root(values)[None], values, factor)


@_expansion.defjvp
def _expansion_jvp(
    rank: int | None, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Expansion, Expansion]:
    expansion = _expansion(*primals, rank)
    vectors, values = expansion.vectors, expansion.values
    gaps, sums = values[None, :] - values[:, None], values[None, :] + values[:, None]
    turned, within = _turned(tangents[0], vectors, values, gaps)
    solution, _ = _turned(tangents[0], vectors, values, sums)
    moved = _product(solution, _product(vectors.T, expansion.factor))
    return expansion, Expansion(turned, jnp.diagonal(within), moved)


@checked(relative=share.shaped(""))
def eigenvalues_above(values: Float[Array, " n"], relative: ArrayLike = 1e-2) -> Bool[Array, " n"]:
    """Keep the eigenvalues above a share of the largest, and always the first.

    A `RankRule`.

    Args:
        values: Eigenvalues in descending order.
        relative: The share, at least 0 and below 1; may be traced.

    Raises:
        ValueError: If the share is out of its range.
    """
    require(
        is_traced(relative) or 0 <= float(np.asarray(relative)) < 1,
        f"`relative` must be at least 0 and below 1, but got {relative}. Give a share of the "
        "largest eigenvalue, such as 1e-2.",
    )
    return (values > relative * values[:1]) | _first(values)


@checked(fraction=share.shaped(""))
def captured_energy(values: Float[Array, " n"], fraction: ArrayLike = 0.99) -> Bool[Array, " n"]:
    """Keep the fewest leading eigenvalues, at least one, that hold a share of their sum.

    A `RankRule`.

    Args:
        values: Eigenvalues in descending order.
        fraction: The share, in [0, 1]; may be traced. As a plain number it keeps the digits of
            double precision, however close to 1 it is.

    Raises:
        ValueError: If the share is not in [0, 1].
    """
    require(
        is_traced(fraction) or 0 <= float(np.asarray(fraction)) <= 1,
        f"`fraction` must be in [0, 1], but got {fraction}. Give a share of the energy, such as "
        "0.99.",
    )
    # Sums of what is left out keep the digits of small eigenvalues, where 1 minus it would not.
    from_here_on = jnp.cumsum(values[::-1])[::-1]
    return (from_here_on > (1.0 - fraction) * from_here_on[:1]) | _first(values)


def _first(values: Float[Array, " n"]) -> Bool[Array, " n"]:
    return jnp.asarray(np.arange(values.size) == 0)


def _turned(
    change: Float[Array, "n n"],
    vectors: Float[Array, "n rank"],
    values: Float[Array, " rank"],
    divisors: Float[Array, "rank rank"],
) -> tuple[Float[Array, "n rank"], Float[Array, "rank rank"]]:
    """`U (U^T dR U / D)` and what of `dR U / Lambda` is outside of the span of U; and `U^T dR U`.

    Quotients of what is not above rounding are zero.
    """
    rounding = _rounding(values)
    moved = _product(0.5 * (change + change.T), vectors)
    within = _product(vectors.T, moved)
    outside = moved - _product(vectors, within)
    inside = within * _inverse_where(jnp.abs(divisors) > rounding, divisors)
    turned = _product(vectors, inside) + outside * _inverse_where(values > rounding, values)[None]
    return turned, within


def _inverse_where(present: Bool[Array, "*shape"], x: Float[Array, "*shape"]) -> Array:
    return jnp.where(present, 1.0 / jnp.where(present, x, 1.0), 0.0)


def _rounding(values: Float[Array, " n"]) -> Float[Array, ""]:
    """By how much rounding may move the eigenvalues, or a number whose inverse is finite."""
    limits = jnp.finfo(values.dtype)
    return values.size * limits.eps * values[0] + limits.tiny**0.5


def _product(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    return jnp.matmul(a, b, precision="highest")
