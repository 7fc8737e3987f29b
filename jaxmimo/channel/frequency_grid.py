"""Wideband responses on equally spaced frequencies, by matrix products.

The model is that of `multipath.frequency_response`.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from jaxmimo.channel.antennas import delay_parts
from jaxmimo.core.checks import positive_integer, positive_number, real_number
from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import at_least_one
from jaxmimo.core.small_matrices import Parts
from jaxmimo.core.split import computed_once
from jaxmimo.core.turns import Turns, cos_sin, turns_of_product


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

    def turns(
        self, index: Float[Array, " places"], delays: Float[Array, "*links"]
    ) -> Float[Array, "*links places"]:
        r"""$f\tau$ [turns] less whole turns, at places of the grid and between them.

        Over a wide band these are thousands of turns, which a product of single numbers would
        know to a thousandth. They are exact, for frequencies and delays as given, with up to 8192
        frequencies.

        Args:
            index: 0 for the lowest frequency; multiples of 1/2.
            delays: $\tau$ [s].
        """
        of_first, of_half_step = self.turns_of_delays(delays[..., None])
        index = index.reshape((1,) * delays.ndim + index.shape)
        return of_first + of_half_step.times(2.0 * index)

    def turns_of_delays(self, delays: Float[Array, "*links"]) -> tuple[Array, Turns]:
        """The parts of `turns`: of the lowest frequency, and of half a step from there."""
        return turns_of_product(self.first, delays), Turns.of_product(0.5 * self.step, delays)

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
    centre = half * (2 * jnp.arange(blocks, dtype=real) + 1) - 0.5
    offset = jnp.arange(half, dtype=real) + 0.5
    # Whole turns drop out once per path; what antennas add is a turn of the band at most.
    parts = grid.turns_of_delays(delays)
    of_first, of_half_step = jax.tree.map(lambda a: computed_once(a, always)[:, None], parts)
    of_centres = of_first + of_half_step.times(2.0 * centre[None, :, None])
    of_offsets = jnp.swapaxes(of_half_step.times(2.0 * offset[None, :, None]), 1, 2)
    of_centres, of_offsets = (computed_once(a, always) for a in (of_centres, of_offsets))
    turns = (carrier * across)[:, :, None] + of_centres[:, None]
    if squint:
        turns += (grid.first + grid.step * centre)[None, None, :, None] * across[:, :, None]
    of_blocks = delay_parts(turns) * alpha[:, None, None]
    left = jnp.stack([of_blocks.real, of_blocks.imag], axis=2)
    turns = of_offsets[:, None]
    if squint:
        turns = turns + across[..., None] * (grid.step * offset)[None, None, None]
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
