r"""Fair powers: the largest SE that all users can have at once.

At the optimum users share one SE, and its multipliers $\lambda_k$ tell what each costs the others.
`max_min` finds both by the method of multipliers with an exponential penalty: maximize the
`soft_min` with weights $\lambda$, then move the weights to those of its gradient, and repeat. The
weights take over what a vanishing temperature would have to do, so every search is well
conditioned.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Float, PyTree

from jaxmimo.core.checks import is_traced, positive_integer, positive_number
from jaxmimo.core.programs import kept_jit
from jaxmimo.tuning.ascent import DEFAULT_OPTIMIZER, Maximum, maximize
from jaxmimo.tuning.domains import Domain
from jaxmimo.tuning.objectives import soft_min

SpectralEfficiency = Callable[[PyTree[Array]], Float[Array, " users"]]
"""From powers, or what stands for them, to the SE of each user [bit/s/Hz]."""

Bound = Callable[[PyTree[Array], Float[Array, " users"]], Float[Array, ""]]
"""From powers and multipliers to an SE that not all users can exceed [bit/s/Hz]."""

_TEMPERATURE = 0.05
"""Of the soft minimum, over the mean SE."""
_LEAST_SE = 1e-3
"""Mean SE [bit/s/Hz] below which the temperature does not follow it."""
_PATIENCE = 4
"""Rounds without progress after which a search is given up."""
_PROGRESS = 0.9
"""What progress leaves of the gap at most."""
_LEAST_WEIGHT = 1e-4
"""Of the multipliers, over their mean: from zero none would return."""


def max_min(
    se: SpectralEfficiency,
    init: PyTree[ArrayLike],
    *,
    domain: Domain,
    bound: Bound | None = None,
    optimizer: optax.GradientTransformation = DEFAULT_OPTIMIZER,
    tolerance: float = 2e-3,
    max_rounds: int = 40,
    max_steps: int = 100,
) -> Maximum:
    r"""Powers that maximize the smallest SE, by gradient.

    The gap is an upper bound less the smallest SE. Without a `bound` of the system's own it is the
    first-order one of the weighted mean: $\sum_k \lambda_k R_k$ at the powers found, and the most
    that it can grow within the domain. It counts both what users differ in and what is left to
    gain, and is a true bound where SEs are concave.

    Args:
        se: From powers to the SE of each user [bit/s/Hz].
        init: Powers to start from. The result is never worse.
        domain: Constraints on the powers.
        bound: From powers and multipliers to an upper bound of the max-min SE.
        optimizer: Any of optax; the default is L-BFGS.
        tolerance: Gap to stop at, over the smallest SE.
        max_rounds: Updates of the multipliers after which to stop in any case.
        max_steps: Steps of the optimizer per update.

    Returns:
        Value and history are smallest SEs, exact; a history entry per update.

    Raises:
        ValueError: If `init` is outside of the domain.

    References:
        Tseng, Bertsekas, "On the convergence of the exponential multiplier method for convex
        programming", Mathematical Programming 1993.
    """
    positive_number("tolerance", tolerance)
    positive_integer("max_rounds", max_rounds)
    init = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), init)
    if not is_traced(init, domain):
        domain.coordinates(init)  # raises what the domain has to say
    upper = Partial(_first_order_bound, se, domain) if bound is None else bound
    return _rounds(se, init, domain, upper, optimizer, tolerance, max_rounds, max_steps)


class _State(eqx.Module):
    parameters: PyTree[Array]
    weights: Array
    best: PyTree[Array]
    lowest: Array
    bound: Array
    history: Array
    rounds: Array
    last_progress: Array
    steps: Array


@kept_jit
def _rounds(
    se: SpectralEfficiency,
    init: PyTree[Array],
    domain: Domain,
    upper: Bound,
    optimizer: optax.GradientTransformation,
    tolerance: float,
    max_rounds: int,
    max_steps: int,
) -> Maximum:
    search = partial(
        maximize, domain=domain, optimizer=optimizer, tolerance=0.5 * tolerance, max_steps=max_steps
    )

    def closed(state: _State) -> Array:
        return state.bound - state.lowest <= tolerance * state.lowest

    def goes_on(state: _State) -> Array:
        waits = state.rounds - state.last_progress < _PATIENCE
        return (state.rounds < max_rounds) & ~closed(state) & waits

    start = _before_the_first(se, init, max_rounds)
    end = lax.while_loop(goes_on, partial(_round, se, upper, search), start)
    return Maximum(
        value=end.lowest,
        parameters=end.best,
        gap=end.bound - end.lowest,
        history=jnp.where(jnp.arange(max_rounds + 1) <= end.rounds, end.history, end.lowest),
        steps=end.steps,
        converged=closed(end),
    )


def _before_the_first(se: SpectralEfficiency, init: PyTree[Array], max_rounds: int) -> _State:
    rates = se(init)
    lowest = jnp.min(rates)
    return _State(
        parameters=init,
        weights=jnp.full_like(rates, 1.0 / rates.size),
        best=init,
        lowest=lowest,
        bound=jnp.full_like(lowest, jnp.inf),
        history=jnp.full(max_rounds + 1, lowest),
        rounds=jnp.asarray(0),
        last_progress=jnp.asarray(0),
        steps=jnp.asarray(0),
    )


def _round(
    se: SpectralEfficiency, upper: Bound, search: Callable[..., Maximum], state: _State
) -> _State:
    """A search with the multipliers as they are, and the multipliers that it shows."""
    temperature = _TEMPERATURE * jnp.maximum(jnp.mean(se(state.parameters)), _LEAST_SE)
    found = search(Partial(_soft_min_of, se, temperature, state.weights), state.parameters)
    rates = se(found.parameters)
    weights = _moved(state.weights, rates, temperature)
    better = jnp.min(rates) > state.lowest
    lowest, rounds = jnp.maximum(jnp.min(rates), state.lowest), state.rounds + 1
    bound = jnp.minimum(upper(found.parameters, weights), state.bound)
    progress = bound - lowest < _PROGRESS * (state.bound - state.lowest)
    return _State(
        parameters=found.parameters,
        weights=weights,
        best=jax.tree.map(
            lambda new, old: jnp.where(better, new, old), found.parameters, state.best
        ),
        lowest=lowest,
        bound=bound,
        history=state.history.at[rounds].set(lowest),
        rounds=rounds,
        last_progress=jnp.where(progress, rounds, state.last_progress),
        steps=state.steps + found.steps,
    )


def _soft_min_of(
    se: SpectralEfficiency, temperature: Array, weights: Array, parameters: PyTree[Array]
) -> Array:
    return soft_min(se(parameters), temperature, weights)


def _moved(weights: Array, rates: Array, temperature: Array) -> Array:
    """Multipliers after a round: the weights of the gradient of the soft minimum."""
    moved = weights * jnp.exp((jnp.min(rates) - rates) / temperature)
    kept = jnp.maximum(moved / jnp.sum(moved), _LEAST_WEIGHT / rates.size)
    return kept / jnp.sum(kept)


def _first_order_bound(
    se: SpectralEfficiency, domain: Domain, parameters: PyTree[Array], weights: Array
) -> Array:
    """Weighted mean of the SEs, and the most that it can grow to first order."""
    mean, slope = jax.value_and_grad(lambda point: jnp.sum(weights * se(point)))(parameters)
    return mean + domain.gain(parameters, slope)
