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

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.channel.antennas import delay
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT, radio_carrier
from jaxmimo.core.checks import positive_integer, positive_number, real_number, require
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
from jaxmimo.core.split import computed_once
from jaxmimo.core.turns import cos_sin


@checked(
    num_antennas=at_least_one,
    gains=complex_numbers.shaped("users aps paths"),
    angles=path_angle.shaped("users aps paths"),
    distances=nonnegative.shaped("users aps"),
    excess_delays=finite.shaped("users aps paths"),
    frequencies=finite.shaped("subcarriers"),
    carrier=radio_carrier.shaped(""),
    spacing_m=positive.shaped(""),
)
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
    first = Parts.of(gains)[None] * delay_parts(offset * delays[None])
    step = delay_parts((offset + carrier) * lag[None])

    def next_antenna(waves: Parts, _: None) -> tuple[Parts, Parts]:
        return waves * step, Parts(waves.real.sum(-1), waves.imag.sum(-1))

    antennas = lax.scan(next_antenna, first, None, length=num_antennas)[1]
    return jnp.moveaxis(antennas.merged(), 0, -1)


@checked(
    num_antennas=at_least_one,
    gains=complex_numbers.shaped("users aps paths"),
    angles=path_angle.shaped("users aps paths"),
    distances=nonnegative.shaped("users aps"),
    excess_delays=finite.shaped("users aps paths"),
    frequency=finite.shaped(""),
    carrier=radio_carrier.shaped(""),
    spacing_m=positive.shaped(""),
)
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
    macro = delay(frequency * distances / SPEED_OF_LIGHT)
    faded = gains * delay(frequency * excess)
    antenna = jnp.arange(num_antennas, dtype=real)[None, None, None, :]
    lag = spacing_m * sines / SPEED_OF_LIGHT
    theta = delay((carrier + frequency) * antenna * lag[..., None])
    summed = jnp.sum((faded * macro[..., None])[..., None] * theta, axis=2)
    return jnp.swapaxes(summed, 1, 2).reshape(gains.shape[0], -1)


class Grid(eqx.Module):
    """Equally spaced frequencies.

    Attributes:
        first: Lowest one, from the carrier [Hz].
        step: Distance of neighbours [Hz].
        count: How many.
    """

    first: Float[Array, ""]
    step: Float[Array, ""]
    count: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        real_number("first", self.first, minimum=None)
        positive_number("step", self.step)
        positive_integer("count", self.count)

    @property
    def frequencies(self) -> Float[Array, " count"]:
        """All of them [Hz]."""
        return self.first + self.step * jnp.arange(self.count, dtype=self.step.dtype)

    @property
    def blocks(self) -> tuple[int, int]:
        """Blocks of `response_as_computed`, and frequencies on either side of their centres."""
        half = math.ceil(math.sqrt(self.count))
        return math.ceil(self.count / (2 * half)), half

    @property
    def places(self) -> np.ndarray:
        """Where `response_as_computed` has them, and after them what it has above the grid."""
        blocks, half = self.blocks
        lower, upper = np.arange(blocks * 2 * half).reshape(blocks, 2, half).swapaxes(0, 1)
        return np.concatenate([lower[:, ::-1], upper], axis=1).ravel()


@checked(num_antennas=at_least_one)
def grid_response(
    gains: Parts,
    lags: Float[Array, "links paths"],
    delays: Float[Array, "links paths"],
    grid: Grid,
    carrier: Float[Array, ""],
    num_antennas: int,
    *,
    squint: bool = True,
) -> Parts:
    r"""Responses of links on equally spaced frequencies, by matrix products.

    Phases are geometric along the frequencies, too. With blocks of them, $f = f_b \pm f_o$, each
    path and antenna has a factor for the centre of each block and one for the offset from it,
    $$e^{-j 2\pi f \tau} = e^{-j 2\pi f_b \tau} e^{\mp j 2\pi f_o \tau},$$
    and the sum over paths is a product of two small matrices. Offsets are symmetric: the real
    products with their cosines and sines serve both signs, so that an element of the response
    costs two multiply-adds per path instead of four. Sines are evaluated for an eighth of the
    elements, or fewer.

    Args:
        gains: $\alpha$, shape (links, paths).
        lags: $\Delta\sin\theta/c$ [s].
        delays: $\tau = d/c + \epsilon$ [s].
        grid: Frequencies.
        carrier: $f_c$ [Hz].
        num_antennas: $M$.
        squint: Whether the phases between antennas follow the frequency; without, they are those
            at the carrier.

    Returns:
        Shape (links, antennas, count).
    """
    cos, sin = _sums_over_paths(gains, lags, delays, grid, carrier, num_antennas, squint)

    def in_order(below: Array, above: Array) -> Array:
        both = jnp.concatenate([below[..., ::-1], above], axis=-1)
        return both.reshape(*both.shape[:2], -1)[..., : grid.count]

    return Parts(
        in_order(cos.real - sin.imag, cos.real + sin.imag),
        in_order(cos.imag + sin.real, cos.imag - sin.real),
    )


