"""Rates of single users by Monte Carlo over the fading: what sums hide, such as the smallest."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Key

from jaxmimo.core.checks import checked_key
from jaxmimo.rates.sinr import sinr_of_powers, spectral_efficiency
from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
from jaxmimo.systems.beamforming_3d.cell import Cell, Groups, channel_factors, draw_channels
from jaxmimo.systems.beamforming_3d.schemes import Scheme, adjacent_groups
from jaxmimo.systems.beamforming_3d.simulation import as_schemes, grouped_cell, powers_of_each
from jaxmimo.systems.beamforming_3d.system import Beamforming3D, Users


def user_rates(
    key: Key[Array, ""],
    system: Beamforming3D,
    users: Users,
    *,
    scheme: Scheme | Sequence[Scheme] = adjacent_groups,
    groups: Groups | None = None,
    realizations: int,
    batch_size: int | None = None,
) -> Estimate:
    r"""Ergodic rate of each of given users, $E \log_2(1 + \mathrm{SINR}_k)$.

    Their sum is `sum_rate` with the same key. The equivalents are in `Precoding.rates_in_the_limit`
    of `scheme(make_cell(system, users))`.

    Args:
        key: Typed key of the fading.
        system: The cell.
        users: The users.
        scheme: Downlink scheme, such as one `with_shares`; a sequence is simulated from the same
            draws.
        groups: Groups of the users; None for those of 2D-FQUG.
        realizations: Fading realizations.
        batch_size: Realizations side by side; None takes what fits a memory budget.

    Returns:
        Estimate of the rates [bit/s/Hz], shape (users,) or (schemes, users).

    References:
        Fan et al., eq. (27).
    """
    checked_key(key)
    cell = grouped_cell(system, users, groups)
    sample = Partial(
        _rates_of_fading,
        cell=cell,
        schemes=as_schemes(scheme),
        keep_axis=not callable(scheme),
    )
    return monte_carlo(sample, key, realizations, batch_size=batch_size)


def _rates_of_fading(key: Array, cell: Cell, schemes: tuple[Scheme, ...], keep_axis: bool) -> Array:
    h = draw_channels(key, channel_factors(cell))
    (powers,) = powers_of_each([[scheme(cell) for scheme in schemes]], h)
    rates = jnp.stack([spectral_efficiency(sinr_of_powers(each)) for each in powers])
    return rates if keep_axis else rates[0]
