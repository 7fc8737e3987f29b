"""Random numbers from counters: fast on CPUs, the same for every batch size and device.

`jax.random.normal` spends a whole Threefry block on each 32-bit word and runs its rounds as a
rolled loop on CPUs. Here both words of a block serve one complex number (Box-Muller: one word for
the radius, one for the phase) and the rounds are written out, which the compiler vectorizes.
Uniform numbers come from blocks of their own.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Complex, Float, Key, UInt32

from jaxmimo.core.checks import checked_key, require
from jaxmimo.core.contracts import checked
from jaxmimo.core.turns import sine

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_KEY_PARITY = np.uint32(0x1BD11BDA)
# `fold_in` and `split` encrypt counters whose high word is zero; this high word keeps draws of a
# key apart from the keys derived from it.
_STREAM = np.uint32(0x6A78_6D6D)
# Far from the words that complex normal numbers reach by adding to theirs.
_UNIFORM_STREAM = np.uint32(0x6A78_756E)


@checked()
def complex_normal(
    key: Key[Array, ""],
    shape: tuple[int, ...],
    *,
    first_row: ArrayLike = 0,
    positions: np.ndarray | None = None,
) -> Complex[Array, "..."]:
    r"""Independent circularly symmetric $\mathcal{CN}(0, 1)$ numbers.

    Number $i$ of the row-major array depends on `key` and $i$ only, so a draw with a shorter first
    axis is a prefix of a longer one.

    Args:
        key: Typed Threefry key, `jax.random.key(seed)`; use it once.
        shape: Shape of the result, with at least one axis.
        first_row: Rows of the key's endless first axis to skip; may be traced.
        positions: Which of the key's endless row of numbers to draw, an array of `shape`; None
            draws the first ones.

    Returns:
        complex64, or complex128 where x64 is enabled: the same numbers with more digits.

    Raises:
        ValueError: If the key is not a single typed Threefry key.
    """
    parts = split_complex_normal(key, shape, first_row=first_row, positions=positions)
    return lax.complex(parts[..., 0, :], parts[..., 1, :])


def split_complex_normal(
    key: Key[Array, ""],
    shape: tuple[int, ...],
    *,
    first_row: ArrayLike = 0,
    positions: np.ndarray | None = None,
) -> Float[Array, "..."]:
    """The numbers of `complex_normal` with real and imaginary parts apart.

    Returns:
        Shape `(*shape[:-1], 2, shape[-1])`; index 0 of the added axis is the real part, index 1
        the imaginary part.
    """
    checked_key(key)
    require(len(shape) >= 1, "`shape` must have at least one axis. Use (1,) for one number.")
    dtype = jnp.result_type(float)
    words = 2 if dtype == jnp.float32 else 4
    parts_shape = (*shape[:-1], 2, shape[-1])
    if positions is None:
        counter = _counter(shape, parts_shape, first_row)
    else:
        # In one step: of a broadcast reshaped array XLA makes under a `vmap` of length 1 a circle
        # of simplifications, which it ends with an error message after 50 rounds.
        drawn = np.asarray(positions, np.uint32).reshape(shape)
        counter = lax.broadcast_in_dim(drawn, parts_shape, (*range(len(shape) - 1), len(shape)))
    key_words = jax.random.key_data(key)
    # Double precision appends the words of a second stream, so that its numbers are those of
    # single precision, with more digits.
    blocks = [
        threefry_2x32(key_words[0], key_words[1], _STREAM + np.uint32(block), counter)
        for block in range(words // 2)
    ]
    # The imaginary part is the sine of the phase, the real part the sine a quarter turn on. One
    # sine for both parts lets the compiler draw them in one pass over memory.
    quarter_turn = lax.broadcasted_iota(jnp.uint32, parts_shape, len(shape) - 1) ^ np.uint32(1)
    if words == 2:
        ((phase, radius),) = blocks
        turn = _signed_fraction32(phase + (quarter_turn << np.uint32(30)))
        return jnp.sqrt(_exponential32(radius)) * sine(turn)
    (phase, radius), (phase_low, radius_low) = blocks
    turn = _signed_fraction32(phase + (quarter_turn << np.uint32(30))) + (
        phase_low.astype(dtype) * 2.0**-64
    )
    fraction = (radius.astype(dtype) + (radius_low.astype(dtype) + 0.5) * 2.0**-32) * 2.0**-32
    return jnp.sqrt(-jnp.log(fraction)) * jnp.sin(2 * np.pi * turn)


def uniform(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Independent uniform numbers in the open interval (0, 1).

    Number $i$ of the row-major array depends on `key` and $i$ only, so a draw with a shorter first
    axis is a prefix of a longer one. The numbers are the centres of $2^{23}$ cells, $2^{52}$ in
    double precision. Floats hold these centres exactly, so nothing is rounded, to 0 and 1 least of
    all: the extremes are $2^{-24}$ and $1 - 2^{-24}$, $2^{-53}$ and $1 - 2^{-53}$.

    Args:
        key: Typed Threefry key, `jax.random.key(seed)`; use it once. A draw of `complex_normal`
            with the same key is independent.
        shape: Shape of the result.

    Returns:
        float32, or float64 where x64 is enabled: the same numbers with more digits, closer than
        $2^{-24}$.

    Raises:
        ValueError: If the key is not a single typed Threefry key.
    """
    checked_key(key)
    _check_size(shape)
    index = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    key_words = jax.random.key_data(key)
    high, low = threefry_2x32(key_words[0], key_words[1], _UNIFORM_STREAM, index)
    if jnp.result_type(float) == jnp.float32:
        return ((high >> np.uint32(9)).astype(jnp.float32) + 0.5) * np.float32(2.0**-23)
    bits = high.astype(jnp.float64) * 2.0**20 + (low >> np.uint32(12)).astype(jnp.float64)
    return (bits + 0.5) * 2.0**-52


