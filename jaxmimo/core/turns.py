"""Sines and cosines of angles in turns, fast in single precision, and products without whole turns.

XLA's sine and cosine take several times longer on CPUs, for their care with large arguments. An
angle in turns needs no such care: whole turns drop out exactly. A product of thousands of turns
has lost its fraction when it is rounded; `turns_of_product` and `Turns` keep it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

_STEPS = 1024
"""Multiples of its inverse have few enough digits to be multiplied by an integer exactly."""


@jax.custom_jvp
def cos_sin(turns: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    r"""$\cos 2\pi t$ and $\sin 2\pi t$ of any t [turns], to 1e-7 in single precision."""
    if turns.dtype != jnp.float32:
        phase = 2 * np.pi * (turns - jnp.round(turns))
        return jnp.cos(phase), jnp.sin(phase)
    turns = turns - jnp.round(turns)
    return _quarter_sine(np.float32(0.25) - jnp.abs(turns)), sine(turns)


@cos_sin.defjvp
def _cos_sin_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple:
    (turns,), (change,) = primals, tangents
    cosine, sine_ = cos_sin(turns)
    turned = 2 * np.pi * change
    return (cosine, sine_), (-sine_ * turned, cosine * turned)


def sine(turns: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sin(2 pi t) in single precision for t in [-1/2, 1/2] turns, by an odd polynomial.

    Folded to a quarter turn, where the polynomial errs by less than 1e-7. Not to be
    differentiated: use `cos_sin`.
    """
    magnitude = jnp.abs(turns)
    folded = jnp.minimum(magnitude, np.float32(0.5) - magnitude)
    return jnp.copysign(_quarter_sine(folded), turns)


def _quarter_sine(turns: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sin(2 pi t) for t in [-1/4, 1/4] turns."""
    square = turns * turns
    value = _SINE[-1]
    for coefficient in _SINE[-2::-1]:
        value = value * square + coefficient
    return value * turns


def _odd_sine_polynomial(terms: int) -> tuple[np.float32, ...]:
    """Coefficients of sin(2 pi t) / t in t^2 on [0, 1/4], by interpolation at Chebyshev points."""
    points = 0.25 * np.cos(np.pi * (2 * np.arange(terms) + 1) / (4 * terms))
    powers = points[:, None] ** (2 * np.arange(terms))
    solution = np.linalg.solve(powers, np.sin(2 * np.pi * points) / points)
    return tuple(np.float32(coefficient) for coefficient in solution)


_SINE = _odd_sine_polynomial(6)


class Turns(NamedTuple):
    """An angle less whole turns, so that its multiples keep their digits.

    Attributes:
        coarse: A multiple of 1/1024 of a turn, at most half a turn.
        fine: The rest, some thousandths of a turn.
    """

    coarse: Float[Array, "*shape"]
    fine: Float[Array, "*shape"]

    @staticmethod
    def of(turns: Float[Array, "*shape"]) -> "Turns":
        """The parts of an angle [turns]."""
        fraction = turns - jnp.round(turns)
        coarse = jnp.round(fraction * _STEPS) / _STEPS
        return Turns(coarse, fraction - coarse)

    @staticmethod
    def of_product(a: Float[Array, "..."], b: Float[Array, "..."]) -> "Turns":
        """The parts of `a b`, of which the product of single numbers would keep 24 digits in all.

        Each factor is taken apart into halves of its digits, whose products are exact.
        """
        (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
        products = (a_high * b_high, a_high * b_low, a_low * b_high)
        coarse, fine = zip(*map(Turns.of, products), strict=True)
        total = coarse[0] + coarse[1] + coarse[2]
        return Turns(total - jnp.round(total), fine[0] + fine[1] + (fine[2] + a_low * b_low))

    def times(self, number: Float[Array, "..."]) -> Float[Array, "..."]:
        """The angle `number` times [turns], up to whole turns; `number` holds integers up to 16384.

        Rounding the product would err by up to `number` times what rounding a turn does. The
        product of an integer and a number of few digits is exact, and so is dropping its whole
        turns.
        """
        exact = self.coarse * number
        return exact - jnp.round(exact) + self.fine * number


def turns_of_product(a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """`a b` [turns] less whole turns, as exact as an angle of one turn however many they are."""
    parts = Turns.of_product(a, b)
    return parts.coarse + parts.fine


def _halves(number: Array) -> tuple[Array, Array]:
    """Two numbers of half as many digits, whose sum is `number`."""
    info = jnp.finfo(number.dtype)
    # `reduce_precision` is an operation of its own, which no compiler simplifies away.
    high = lax.reduce_precision(number, int(info.nexp), (int(info.nmant) + 1) // 2 - 1)
    return high, number - high
