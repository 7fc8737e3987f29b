"""What receivers believe about the channel over the band: with and without wideband effects.

A design is a function of the links of one AP and the subcarriers, `(links, grid) -> response`, of
shape (users, antennas, subcarriers). Combiners are designed for the response it returns, and meet
the one that is.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxmimo.channel.frequency_grid import Grid
from jaxmimo.core.contracts import checked
from jaxmimo.core.small_matrices import Parts
from jaxmimo.systems.wideband_mmwave.drop import Links

Design = Callable[[Links, Grid], Parts]
"""The believed response of one AP's links."""


@checked()
def per_subcarrier(links: Links, grid: Grid) -> Parts:
    """The response that is, on every subcarrier."""
    return links.response(grid)


@checked()
def without_squint(links: Links, grid: Grid) -> Parts:
    """All delays are known, but those between antennas count as phases at the carrier.

    This is the usual model of frequency-selective channels, whose array response is that of the
    carrier. It ignores the spatial-wideband effect within the arrays.
    """
    return links.response(grid, squint=False)


@checked()
def at_carrier(links: Links, grid: Grid) -> Parts:
    """The response at the carrier, taken for that of the whole band.

    It ignores the spatial-wideband effect within arrays and between APs, and delay spread as well.
    """
    middle = Grid(jnp.zeros_like(grid.first), grid.step, 1)
    here = links.response(middle)
    shape = (*here.shape[:2], grid.count)
    return Parts(jnp.broadcast_to(here.real, shape), jnp.broadcast_to(here.imag, shape))
