"""Sines and cosines of angles in turns, fast in single precision.

XLA's sine and cosine take several times longer on CPUs, for their care with large arguments. An
angle in turns needs no such care: whole turns drop out exactly.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float


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
