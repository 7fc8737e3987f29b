r"""Downlink powers that differ from stream to stream.

The base station has K times the power $\rho$ of one stream. Stream u gets a share $q_u \ge 0$ of
it, $\sum_u q_u \le K$, where one is the equal split of the paper. With the power $P_{uk}$ over the
noise at which user k receives stream u after an equal split,
$$\mathrm{SINR}_k = \frac{q_k P_{kk}}{1 + \sum_{u \ne k} q_u P_{uk}}.$$

Precoders stay those of the equal split. With its power, the largest ratio of signal to leakage and
noise of stream u has $(I / q_u + X_u X_u^H)^{-1} h_u$ for a direction; but that ratio is no rate.
At tuned shares such precoders change simulated sum rates and geometric means by less than 3 % in
either direction and lower the smallest rate, and SINRs would no longer be ratios of linear
functions of the shares, for which fair shares are known exactly.
"""

from collections.abc import Callable

import equinox as eqx
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.core.checks import function, real_array, require
from jaxmimo.systems.beamforming_3d.cell import Cell
from jaxmimo.systems.beamforming_3d.schemes import Precoding, Scheme


class SharedPower(eqx.Module):
    """A precoding whose streams have unequal powers.

    Attributes:
        precoding: The precoding, with its own powers for an equal split.
        shares: Power of each stream, over that of the equal split.
    """

    precoding: Precoding
    shares: Float[Array, " users"]

    def powers(
        self, h: Complex[Array, "users azimuth_antennas elevation_antennas"]
    ) -> Float[Array, "streams users"]:
        """Powers over the noise."""
        return self.shares[:, None] * self.precoding.powers(h)

    def rates_in_the_limit(self) -> Float[Array, " users"]:
        """Deterministic equivalent of the users' ergodic rates [bit/s/Hz]."""
        return rates_by_shares(self.precoding)(self.shares)


def with_shares(scheme: Scheme, shares: ArrayLike) -> Scheme:
    """The scheme, with power split among the streams in other shares.

    It is a scheme as any other, for `sum_rate` and `deterministic_sum_rate` of the users whose
    shares these are. Where shares follow from a cell's statistics, for `simulate_sum_rate` of many
    drops, a scheme of your own can return a `SharedPower`.

    Args:
        scheme: Downlink scheme.
        shares: $q_u$, shape (users,); ones are the equal split, of the same power if the mean is 1.

    Raises:
        ValueError: If shares are negative, or not one per user.
    """
    function("scheme", scheme, "`adjacent_groups`")
    shares = real_array("shares", shares, minimum=0.0)
    require(
        shares.ndim == 1 and shares.size > 0,
        f"`shares` must have shape (users,), but has shape {shares.shape}. Give one per user.",
    )
    return Partial(_with_shares, shares, scheme=scheme)


def _with_shares(shares: Array, cell: Cell, *, scheme: Scheme) -> SharedPower:
    require(
        shares.shape == (cell.num_users,),
        f"`shares` must hold one number for each of the {cell.num_users} users, but has the shape "
        f"{shares.shape}. Give ones for the equal split.",
    )
    return SharedPower(scheme(cell), shares)


def rates_by_shares(precoding: Precoding) -> Callable[[Array], Array]:
    """Deterministic equivalent of the rates as a function of the shares (users,) [bit/s/Hz].

    Raises:
        ValueError: If the precoding has no such equivalent.
    """
    rates = getattr(precoding, "rates_by_shares", None)
    if rates is None:
        raise ValueError(
            "`scheme` must be one with a deterministic equivalent for unequal powers, but gives "
            f"{type(precoding).__name__}. Use a two-stage scheme or `generalized_mrt`."
        )
    return rates()
