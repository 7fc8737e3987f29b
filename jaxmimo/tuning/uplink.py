"""Max-min powers by fixed point, and the usual heuristic for uplinks.

Powers have a limit each in an uplink, and a budget together in the downlink of a cell.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int

from jaxmimo.core.checks import is_traced, positive_integer, positive_number, real_array, require
from jaxmimo.core.contracts import checked
from jaxmimo.core.programs import kept_jit
from jaxmimo.core.rules import at_least_one, finite, nonnegative, positive

_LEAST_SINR = 1e-12
"""SINR that users are counted with at least, lest the power of one nobody hears drown all."""


class BalancedPowers(eqx.Module):
    """Powers at which all users have the same SE, as large as the limit allows.

    Attributes:
        powers: Power of each user [W].
        se: SE of each user [bit/s/Hz]. The max-min SE lies between the smallest and the largest.
        steps: Steps taken.
        converged: Whether the SEs came within the tolerance of each other.
    """

    powers: Float[Array, "*batch users"]
    se: Float[Array, "*batch users"]
    steps: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


@checked(limit=positive.shaped("users"), tolerance=positive, max_steps=at_least_one)
def balanced_powers(
    se: Callable[[Array], Array],
    limit: ArrayLike,
    *,
    tolerance: float = 1e-3,
    max_steps: int = 500,
) -> BalancedPowers:
    r"""Max-min powers of an uplink, without a gradient.

    With $\mathrm{SINR}_k = 2^{R_k} - 1$ each step takes $p_k\, \mathrm{SINR}_k^{-1/2}$, scaled
    until one power is at its limit. The root keeps steps from overshooting where a power serves
    its user's pilots, too.

    Let a user's SE never grow with another's power, and never fall when all powers grow by one
    factor. Then, whenever one power is at its limit, the max-min SE lies between the smallest and
    the largest SE: scale the optimal powers up until they are first nowhere below the others, and
    compare the user where they meet. So the spread of the SEs is the gap that decides when to stop.

    Args:
        se: From powers (users,) [W] to the SE of each user [bit/s/Hz].
        limit: Largest power of each user, shape (users,) [W].
        tolerance: Spread of the SEs to stop at, over the largest.
        max_steps: Steps after which to stop in any case.

    Raises:
        ValueError: If limits are not positive or not one per user.

    References:
        Yates, "A framework for uplink power control in cellular radio systems", IEEE JSAC 1995.
    """
    limit = real_array("limit", limit, minimum=0.0)
    require(
        limit.ndim == 1 and (is_traced(limit) or bool(np.all(np.asarray(limit) > 0))),
        f"`limit` must hold one positive power per user, but is {limit}. Leave out silent users.",
    )
    return _fixed_point(se, limit, jnp.max, tolerance, max_steps)


@checked(
    budget=positive.shaped(""), num_users=at_least_one, tolerance=positive, max_steps=at_least_one
)
def balanced_split(
    se: Callable[[Array], Array],
    budget: ArrayLike,
    num_users: int,
    *,
    tolerance: float = 1e-3,
    max_steps: int = 500,
) -> BalancedPowers:
    r"""Max-min powers that sum up to a budget, as in the downlink of a cell, without a gradient.

    The steps of `balanced_powers`, scaled until powers sum up to the budget; what it says about the
    gap holds for the same reason. For $\mathrm{SINR}_k = p_k / (\sum_{u \ne k} c_{ku} p_u + n_k)$
    these are the powers of the Perron eigenvector that Schubert and Boche found.

    Args:
        se: From powers (users,) to the SE of each user [bit/s/Hz], such as `cell_se`.
        budget: Sum of all powers [W], or the number of users for shares as of `cell_se`.
        num_users: How many users there are.
        tolerance: Spread of the SEs to stop at, over the largest.
        max_steps: Steps after which to stop in any case.

    Raises:
        ValueError: If the budget is not positive.

    References:
        Schubert, Boche, "Solution of the multiuser downlink beamforming problem with individual
        SINR constraints", IEEE Trans. Vehicular Technology 2004.
    """
    limit = jnp.full(positive_integer("num_users", num_users), positive_number("budget", budget))
    return _fixed_point(se, limit, jax.nn.logsumexp, tolerance, max_steps)


@kept_jit
def _fixed_point(
    se: Callable[[Array], Array],
    limit: Array,
    log_size: Callable[[Array], Array],
    tolerance: float,
    max_steps: int,
) -> BalancedPowers:
    """Balanced powers, of which the logarithms over the limit have the size zero."""

    def balanced(rates: Array) -> Array:
        return jnp.max(rates) - jnp.min(rates) <= tolerance * jnp.max(rates)

    def goes_on(state: tuple[Array, Array, Array]) -> Array:
        steps, _, rates = state
        return (steps < max_steps) & ~balanced(rates)

    def advance(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        steps, log_share, rates = state
        sinr = jnp.maximum(jnp.expm1(rates * np.log(2.0)), _LEAST_SINR)
        log_share = log_share - 0.5 * jnp.log(sinr)
        log_share = log_share - log_size(log_share)
        return steps + 1, log_share, se(limit * jnp.exp(log_share))

    equal = jnp.zeros_like(limit)
    equal = equal - log_size(equal)
    start = jnp.asarray(0), equal, se(limit * jnp.exp(equal))
    steps, log_share, rates = lax.while_loop(goes_on, advance, start)
    return BalancedPowers(limit * jnp.exp(log_share), rates, steps, balanced(rates))


@checked(gain=nonnegative, limit=nonnegative.shaped("|users"), exponent=finite.shaped(""))
def fractional_power_control(
    gain: Float[Array, " users"], limit: ArrayLike, *, exponent: ArrayLike = 0.5
) -> Float[Array, " users"]:
    r"""Powers that make up for a part of the path loss.

    $$p_k = p_{\max} \Bigl(\frac{\min_j \beta_j}{\beta_k}\Bigr)^\nu$$

    Args:
        gain: $\beta_k > 0$, large-scale gain of each user to all APs together [linear].
        limit: $p_{\max}$ [W]; the weakest user has it.
        exponent: $\nu$; 0 is full power, 1 makes up for all of the path loss.

    References:
        Nikbakht, Mosayebi, Lozano, "Uplink fractional power control and downlink power allocation
        for cell-free networks", IEEE Wireless Communications Letters 2020.
    """
    gain = real_array("gain", gain, minimum=0.0)
    unheard = gain == 0
    weakest = jnp.min(jnp.where(unheard, jnp.max(gain), gain))
    share = jnp.where(unheard, 1.0, weakest / jnp.where(unheard, 1.0, gain))
    share = share ** jnp.asarray(exponent)
    return jnp.asarray(limit) * share
