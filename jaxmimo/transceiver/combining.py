r"""Uplink receive combining: maximum ratio, zero forcing, MMSE.

Combiners take the channel estimates (antennas, users) of one realization; use `jax.vmap` for
many. They share one signature, `(h_hat, noise_to_power, error_covariance)`, of which a scheme may
leave out what it does not use when it is called by hand. For powers that differ, scale the columns
of `h_hat` by the square root of the power and give the noise power as `noise_to_power`.

Those of eq. (12) are $V = \hat H B$ with a matrix $B$ of the users' Gram matrix alone. All that
the SINR needs then follows from $\hat H^H \hat H$ and $\hat H^H (\hat H - H)$, without ever forming
$V$: their *Gram forms*, in `IN_GRAM_FORM`, which simulations use.
"""

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex

from jaxmimo.core.checks import require
from jaxmimo.core.guards import not_negative
from jaxmimo.core.small_matrices import (
    Parts,
    adjoint_product,
    diagonal,
    gram_matrix,
    inverse,
    sum_of_columns,
)

Combiner = Callable[..., Complex[Array, "antennas users"]]
"""A combining scheme, `(h_hat, noise_to_power, error_covariance) -> combiner`."""

GramForm = Callable[[Parts, Parts, ArrayLike], tuple[Parts, Array]]
"""`(gram, error, noise_to_power) -> (gains, norms)` of a scheme, batch axes last.

`gram` is $\\hat H^H \\hat H$ and `error` is $\\hat H^H (\\hat H - H)$, both (users, users, *batch);
`gains` is $V^H H$, and `norms` holds the squared norms of the combiners, (users, *batch).
"""


def mr_combiner(
    h_hat: Complex[Array, "antennas users"], *statistics: Any
) -> Complex[Array, "antennas users"]:
    r"""Maximum-ratio combiner, $V = \hat H$.

    Args:
        h_hat: Channel estimates [linear amplitude].
        *statistics: Not used; combiners share one signature.

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        eq. (12).
    """
    return h_hat


@jax.jit
def zf_combiner(
    h_hat: Complex[Array, "antennas users"], *statistics: Any
) -> Complex[Array, "antennas users"]:
    r"""Zero-forcing combiner, $V = \hat H (\hat H^H \hat H)^{-1}$.

    Users with the same channel cannot be separated: the Gram matrix is singular. It is then
    inverted as if it had rounding noise on its diagonal, so that the combiner is finite and
    the SINR of these users small.

    Args:
        h_hat: Channel estimates [linear amplitude]; needs users <= antennas.
        *statistics: Not used; combiners share one signature.

    Returns:
        Combiners with $v_k^H \hat h_i = 1$ for $i = k$, else 0.

    Raises:
        ValueError: If there are more users than antennas.

    References:
        Tominaga et al., eq. (12).
    """
    antennas, users = h_hat.shape
    require(
        users <= antennas,
        f"`h_hat` must have at most as many users as antennas for zero forcing, but has {users} "
        f"users and {antennas} antennas. Serve fewer users or use `mmse_combiner`.",
    )
    h = Parts.of(h_hat)
    return adjoint_product(h.adjoint, inverse(gram_matrix(h))).merged()


@jax.jit
def mmse_combiner(
    h_hat: Complex[Array, "antennas users"], noise_to_power: ArrayLike, *statistics: Any
) -> Complex[Array, "antennas users"]:
    r"""MMSE combiner for known channels, through the smaller of the two Gram matrices.

    $$V = (\hat H \hat H^H + \tfrac{\sigma^2}{p} I)^{-1} \hat H
        = \hat H (\hat H^H \hat H + \tfrac{\sigma^2}{p} I)^{-1}$$

    Args:
        h_hat: Channel estimates [linear amplitude].
        noise_to_power: $\sigma^2 / p$ [linear], positive.
        *statistics: Not used; combiners share one signature.

    References:
        Tominaga et al., eq. (12).
    """
    antennas, users = h_hat.shape
    h, noise_to_power = Parts.of(h_hat), not_negative(noise_to_power)
    if users <= antennas:
        gram = _plus_identity(gram_matrix(h), noise_to_power)
        return adjoint_product(h.adjoint, inverse(gram)).merged()
    gram = _plus_identity(gram_matrix(h.adjoint), noise_to_power)
    return adjoint_product(inverse(gram), h).merged()


