"""What a matrix must be to be the covariance of anything."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Inexact

from jaxmimo.core.checks import is_traced, on_device, plain_array, require

_ROUNDING = 8 * float(np.finfo(np.float32).eps)
"""What rounding in single precision may change, over the rows and the largest entry."""


def covariance_array(name: str, value: Any, size: int | None = None) -> jax.Array:
    """Covariance matrices on the last two axes as complex numbers, refused where they are none.

    They must be Hermitian and positive semidefinite, but for rounding in single precision. What
    their diagonals are, powers, is left to who gives them. Of traced ones the shape is checked.

    Args:
        name: Name of the parameter.
        value: Covariances, shape (..., size, size).
        size: Rows of a matrix; None takes any.
    """
    array = jnp.asarray(value) if is_traced(value) else plain_array(name, value)
    require(
        array.dtype.kind in "fiuc",
        f"`{name}` must hold numbers, but has dtype {array.dtype}. Give complex matrices.",
    )
    square = array.ndim >= 2 and array.shape[-1] == array.shape[-2]
    require(
        square and size in (None, array.shape[-1]),
        f"`{name}` must have shape {'(n, n)' if size is None else (size, size)}, but has shape "
        f"{array.shape}. Give a square matrix per link.",
    )
    if not isinstance(array, jax.Array):
        check_semidefinite(name, array)
        return on_device(array.astype(jnp.result_type(complex)))
    return array.astype(jnp.result_type(complex))


def unless_asymmetric(
    matrices: Inexact[Array, "n n *batch"],
) -> Complex[Array, "n n *batch"]:
    """Matrices, those that are not Hermitian but for rounding filled with NaN; they may be traced.

    Factors read one triangle alone, and would not tell.
    """
    asymmetry = jnp.abs(matrices - jnp.swapaxes(matrices, 0, 1).conj()).max((0, 1))
    rounding = _ROUNDING * len(matrices) * jnp.abs(matrices).max((0, 1))
    hermitian = asymmetry <= rounding
    return jnp.where(hermitian[None, None], matrices, jnp.nan).astype(jnp.result_type(complex))


def check_semidefinite(name: str, array: np.ndarray) -> None:
    """Refuse matrices, on the last two axes, that no random vector has for its covariance."""
    require(
        array.ndim >= 2 and array.shape[-1] == array.shape[-2],
        f"`{name}` must hold square matrices, but has shape {array.shape}. Give one row and one "
        "column per antenna.",
    )
    array = array.astype(np.complex128)
    require(
        bool(np.isfinite(array).all()),
        f"`{name}` must be finite, but holds NaN or infinity. Check what it is made of.",
    )
    if not array.size:
        return
    turned = np.swapaxes(array.conj(), -1, -2)
    rounding = _ROUNDING * array.shape[-1] * np.abs(array).max()
    asymmetry = np.abs(array - turned).max()
    require(
        bool(asymmetry <= rounding),
        f"`{name}` must be Hermitian, but differs from its conjugate transpose by {asymmetry:.3g}. "
        "Give E[h h^H].",
    )
    least = np.linalg.eigvalsh(0.5 * (array + turned)).min()
    require(
        bool(least >= -rounding),
        f"`{name}` must be positive semidefinite, but its smallest eigenvalue is {least:.3g}. "
        "Give correlations that waves can have together.",
    )
