"""SEs of users as functions of their powers: what is left of a system for tuning.

A function here is a `jax.tree_util.Partial` over arrays, so that one compilation serves all
networks of a shape, and networks batch by `jax.vmap` over the function's leaves.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float, Key

from jaxmimo.core.checks import checked_key, require, require_kind
from jaxmimo.core.contracts import checked
from jaxmimo.systems import distributed_rician, wideband_mmwave
from jaxmimo.systems.beamforming_3d import Cell, adjacent_groups
from jaxmimo.systems.beamforming_3d.schemes import Scheme
from jaxmimo.systems.beamforming_3d.shares import rates_by_shares
from jaxmimo.systems.cell_free_iqi import CellFreeIQI, closed_form_se
from jaxmimo.systems.cell_free_iqi.closed_form import check_closed_form
from jaxmimo.systems.distributed_rician import DistributedRician
from jaxmimo.systems.wideband_mmwave import WidebandMmwave
from jaxmimo.transceiver.estimation import Estimator, linear_mmse


@checked()
def downlink_se(system: CellFreeIQI, estimator: Estimator = linear_mmse) -> Partial:
    """SE of each user as a function of the amplitudes (aps, users), in closed form.

    Args:
        system: The network; its own `amplitudes` are not looked at.
        estimator: Channel estimator.

    Raises:
        ValueError: If the system is swept.
    """
    check_closed_form(system, estimator)
    require(
        system.sweep_length is None,
        "`system` must not be swept. Use `jax.vmap` over its leaves for many networks.",
    )
    return Partial(_downlink_se, system, estimator=estimator)


def _downlink_se(
    system: CellFreeIQI, amplitudes: Float[Array, "aps users"], *, estimator: Estimator
) -> Float[Array, " users"]:
    return closed_form_se(with_amplitudes(system, amplitudes), estimator)


@checked()
def with_amplitudes(
    system: CellFreeIQI, amplitudes: Float[Array, "aps users"] | None
) -> CellFreeIQI:
    """The network with other amplitudes."""
    return eqx.tree_at(
        lambda s: s.amplitudes, system, amplitudes, is_leaf=lambda leaf: leaf is None
    )


def equal_split(system: CellFreeIQI) -> Float[Array, "aps users"]:
    """Amplitudes that split the power of each AP equally, as the paper does."""
    require_kind("system", system, CellFreeIQI)
    return jnp.full(system.beta.shape[-2:], system.num_users**-0.5)


@checked()
def cell_se(cell: Cell, scheme: Scheme = adjacent_groups) -> Callable[[Array], Array]:
    r"""Rate of each user of a cell as a function of the shares (users,) of its streams' powers.

    Ones are the equal split, and `TotalPower(num_users)` are all splits of as much power. Rates are
    deterministic equivalents: what does not depend on shares is computed once, here. What is left
    costs next to nothing for two-stage schemes; for generalized MRT it is an integral over
    determinants, thousands of times slower. Evaluate what is found on fading, by `sum_rate` or
    `user_rates` with the scheme `with_shares(scheme, shares)`.

    Args:
        cell: The cell, of `make_cell`.
        scheme: Downlink scheme that has a deterministic equivalent.

    Raises:
        ValueError: If the scheme has none, such as full-dimension precoding.
    """
    return rates_by_shares(scheme(cell))


@checked()
def uplink_se(
    key: Key[Array, ""], system: DistributedRician | WidebandMmwave, **options: object
) -> Partial:
    """SE of each user of a drop as a function of their powers (users,) [W], on fixed draws.

    The mean is over the drop's fading realizations, or its subcarriers. Draws stay the same for
    all powers, so that the function is smooth; what it finds is to be judged by other draws.

    Args:
        key: Typed key of the drop.
        system: The network; its own `power` is not looked at.
        options: Of the system's `se_sample`, such as `combiner` or `realizations`, one of each.
    """
    require_kind("system", system, DistributedRician, WidebandMmwave)
    wideband = isinstance(system, WidebandMmwave)
    sample = (wideband_mmwave if wideband else distributed_rician).se_sample
    return Partial(_uplink_se, checked_key(key), system, sample=Partial(sample, **options))


def _uplink_se(
    key: Array,
    system: DistributedRician | WidebandMmwave,
    power: Float[Array, " users"],
    *,
    sample: Partial,
) -> Float[Array, " users"]:
    se = sample(eqx.tree_at(lambda s: s.power, system, power))(key)
    return se.reshape(-1, se.shape[-1]).mean(0)
