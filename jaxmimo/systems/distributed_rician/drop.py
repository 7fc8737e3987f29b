r"""One drop of users: its large-scale channel, in units of the noise, and its fading draws.

Channels are normalised per user, $\tilde h_k = \sqrt{p_k}\, h_k / \sigma$: noise and powers are
then 1, and least-squares estimates err with variance $1/\tau$, whatever the powers. The SINR does
not change, and everything stays within the range of single precision. Antennas of all APs are
numbered through, AP by AP: row `q * ap_antennas + s`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Complex, Float, Key

from jaxmimo.channel.fading import los_channel, rician_amplitudes
from jaxmimo.channel.geometry import azimuth, distance_3d, uniform_positions
from jaxmimo.channel.pathloss import log_distance_gain, wavelength
from jaxmimo.core.covariances import unless_asymmetric
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.small_matrices import Parts, cholesky, entry
from jaxmimo.core.split import computed_once
from jaxmimo.core.units import amplitude
from jaxmimo.systems.distributed_rician.system import DistributedRician


class Draws(eqx.Module):
    """What decides the channels and their least-squares estimates, for all Rician factors.

    Attributes:
        los: Direct paths, shape (antennas, users).
        scattered: Scattered waves, shape (antennas, users, batch).
        error: Errors of least-squares estimates, likewise.
        los_amplitude: Of the direct paths, shape (sweep,) or (sweep, antennas, users).
        nlos_amplitude: Of the scattered waves, likewise.
        error_variance: Of the errors.
    """

    los: Parts
    scattered: Parts
    error: Parts
    los_amplitude: Float[Array, "..."]
    nlos_amplitude: Float[Array, "..."]
    error_variance: float = eqx.field(static=True)

    def mean(self, a: Array) -> Parts:
        """Direct paths (antennas, users, 1) with amplitude a."""
        return self.los[..., None] * _over_batch(a)

    def channel(self, a: Array, b: Array) -> Parts:
        """Channels (antennas, users, batch) for amplitudes a and b."""
        return self.mean(a) + self.scattered * _over_batch(b)


class Drop(eqx.Module):
    """Large-scale channel of a network and the users dropped into it.

    Attributes:
        los: Direct paths, amplitude over the noise, shape (antennas, users).
        scattered_amplitude: Of the scattered waves over the noise, shape (aps, users).
        covariance: Spatial covariance of each link, matrix axes first; None if uncorrelated.
        factor: Its Cholesky factor.
        los_amplitude: Of the direct path for the Rician factors, shape (sweep,) or
            (sweep, antennas, users).
        nlos_amplitude: Of the scattered waves, likewise.
        error_variance: Of least-squares estimates.
        always: A condition that always holds, which the compiler cannot know.
    """

    los: Parts
    scattered_amplitude: Float[Array, "aps users"]
    covariance: Parts | None
    factor: Parts | None
    los_amplitude: Float[Array, "..."]
    nlos_amplitude: Float[Array, "..."]
    error_variance: float = eqx.field(static=True)
    always: Array

    def scattered(self, white: Parts) -> Parts:
        """Scattered waves (antennas, users, *batch) from white draws of the same shape."""
        aps = self.scattered_amplitude.shape[0]
        antennas = white.shape[0] // aps
        blocks = white.reshape(aps, antennas, *white.shape[1:])
        if self.factor is not None:
            factor = self.factor[..., None]

            def add(j: Array, total: Parts) -> Parts:
                column, wave = entry(factor, j, 1), entry(blocks, j, 1)
                spread = Parts(*(jnp.swapaxes(p, 0, 1) for p in (column.real, column.imag)))
                return total + spread * wave[:, None]

            blocks = jax.lax.fori_loop(0, antennas, add, Parts.zeros(blocks.shape))
        blocks = blocks * self.scattered_amplitude[:, None, :, None]
        return blocks.reshape(*white.shape)

    def scattered_factor(self) -> Parts:
        """Factor of the covariance of each user's scattered waves, (antennas, antennas, users)."""
        antennas, users = self.los.shape
        identity = jnp.broadcast_to(jnp.eye(antennas)[..., None], (antennas, antennas, users))
        columns = Parts(jnp.swapaxes(identity, 1, 2), jnp.zeros((antennas, users, antennas)))
        waves = self.scattered(columns)  # column j is what white noise on antenna j alone gives
        return Parts(jnp.swapaxes(waves.real, 1, 2), jnp.swapaxes(waves.imag, 1, 2))

    def draws(self, white: Parts, noise: Parts, error_variance: float) -> Draws:
        """Realizations of the channels and their estimation errors, from white draws."""
        return Draws(
            los=self.los,
            scattered=self.scattered(white),
            error=noise * error_variance**0.5,
            los_amplitude=self.los_amplitude,
            nlos_amplitude=self.nlos_amplitude,
            error_variance=error_variance,
        )

    def covariance_of_scattered(
        self, amplitude: Float[Array, "*links"]
    ) -> Complex[Array, "antennas antennas aps users"]:
        """Covariance of the scattered waves of each link, for a Rician amplitude."""
        power = ((self.scattered_amplitude * amplitude) ** 2)[None, None]
        if self.covariance is not None:
            return self.covariance.merged() * power
        antennas = self.los.shape[0] // self.scattered_amplitude.shape[0]
        return jnp.eye(antennas, dtype=jnp.result_type(complex))[:, :, None, None] * power


