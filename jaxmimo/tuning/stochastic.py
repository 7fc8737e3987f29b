r"""Maximize functions of means that are known by draws alone.

The objective is $f(E[s(\xi, x)])$: of one realization $\xi$, drawn from a key, the value $s$ is
differentiable in x. Rounds of stochastic gradient steps, each on draws of its own, are judged by
the mean of their coordinates, on held-out draws that no step has seen and no other round sees.
What is reported is estimated at last on draws that had no part in any decision.
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
from jaxtyping import Bool, Float, Int, Key, PyTree

from jaxmimo.core.checks import integer, is_traced, positive_integer, positive_number, require
from jaxmimo.core.programs import kept_jit
from jaxmimo.simulation.monte_carlo import Estimate, identity, monte_carlo
from jaxmimo.tuning.domains import Domain, Unconstrained

Sample = Callable[[Key[Array, ""], PyTree[Array]], PyTree[Array]]
"""From the key of a realization and a point to a value that is differentiable in the point."""
Statistic = Callable[[PyTree[Array]], Float[Array, ""]]
"""From the mean value to the objective."""

_NOTABLE = 2.0
"""Standard errors from which on a difference counts."""
_UNCONSTRAINED = Unconstrained()
_ADAM = optax.adam(0.05)


class ExpectedMaximum(eqx.Module):
    """What a search found, as draws tell that had no part in it.

    Attributes:
        parameters: The point found.
        value: Objective there.
        gain: Objective there less that at the start, on the same draws.
        path: Best point at the start and after each round, along a leading axis; constant after
            the last. Draws that chose a point speak too well of it: judge the path by others.
        rounds: Rounds taken.
        converged: Whether the last round changed the objective by less than the tolerance, by two
            standard errors. The search is then at rest, which is no proof that no point is better.
    """

    parameters: PyTree[Array]
    value: Estimate
    gain: Estimate
    path: PyTree[Array]
    rounds: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


def maximize_expected(
    sample: Sample,
    key: Key[Array, ""],
    init: PyTree[ArrayLike],
    *,
    statistic: Statistic = identity,
    domain: Domain = _UNCONSTRAINED,
    optimizer: optax.GradientTransformation = _ADAM,
    batch: int = 16,
    steps: int = 25,
    held_out: int = 256,
    evaluation: int = 1024,
    tolerance: float = 5e-3,
    max_rounds: int = 20,
) -> ExpectedMaximum:
    r"""Climb by stochastic gradients from `init` to a maximum of `statistic(E[sample(key, x)])`.

    A round takes `steps` steps of the optimizer, and its candidate is at the mean of their
    coordinates. It takes the place of the best point if better by two standard errors of the
    paired difference on held-out draws; if not, steps are halved from then on. The search ends
    when the two are the same to within the tolerance, or a difference is not finite. Every point
    lies in the domain, and the one returned is `init` unless a better one has shown.

    Gradients are those of the statistic of a batch's mean, whose draws do not depend on the point.
    Unless the statistic is linear they have a bias, which falls with the batch as $1/B$.

    Where users stay at `user_positions`, the SEs of an uplink on fresh fading are a sample:

        def sample(key, power):
            return uplink_se(key, system, combiner=mmse_combiner)(power)

    Args:
        sample: Value of one realization at a point.
        key: Typed key. Steps, held-out draws and the final evaluation have disjoint draws of it.
        init: Point of the domain, a pytree of real arrays.
        statistic: Function of the mean value.
        domain: Where to search.
        optimizer: Any of optax that needs gradients alone.
        batch: Realizations per step.
        steps: Steps per round.
        held_out: Realizations that judge a round.
        evaluation: Realizations of the final evaluation.
        tolerance: Relative change of the objective in a round to stop at.
        max_rounds: Rounds after which to stop in any case.

    Raises:
        ValueError: If `init` is outside of the domain, or the objective is not one number.

    References:
        Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on
        Control and Optimization 1992.
    """
    for name, size in (("batch", batch), ("steps", steps), ("max_rounds", max_rounds)):
        positive_integer(name, size)
    for name, size in (("held_out", held_out), ("evaluation", evaluation)):
        require(
            integer(name, size) >= 2,
            f"`{name}` must be at least 2 for a standard error, but got {size}. Use hundreds.",
        )
    init = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), init)
    objective = jax.eval_shape(lambda key, point: statistic(sample(key, point)), key, init)
    shape = getattr(objective, "shape", None)
    what = f"`statistic` must return one number, but has shape {shape}. Sum over users."
    require(shape == (), what)
    if not is_traced(init, domain):
        domain.coordinates(init)  # raises what the domain has to say
    search_key, final_key = jax.random.split(key)
    search = _Search(sample, statistic, domain, optimizer, batch, steps, held_out, max_rounds)
    end = _run(search, search_key, init, positive_number("tolerance", tolerance))
    final = search.compare(final_key, end.best, init, evaluation)
    value, gain = map(Estimate, final.mean, final.std_error, 2 * (final.realizations,))
    return ExpectedMaximum(end.best, value, gain, end.path, end.rounds, end.settled)


class _State(eqx.Module):
    coordinates: PyTree[Array]
    optimizer: PyTree
    scale: Array
    best: PyTree[Array]
    path: PyTree[Array]
    rounds: Array
    settled: Array
    broken: Array


@kept_jit
def _run(search: "_Search", key: Array, init: PyTree[Array], tolerance: Array) -> _State:
    step_key, held_key = jax.random.split(key)

    def goes_on(state: _State) -> Array:
        return (state.rounds < search.max_rounds) & ~state.settled & ~state.broken

    def advance(state: _State) -> _State:
        coordinates, mean, optimizer = search.climb(state, step_key)
        candidate = search.domain.point(mean)
        judge = jax.random.fold_in(held_key, state.rounds)
        found = search.compare(judge, candidate, state.best, search.held_out)
        (value, gain), (_, error) = found.mean, found.std_error
        rounding = 8 * jnp.finfo(value.dtype).eps * jnp.abs(value)
        better, rounds = gain > _NOTABLE * error + rounding, state.rounds + 1
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), candidate, state.best)
        later = jnp.arange(search.max_rounds + 1) >= rounds
        return _State(
            coordinates=coordinates,
            optimizer=optimizer,
            scale=jnp.where(better, state.scale, 0.5 * state.scale),
            best=best,
            path=jax.tree.map(partial(_replaced, later), state.path, best),
            rounds=rounds,
            settled=jnp.abs(gain) + _NOTABLE * error <= tolerance * jnp.abs(value),
            broken=~jnp.isfinite(gain),
        )

    return lax.while_loop(goes_on, advance, search.start(init))


class _Search(eqx.Module):
    """What stays the same from round to round."""

    sample: Sample
    statistic: Statistic
    domain: Domain
    optimizer: optax.GradientTransformation
    batch: int
    steps: int
    held_out: int
    max_rounds: int

    def start(self, init: PyTree[Array]) -> _State:
        """The state before the first round."""
        coordinates = self.domain.coordinates(init)
        return _State(
            coordinates=coordinates,
            optimizer=self.optimizer.init(coordinates),
            scale=jnp.asarray(1.0),
            best=init,
            path=jax.tree.map(lambda leaf: jnp.stack([leaf] * (self.max_rounds + 1)), init),
            rounds=jnp.asarray(0),
            settled=jnp.asarray(False),
            broken=jnp.asarray(False),
        )

    def climb(self, state: _State, key: Array) -> tuple[PyTree[Array], PyTree[Array], PyTree]:
        """Coordinates after a round, their mean over its steps, and the optimizer's state."""

        def step(carry: tuple, i: Array) -> tuple[tuple, None]:
            coordinates, total, optimizer = carry
            downhill = jax.grad(self.loss)(coordinates, jax.random.fold_in(key, i))
            move, optimizer = self.optimizer.update(downhill, optimizer, coordinates)
            move = jax.tree.map(lambda leaf: state.scale.astype(leaf.dtype) * leaf, move)
            coordinates = optax.apply_updates(coordinates, move)
            return (coordinates, jax.tree.map(jnp.add, total, coordinates), optimizer), None

        zero = jax.tree.map(jnp.zeros_like, state.coordinates)
        draws = state.rounds * self.steps + jnp.arange(self.steps)
        start = state.coordinates, zero, state.optimizer
        (end, total, optimizer), _ = lax.scan(step, start, draws)
        return end, jax.tree.map(lambda leaf: leaf / self.steps, total), optimizer

    def loss(self, coordinates: PyTree[Array], key: Array) -> Array:
        """What the optimizer minimizes, on the draws of one step."""
        point = self.domain.point(coordinates)
        keys = jax.random.split(key, self.batch)
        values = jax.vmap(self.sample, in_axes=(0, None))(keys, point)
        return -self.statistic(jax.tree.map(lambda leaf: leaf.mean(0), values))

    def compare(
        self, key: Array, point: PyTree[Array], other: PyTree[Array], realizations: int
    ) -> Estimate:
        """The objective at a point, and what it gains over another, on the same draws."""
        return monte_carlo(
            Partial(_both, self.sample, point, other),
            key,
            realizations,
            statistic=Partial(_value_and_gain, self.statistic),
        )


def _replaced(rows: Array, stacked: Array, new: Array) -> Array:
    return jnp.where(rows.reshape(-1, *(1,) * new.ndim), new[None], stacked)


def _both(
    sample: Sample, point: PyTree[Array], other: PyTree[Array], key: Array
) -> tuple[PyTree[Array], PyTree[Array]]:
    return sample(key, point), sample(key, other)


def _value_and_gain(
    statistic: Statistic, means: tuple[PyTree[Array], PyTree[Array]]
) -> tuple[Array, Array]:
    value, other = map(statistic, means)
    return value, value - other