@jax.jit
def error_aware_mmse_combiner(
    h_hat: Complex[Array, "antennas users"],
    noise_to_power: ArrayLike,
    error_covariance: Complex[Array, "antennas antennas"],
) -> Complex[Array, "antennas users"]:
    r"""MMSE combiner that counts what the estimates miss as noise.

    $$V = Z^{-1} \hat H (I + \hat H^H Z^{-1} \hat H)^{-1}, \qquad
      Z = \textstyle\sum_k C_k + \tfrac{\sigma^2}{p} I$$

    It maximizes the SINR that a receiver can achieve with MMSE channel estimates.

    Args:
        h_hat: Channel estimates [linear amplitude].
        noise_to_power: $\sigma^2 / p$ [linear], positive.
        error_covariance: $\sum_k C_k$, the covariances of all users' estimation errors [linear].

    References:
        Bjornson, Hoydis, Sanguinetti, "Massive MIMO Networks", 2017, Section 4.1.
    """
    h, noise_to_power = Parts.of(h_hat), not_negative(noise_to_power)
    whitened = adjoint_product(
        inverse(_plus_identity(Parts.of(error_covariance), noise_to_power)), h
    )
    small = inverse(_plus_identity(adjoint_product(h, whitened), 1.0))
    return adjoint_product(whitened.adjoint, small).merged()


def _mr_gains(gram: Parts, error: Parts, noise_to_power: ArrayLike) -> tuple[Parts, Array]:
    del noise_to_power
    return gram - error, diagonal(gram.real)


def _zf_gains(gram: Parts, error: Parts, noise_to_power: ArrayLike) -> tuple[Parts, Array]:
    del noise_to_power
    return _regularized_gains(gram, error, 0.0)


def _regularized_gains(gram: Parts, error: Parts, added: ArrayLike) -> tuple[Parts, Array]:
    r"""With $B = (\hat H^H \hat H + \lambda I)^{-1}$ the gains are $I - B (\lambda I + D)$.

    $D = \hat H^H (\hat H - H)$ is small, which saves the digits that $B \hat H^H H$ would lose.
    The norms are the diagonal of $B \hat H^H \hat H B = B - \lambda B^2$.
    """
    b = inverse(_plus_identity(gram, added))
    missed = adjoint_product(b, _plus_identity(error, added))
    gains = _plus_identity(missed * -1.0, 1.0)
    norms = diagonal(b.real) - added * sum_of_columns(b.power)
    return gains, jnp.maximum(norms, 0.0)  # rounding may leave less than nothing


IN_GRAM_FORM: dict[Combiner, GramForm] = {
    mr_combiner: _mr_gains,
    zf_combiner: _zf_gains,
    mmse_combiner: _regularized_gains,
}
"""The Gram form of each scheme that has one."""


def check_zero_forcing(combiners: Collection[Combiner], antennas: int, users: int) -> None:
    """Refuse zero forcing of more users than antennas, which a Gram matrix alone does not tell."""
    require(
        zf_combiner not in combiners or users <= antennas,
        f"`num_users` = {users} must not exceed the {antennas} antennas of all APs for zero "
        "forcing. Serve fewer users or use `mmse_combiner`.",
    )


def _plus_identity(a: Parts, factor: ArrayLike) -> Parts:
    identity = jnp.eye(a.shape[0]).reshape(*a.shape[:2], *[1] * (len(a.shape) - 2))
    return Parts(a.real + factor * identity, a.imag)