def draw_drop(key: Key[Array, ""], system: DistributedRician) -> Drop:
    """Drop users into the network and work out its large-scale channel.

    Systems with equally many users put them at the same places for the same key, if their squares
    are equal.

    References:
        Tominaga et al., eqs. (1)-(4), (18)-(19).
    """
    position_key, covariance_key = jax.random.split(key)
    users = system.user_positions
    if users is None:
        users = uniform_positions(position_key, system.num_users, system.side)
    distance = distance_3d(system.ap_positions, users, system.height_difference)
    angle = azimuth(system.ap_positions, users)
    beta = log_distance_gain(
        distance, exponent=system.path_loss_exponent, carrier_hz=system.carrier_hz
    )
    power = jnp.broadcast_to(system.power, beta.shape[1:])
    snr = (power / system.noise_power)[None] * beta
    los = los_channel(
        snr,
        angle,
        distance,
        system.ap_antennas,
        wavelength=wavelength(system.carrier_hz),
        spacing=system.spacing,
        propagation_phase=system.propagation_phase,
    )
    covariance = _covariance_of_links(covariance_key, system, angle)
    los_amplitude, nlos_amplitude = _amplitudes(system)
    return Drop(
        los=Parts.of(los.reshape(system.num_antennas, system.num_users)),
        scattered_amplitude=amplitude(snr),
        covariance=covariance,
        factor=None if covariance is None else cholesky(covariance),
        los_amplitude=los_amplitude,
        nlos_amplitude=nlos_amplitude,
        error_variance=1.0 / system.pilot_length,
        always=system.noise_power > 0,
    )


def draw_fading(
    key: Key[Array, ""], antennas: int, users: int, first: ArrayLike, count: int, always: Array
) -> tuple[Parts, Parts]:
    """White fading and white estimation noise of realizations first ... first + count - 1.

    Returns:
        Two draws of shape (antennas, users, count).
    """

    def draw(key: Array) -> Parts:
        rows = split_complex_normal(key, (count, antennas * users), first_row=first)
        kept = computed_once(jnp.moveaxis(rows, 0, -1), always)
        return Parts(kept[0], kept[1]).reshape(antennas, users, count)

    fading_key, noise_key = jax.random.split(key)
    return draw(fading_key), draw(noise_key)


def _covariance_of_links(
    key: Array, system: DistributedRician, angle: Float[Array, "aps users"]
) -> Parts | None:
    """Covariances, shape (antennas, antennas, aps, users); None for the identity."""
    if system.is_uncorrelated:
        return None

    def of_link(key: Array, angle: Array) -> Complex[Array, "antennas antennas"]:
        return system.covariance(key, system.ap_antennas, angle, system.spacing)

    # Of as many as any layout of these antennas takes, so that all layouts share the program.
    keys = jax.random.split(key, system.num_antennas * system.num_users)[: angle.size]
    links = jax.vmap(of_link, out_axes=-1)(keys, angle.ravel())
    if isinstance(system.covariance, Partial):  # a user's own, which a factor must not symmetrize
        links = unless_asymmetric(links)
    return Parts.of(links.reshape(*links.shape[:2], *angle.shape))


def _amplitudes(system: DistributedRician) -> tuple[Array, Array]:
    """Rician amplitudes with a sweep axis, and for each antenna if links differ."""
    los, nlos = rician_amplitudes(system.rician_factor)
    if system.sweep_length is None:
        los, nlos = los[None], nlos[None]
    if not system.is_common:
        los, nlos = (jnp.repeat(each, system.ap_antennas, axis=1) for each in (los, nlos))
    return los, nlos


def _over_batch(amplitude: Array) -> Array:
    """An amplitude that broadcasts against (antennas, users, batch)."""
    return amplitude[..., None] if amplitude.ndim else amplitude
