r"""Powers of the cell-free downlink: max-min by a certified fixed point, and the usual heuristic.

The fixed point is for matched hardware.

In amplitudes $a_{mk}$, with $\|a_m\| \le 1$ for each AP, the SINR of maximum ratio is
$\tau_k^2 = s_k^2 / n_k^2$,
$$s_k = \sum_m g_{mk} a_{mk}, \qquad n_k^2 = 1 + \sum_m b_{mk} r_m^2, \qquad r_m = \|a_m\|.$$
All users reach $\tau$ where $s_k \ge \tau n_k$, which amplitudes enter concavely. So with
multipliers $\mu_k$ the optimum maximizes $\sum_k \mu_k (s_k - \tau n_k)$: amplitudes are
$a_{mk} = r_m \mu_k g_{mk} / c_m$, $c_m = \|(\mu_k g_{mk})_k\|$, and K weights and M powers are left
to be found. Each step moves the weights to $\mu_k \tau / \tau_k$, under which users draw level, and
the powers to where the sum is largest once a parabola replaces $n_k$:
$$r_m = \min\Bigl(1, \frac{c_m}{\tau \sum_k \mu_k b_{mk} / n_k}\Bigr).$$

The certificate is weak duality. As $n_k$ is a norm, $n_k \ge (1 + \sum_m b_{mk} \hat r_m r_m) /
\hat n_k$ for the powers $\hat r$ of the step. Hence no amplitudes give all users a larger $\tau$
than the one at which, with $d_m = \hat r_m \sum_k \mu_k b_{mk} / \hat n_k$,
$$\sum_m (c_m - \tau d_m)^+ = \tau \sum_k \mu_k / \hat n_k.$$
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.core.checks import (
    is_traced,
    positive_integer,
    positive_number,
    real_array,
    real_number,
    require,
    require_kind,
)
from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import divided
from jaxmimo.core.programs import kept_jit
from jaxmimo.core.rules import nonnegative
from jaxmimo.systems.cell_free_iqi import CellFreeIQI
from jaxmimo.tuning.ascent import Maximum

_LEAST_RATIO = 1e-6
"""Of a user's amplitude ratio to the mean, lest the weight of one whom nobody hears drown all."""


def max_min_downlink(
    system: CellFreeIQI, *, tolerance: float = 1e-3, max_steps: int = 500
) -> Maximum:
    r"""Amplitudes $a_{mk}$ that maximize the smallest SE of maximum ratio under matched hardware.

    For other hardware use `max_min` on `downlink_se`.

    Args:
        system: The network; its own `amplitudes` are not looked at.
        tolerance: Duality gap to stop at, over the smallest SE.
        max_steps: Steps after which to stop in any case.

    Returns:
        The smallest SE [bit/s/Hz], the amplitudes (aps, users), and the duality gap [bit/s/Hz],
        which is a true bound: nothing is better by more. The history has the smallest SE at each
        step, which need not rise.

    Raises:
        ValueError: If the hardware is not matched, or the system is swept.

    References:
        Ngo, Ashikhmin, Yang, Larsson, Marzetta, "Cell-Free Massive MIMO Versus Small Cells", IEEE
        Transactions on Wireless Communications 2017, Section IV, for the problem.
    """
    positive_number("tolerance", tolerance)
    positive_integer("max_steps", max_steps)
    require_kind("system", system, CellFreeIQI)
    require(
        system.sweep_length is None,
        "`system` must not be swept. Use `jax.vmap` over its leaves for many networks.",
    )
    hardware = (system.receive, system.transmit)
    require(
        is_traced(hardware)
        or all(np.all(h.amplitude == 1) and np.all(h.phase == 0) for h in jax.device_get(hardware)),
        "`system` must have matched hardware. Use `max_min` on `downlink_se` for other hardware.",
    )
    equal = eqx.tree_at(
        lambda s: s.amplitudes, system, None, is_leaf=lambda leaf: leaf is None
    ).mr_scaling
    signal = system.data_snr * system.pilot_energy * system.num_users
    gain = system.ap_antennas * jnp.sqrt(signal) * equal * system.beta
    share = system.prelog * system.user_antennas / math.log(2.0)
    return _balance(gain, system.data_snr * system.beta, share, tolerance, max_steps)


@checked(gain=nonnegative, exponent=nonnegative.shaped(""))
def fractional_split(
    gain: Float[Array, "aps users"], *, exponent: ArrayLike = 0.5
) -> Float[Array, "aps users"]:
    r"""Amplitudes of fractional power control: every AP favours those whom it is near.

    $$a_{mk}^2 = \beta_{mk}^\nu \Big/ \sum_j \beta_{mj}^\nu$$

    An AP gives no power to a user who does not hear it, and splits equally where nobody does.

    Args:
        gain: $\beta_{mk} \ge 0$, large-scale gains [linear, any scale].
        exponent: $\nu$; 0 is the equal split, and the larger, the more is for the nearest user.

    Raises:
        ValueError: If a gain or the exponent is negative or not finite.

    References:
        Demir, Björnson, Sanguinetti, "Foundations of User-Centric Cell-Free Massive MIMO", 2021,
        eq. (6.36), which has $\nu = 1/2$.
    """
    gain = real_array("gain", gain, minimum=0.0)
    exponent = real_number("exponent", exponent)
    strongest = jnp.max(gain, axis=1, keepdims=True)
    nobody = strongest == 0
    relative = jnp.where(nobody, 1.0, gain / jnp.where(nobody, 1.0, strongest))
    unheard = relative == 0
    weight = jnp.where(unheard, 0.0, jnp.where(unheard, 1.0, relative) ** exponent)
    return jnp.sqrt(jnp.where(unheard, 1.0, weight) / jnp.sum(weight, 1, keepdims=True)) * ~unheard


