r"""From channels and pilots to effective channels $\Upsilon$ and their moments, per realization.

Channels and pilots are split arrays (rows, 2, streams): row `m * ap_antennas + l`, stream
`n * num_users + k`. Between the projected pilots and the precoder lies one widely linear map per
antenna, the *chain*: receiver imbalance, image correction, normalisation. Where all hardware is
common to all antennas, chain and transmit imbalance act on the products of channels and pilots
instead of on every antenna, and sweeps over hardware share these products.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Complex, Float, Inexact

from jaxmimo.core.split import (
    WidelyLinear,
    cross_products,
    direct_product,
    image_product,
    quadrants,
)
from jaxmimo.systems.cell_free_iqi.system import CellFreeIQI
from jaxmimo.transceiver.pilots import PilotSignal
from jaxmimo.transceiver.precoding import unit_power


class DownlinkMoments(eqx.Module):
    r"""Moments of the effective channels $\Upsilon$ that Theorem 1 needs, per user.

    Attributes:
        desired: $\Upsilon_{kk,1}$, the user's own channel (25).
        received: $\sum_{k',i} \Upsilon_{kk',i} \Upsilon_{kk',i}^H$, all that it receives (26).
    """

    desired: Complex[Array, "*points users n n"]
    received: Complex[Array, "*points users n n"]


class ApSegment(eqx.Module):
    """The APs `first` ... `first + length - 1` of a system, and their rows.

    Attributes:
        system: The network.
        first: First AP; may be traced.
        length: Number of APs.
    """

    system: CellFreeIQI
    first: Array
    length: int = eqx.field(static=True)

    def of(self, values: Inexact[Array, "aps n"]) -> Inexact[Array, "length n"]:
        """The segment's part of values of all APs."""
        return lax.dynamic_slice_in_dim(values, self.first, self.length)

    def over_streams(self, values: Float[Array, "length users"]) -> Float[Array, "rows 1 streams"]:
        """Spread values per AP and user over their rows and streams."""
        shape = (self.length, self.system.ap_antennas, self.system.user_antennas, values.shape[-1])
        spread = jnp.broadcast_to(values[:, None, None, :], shape)
        return spread.reshape(shape[0] * shape[1], 1, shape[2] * shape[3])

    def over_rows(self, widely_linear: WidelyLinear) -> WidelyLinear:
        """Coefficients per row, of a map with coefficients per AP and antenna or common ones."""

        def rows(values: Array) -> Array:
            if values.shape == (1, 1):
                return values[0]
            shape = (self.system.num_aps, self.system.ap_antennas)
            return self.of(jnp.broadcast_to(values, shape)).reshape(-1)

        return jax.tree.map(rows, widely_linear)


def precoding_chain(
    system: CellFreeIQI, correction: WidelyLinear, signal: PilotSignal
) -> WidelyLinear:
    """The map from `signal` to the precoder, per antenna or common; scaled to unit power."""
    scaled, through = unit_power(correction, system.receive.widely_linear)
    return scaled if signal.imbalanced else through


def antenna_products(
    g: Float[Array, "rows 2 streams"],
    signal: PilotSignal,
    chain: WidelyLinear,
    segment: ApSegment,
) -> tuple[Array, ...]:
    """Products of channels and precoders, summed over the segment's antennas; they add up.

    Args:
        g: Channels.
        signal: Projected pilots.
        chain: From pilots to precoders.
        segment: The APs of `g`.
    """
    system = segment.system
    w = segment.over_streams(segment.of(system.mr_scaling)) * signal.parts
    if system.is_common:
        return (cross_products(g, w),)
    w = segment.over_rows(chain).apply_split(w)
    sent = segment.over_rows(system.transmit.widely_linear)
    gains = (WidelyLinear(gain.conj(), jnp.zeros_like(gain)) for gain in (sent.direct, sent.image))
    return tuple(cross_products(gain.apply_split(g), w) for gain in gains)


def no_products(system: CellFreeIQI) -> tuple[Array, ...]:
    """The sum over no antennas."""
    zeros = jnp.zeros((2 * system.streams, 2 * system.streams), system.beta.dtype)
    return (zeros,) if system.is_common else (zeros, zeros)


def user_moments(
    products: tuple[Array, ...], chain: WidelyLinear, system: CellFreeIQI
) -> DownlinkMoments:
    """Own-user blocks, and powers summed over all streams, of the effective channels."""
    antennas, users = system.user_antennas, system.num_users
    parts = _effective_channels(products, chain, system).reshape(4, antennas, users, -1)
    user = np.arange(users)
    own = parts[:2].reshape(2, antennas, users, antennas, users)[:, :, user, :, user]

    pairs = [(n, m) for n in range(antennas) for m in range(n + 1)]
    real = [sum(part[n] * part[m] for part in parts) for n, m in pairs]
    imag = [
        sum(parts[i + 1][n] * parts[i][m] - parts[i][n] * parts[i + 1][m] for i in (0, 2))
        for n, m in pairs
    ]
    # One array of all entries and one sum: XLA on CPUs then reduces with vector instructions.
    lower = [(i, pair) for i, pair in enumerate(pairs) if pair[0] > pair[1]]
    sums = jnp.stack(real + [imag[i] for i, _ in lower]).sum(-1)
    return DownlinkMoments(lax.complex(own[:, 0], own[:, 1]), _hermitian(sums, pairs))


def _effective_channels(
    products: tuple[Array, ...], chain: WidelyLinear, system: CellFreeIQI
) -> Float[Array, "4 streams streams"]:
    r"""Parts of $\Upsilon_1 = G^H A_1 W$ and $\Upsilon_2 = G^H A_2 W^*$, all users and streams.

    They are linear in the quadrants of the products. The matrix of that map, from the quadrants of
    unit products, lets XLA on CPUs write all parts in one vectorized pass.
    """
    found = [each for both in products for each in quadrants(both)]
    matrix = jnp.stack(_parts_of_quadrants(list(jnp.eye(len(found))), chain, system))
    return _combinations(matrix, found)


@jax.custom_jvp
def _combinations(
    matrix: Float[Array, "parts found"], found: list[Array]
) -> Float[Array, "parts streams streams"]:
    """Linear combinations of arrays, each with a row of coefficients."""
    columns = matrix.T[:, :, None, None]
    return sum(
        (column * each[None] for column, each in zip(columns[1:], found[1:], strict=True)),
        columns[0] * found[0][None],
    )


@_combinations.defjvp
def _combinations_jvp(
    primals: tuple[Array, list[Array]], tangents: tuple[Array, list[Array]]
) -> tuple[Array, Array]:
    """One combination after another: the transpose of the above sums over an axis of four.

    XLA on CPUs takes a third of a gradient's time for such sums.
    """
    (matrix, found), (matrix_change, found_change) = primals, tangents

    def one_by_one(matrix: Array, found: list[Array]) -> Array:
        each = [sum(c * array for c, array in zip(row, found, strict=True)) for row in matrix]
        return jnp.stack(each)

    change = one_by_one(matrix, found_change) + one_by_one(matrix_change, found)
    return _combinations(matrix, found), change


def _parts_of_quadrants(
    found: list[Array], chain: WidelyLinear, system: CellFreeIQI
) -> tuple[Array, Array, Array, Array]:
    if not system.is_common:
        return (*direct_product(*found[:4]), *image_product(*found[4:]))
    a1, a2 = system.transmit.direct[0, 0], system.transmit.image[0, 0]
    p, q = chain.direct[0, 0], chain.image[0, 0]
    # W = p X + q X*: with X the scaled pilots, products holds G^H X and G^H X*.
    plain, conjugate = direct_product(*found), image_product(*found)
    return (
        *_combine(a1 * p, plain, a1 * q, conjugate),
        *_combine(a2 * p.conj(), conjugate, a2 * q.conj(), plain),
    )


def _combine(
    a: Array, x: tuple[Array, Array], b: Array, y: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Parts of a x + b y for complex numbers a and b."""
    return (
        a.real * x[0] - a.imag * x[1] + b.real * y[0] - b.imag * y[1],
        a.real * x[1] + a.imag * x[0] + b.real * y[1] + b.imag * y[0],
    )


def _hermitian(
    sums: Float[Array, "entries users"], pairs: list[tuple[int, int]]
) -> Complex[Array, "users n n"]:
    """Hermitian matrices from real parts (lower half) and imaginary parts (below the diagonal)."""
    real = dict(zip(pairs, sums, strict=False))
    below = [(n, m) for n, m in pairs if n > m]
    imag = dict(zip(below, sums[len(pairs) :], strict=True))
    size = pairs[-1][0] + 1
    zero = jnp.zeros_like(sums[0])

    def entry(n: int, m: int) -> Array:
        if n < m:
            return lax.complex(real[m, n], -imag[m, n])
        return lax.complex(real[n, m], imag.get((n, m), zero))

    rows = [jnp.stack([entry(n, m) for m in range(size)], axis=-1) for n in range(size)]
    return jnp.stack(rows, axis=-2)
