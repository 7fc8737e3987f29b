r"""How long a cyclic prefix must be where distant APs hear a user at different times."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import at_least_one, finite, nonnegative, path_angle


@checked(
    num_antennas=at_least_one,
    bandwidth=nonnegative.shaped(""),
    distances=nonnegative.shaped("*users aps"),
    spacing_m=nonnegative.shaped(""),
    angles=path_angle.shaped("*users aps|*users aps paths"),
    excess_delays=finite.shaped("|*users aps|*users aps paths"),
)
def minimum_cyclic_prefix(
    bandwidth: ArrayLike,
    distances: ArrayLike,
    spacing_m: ArrayLike,
    num_antennas: int,
    angles: ArrayLike,
    *,
    excess_delays: ArrayLike = 0.0,
) -> Float[Array, "*users"]:
    r"""Shortest prefix without inter-symbol interference: the spread of a user's delays.

    $$\mathrm{CP} = \max_{l,m,n} \tau_{lmn} - \min_{l,m,n} \tau_{lmn}, \qquad
      \tau_{lmn} = W \Bigl(\frac{d_l + m \Delta \sin\theta_{ln}}{c} + \epsilon_{ln}\Bigr)$$

    Delays are linear in $m$, so the first and the last antenna of each AP have the extremes. The
    paper takes the last antenna of the farthest AP and the first of the nearest. That is the
    delay between two of the antennas, so it is never more than the spread; it is the spread if
    no angle is negative and the farthest AP is the last to hear the user with all its antennas.
    From negative angles a wave reaches the last antenna first.

    Args:
        bandwidth: $W$, also the sampling rate [Hz].
        distances: $d$ (*users, aps), of one user or of many [m].
        spacing_m: $\Delta$ [m].
        num_antennas: $M$ of each AP.
        angles: $\theta$ from the boresight of the AP (*users, aps) or (*users, aps, paths) [rad].
        excess_delays: $\epsilon$ of each path beyond $d/c$, of a shape like that of `angles`, or
            one number [s].

    Returns:
        A real number of samples for each user. Whole prefixes are the next integer; the receive
        window must then begin with the earliest path.

    Raises:
        ValueError: If bandwidth or spacing is negative, there is no antenna or no AP, or the
            shapes do not fit.

    References:
        Ahn et al., "On the Spatial-Wideband Effects in Millimeter-Wave Cell-Free Massive MIMO",
        eqs. (1), (13)-(15), without excess delays.
    """
    distance = _distances(distances)
    real = distance.dtype
    across = (
        (num_antennas - 1) * spacing_m * _per_path(jnp.sin(jnp.asarray(angles, real)), distance)
    )
    excess = jnp.asarray(excess_delays, real)
    excess = excess if excess.ndim == 0 else _per_path(excess, distance)
    first = distance[..., None] + SPEED_OF_LIGHT * excess  # [m], at the first antenna
    last = first + across
    latest = jnp.maximum(first, last).max((-2, -1))
    earliest = jnp.minimum(first, last).min((-2, -1))
    return _samples_per_metre(bandwidth) * (latest - earliest)


@checked(bandwidth=nonnegative.shaped(""), distances=nonnegative.shaped("*users aps"))
def approximate_cyclic_prefix(bandwidth: ArrayLike, distances: ArrayLike) -> Float[Array, "*users"]:
    r"""`minimum_cyclic_prefix` of arrays small against the distances, $W (d_{\max}-d_{\min})/c$.

    Without excess delays it is too short by at most the delay across two arrays.

    Args:
        bandwidth: $W$ [Hz].
        distances: $d$ (*users, aps) [m].

    Raises:
        ValueError: If the bandwidth is negative, or there is no AP.

    References:
        Ahn et al., eq. (15), last line.
    """
    distance = _distances(distances)
    return _samples_per_metre(bandwidth) * (distance.max(-1) - distance.min(-1))


def _distances(value: ArrayLike) -> Array:
    distance = jnp.asarray(value, jnp.result_type(float))
    require(
        distance.shape[-1] >= 1,
        f"`distances` must have shape (users, aps), but has shape {distance.shape}. Give one "
        "distance or more per user.",
    )
    return distance


def _per_path(array: Array, distance: Array) -> Array:
    """The array with an axis of paths, which may be left out."""
    return array if array.ndim > distance.ndim else array[..., None]


def _samples_per_metre(bandwidth: ArrayLike) -> Array:
    return jnp.asarray(bandwidth, jnp.result_type(float)) / SPEED_OF_LIGHT
