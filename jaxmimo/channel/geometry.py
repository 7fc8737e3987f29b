"""Where APs and users stand, and the distances and angles between them.

Positions are (x, y) on the ground [m]. Every array lies along y, with its boresight along +x.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Key

from jaxmimo.core.checks import (
    array_module,
    is_traced,
    on_device,
    positive_integer,
    real_array,
)
from jaxmimo.core.contracts import checked
from jaxmimo.core.randomness import uniform
from jaxmimo.core.rules import at_least_one, finite, nonnegative
from jaxmimo.core.scaling import binary_scale


@checked(side=nonnegative.shaped(""))
def ap_grid(num_aps: int, side: ArrayLike) -> Float[Array, "aps 2"]:
    """Centres of the cells of a grid over the square [0, side]^2.

    The grid has r rows along y and c columns along x; r is the largest divisor of `num_aps` that
    does not exceed its square root, so a prime number of APs stands in one row. APs are numbered
    along x first.

    Args:
        num_aps: Q = r c.
        side: Side of the square [m].

    Raises:
        ValueError: If there is no AP.
    """
    num_aps = positive_integer("num_aps", num_aps)
    rows = max(r for r in range(1, math.isqrt(num_aps) + 1) if num_aps % r == 0)
    columns = num_aps // rows
    x = np.tile((np.arange(columns) + 0.5) / columns, rows)
    y = np.repeat((np.arange(rows) + 0.5) / rows, columns)
    dtype = jnp.result_type(float)
    side = array_module(side).asarray(side, dtype)
    return on_device(side * np.stack([x, y], axis=-1).astype(dtype))


@checked(count=at_least_one, side=nonnegative.shaped(""))
def uniform_positions(key: Key[Array, ""], count: int, side: ArrayLike) -> Float[Array, "count 2"]:
    """Independent positions, uniform in the square [0, side]^2.

    Fewer positions are the first of more.

    Args:
        key: Typed key; use it once.
        count: Number of positions.
        side: Side of the square [m].
    """
    places = uniform(key, (count, 2))
    return jnp.asarray(side, places.dtype) * places


@checked(count=at_least_one, inner=nonnegative.shaped(""), outer=nonnegative.shaped(""))
def uniform_distances(
    key: Key[Array, ""],
    count: int,
    inner: ArrayLike,
    outer: ArrayLike,
    *,
    uniform_area: bool = False,
) -> Float[Array, " count"]:
    r"""Independent distances [m] of users from the middle of a cell that has a hole.

    Fewer distances are the first of more.

    Args:
        key: Typed key; use it once.
        count: Number of distances.
        inner: Radius $r_1$ of the hole [m].
        outer: Radius $r_2$ of the cell [m].
        uniform_area: Whether users are spread evenly over the area of the ring, so that
            $r^2$ is uniform in $[r_1^2, r_2^2]$, instead of $r$ in $[r_1, r_2]$.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, Section 5, which spreads distances evenly.
    """
    share = uniform(key, (count,))
    inner, outer = jnp.asarray(inner, share.dtype), jnp.asarray(outer, share.dtype)
    if uniform_area:
        return jnp.sqrt(inner**2 + (outer**2 - inner**2) * share)
    return inner + (outer - inner) * share


@checked(height_difference=finite.shaped(""))
def distance_3d(
    ap_positions: Float[Array, "aps 2"],
    user_positions: Float[Array, "users 2"],
    height_difference: ArrayLike,
) -> Float[Array, "aps users"]:
    r"""Distance [m] from every AP to every user, $\sqrt{\Delta x^2 + \Delta y^2 + \Delta z^2}$.

    Where AP and user meet, which takes a height difference of zero, the gradient is zero.

    Args:
        ap_positions: Positions of the APs [m].
        user_positions: Positions of the users [m].
        height_difference: $\Delta z$, height of the APs over the users [m].
    """
    offset = _offsets(ap_positions, user_positions)
    # In units of the network where it is larger than 1 m, whose squares would leave the range.
    unit = jnp.maximum(binary_scale(jnp.max(jnp.abs(offset), axis=-1)), 1.0)
    height = jnp.asarray(height_difference) / unit
    squared = jnp.sum((offset / unit[..., None]) ** 2, axis=-1) + height**2
    meet = _is_tiny(squared)
    return unit * jnp.where(meet, 0.0, jnp.sqrt(jnp.where(meet, 1.0, squared)))


@checked()
def azimuth(
    ap_positions: Float[Array, "aps 2"], user_positions: Float[Array, "users 2"]
) -> Float[Array, "aps users"]:
    r"""Angle [rad] from the boresight of every AP to every user, in the ground plane.

    $$\varphi = \mathrm{atan2}(\Delta y, \Delta x)$$

    A user exactly under an AP is at angle zero, with gradient zero.

    Args:
        ap_positions: Positions of the APs [m].
        user_positions: Positions of the users [m].
    """
    offset = _offsets(ap_positions, user_positions)
    under = _is_tiny(jnp.sum(offset**2, axis=-1))
    dx = jnp.where(under, 1.0, offset[..., 0])
    dy = jnp.where(under, 0.0, offset[..., 1])
    return jnp.arctan2(dy, dx)


def common_origin(
    ap_positions: ArrayLike, user_positions: ArrayLike
) -> tuple[ArrayLike, ArrayLike]:
    """Positions counted from the first AP, where all are known.

    Only differences of positions matter. Those of coordinates as large as a map's are taken here in
    double precision, since single precision would round them before.

    Raises:
        ValueError: If positions are no finite real numbers.
    """
    real_array("ap_positions", ap_positions)
    real_array("user_positions", user_positions)
    if is_traced(ap_positions, user_positions):
        return ap_positions, user_positions
    aps, users = (np.asarray(each, np.float64) for each in (ap_positions, user_positions))
    if any(each.ndim != 2 or each.shape[1] != 2 or not len(each) for each in (aps, users)):
        return ap_positions, user_positions  # whoever takes them refuses the shape
    return aps - aps[0], users - aps[0]


def _offsets(
    ap_positions: Float[Array, "aps 2"], user_positions: Float[Array, "users 2"]
) -> Float[Array, "aps users 2"]:
    return user_positions[None, :, :] - ap_positions[:, None, :]


def _is_tiny(squared: Float[Array, "aps users"]) -> Array:
    """Whether a squared distance is so near underflow that gradients cannot divide by it."""
    return squared < jnp.finfo(squared.dtype).tiny
