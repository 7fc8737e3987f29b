r"""Correlation of cell-free channels over space and frequency, split into micro and macro.

A user's channel to $L$ APs of $M$ antennas is $h(f)$, with antenna $m$ of AP $l$ in place $mL + l$.
For one path it is
$$[h(f)]_{mL + l} = \alpha_l\, d_l(f)\, a_m(f, \theta_l), \qquad
  d_l(f) = e^{-j 2\pi f d_l / c}, \qquad
  a_m(f, \theta) = e^{-j 2\pi (f_c + f) m \delta \sin(\theta) / c}$$
with gains $\alpha$ that include the carrier's phase of the distances $d_l$. Between two offsets
from the carrier it has the correlation
$$R(f_1, f_2) = E\{h(f_1) h(f_2)^H\} = (J_M \otimes R_\mathrm{macro}) \circ R_\mathrm{ang}, \qquad
  R_\mathrm{macro} = C_\alpha \circ d(f_1) d(f_2)^H,$$
where $J_M$ is all ones and $R_\mathrm{ang}$ that of the arrays' responses, which depends on what
the angles at the APs have to do with each other: that is an `AngleCorrelation`. Independent paths
add up: their correlations are weighted with their powers.

References:
    Ahn et al., "On the Spatial-Wideband Effects in Millimeter-Wave Cell-Free Massive MIMO",
    eqs. (7)-(11), which announces these correlations and does not give them.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.channel.antennas import delay
from jaxmimo.channel.correlation import AngleLaw, gaussian_law, mean_wave
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT, radio_carrier
from jaxmimo.core.checks import is_traced, require
from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import (
    angular_spread,
    at_least_one,
    direction,
    finite,
    nonnegative,
    semidefinite,
)
from jaxmimo.core.sinc import sinc
from jaxmimo.core.turns import turns_of_product

AngleCorrelation = Callable[
    [
        Complex[Array, "aps antennas antennas"],
        Complex[Array, "aps antennas"],
        Complex[Array, "aps antennas"],
        Complex[Array, "aps aps"],
    ],
    Complex[Array, "stacked stacked"],
]
r"""Relation of the angles at the APs, as a composition of correlations.

