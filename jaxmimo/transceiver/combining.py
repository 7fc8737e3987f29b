r"""Uplink receive combining: maximum ratio, zero forcing, MMSE.

Combiners take the channel estimates (antennas, users) of one realization; use `jax.vmap` for
many. They share one signature, `(h_hat, noise_to_power, error_covariance)`, of which a scheme may
leave out what it does not use when it is called by hand. For powers that differ, scale the columns
of `h_hat` by the square root of the power and give the noise power as `noise_to_power`.

Those of eq. (12) are $V = \hat H B$ with a matrix $B$ of the users' Gram matrix alone. All that
the SINR needs then follows from $\hat H^H \hat H$ and $\hat H^H (\hat H - H)$, without ever forming
$V$: their *Gram forms*, in `IN_GRAM_FORM`, which simulations use. A Gram matrix squares the
condition of the channels. Where that takes their digits the form says so, and simulations combine
such realizations once more, from the channels.
"""

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex

from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.dual_basis import dual_basis, rounding_errors
from jaxmimo.core.guards import not_negative, root
from jaxmimo.core.rules import nonnegative, semidefinite
from jaxmimo.core.scaling import binary_scale
from jaxmimo.core.small_matrices import (
    Parts,
    adjoint_product,
    diagonal,
    inverse,
    sum_of_columns,
)

Combiner = Callable[..., Complex[Array, "antennas users"]]
"""A combining scheme, `(h_hat, noise_to_power, error_covariance) -> combiner`."""

GramForm = Callable[[Parts, Parts, ArrayLike], tuple[Parts, Array, Array | None]]
"""`(gram, error, noise_to_power) -> (gains, norms, lost)` of a scheme, batch axes last.

`gram` is $\\hat H^H \\hat H$ and `error` is $\\hat H^H (\\hat H - H)$, both (users, users, *batch);
`gains` is $V^H H$, `norms` holds the squared norms of the combiners, (users, *batch), and `lost`,
(*batch,), says where rounding has changed the SINR by about a per cent or more; None is nowhere.
"""


@checked()
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


@checked()
@jax.jit
def zf_combiner(
    h_hat: Complex[Array, "antennas users"], *statistics: Any
) -> Complex[Array, "antennas users"]:
    r"""Zero-forcing combiner, $V = \hat H (\hat H^H \hat H)^{-1}$.

    It is found from the channels, not from their Gram matrix, and so holds to condition numbers
    near the inverse of the precision. Users with the same channel cannot be separated. What
    rounding leaves of their difference is then taken for one, so that the combiner is finite and
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
    return dual_basis(Parts.of(h_hat)).merged()


@checked(noise_to_power=nonnegative.shaped(""))
@jax.jit
def mmse_combiner(
    h_hat: Complex[Array, "antennas users"], noise_to_power: ArrayLike, *statistics: Any
) -> Complex[Array, "antennas users"]:
    r"""MMSE combiner for known channels.

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
    h = Parts.of(h_hat)
    if users > antennas:
        return regularized_dual(h.adjoint, noise_to_power).adjoint.merged()
    return regularized_dual(h, noise_to_power).merged()


@checked(noise_to_power=nonnegative.shaped(""), error_covariance=semidefinite)
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
    # In units in which the largest amplitude is about one, whatever those of the channels are.
    unit = binary_scale(jnp.max(jnp.abs(h_hat)))
    h, noise = Parts.of(h_hat / unit), not_negative(noise_to_power) / unit / unit
    errors = _plus_identity(Parts.of(error_covariance / unit / unit), noise)
    whitened = adjoint_product(inverse(errors), h)
    small = inverse(_plus_identity(adjoint_product(h, whitened), 1.0))
    return (adjoint_product(whitened.adjoint, small) * (1.0 / unit)).merged()


def regularized_dual(h: Parts, added: ArrayLike, *, one_by_one: bool = False) -> Parts:
    r"""$H (H^H H + \lambda I)^{-1}$, the dual basis of H over $\sqrt\lambda I$, but for its end.

    Args:
        h: H, of shape (antennas, users, *batch).
        added: $\lambda$.
        one_by_one: Passed on to `dual_basis`.
    """
    users, batch = h.shape[1], h.shape[2:]
    noise = root(jnp.asarray(added, h.real.dtype)) * jnp.eye(users)
    noise = jnp.broadcast_to(noise.reshape(users, users, *[1] * len(batch)), (users, users, *batch))
    extended = Parts.joined(h, Parts(noise, jnp.zeros_like(noise)))
    return dual_basis(extended, one_by_one)[: h.shape[0]]


def _mr_gains(gram: Parts, error: Parts, noise_to_power: ArrayLike) -> tuple[Parts, Array, None]:
    del noise_to_power
    return gram - error, diagonal(gram.real), None


def _zf_gains(gram: Parts, error: Parts, noise_to_power: ArrayLike) -> tuple[Parts, Array, Array]:
    r"""Gains are those of MMSE at $\lambda = 0$; the norms are the diagonal of B itself."""
    del noise_to_power
    b = inverse(gram)
    gains = _plus_identity(adjoint_product(b, error) * -1.0, 1.0)
    return gains, diagonal(b.real), _are_lost(gram, b)


def _mmse_gains(gram: Parts, error: Parts, added: ArrayLike) -> tuple[Parts, Array, Array]:
    r"""With $B = (\hat H^H \hat H + \lambda I)^{-1}$ the gains are $I - B (\lambda I + D)$.

    $D = \hat H^H (\hat H - H)$ is small, which saves the digits that $B \hat H^H H$ would lose.
    The norms are the diagonal of $B \hat H^H \hat H B = B - \lambda B^2$.
    """
    regularized = _plus_identity(gram, added)
    b = inverse(regularized)
    missed = adjoint_product(b, _plus_identity(error, added))
    norms = diagonal(b.real) - added * sum_of_columns(b.power)
    # Rounding may leave less than nothing.
    norms = jnp.maximum(norms, 0.0)
    return _plus_identity(missed * -1.0, 1.0), norms, _are_lost(regularized, b)


def _are_lost(gram: Parts, inverse_gram: Parts) -> Array:
    # The SINR errs by about this, in one of a hundred realizations by up to 17 times as much: just
    # below the limit by 0.01 bit/s/Hz, and at worst by 0.2. What is not a number has no digits
    # either.
    return ~(rounding_errors(gram, inverse_gram) < 1e-2)


IN_GRAM_FORM: dict[Combiner, GramForm] = {
    mr_combiner: _mr_gains,
    zf_combiner: _zf_gains,
    mmse_combiner: _mmse_gains,
}
"""The Gram form of each scheme that has one."""

REGULARIZATION: dict[Combiner, float] = {zf_combiner: 0.0, mmse_combiner: 1.0}
r"""The regularization $\lambda$ of each scheme that inverts, over `noise_to_power`."""


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