def response_as_computed(
    gains: Parts,
    lags: Float[Array, "links paths"],
    delays: Float[Array, "links paths"],
    grid: Grid,
    carrier: Float[Array, ""],
    num_antennas: int,
) -> Parts:
    """`grid_response` with its frequencies where they fall: arguments, and how, see there.

    Turning lower halves of blocks, or making the blocks one axis, takes as long on CPUs as the
    product. Sums over antennas can be put in order when they are complete, by `grid.places`.

    Returns:
        Shape (links, antennas, blocks, 2, half). Below the centre of a block, the first index,
        frequencies descend.
    """
    sums = _sums_over_paths(gains, lags, delays, grid, carrier, num_antennas, True)
    cos, sin = (each[:, :, :, None] for each in sums)
    # Signs as numbers, and no frequency moved from its place: so XLA's loops are vectorized.
    sign = jnp.asarray([-1.0, 1.0], lags.dtype).reshape(1, 1, 1, 2, 1)
    return Parts(cos.real + sign * sin.imag, cos.imag - sign * sin.real)


def _sums_over_paths(
    gains: Parts,
    lags: Float[Array, "links paths"],
    delays: Float[Array, "links paths"],
    grid: Grid,
    carrier: Float[Array, ""],
    num_antennas: int,
    squint: bool,
) -> tuple[Parts, Parts]:
    """Factors of all centres times cosines, and sines, of all offsets, as `(..., blocks, half)`."""
    blocks, half = grid.blocks
    real = lags.dtype
    antenna = jnp.arange(num_antennas, dtype=real)
    always = carrier != -jnp.inf  # also where it is not a number; the same for a batch of drops
    kept = [computed_once(a, always) for a in _padded(gains.real, gains.imag, lags, delays)]
    alpha, lags, delays = Parts(*kept[:2]), kept[2], kept[3]
    carrier = computed_once(carrier, always)
    across = antenna[None, :, None] * lags[:, None, :]  # links, antennas, paths
    delays = delays[:, None, :] + across if squint else delays[:, None, :]
    centre = grid.first + grid.step * (half * (2 * jnp.arange(blocks, dtype=real) + 1) - 0.5)
    offset = grid.step * (jnp.arange(half, dtype=real) + 0.5)
    turns = (carrier * across)[:, :, None] + centre[None, None, :, None] * delays[:, :, None]
    of_blocks = delay_parts(turns) * alpha[:, None, None]
    left = jnp.stack([of_blocks.real, of_blocks.imag], axis=2)
    turns = delays[..., None] * offset[None, None, None, :]
    right = jnp.stack(cos_sin(turns), axis=3)
    # Without squint all antennas share the factors of the offsets.
    right = jnp.broadcast_to(right, (*left.shape[:2], *right.shape[2:]))
    products = jnp.einsum("lmpbn,lmnqo->lmpbqo", left, right, precision="highest")
    cos, sin = (Parts(products[:, :, 0, :, q], products[:, :, 1, :, q]) for q in (0, 1))
    return cos, sin


def _padded(*arrays: Float[Array, "links paths"]) -> list[Array]:
    """Paths of gain zero added up to a multiple of 8, for whose loops XLA on CPUs has vectors."""
    missing = -arrays[0].shape[1] % 8
    return [jnp.pad(a, ((0, 0), (0, missing))) for a in arrays]


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


def delay_parts(turns: Float[Array, "..."]) -> Parts:
    """`antennas.delay` in parts."""
    cosine, sine = cos_sin(turns)
    return Parts(cosine, -sine)