From $R_{\mathrm{micro}, l}(f_1, f_2)$ of each AP, the mean responses $\mu_l(f_1)$ and $\mu_l(f_2)$
and $R_\mathrm{macro}(f_1, f_2)$ to $R(f_1, f_2)$, of size $ML$.
"""


@checked(
    num_antennas=at_least_one,
    spacing_m=nonnegative,
    angle=direction.shaped(""),
    angular_std=angular_spread.shaped(""),
    carrier=radio_carrier,
)
def micro_correlation(
    frequency_1: float,
    frequency_2: float,
    num_antennas: int,
    spacing_m: float,
    angle: ArrayLike,
    angular_std: ArrayLike,
    carrier: float,
    law: AngleLaw = gaussian_law,
) -> Complex[Array, "antennas antennas"]:
    r"""Correlation of an array's responses at two frequencies, without approximation.

    $$R_\mathrm{micro}(f_1, f_2) = E_\theta\{a(f_1, \theta)\, a(f_2, \theta)^H\}$$

    Element $(m, m')$ is `mean_wave` at $z = 2\pi \delta ((f_c + f_1) m - (f_c + f_2) m') / c$.
    Between unequal frequencies no two elements are equal; the Bessel functions then take $8 M^2$
    bytes times twice the largest $z$ or so, 9 MB for 64 antennas half a wavelength apart.

    Args:
        frequency_1: $f_1$ from the carrier [Hz], a plain number: Bessel functions are tabulated.
        frequency_2: $f_2$ [Hz], a plain number.
        num_antennas: $M$.
        spacing_m: $\delta$ [m], a plain number.
        angle: Mean angle of the paths from boresight [rad].
        angular_std: Standard deviation of the angle [rad].
        carrier: $f_c$ [Hz], a plain number.
        law: Law of the deviation.

    Raises:
        ValueError: If there is no antenna, or a plain number is traced.
    """
    antenna = np.arange(num_antennas)
    turn = 2 * np.pi * spacing_m / SPEED_OF_LIGHT
    # In this form all elements of a lag have the very same phase where the frequencies are equal.
    lag = antenna[:, None] - antenna[None, :]
    middle = antenna[:, None] + antenna[None, :]
    mean_frequency = carrier + (frequency_1 + frequency_2) / 2
    phases = turn * (mean_frequency * lag + (frequency_1 - frequency_2) / 2 * middle)
    values, place = np.unique(phases, return_inverse=True)
    return mean_wave(values, angle, angular_std, law)[place.reshape(phases.shape)]


@checked(
    num_antennas=at_least_one,
    spacing_m=nonnegative,
    angle=direction.shaped(""),
    angular_std=angular_spread.shaped(""),
    carrier=radio_carrier,
)
def mean_response(
    frequency: float,
    num_antennas: int,
    spacing_m: float,
    angle: ArrayLike,
    angular_std: ArrayLike,
    carrier: float,
    law: AngleLaw = gaussian_law,
) -> Complex[Array, " antennas"]:
    r"""Mean $\mu(f) = E_\theta\, a(f, \theta)$ of an array's response, without approximation.

    Args:
        frequency: $f$ from the carrier [Hz], a plain number: Bessel functions are tabulated.
        num_antennas: $M$.
        spacing_m: $\delta$ [m], a plain number.
        angle: Mean angle of the paths from boresight [rad].
        angular_std: Standard deviation of the angle [rad].
        carrier: $f_c$ [Hz], a plain number.
        law: Law of the deviation.

    Raises:
        ValueError: If there is no antenna, or a plain number is traced.
    """
    step = 2 * np.pi * spacing_m * (carrier + frequency) / SPEED_OF_LIGHT
    return mean_wave(step * np.arange(num_antennas), angle, angular_std, law)


@checked(distances=nonnegative)
def macro_steering(
    frequency: ArrayLike, distances: Float[Array, " aps"]
) -> Complex[Array, "*frequencies aps"]:
    r"""Macro-steering vector $d(f)$, the phases that the APs' distances add off the carrier.

    Distances beyond that of the nearest AP serve as well; what they have in common turns the whole
    channel.

    Args:
        frequency: $f$ from the carrier [Hz], of any shape.
        distances: $d_l$ [m].

    References:
        Ahn et al., eq. (9).
    """
    frequency = jnp.asarray(frequency, jnp.result_type(float))
    delays = jnp.asarray(distances, frequency.dtype) / SPEED_OF_LIGHT
    delays = delays.reshape((1,) * frequency.ndim + delays.shape)
    return delay(turns_of_product(frequency[..., None], delays))


@checked(
    frequency_1=finite.shaped(""),
    frequency_2=finite.shaped(""),
    distances=nonnegative,
    gain_covariance=semidefinite,
)
def macro_correlation(
    frequency_1: ArrayLike,
    frequency_2: ArrayLike,
    distances: Float[Array, " aps"],
    gain_covariance: Complex[Array, "aps aps"],
) -> Complex[Array, "aps aps"]:
    r"""Correlation over the APs, $R_\mathrm{macro} = C_\alpha \circ d(f_1) d(f_2)^H$.

    Args:
        frequency_1: $f_1$ from the carrier [Hz].
        frequency_2: $f_2$ [Hz].
        distances: $d_l$ [m].
        gain_covariance: $C_\alpha = E\{\alpha \alpha^H\}$ [linear power]. What the paths' excess
            delays and an uncertain position leave of it are the factors `frequency_correlation`
            and `position_correlation`.
    """
    here = macro_steering(frequency_1, distances)
    there = macro_steering(frequency_2, distances)
    return gain_covariance * here[:, None] * there.conj()[None, :]


@checked()
def common_angles(
    micro: Complex[Array, "aps antennas antennas"],
    mean_1: Complex[Array, "aps antennas"],
    mean_2: Complex[Array, "aps antennas"],
    macro: Complex[Array, "aps aps"],
) -> Complex[Array, "stacked stacked"]:
    r"""One random angle that all APs see: $R = R_\mathrm{micro} \otimes R_\mathrm{macro}$.

    Args:
        micro: $R_{\mathrm{micro}, l}$, the same for all APs.
        mean_1: Not used.
        mean_2: Not used.
        macro: $R_\mathrm{macro}$.

    Raises:
        ValueError: If the APs have different micro-correlations.
    """
    del mean_1, mean_2
    same = is_traced(micro) or np.allclose(micro, np.asarray(micro)[:1], atol=1e-5)
    require(
        bool(same),
        "`micro` must be the same for all APs, since they see the same angles. Use "
        "`independent_angles` for angles of their own.",
    )
    return _stacked(micro[0][:, None, :, None] * macro[None, :, None, :])


@checked()
def independent_angles(
    micro: Complex[Array, "aps antennas antennas"],
    mean_1: Complex[Array, "aps antennas"],
    mean_2: Complex[Array, "aps antennas"],
    macro: Complex[Array, "aps aps"],
) -> Complex[Array, "stacked stacked"]:
    r"""Independent angles at the APs, and gains that may be correlated.

    Two APs have the means of their responses in common only: $R_\mathrm{ang}$ is
    $R_{\mathrm{micro}, l}$ within an AP and $\mu_l(f_1) \mu_{l'}(f_2)^H$ between two. This is no
    Kronecker product.

    Args:
        micro: $R_{\mathrm{micro}, l}$.
        mean_1: $\mu_l(f_1)$.
        mean_2: $\mu_l(f_2)$.
        macro: $R_\mathrm{macro}$.
    """
    between = mean_1.T[:, :, None, None] * mean_2.T.conj()[None, None]
    within = jnp.moveaxis(micro, 0, 1)[..., None]
    own = jnp.eye(macro.shape[0], dtype=bool)[None, :, None, :]
    return _stacked(jnp.where(own, within, between) * macro[None, :, None, :])


@checked()
def independent_scattering(
    micro: Complex[Array, "aps antennas antennas"],
    mean_1: Complex[Array, "aps antennas"],
    mean_2: Complex[Array, "aps antennas"],
    macro: Complex[Array, "aps aps"],
) -> Complex[Array, "stacked stacked"]:
    r"""Independent gains and angles at the APs.

    $$R = \sum_l [R_\mathrm{macro}]_{ll}\, R_{\mathrm{micro}, l} \otimes e_l e_l^T$$

    The weight is the AP's power $\beta_l$ times $e^{-j 2\pi (f_1 - f_2) d_l / c}$.

    Args:
        micro: $R_{\mathrm{micro}, l}$.
        mean_1: Not used.
        mean_2: Not used.
        macro: $R_\mathrm{macro}$; only its diagonal counts.
    """
    del mean_1, mean_2
    diagonal = jnp.eye(macro.shape[0], dtype=macro.real.dtype) * macro
    return _stacked(jnp.moveaxis(micro, 0, 1)[..., None] * diagonal[None, :, None, :])


@checked(rms_delay_spread=nonnegative)
def frequency_correlation(
    frequency_difference: ArrayLike, rms_delay_spread: ArrayLike
) -> Complex[Array, "*shape"]:
    r"""Correlation of a gain at two frequencies, for an exponential profile of excess delays.

    $$E\{e^{-j 2\pi \Delta f \tau}\} = \frac{1}{1 + j 2\pi \Delta f\, \tau_\mathrm{rms}}$$

    Args:
        frequency_difference: $\Delta f = f_1 - f_2$ [Hz], of a shape that broadcasts.
        rms_delay_spread: $\tau_\mathrm{rms}$ [s], which is also the mean delay.
    """
    dtype = jnp.result_type(float)
    phase = 2 * np.pi * jnp.asarray(frequency_difference, dtype) * rms_delay_spread
    scale = 1.0 / (1.0 + phase**2)
    return lax.complex(scale, -phase * scale)


@checked(
    frequency_1=nonnegative.shaped(""),
    frequency_2=nonnegative.shaped(""),
    bearings=direction,
    jitter=nonnegative.shaped(""),
)
def position_correlation(
    frequency_1: ArrayLike,
    frequency_2: ArrayLike,
    bearings: Float[Array, " aps"],
    jitter: ArrayLike,
) -> Float[Array, "aps aps"]:
    r"""Correlation of gains that an uncertain position leaves.

    The user is anywhere in a square of half width $\epsilon$, much smaller than the distances. AP
    $l$, in the direction $u_l$, then sees the phase $2\pi f\, u_l \cdot p / c$ of the place $p$ in
    it, so that
    $$E\, e^{j 2\pi (f_1 u_l - f_2 u_{l'}) \cdot p / c} = \prod_{i = x, y}
      \mathrm{sinc}\bigl(2\pi \epsilon [f_1 u_l - f_2 u_{l'}]_i / c\bigr), \qquad
      \mathrm{sinc}\, u = \sin(u) / u.$$
    The distances of an AP along x and of one along y vary independently.

    Args:
        frequency_1: $f_1$ itself, with the carrier [Hz].
        frequency_2: $f_2$ [Hz].
        bearings: Directions of the APs, seen from the user [rad].
        jitter: $\epsilon$ [m].

    Returns:
        Factor of each element of $C_\alpha$.
    """
    bearings = jnp.asarray(bearings, jnp.result_type(float))
    directions = jnp.stack([jnp.cos(bearings), jnp.sin(bearings)])
    scale = 2 * np.pi * jnp.asarray(jitter, bearings.dtype) / SPEED_OF_LIGHT
    here, there = (scale * frequency * directions for frequency in (frequency_1, frequency_2))
    return jnp.prod(sinc(here[:, :, None] - there[:, None, :]), axis=0)


def _stacked(blocks: Complex[Array, "m aps m aps"]) -> Complex[Array, "stacked stacked"]:
    """Antenna m of AP l in place m L + l."""
    size = blocks.shape[0] * blocks.shape[1]
    return blocks.reshape(size, size)