def threefry_2x32(
    key0: ArrayLike, key1: ArrayLike, counter0: ArrayLike, counter1: ArrayLike
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """Threefry-2x32 with 20 rounds: one block of two random words per counter.

    References:
        Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    schedule = [jnp.asarray(key0, jnp.uint32), jnp.asarray(key1, jnp.uint32)]
    schedule.append(schedule[0] ^ schedule[1] ^ _KEY_PARITY)
    x0 = jnp.asarray(counter0, jnp.uint32) + schedule[0]
    x1 = jnp.asarray(counter1, jnp.uint32) + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1


def _check_size(shape: tuple[int, ...]) -> None:
    require(math.prod(shape) < 2**31, "`shape` must hold fewer than 2^31 numbers. Draw in parts.")


def _counter(
    shape: tuple[int, ...], parts_shape: tuple[int, ...], first_row: ArrayLike
) -> UInt32[Array, "..."]:
    """Row-major index of each complex number, the same for its real and its imaginary part."""
    _check_size(shape)
    row_length = math.prod(shape[1:])
    index = jnp.asarray(first_row, jnp.uint32) * np.uint32(row_length)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    for axis, stride in enumerate(strides):
        parts_axis = axis if axis < len(shape) - 1 else axis + 1
        index = index + lax.broadcasted_iota(jnp.uint32, parts_shape, parts_axis) * np.uint32(
            stride
        )
    return index


def _exponential32(word: UInt32[Array, "..."]) -> Float[Array, "..."]:
    r"""$-\ln u$ of $u = (w + 1/2) 2^{-32}$, to 2e-7 of it; the largest, of $2^{-33}$, is 22.9.

    By a polynomial on a mantissa in $[2^{-1/2}, 2^{1/2})$. It takes half of the time of XLA's
    logarithm, which cannot know that its argument is neither zero nor negative nor not a number.
    """
    bits = lax.bitcast_convert_type(word.astype(jnp.float32) + np.float32(0.5), jnp.int32)
    bits = bits - _ROOT_HALF  # so that the exponent grows at the root of 1/2, not at 1
    halvings = np.int32(32) - (bits >> np.int32(23))
    mantissa = lax.bitcast_convert_type((bits & np.int32(0x7FFFFF)) + _ROOT_HALF, jnp.float32)
    beyond_one = mantissa - np.float32(1.0)
    slope = jnp.full_like(beyond_one, _LOGARITHM[-1])
    for coefficient in _LOGARITHM[-2::-1]:
        slope = slope * beyond_one + coefficient
    return halvings.astype(jnp.float32) * np.float32(np.log(2.0)) - beyond_one * slope


def _logarithm_polynomial(terms: int) -> tuple[np.float32, ...]:
    """Coefficients of ln(1 + x) / x for 1 + x from the root of 1/2 to that of 2."""
    low, high = 0.5**0.5 - 1.0, 2.0**0.5 - 1.0
    points = np.cos(np.pi * (2 * np.arange(terms) + 1) / (2 * terms))  # Chebyshev's
    x = 0.5 * (high + low) + 0.5 * (high - low) * points
    solution = np.linalg.solve(x[:, None] ** np.arange(terms), np.log1p(x) / x)
    return tuple(np.float32(coefficient) for coefficient in solution)


_ROOT_HALF = np.float32(0.5**0.5).view(np.int32)
_LOGARITHM = _logarithm_polynomial(9)


def _signed_fraction32(word: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """The word as a fraction of a turn in [-1/2, 1/2)."""
    dtype = jnp.result_type(float)
    return lax.bitcast_convert_type(word, jnp.int32).astype(dtype) * np.asarray(2.0**-32, dtype)
