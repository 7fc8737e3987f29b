r"""Wideband multipath channels of linear arrays: responses over frequency, and taps over time.

A wave of delay $\tau$ reaches antenna $m$ of its array later by $m\Delta\sin\theta/c$. Over a wide
band that is more than a phase: the array's response depends on frequency (beam squint), and so
does that of the many arrays of a cell-free network. In baseband, at the offset $f$ from the
carrier $f_c$, a link responds with

$$[h(f)]_m = \sum_n \alpha_n\, e^{-j 2\pi f (d/c + \epsilon_n)}\,
    e^{-j 2\pi (f_c + f)\, m \Delta \sin\theta_n / c}, \qquad m = 0, \dots, M-1,$$

with gains $\alpha_n$ that include the carrier's phase of the delay, angles $\theta_n$, distance
$d$ and excess delays $\epsilon_n$.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.channel.antennas import delay, delay_parts
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT, radio_carrier
from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import (
    at_least_one,
    complex_numbers,
    finite,
    nonnegative,
    path_angle,
    positive,
)
from jaxmimo.core.small_matrices import Parts
from jaxmimo.core.turns import turns_of_product

_ARRAYS_AND_PATHS = {
    "num_antennas": at_least_one,
    "gains": complex_numbers.shaped("users aps paths"),
    "angles": path_angle.shaped("users aps paths"),
    "distances": nonnegative.shaped("users aps"),
    "excess_delays": finite.shaped("users aps paths"),
    "carrier": radio_carrier.shaped(""),
    "spacing_m": positive.shaped(""),
}


@checked(**_ARRAYS_AND_PATHS, frequencies=finite.shaped("subcarriers"))
def frequency_response(
    gains: ArrayLike,
    angles: ArrayLike,
    distances: ArrayLike,
    excess_delays: ArrayLike,
    frequencies: ArrayLike,
    carrier: ArrayLike,
    spacing_m: ArrayLike,
    num_antennas: int,
) -> Complex[Array, "subcarriers users aps antennas"]:
    r"""Response of every link at any frequencies.

    The phases are geometric along the antennas: one rotation per path and frequency takes each
    antenna to the next.

    Args:
        gains: $\alpha$ (users, aps, paths) [linear amplitude], with the carrier's phase of the
            delay.
        angles: $\theta$ (users, aps, paths) from the boresight of the AP [rad].
        distances: $d$ (users, aps) [m]; what all APs have in common turns a user's whole channel
            by one phase.
        excess_delays: $\epsilon$ (users, aps, paths) of each path beyond $d/c$ [s].
        frequencies: $f$ (subcarriers,) from the carrier [Hz].
        carrier: $f_c$ [Hz].
        spacing_m: $\Delta$ [m].
        num_antennas: $M$.

    Raises:
        ValueError: If shapes do not fit, or frequencies and spacing are not physical.

    References:
        Ahn et al., "On the Spatial-Wideband Effects in Millimeter-Wave Cell-Free Massive MIMO",
        eq. (6), with excess delays, which it leaves out.
    """
    check_band(frequencies, carrier, spacing_m)
    gains, sines, distances, excess = _paths(gains, angles, distances, excess_delays)
    real = sines.dtype
    frequencies, carrier = jnp.asarray(frequencies, real), jnp.asarray(carrier, real)
    lag = spacing_m * sines / SPEED_OF_LIGHT
    delays = distances[..., None] / SPEED_OF_LIGHT + excess
    offset = frequencies[:, None, None, None]
    first = Parts.of(gains)[None] * delay_parts(turns_of_product(offset, delays[None]))
    step = delay_parts((offset + carrier) * lag[None])

    def next_antenna(waves: Parts, _: None) -> tuple[Parts, Parts]:
        return waves * step, Parts(waves.real.sum(-1), waves.imag.sum(-1))

    antennas = lax.scan(next_antenna, first, None, length=num_antennas)[1]
    return jnp.moveaxis(antennas.merged(), 0, -1)


@checked(**_ARRAYS_AND_PATHS, frequency=finite.shaped(""))
def stacked_response(
    gains: ArrayLike,
    angles: ArrayLike,
    distances: ArrayLike,
    excess_delays: ArrayLike,
    frequency: ArrayLike,
    carrier: ArrayLike,
    spacing_m: ArrayLike,
    num_antennas: int,
) -> Complex[Array, "users antennas_aps"]:
    r"""Response of the whole network to each user at one frequency, as the paper stacks it.

    $$h_k(f) = \sum_n \mathrm{vec}\bigl(\mathrm{diag}(\alpha_{kn} \circ d_k(f))\,
        \Theta_n(f)\bigr)$$

    Entry $m L + l$ is antenna m of AP l. It is `frequency_response` in another order.

    Args:
        gains: $\alpha$ (users, aps, paths) [linear amplitude].
        angles: $\theta$ (users, aps, paths) from the boresight of the AP [rad].
        distances: $d$ (users, aps) [m].
        excess_delays: $\epsilon$ (users, aps, paths) [s]; they belong to the gains,
            $\alpha e^{-j2\pi f\epsilon}$.
        frequency: $f$ from the carrier [Hz].
        carrier: $f_c$ [Hz].
        spacing_m: $\Delta$ [m].
        num_antennas: $M$.

    References:
        Ahn et al., eqs. (7)-(11).
    """
    check_band(frequency, carrier, spacing_m)
    gains, sines, distances, excess = _paths(gains, angles, distances, excess_delays)
    real = sines.dtype
    frequency, carrier = jnp.asarray(frequency, real), jnp.asarray(carrier, real)
    macro = delay(turns_of_product(frequency, distances / SPEED_OF_LIGHT))
    faded = gains * delay(turns_of_product(frequency, excess))
    antenna = jnp.arange(num_antennas, dtype=real)[None, None, None, :]
    lag = spacing_m * sines / SPEED_OF_LIGHT
    theta = delay((carrier + frequency) * antenna * lag[..., None])
    summed = jnp.sum((faded * macro[..., None])[..., None] * theta, axis=2)
    return jnp.swapaxes(summed, 1, 2).reshape(gains.shape[0], -1)


@checked(num_taps=at_least_one)
def channel_taps(
    gains: Complex[Array, "*links paths"],
    delay_samples: Float[Array, "*links paths"],
    num_taps: int,
) -> Complex[Array, "*links taps"]:
    r"""Taps of a link in a critically sampled band, each path at the nearest sample.

    $$g[t] = \sum_{n:\, [\tau_n] = t} \alpha_n$$

    Exact for delays that are whole samples. Paths beyond the last tap, or before the first, are
    left out.

    Args:
        gains: $\alpha$ [linear amplitude].
        delay_samples: $W\tau_n$ [samples].
        num_taps: Number of taps.
    """
    places = jnp.round(delay_samples)[..., None]
    taps = jnp.arange(num_taps, dtype=places.dtype)
    taps = taps.reshape((1,) * (places.ndim - 1) + (num_taps,))
    # Zero times the place is NaN where there is no such place, and no tap would get the path.
    elsewhere = 0.0 * places
    return jnp.sum(jnp.where(places == taps, gains[..., None], elsewhere), axis=-2)


def check_band(
    frequencies: ArrayLike,
    carrier: ArrayLike,
    spacing_m: ArrayLike,
    name: str = "spacing_m",
) -> None:
    """Refuse bands and antenna spacings that are known not to be physical.

    Raises:
        ValueError: If the band reaches down to zero, or antennas are
            closer than a tenth of a wavelength or farther apart than a hundred.
    """
    if isinstance(carrier, Array):
        return
    carriers = np.asarray(carrier)
    if not isinstance(frequencies, Array):
        require(
            bool(np.all(carriers + np.asarray(frequencies).min(initial=np.inf) > 0)),
            "`frequencies` must stay above minus the carrier: they are counted from it. Give "
            "frequencies in baseband, or a narrower band.",
        )
    if not isinstance(spacing_m, Array):
        in_wavelengths = np.asarray(spacing_m) * carriers / SPEED_OF_LIGHT
        require(
            bool(np.all((in_wavelengths >= 0.1) & (in_wavelengths <= 100))),
            f"`{name}` must lie between 0.1 and 100 wavelengths, but is "
            f"{float(in_wavelengths.max()):g} of them. Half a wavelength is 299792458 / carrier / "
            "2 metres.",
        )


def _paths(
    gains: ArrayLike, angles: ArrayLike, distances: ArrayLike, excess_delays: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """Gains, sines of the angles, distances and excess delays, in one precision."""
    gains = jnp.asarray(gains, jnp.result_type(complex))
    real = gains.real.dtype
    angles, distances = jnp.asarray(angles, real), jnp.asarray(distances, real)
    return gains, jnp.sin(angles), distances, jnp.asarray(excess_delays, real)
