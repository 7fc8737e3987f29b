r"""Karhunen-Loeve expansion of correlated fading: $h = U \Lambda^{1/2} v$ with white $v$.

Covariances are real here, as those of the beams of linear arrays are; see
`transceiver.prebeamforming.beam_covariance`.

Eigenvectors are not unique: of repeated eigenvalues, such as those of the null space of a narrow
scatterer, only the space they span is, and its rotation has no derivative. The rules for gradients
here are right for whatever does not depend on that choice, and finite always.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import sequential_vmap
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from jaxmimo.core.checks import is_traced, require

RankRule = Callable[[Float[Array, " n"]], Bool[Array, " n"]]
"""Which eigenvalues, in descending order, count as a channel's: a mask that keeps the first ones.
Bind other parameters with `functools.partial`."""


@jax.custom_jvp
def karhunen_loeve(
    covariance: Float[Array, "n n"],
) -> tuple[Float[Array, "n n"], Float[Array, " n"]]:
    r"""Eigenvectors and eigenvalues of a covariance, the largest first.

    $$R = U \Lambda U^T, \qquad \lambda_1 \ge \dots \ge \lambda_n \ge 0$$

    The gradient turns eigenvectors only among eigenvalues that differ by more than rounding. It
    is right for functions of the values, and of spaces that belong to separate values.

    Args:
        covariance: $R$, real, symmetric and positive semidefinite but for rounding.

    Returns:
        $U$, an eigenvector per column, its largest entry positive, and the eigenvalues; what
        rounding takes below zero is zero.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eq. (5).
    """
    values, vectors = _eigh(covariance)
    # The sign that makes the largest entry positive, so that devices and precisions agree.
    largest = jnp.argmax(jnp.abs(vectors), axis=0, keepdims=True)
    vectors = vectors * jnp.sign(jnp.take_along_axis(vectors, largest, axis=0))
    return vectors[:, ::-1], jnp.maximum(values[::-1], 0.0)


@sequential_vmap
def _eigh(covariance: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """One matrix after another: LAPACK calls of whole batches have hung jax 0.10 on two cores."""
    values, vectors = jnp.linalg.eigh(covariance)
    return values, vectors


@karhunen_loeve.defjvp
def _karhunen_loeve_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple:
    vectors, values = karhunen_loeve(*primals)
    change = _in_basis(tangents[0], vectors)
    gap = values[None, :] - values[:, None]
    turn = change * _inverse_where(jnp.abs(gap) > _rounding(values), gap)
    return (vectors, values), (_product(vectors, turn), jnp.diagonal(change))


@jax.custom_jvp
def channel_factor(covariance: Float[Array, "n n"]) -> Float[Array, "n n"]:
    r"""Factor $A = U \Lambda^{1/2}$ of a covariance: $h = A v$ is $\mathcal{CN}(0, A A^T)$.

    Any factor with $A A^T = R$ gives the same statistics, so the gradient may follow any of
    them. It follows $dA = S A$ with the symmetric solution of $S R + R S = dR$, which exists where
    eigenvalues are repeated or zero, and for which $dA\, A^T + A\, dA^T = dR$. For one
    realization of $v$, it is thus not the gradient of $U \Lambda^{1/2} v$, which need not exist;
    its mean over $v$ is the gradient of the mean.

    Args:
        covariance: $R$, as for `karhunen_loeve`.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eqs. (5)-(6).
    """
    vectors, values = karhunen_loeve(covariance)
    return vectors * jnp.sqrt(values)[None, :]


@channel_factor.defjvp
def _channel_factor_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    vectors, values = karhunen_loeve(*primals)
    # Called and not rebuilt from the vectors, so that second derivatives follow this rule, too.
    factor = channel_factor(*primals)
    total = values[None, :] + values[:, None]
    solution = _in_basis(tangents[0], vectors) * _inverse_where(total > _rounding(values), total)
    return factor, _product(vectors, _product(solution, _product(vectors.T, factor)))


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


def _in_basis(change: Float[Array, "n n"], vectors: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """`V^T dR V`, of the symmetric part of a change."""
    symmetric = 0.5 * (change + change.T)
    return _product(vectors.T, _product(symmetric, vectors))


def _inverse_where(present: Bool[Array, "n n"], x: Float[Array, "n n"]) -> Float[Array, "n n"]:
    return jnp.where(present, 1.0 / jnp.where(present, x, 1.0), 0.0)


def _rounding(values: Float[Array, " n"]) -> Float[Array, ""]:
    """By how much rounding may move the eigenvalues, or a number whose inverse is finite."""
    limits = jnp.finfo(values.dtype)
    return values.size * limits.eps * values[0] + limits.tiny**0.5


def _product(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    return jnp.matmul(a, b, precision="highest")
