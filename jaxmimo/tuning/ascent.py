"""Maximize a function by gradient, until a first-order bound tells that little is left to gain."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int, PyTree

from jaxmimo.core.checks import is_traced, positive_integer, positive_number, require
from jaxmimo.core.programs import kept_jit
from jaxmimo.tuning.domains import Domain, Unconstrained

Objective = Callable[[PyTree[Array]], Float[Array, ""]]
"""What is maximized: a differentiable function of one point."""

_PATIENCE = 40
"""Steps without progress after which a search is given up."""

_UNCONSTRAINED = Unconstrained()
DEFAULT_OPTIMIZER = optax.lbfgs(linesearch=optax.scale_by_zoom_linesearch(max_linesearch_steps=12))


class Maximum(eqx.Module):
    """What a search found.

    Attributes:
        value: Objective at `parameters`, the largest seen.
        parameters: Where it was found.
        gap: Bound on what is left to gain: the most that the objective can grow within the domain
            to first order. A true bound where the objective is concave.
        history: Largest objective so far, after each step; constant after the last step.
        steps: Steps taken.
        converged: Whether the gap came below the tolerance.
    """

    value: Float[Array, "*batch"]
    parameters: PyTree[Array]
    gap: Float[Array, "*batch"]
    history: Float[Array, "*batch steps"]
    steps: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


def maximize(
    objective: Objective,
    init: PyTree[ArrayLike],
    *,
    domain: Domain = _UNCONSTRAINED,
    optimizer: optax.GradientTransformation = DEFAULT_OPTIMIZER,
    tolerance: float = 1e-3,
    max_steps: int = 400,
) -> Maximum:
    """Climb from `init` to a maximum.

    One network, one search; use `jax.vmap` for many. Every point tried lies in the domain. The
    search ends when the gap is at most `tolerance` times the modulus of the objective. It is given
    up, not converged, when 40 steps in a row bring no progress, or the objective is not finite. An
    objective of your own is traced at every call, as it is then, and compiled where its trace is
    new: give what changes as a `jax.tree_util.Partial` over arrays to compile once for many calls.

    Args:
        objective: Scalar function.
        init: Point of the domain, a pytree of real arrays. The result is never worse.
        domain: Where to search.
        optimizer: Any of optax. The default is L-BFGS with a line search.
        tolerance: Relative gap to stop at.
        max_steps: Steps after which to stop in any case.

    Raises:
        ValueError: If `init` is outside of the domain, or the objective is not scalar.

    References:
        Jaggi, "Revisiting Frank-Wolfe: projection-free sparse convex optimization", ICML 2013, for
        the gap.
    """
    positive_number("tolerance", tolerance)
    positive_integer("max_steps", max_steps)
    init = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), init)
    shape = getattr(jax.eval_shape(objective, init), "shape", None)
    require(
        shape == (),
        f"`objective` must return one number, but has shape {shape}. Sum over users, or use "
        "`jax.vmap` for several networks.",
    )
    if not is_traced(init, domain):
        domain.coordinates(init)  # raises what the domain has to say
    return _search(objective, init, domain, optimizer, tolerance, max_steps)


def maximize_from_each(
    objective: Objective,
    inits: PyTree[ArrayLike],
    *,
    domain: Domain = _UNCONSTRAINED,
    optimizer: optax.GradientTransformation = DEFAULT_OPTIMIZER,
    tolerance: float = 1e-3,
    max_steps: int = 400,
) -> Maximum:
    """The best of the maxima from several starts side by side, for objectives with many.

    Arguments as for `maximize`, but for a leading axis over starts in all arrays of `inits`.
    """

    def search(init: PyTree[Array]) -> Maximum:
        return maximize(
            objective,
            init,
            domain=domain,
            optimizer=optimizer,
            tolerance=tolerance,
            max_steps=max_steps,
        )

    if not is_traced(inits, domain):
        for start in range(len(jax.tree.leaves(inits)[0])):
            domain.coordinates(jax.tree.map(lambda leaf, i=start: leaf[i], inits))
    found = jax.vmap(search)(inits)
    best = jnp.argmax(jnp.where(jnp.isnan(found.value), -jnp.inf, found.value))
    return jax.tree.map(lambda leaf: leaf[best], found)


class _Point(eqx.Module):
    """A point with the objective there."""

    point: PyTree[Array]
    value: Array
    gap: Array


class _State(eqx.Module):
    coordinates: PyTree[Array]
    value: Array
    slope: PyTree[Array]
    optimizer: PyTree
    best: _Point
    top: Array
    history: Array
    steps: Array
    last_progress: Array


@kept_jit
def _search(
    objective: Objective,
    init: PyTree[Array],
    domain: Domain,
    optimizer: optax.GradientTransformation,
    tolerance: float,
    max_steps: int,
) -> Maximum:
    search = _Search(objective, domain, optimizer, tolerance, max_steps)
    end = lax.while_loop(search.goes_on, search.advance, search.start(init))
    return Maximum(
        value=end.best.value,
        parameters=end.best.point,
        gap=end.best.gap,
        history=jnp.where(jnp.arange(max_steps + 1) <= end.steps, end.history, end.top),
        steps=end.steps,
        converged=search.certified(end.best),
    )


@dataclass(frozen=True)
class _Search:
    """What stays the same from step to step."""

    objective: Objective
    domain: Domain
    optimizer: optax.GradientTransformation
    tolerance: float
    max_steps: int

    def start(self, init: PyTree[Array]) -> _State:
        """The state before the first step."""
        coordinates = self.domain.coordinates(init)
        first, slope = self.evaluate(coordinates)
        # `init` itself, since the search starts beside it where it lies on a limit.
        value, slope_of_init = jax.value_and_grad(self.objective)(init)
        given = _Point(init, value, self.domain.gain(init, slope_of_init))
        best = _better(first, given, value)
        return _State(
            coordinates=coordinates,
            value=first.value,
            slope=slope,
            optimizer=self.optimizer.init(coordinates),
            best=best,
            top=best.value,
            history=jnp.full(self.max_steps + 1, best.value),
            steps=jnp.asarray(0),
            last_progress=jnp.asarray(0),
        )

    def goes_on(self, state: _State) -> Array:
        """Whether another step is worth it."""
        waits = state.steps - state.last_progress < _PATIENCE
        unfinished = (state.steps < self.max_steps) & ~self.certified(state.best)
        return unfinished & waits & jnp.isfinite(state.value)

    def advance(self, state: _State) -> _State:
        """A step of the optimizer."""
        coordinates, optimizer_state = self.step(state)
        tried, slope = self.evaluate(coordinates)
        best, steps = _better(tried, state.best, state.top), state.steps + 1
        top = jnp.maximum(state.top, best.value)
        progress = (best.value > state.best.value) | (best.gap < state.best.gap)
        return _State(
            coordinates=coordinates,
            value=tried.value,
            slope=slope,
            optimizer=optimizer_state,
            best=best,
            top=top,
            history=state.history.at[steps].set(top),
            steps=steps,
            last_progress=jnp.where(progress, steps, state.last_progress),
        )

    def step(self, state: _State) -> tuple[PyTree[Array], PyTree]:
        """Coordinates after a step, and the optimizer's state. Optimizers of optax minimize."""
        downhill = jax.tree.map(jnp.negative, state.slope)
        step, optimizer_state = optax.with_extra_args_support(self.optimizer).update(
            downhill,
            state.optimizer,
            state.coordinates,
            value=-state.value,
            grad=downhill,
            value_fn=lambda coordinates: -self.objective(self.domain.point(coordinates)),
        )
        return optax.apply_updates(state.coordinates, step), optimizer_state

    def evaluate(self, coordinates: PyTree[Array]) -> tuple[_Point, PyTree[Array]]:
        """The point that coordinates stand for, and the slope in the coordinates."""
        point, pull_back = jax.vjp(self.domain.point, coordinates)
        value, slope = jax.value_and_grad(self.objective)(point)
        return _Point(point, value, self.domain.gain(point, slope)), pull_back(slope)[0]

    def certified(self, best: _Point) -> Array:
        """Whether little is left to gain."""
        return best.gap <= self.tolerance * jnp.abs(best.value)


def _better(tried: _Point, best: _Point, top: Array) -> _Point:
    """The point of larger objective, or of smaller gap where rounding hides which is larger."""
    rounding = 8 * jnp.finfo(top.dtype).eps * jnp.abs(top)
    as_good = (tried.value >= top - rounding) & (tried.gap < best.gap)
    chosen = (tried.value > best.value) | as_good
    return jax.tree.map(lambda new, old: jnp.where(chosen, new, old), tried, best)