class _State(eqx.Module):
    weights: Float[Array, " users"]
    spent: Float[Array, " aps"]
    history: Float[Array, " steps"]
    steps: Array
    proven: Array


class _Step(eqx.Module):
    """What the weights and powers of a step say."""

    amplitudes: Array
    ratios: Array
    mean_ratio: Array
    c: Array
    price: Array
    noise: Array

    def excess(self, ratio: Array, spent: Array) -> Array:
        """Left less right side of the certificate, which falls with the ratio."""
        left = jnp.sum(jnp.maximum(self.c - ratio * self.price * spent, 0.0))
        return left - ratio * self.noise

    def next_weights(self, weights: Array) -> Array:
        """Weights under which users draw level."""
        least = jnp.maximum(_LEAST_RATIO * self.mean_ratio, jnp.finfo(weights.dtype).tiny)
        moved = weights * self.mean_ratio / jnp.maximum(self.ratios, least)
        total = jnp.sum(moved)
        return jnp.where(total == 0, weights, divided(moved, total))

    def next_spent(self) -> Array:
        """Norms of the APs' amplitudes at which the sum over users is largest."""
        dear = self.mean_ratio * self.price
        return jnp.where(dear <= self.c, 1.0, divided(self.c, dear))


@kept_jit
def _balance(
    gain: Float[Array, "aps users"],
    interference: Float[Array, "aps users"],
    share: float,
    tolerance: float,
    max_steps: int,
) -> Maximum:
    def rate(ratio: Array) -> Array:
        return share * jnp.log1p(ratio**2)

    def goes_on(state: _State) -> Array:
        return (state.steps < max_steps) & ~state.proven

    def advance(state: _State) -> _State:
        now = _look(gain, interference, state.weights, state.spent)
        lowest = jnp.min(now.ratios)
        claimed = jnp.sqrt(jnp.expm1((1.0 + tolerance) * jnp.log1p(lowest**2)))
        proven = now.excess(claimed, state.spent) <= 0
        return _State(
            weights=jnp.where(proven, state.weights, now.next_weights(state.weights)),
            spent=jnp.where(proven, state.spent, now.next_spent()),
            history=state.history.at[state.steps].set(rate(lowest)),
            steps=state.steps + 1,
            proven=proven,
        )

    aps, users = gain.shape
    end = lax.while_loop(goes_on, advance, _start(aps, users, max_steps))
    found = _look(gain, interference, end.weights, end.spent)
    value = rate(jnp.min(found.ratios))
    return Maximum(
        value=value,
        parameters=found.amplitudes,
        gap=rate(_largest_ratio(found, end.spent)) - value,
        history=jnp.where(jnp.arange(max_steps) < end.steps, end.history, value),
        steps=end.steps,
        converged=end.proven,
    )


def _start(aps: int, users: int, max_steps: int) -> _State:
    return _State(
        weights=jnp.full(users, 1.0 / users),
        spent=jnp.ones(aps),
        history=jnp.zeros(max_steps),
        steps=jnp.asarray(0),
        proven=jnp.asarray(False),
    )


def _look(gain: Array, interference: Array, weights: Array, spent: Array) -> _Step:
    pull = weights[None] * gain
    c = jnp.sqrt(jnp.sum(pull**2, 1))
    amplitudes = divided(spent, c)[:, None] * pull
    heard = jnp.sum(gain * amplitudes, 0)
    norm = jnp.sqrt(1.0 + jnp.sum(interference * (spent**2)[:, None], 0))
    over_norm = weights / norm
    return _Step(
        amplitudes=amplitudes,
        ratios=heard / norm,
        mean_ratio=jnp.sum(weights * heard) / jnp.sum(weights * norm),
        c=c,
        price=jnp.sum(interference * over_norm[None], 1),
        noise=jnp.sum(over_norm),
    )


def _largest_ratio(step: _Step, spent: Array) -> Array:
    """Where the excess is zero, exactly: it is linear between the ratios at which terms vanish."""
    cost = step.price * spent
    order = jnp.argsort(-step.c / jnp.where(cost > 0, cost, jnp.finfo(cost.dtype).tiny))
    gains, costs = jnp.cumsum(step.c[order]), jnp.cumsum(cost[order])
    return jnp.max(gains / (step.noise + costs))
