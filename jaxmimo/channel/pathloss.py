"""Large-scale fading: how power falls with distance."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.core.checks import is_traced, require
from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import not_negative
from jaxmimo.core.rules import Rule, boolean, nonnegative, positive

SPEED_OF_LIGHT = 299_792_458.0
"""[m/s]"""

LEAST_CARRIER = SPEED_OF_LIGHT / (4 * np.pi)
"""Carrier [Hz] below which free space would give more power at 1 m than was sent."""
ENVIRONMENT_HEIGHT = 1.0
"""Effective height of what stands in the street [m]."""
LEAST_CANYON_CARRIER = 0.5e9
"""Carrier [Hz] at which the street canyon model begins."""
_NEAREST = 10.0
"""Smallest distance along the ground that the street canyon model is meant for [m]."""

radio_carrier = Rule(least=1e6, unit="Hz", remedy="Give hertz, such as 3.5e9 for 3.5 GHz.")
"""A carrier frequency [Hz]; below a megahertz it is one in another unit."""
street_height = Rule(
    above=ENVIRONMENT_HEIGHT,
    unit="m",
    remedy="The street canyon's breakpoint distance takes heights above its environment.",
)
"""Height of an antenna in the street canyon [m]."""


@checked(carrier_hz=radio_carrier)
def wavelength(carrier_hz: ArrayLike) -> Array:
    r"""Wavelength $\lambda = c / f_c$ [m] of a carrier [Hz]."""
    return SPEED_OF_LIGHT / jnp.asarray(carrier_hz)


@checked(
    distance=nonnegative,
    exponent=nonnegative,
    carrier_hz=radio_carrier,
    reference_distance=positive,
)
def log_distance_gain(
    distance: Float[Array, "..."],
    *,
    exponent: ArrayLike,
    carrier_hz: ArrayLike,
    reference_distance: ArrayLike = 1.0,
) -> Float[Array, "..."]:
    r"""Power gain [linear] of the log-distance model, in free space up to a reference distance.

    $$\beta = \Bigl(\frac{\lambda}{4\pi d_0}\Bigr)^2 \Bigl(\frac{d}{d_0}\Bigr)^{-\alpha},
      \qquad d \ge d_0$$

    Closer than $d_0$ the gain stays that of $d_0$: the model holds in the far field only, and
    must not pass on more power than was sent.

    Args:
        distance: $d$ [m].
        exponent: $\alpha$; 2 is free space.
        carrier_hz: Carrier frequency [Hz].
        reference_distance: $d_0$ [m].

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        eqs. (18)-(19), in decibels there.
    """
    if not isinstance(carrier_hz, Array) and not isinstance(reference_distance, Array):
        check_free_space(carrier_hz, reference_distance)
    friis = (wavelength(carrier_hz) / (4 * np.pi * reference_distance)) ** 2
    relative = jnp.maximum(not_negative(distance) / reference_distance, 1.0)
    return friis * relative ** -jnp.asarray(exponent)


def check_free_space(carrier_hz: ArrayLike, reference_distance: ArrayLike = 1.0) -> None:
    """Refuse known carriers whose gain at the reference distance is above one."""
    length = SPEED_OF_LIGHT / np.asarray(carrier_hz, float)  # by NumPy: known inside `jit`, too
    friis = (length / (4 * np.pi * np.asarray(reference_distance))) ** 2
    require(
        bool(np.all(friis <= 1)),
        f"`carrier_hz` must be so high that no more power arrives at the reference distance than "
        f"was sent, but the gain there is {friis.max(initial=0.0):.3g}. Give hertz, or a larger "
        "`reference_distance`.",
    )


@checked(distance=positive, exponent=nonnegative, reference_distance=positive)
def distance_power_law(
    distance: Float[Array, "..."],
    *,
    exponent: ArrayLike = 3.8,
    reference_distance: ArrayLike = 100.0,
) -> Float[Array, "..."]:
    r"""Power gain [linear] that falls with distance, relative to that at a reference distance.

    $$\beta = (r / r_0)^{-\gamma}$$

    Unlike in `log_distance_gain`, nothing is capped: $r_0$ only says at which distance the SNR is
    meant, so closer users do gain more. Users are expected to keep a distance, which is $r_0$ by
    default.

    Args:
        distance: $r$ [m], above zero.
        exponent: $\gamma$.
        reference_distance: $r_0$ [m].

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eq. (2), with $r_0$ = 1 m there.
    """
    return (distance / reference_distance) ** -jnp.asarray(exponent)


@checked(
    distance_2d=nonnegative,
    carrier_frequency=radio_carrier,
    ap_height=street_height,
    ue_height=street_height,
    los=boolean,
)
def umi_street_canyon(
    distance_2d: ArrayLike,
    carrier_frequency: ArrayLike,
    ap_height: ArrayLike,
    ue_height: ArrayLike,
    los: ArrayLike,
) -> Float[Array, "..."]:
    r"""Path loss [dB] of the 3GPP model of an urban micro cell in a street canyon.

    With distances and heights in metres, $f_c$ in GHz and the length
    $d_{3D} = \sqrt{d_{2D}^2 + (h_{BS} - h_{UT})^2}$ of the link, in line of sight

    $$PL_{LOS} = \begin{cases}
        32.4 + 21 \lg d_{3D} + 20 \lg f_c, & d_{2D} \le d'_{BP} \\
        32.4 + 40 \lg d_{3D} + 20 \lg f_c - 9.5 \lg(d_{BP}'^2 + (h_{BS} - h_{UT})^2)
            & \text{beyond} \end{cases}$$

    and without, $\max(PL_{LOS}, PL'_{NLOS})$ with

    $$PL'_{NLOS} = 22.4 + 35.3 \lg d_{3D} + 21.3 \lg f_c - 0.3 (h_{UT} - 1.5).$$

    The wave along the ground interferes beyond the breakpoint
    $d'_{BP} = 4 (h_{BS} - h_E)(h_{UT} - h_E) f_c / c$, with $h_E$ = 1 m and $f_c$ in Hz; there both
    slopes meet exactly. The standard rounds $c$ to 3e8 m/s; that is worth 0.006 dB beyond the
    breakpoint.

    The model is meant for 10 m to 5 km, 0.5 to 100 GHz, APs at 10 m and users from 1.5 m to 22.5 m.
    Closer users have the path loss, and so the gradient, of $d_{2D}$ = 10 m; nothing else is
    limited.

    Args:
        distance_2d: $d_{2D}$ along the ground [m].
        carrier_frequency: $f_c$ [Hz].
        ap_height: $h_{BS}$ [m].
        ue_height: $h_{UT}$ [m].
        los: Whether there is a line of sight.

    Returns:
        The common shape of all arguments. Shadowing is not included; its standard deviation is 4 dB
        in line of sight and 7.82 dB without.

    Raises:
        ValueError: If a distance is negative, a carrier not positive, a height not above the 1 m
            of the environment, a value not finite, or `los` not boolean.

    References:
        3GPP TR 38.901 V17.0.0, Table 7.4.1-1 and its notes.
    """
    real = jnp.result_type(float)
    given = (
        jnp.maximum(not_negative(distance_2d), _NEAREST),
        carrier_frequency,
        ap_height,
        ue_height,
    )
    distance, carrier, ap, ue, in_sight = jnp.broadcast_arrays(
        *(jnp.asarray(each, real) for each in given), los
    )
    climb = (ap - ue) ** 2
    lg_distance = 0.5 * jnp.log10(distance**2 + climb)
    lg_carrier = jnp.log10(carrier / 1e9)
    breakpoint_ = 4 * (ap - ENVIRONMENT_HEIGHT) * (ue - ENVIRONMENT_HEIGHT) / wavelength(carrier)
    near = 32.4 + 21.0 * lg_distance + 20.0 * lg_carrier
    far = 32.4 + 40.0 * lg_distance + 20.0 * lg_carrier - 9.5 * jnp.log10(breakpoint_**2 + climb)
    los_db = jnp.where(distance <= breakpoint_, near, far)
    nlos_db = 22.4 + 35.3 * lg_distance + 21.3 * lg_carrier - 0.3 * (ue - 1.5)
    loss_db = jnp.where(in_sight, los_db, jnp.maximum(los_db, nlos_db))
    if not any(isinstance(each, Array) for each in (*given[1:], distance_2d, los)) and not (
        is_traced(loss_db)
    ):
        least_db = float(jnp.min(loss_db, initial=jnp.inf))
        require(
            least_db >= 0,
            "`carrier_frequency` must be so high that no more power arrives than was sent, but the "
            f"path loss is {least_db:.3g} dB. Give hertz, such as 3.5e9 for 3.5 GHz.",
        )
    return loss_db
