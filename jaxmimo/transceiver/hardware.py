"""I/Q imbalance of direct-conversion radios: gain and phase mismatch between the two branches."""

import math
from itertools import zip_longest

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.core.checks import angle_array, array_module, on_device, real_array, require
from jaxmimo.core.split import WidelyLinear


class IQImbalance(eqx.Module):
    r"""Asymmetric I/Q imbalance, one mismatch per AP and antenna.

    A signal $x$ becomes $K_1 x + K_2 x^*$ with
    $$K_1 = \tfrac12 (1 + g e^{-j\theta}), \qquad K_2 = \tfrac12 (1 - g e^{j\theta}).$$
    The in-phase branch is ideal; the quadrature branch becomes $g (x_Q \cos\theta - x_I
    \sin\theta)$. Matched hardware has $g = 1$, $\theta = 0$. For the transmitter the same
    coefficients are called $A_1$ and $A_2$, with $f$ and $\alpha$.

    Args:
        amplitude: Amplitude mismatch $g \ge 0$ [linear], shape (aps, antennas); a size-1 axis or
            a number stands for hardware common to that axis, which also costs less to simulate.
        phase: Phase mismatch $\theta$ [rad], at most a quarter turn, beyond which the quadrature
            branch would be inverted; of a shape that broadcasts with `amplitude`. A
            leading third axis on either sweeps it.

    Raises:
        ValueError: If shapes do not fit, or values are not finite or cannot be.

    References:
        Sutton, Ngo, Matthaiou, "Cell-Free Massive MIMO with Multiple-Antenna Users under I/Q
        Imbalance", below eq. (3) and eq. (12).
    """

    amplitude: Float[Array, "*sweep aps antennas"]
    phase: Float[Array, "*sweep aps antennas"]

    def __init__(self, *, amplitude: ArrayLike = 1.0, phase: ArrayLike = 0.0) -> None:
        amplitude_array = real_array("amplitude", amplitude, minimum=0.0)
        phase_array = angle_array("phase", phase, minimum=-math.pi / 2, maximum=math.pi / 2)
        for name, array in (("amplitude", amplitude_array), ("phase", phase_array)):
            require(
                array.ndim in (0, 2, 3) and array.size > 0,
                f"`{name}` must have shape (aps, antennas), but has shape {array.shape}. "
                "Give a number for hardware common to all antennas.",
            )
        shapes = amplitude_array.shape, phase_array.shape
        require(
            all(
                len({1, *sizes}) <= 2 for sizes in zip_longest(*map(reversed, shapes), fillvalue=1)
            ),
            f"`phase` must have a shape that broadcasts with that of `amplitude`, but they are "
            f"{shapes[1]} and {shapes[0]}. Give one mismatch per AP and antenna.",
        )
        self.amplitude = _by_antenna(amplitude_array)
        self.phase = _by_antenna(phase_array)

    @property
    def direct(self) -> Complex[Array, "*sweep aps antennas"]:
        """$K_1$ (receiver) or $A_1$ (transmitter): the gain of the signal itself."""
        return 0.5 * (1.0 + self.amplitude * jnp.exp(-1j * self.phase))

    @property
    def image(self) -> Complex[Array, "*sweep aps antennas"]:
        """$K_2$ (receiver) or $A_2$ (transmitter): the gain of the conjugate image."""
        return 0.5 * (1.0 - self.amplitude * jnp.exp(1j * self.phase))

    @property
    def widely_linear(self) -> WidelyLinear:
        """The imbalance as a map of signals."""
        return WidelyLinear(self.direct, self.image)

    @property
    def shape(self) -> tuple[int, ...]:
        """Common shape of the coefficients."""
        return jnp.broadcast_shapes(self.amplitude.shape, self.phase.shape)

    @property
    def is_common(self) -> bool:
        """Whether all antennas of all APs share one mismatch, as their shape tells."""
        return self.shape[-2:] == (1, 1)


def _by_antenna(mismatch: Array) -> Float[Array, "*sweep aps antennas"]:
    return on_device(array_module(mismatch).atleast_2d(mismatch))
