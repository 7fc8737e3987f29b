"""The uplink pilot phase through imbalanced receivers: simulated in full, or after projection.

A pilot phase is a function `(key, g, receive, energy, pilot_length, first_row) -> PilotSignal`.
Channels `g` and projected observations are split arrays (rows, 2, streams): a row per receive
antenna, a stream per user antenna.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Key

from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.rules import at_least_one, index, nonnegative
from jaxmimo.core.split import WidelyLinear, computed_once


class PilotSignal(eqx.Module):
    """Projected pilots, and whether the receiver's imbalance is in them already.

    Attributes:
        parts: Split array; the observations, or what they would be with matched hardware.
        imbalanced: Whether `parts` has come through the receiver.
    """

    parts: Float[Array, "rows 2 streams"]
    imbalanced: bool = eqx.field(static=True)


PilotPhase = Callable[..., PilotSignal]
"""A pilot phase, with the arguments of `projected_pilots`."""


@checked(pilot_length=at_least_one, streams=at_least_one)
def orthonormal_pilots(pilot_length: int, streams: int) -> np.ndarray:
    r"""Real orthonormal pilots $\Phi$, the first columns of the discrete cosine transform.

    Returns:
        Shape (pilot_length, streams), with $\Phi^T \Phi = I$.

    Raises:
        ValueError: If there are more streams than pilot symbols.
    """
    require(
        pilot_length >= streams,
        f"`pilot_length` must be at least the {streams} streams, but got {pilot_length}. "
        "Raise `pilot_length` or serve fewer users.",
    )
    time, index = np.arange(pilot_length)[:, None] + 0.5, np.arange(streams)
    pilots = np.sqrt(2 / pilot_length) * np.cos(np.pi * time * index / pilot_length)
    pilots[:, 0] = np.sqrt(1 / pilot_length)
    return pilots


@checked(energy=nonnegative.shaped(""), pilot_length=at_least_one, first_row=index)
def projected_pilots(
    key: Key[Array, ""],
    g: Float[Array, "rows 2 streams"],
    receive: WidelyLinear,
    energy: ArrayLike,
    pilot_length: int,
    first_row: ArrayLike = 0,
) -> PilotSignal:
    r"""Observations after projection onto the pilots, drawn directly.

    $$Y = K_1 Z + K_2 Z^*, \qquad Z = \sqrt{\tau\rho_p}\, G + W, \quad W \sim \mathcal{CN}(0, 1)$$

    Statistically equal to `full_pilots`, since real orthonormal pilots commute with the imbalance.
    For the same reason the imbalance can be left to later stages, which apply it once for all
    antennas where it is common to them: this returns $Z$, and draws the same for any hardware.

    Args:
        key: Typed key of the receiver noise.
        g: Channels [linear amplitude].
        receive: Receiver imbalance, a coefficient per row; left to later stages here.
        energy: Pilot energy $\tau\rho_p$ over the noise power [linear].
        pilot_length: $\tau$ [symbols]; not needed here, for the signature's sake.
        first_row: Row of the network that `g` begins with.

    References:
        Sutton et al., eq. (4).
    """
    del receive, pilot_length
    rows, _, streams = g.shape
    noise = split_complex_normal(key, (rows, streams), first_row=first_row)
    z = computed_once(jnp.sqrt(energy) * g + noise, jnp.asarray(energy) >= 0)
    return PilotSignal(z, imbalanced=False)


@checked(energy=nonnegative.shaped(""), pilot_length=at_least_one, first_row=index)
def full_pilots(
    key: Key[Array, ""],
    g: Float[Array, "rows 2 streams"],
    receive: WidelyLinear,
    energy: ArrayLike,
    pilot_length: int,
    first_row: ArrayLike = 0,
) -> PilotSignal:
    r"""Observations of a pilot phase simulated symbol by symbol, then projected.

    $$Y_m = \sum_k \sqrt{\tau\rho_p}\, G_{mk} \Phi_k^H + W_m, \qquad
      Y_{imb} = K_1 Y_m + K_2 Y_m^*, \qquad Y_{imb,mk} = Y_{imb} \Phi_k$$

    Arguments as for `projected_pilots`.

    References:
        Sutton et al., eqs. (2)-(4).
    """
    rows, _, streams = g.shape
    pilots = jnp.asarray(orthonormal_pilots(pilot_length, streams), g.dtype)
    noise = split_complex_normal(key, (rows, pilot_length), first_row=first_row)
    received = jnp.sqrt(energy) * jnp.matmul(g, pilots.T, precision="highest") + noise
    observed = jnp.matmul(receive.apply_split(received), pilots, precision="highest")
    return PilotSignal(observed, imbalanced=True)
