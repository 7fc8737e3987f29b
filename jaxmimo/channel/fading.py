"""Rician fading between the arrays of APs and the antennas of users."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex, Float, Key

from jaxmimo.channel.antennas import delay, ula_steering
from jaxmimo.core.contracts import checked
from jaxmimo.core.randomness import complex_normal
from jaxmimo.core.rules import boolean, direction, extended, nonnegative, positive
from jaxmimo.core.units import amplitude


@checked(rician_factor=extended)
def rician_amplitudes(
    rician_factor: ArrayLike,
) -> tuple[Float[Array, "*links"], Float[Array, "*links"]]:
    r"""Amplitudes of the direct path and of the scattered waves, for unit power in all.

    $$\sqrt{\kappa / (1 + \kappa)}, \qquad \sqrt{1 / (1 + \kappa)}$$

    Exact at $\kappa = 0$ (Rayleigh fading) and $\kappa = \infty$ (direct path only), and accurate
    to rounding near them. Gradients are finite everywhere: at $\kappa = 0$, where that of the
    first amplitude is infinite, it is zero instead.

    Args:
        rician_factor: $\kappa \ge 0$ [linear].

    References:
        Tominaga et al., eq. (1).
    """
    kappa = jnp.asarray(rician_factor, jnp.result_type(float))
    strong, absent = kappa > 1, kappa == 0
    # Each form gets arguments it is exact for, lest the gradient of the other one spoil it.
    over = jnp.where(strong, kappa, 1.0)
    under = jnp.where(absent | strong, 1.0, kappa)
    weak_los = jnp.where(absent, 0.0, jnp.sqrt(under / (1.0 + under)))
    los = jnp.where(strong, 1.0 / jnp.sqrt(1.0 + 1.0 / over), weak_los)
    return los, 1.0 / jnp.sqrt(1.0 + kappa)


@checked(
    gain=nonnegative,
    angle=direction,
    distance=nonnegative,
    wavelength=positive.shaped(""),
    spacing=nonnegative.shaped(""),
    propagation_phase=boolean.shaped(""),
)
def los_channel(
    gain: Float[Array, "aps users"],
    angle: Float[Array, "aps users"],
    distance: Float[Array, "aps users"],
    num_antennas: int,
    *,
    wavelength: ArrayLike,
    spacing: ArrayLike = 0.5,
    propagation_phase: ArrayLike,
) -> Complex[Array, "aps antennas users"]:
    r"""Direct path of every link.

    $$h_{qk} = \sqrt{\beta_{qk}}\, e^{-j 2\pi d_{qk} / \lambda}\, a(\varphi_{qk})$$

    The paper's direct path lacks the phase of propagation, which makes the arrays of all APs add
    up in phase. It is an option here. Where the gain is zero, so is its gradient.

    Args:
        gain: $\beta$, power gain [linear].
        angle: $\varphi$ from the boresight of the AP [rad].
        distance: $d$ [m], for the phase only.
        num_antennas: Antennas per AP.
        wavelength: $\lambda$ [m].
        spacing: Spacing of the antennas [wavelengths].
        propagation_phase: Whether to include $e^{-j 2\pi d / \lambda}$; may be traced.

    Returns:
        Channels [linear amplitude].

    References:
        Tominaga et al., eq. (2).
    """
    turns = jnp.where(jnp.asarray(propagation_phase, bool), distance / wavelength, 0.0)
    common = amplitude(gain) * delay(turns)
    steering = ula_steering(num_antennas, angle, spacing)
    return common[:, None, :] * jnp.swapaxes(steering, -1, -2)


@checked(gain=nonnegative, rician_factor=extended.shaped("|aps users"))
def rician_fading(
    key: Key[Array, ""],
    los: Complex[Array, "aps antennas users"],
    covariance_factor: Complex[Array, "aps users antennas antennas"] | None,
    gain: Float[Array, "aps users"],
    rician_factor: ArrayLike,
) -> Complex[Array, "aps antennas users"]:
    r"""One draw of Rician fading on every link.

    $$h_{qk} = \sqrt{\frac{\kappa}{1+\kappa}}\, h^{LoS}_{qk}
             + \sqrt{\frac{\beta_{qk}}{1+\kappa}}\, F_{qk} w_{qk}, \qquad
      w_{qk} \sim \mathcal{CN}(0, I), \quad F F^H = R$$

    Antennas are numbered through all APs, so set-ups that divide as many antennas among more or
    fewer APs share the numbers $w$, and so does one with its last APs left out.

    Args:
        key: Typed key; use it once.
        los: Direct paths, `los_channel` [linear amplitude].
        covariance_factor: $F$, any factor of the covariance; None for uncorrelated fading.
        gain: $\beta$, power gain [linear]; where it is zero, so is its gradient.
        rician_factor: $\kappa$ [linear], a number or one per link, shape (aps, users).

    Returns:
        Channels [linear amplitude].

    References:
        Tominaga et al., eqs. (1)-(4).
    """
    aps, antennas, users = los.shape
    waves = complex_normal(key, (aps * antennas, users)).reshape(los.shape)
    if covariance_factor is not None:
        waves = jnp.einsum("qkst,qtk->qsk", covariance_factor, waves, precision="highest")
    los_amplitude, nlos_amplitude = rician_amplitudes(
        jnp.broadcast_to(jnp.asarray(rician_factor), gain.shape)
    )
    nlos_amplitude = nlos_amplitude * amplitude(gain)
    return los_amplitude[:, None, :] * los + nlos_amplitude[:, None, :] * waves
