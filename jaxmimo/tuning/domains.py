r"""Sets that a search stays in, whatever its steps, each as the image of all real coordinates.

Sines and squares, not sigmoids: a limit is reached at finite coordinates, and there the objective
of the coordinates is as smooth as elsewhere, so that a quasi-Newton method converges to it fast.
The price is that slopes vanish at the limits. Searches therefore start a little inside, and
certificates are told from slopes in the set, not from those of its coordinates.
"""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, PyTree

from jaxmimo.core.checks import is_traced, real_array, real_number, require
from jaxmimo.core.guards import divided, root
from jaxmimo.core.sinc import sinc

_NUDGE = 0.01
"""Angle [rad] that a search starts away from a limit: a share of 1e-4 of the power."""
_LEAST_SIZE = 1e-3
"""Of what an AP spends, as the unit of its coordinates."""


@runtime_checkable
class Domain(Protocol):
    """What `maximize` asks of a set."""

    def point(self, coordinates: PyTree[Array]) -> PyTree[Array]:
        """The point of the set that any real coordinates stand for."""
        ...

    def coordinates(self, point: PyTree[Array]) -> PyTree[Array]:
        """Coordinates of a point, or of one near it where slopes would vanish."""
        ...

    def gain(self, point: PyTree[Array], slope: PyTree[Array]) -> Array:
        """The most that a function with this slope can grow in the set, to first order."""
        ...


class Unconstrained(eqx.Module):
    """All real numbers.

    The gain is that of moving every number by up to one, so give numbers of which one is a
    reasonable step.
    """

    def point(self, coordinates: PyTree[Array]) -> PyTree[Array]:
        """The coordinates themselves."""
        return coordinates

    def coordinates(self, point: PyTree[Array]) -> PyTree[Array]:
        """The point itself."""
        return point

    def gain(self, point: PyTree[Array], slope: PyTree[Array]) -> Array:
        """Sum of the moduli of all slopes."""
        return sum((jnp.sum(jnp.abs(leaf)) for leaf in jax.tree.leaves(slope)), jnp.asarray(0.0))


class PowerLimits(eqx.Module):
    r"""Powers between zero and a limit each, $p = p_{\max} \sin^2 x$.

    Args:
        limit: $p_{\max}$, a number or one per power [W].

    Raises:
        ValueError: If a limit is negative or not finite.
    """

    limit: Float[Array, "*users"]

    def __init__(self, limit: ArrayLike) -> None:
        self.limit = real_array("limit", limit, minimum=0.0)

    def point(self, coordinates: Float[Array, "*users"]) -> Float[Array, "*users"]:
        """Powers [W]."""
        return self.limit * jnp.sin(coordinates) ** 2

    def coordinates(self, point: Float[Array, "*users"]) -> Float[Array, "*users"]:
        """Angles, a little away from zero and from the limit."""
        _check(point, jnp.all((point >= 0) & (point <= self.limit)), "between 0 and the limit")
        nothing = self.limit == 0
        share = jnp.where(nothing, 0.5, point / jnp.where(nothing, 1.0, self.limit))
        angle = jnp.arcsin(jnp.sqrt(jnp.clip(share, 0.0, 1.0)))
        return jnp.clip(angle, _NUDGE, np.pi / 2 - _NUDGE)

    def gain(self, point: Float[Array, "*users"], slope: Float[Array, "*users"]) -> Array:
        """Each power goes to the end that its slope points to."""
        return jnp.sum(jnp.maximum(slope * (self.limit - point), -slope * point))


class TotalPower(eqx.Module):
    r"""Powers of at least zero that sum up to at most a budget.

    $$p_k = P\, x_k^2 / \sum_{j=0}^K x_j^2, \qquad k = 1, \dots, K$$
    Coordinate 0 stands for what is left of the budget: at zero nothing is.

    Args:
        budget: $P$ [W], or the number of users for shares of which ones are the equal split.

    Raises:
        ValueError: If the budget is negative, not finite, or not one number.
    """

    budget: Float[Array, ""]

    def __init__(self, budget: ArrayLike) -> None:
        self.budget = real_number("budget", budget)

    def point(self, coordinates: Float[Array, " users_and_rest"]) -> Float[Array, " users"]:
        """Powers [W]."""
        shares = coordinates**2
        total = jnp.sum(shares)
        return self.budget * divided(shares[1:], total)

    def coordinates(self, point: Float[Array, " users"]) -> Float[Array, " users_and_rest"]:
        """Roots of shares, a little away from zero."""
        over = jnp.sum(point) - self.budget
        rounding = 8 * jnp.finfo(point.dtype).eps * self.budget
        allowed = jnp.all(point >= 0) & (over <= rounding)
        _check(point, allowed, "of at least 0 and sum up to at most the budget")
        parts = jnp.concatenate([-over[None], point])
        shares = divided(parts, self.budget)
        return jnp.sqrt(jnp.maximum(shares, _NUDGE**2))

    def gain(self, point: Float[Array, " users"], slope: Float[Array, " users"]) -> Array:
        """All of the budget goes to the power of the largest slope, if any is above zero."""
        return self.budget * jnp.maximum(jnp.max(slope), 0.0) - jnp.sum(slope * point)


class ApPowerBudget(eqx.Module):
    r"""Amplitudes (aps, users) whose squares sum up to at most one for each AP.

    $$a_m = x_m \sin\|x_m\| / \|x_m\|, \qquad \sum_k a_{mk}^2 = \sin^2\|x_m\|$$
    is the share that AP m spends of its power. A sign is a phase, and no objective gains by it.
    """

    def point(self, coordinates: Float[Array, "aps users"]) -> Float[Array, "aps users"]:
        """Amplitudes."""
        return coordinates * sinc(_norm(coordinates))[:, None]

    def coordinates(self, point: Float[Array, "aps users"]) -> Float[Array, "aps users"]:
        """Amplitudes stretched to angles, a little below full power."""
        norm = _norm(point)
        allowed = jnp.all(norm <= 1 + 8 * jnp.finfo(norm.dtype).eps)
        _check(point, allowed, "of squares that sum up to at most 1 over users")
        angle = jnp.minimum(jnp.arcsin(jnp.minimum(norm, 1.0)), np.pi / 2 - _NUDGE)
        silent = norm == 0
        stretch = jnp.where(silent, 1.0, angle / jnp.where(silent, 1.0, norm))
        return point * stretch[:, None]

    def gain(self, point: Float[Array, "aps users"], slope: Float[Array, "aps users"]) -> Array:
        """Each AP goes to full power along its slope."""
        return jnp.sum(_norm(slope)) - jnp.sum(slope * point)


class ScaledApBudget(eqx.Module):
    """The set of `ApPowerBudget`, in coordinates in which no AP is steeper than the others by far.

    An AP next to a user needs a hundredth of the amplitude of others, and a hundredth of their
    steps. Where gains span many orders of magnitude, searches take 50 steps in these coordinates,
    and do not end within 400 without.

    Args:
        amplitudes: An allocation (aps, users) in which every AP spends about what is right, such
            as that of `max_min_downlink`.
    """

    size: Float[Array, " aps"]

    def __init__(self, amplitudes: Float[Array, "aps users"]) -> None:
        amplitudes = real_array("amplitudes", amplitudes)
        require(
            amplitudes.ndim == 2 and amplitudes.size > 0,
            f"`amplitudes` must have shape (aps, users), but has shape {amplitudes.shape}. Give "
            "one row per AP.",
        )
        self.size = jnp.sqrt(jnp.maximum(jnp.sum(amplitudes**2, 1), _LEAST_SIZE**2))

    def point(self, coordinates: Float[Array, "aps users"]) -> Float[Array, "aps users"]:
        """Amplitudes."""
        return ApPowerBudget().point(coordinates * self.size[:, None])

    def coordinates(self, point: Float[Array, "aps users"]) -> Float[Array, "aps users"]:
        """Those of `ApPowerBudget`, in units of the sizes."""
        return ApPowerBudget().coordinates(point) / self.size[:, None]

    def gain(self, point: Float[Array, "aps users"], slope: Float[Array, "aps users"]) -> Array:
        """That of `ApPowerBudget`, since the set is the same."""
        return ApPowerBudget().gain(point, slope)


def _norm(rows: Float[Array, "aps users"]) -> Float[Array, " aps"]:
    """Norm of each row, with gradient zero at zero."""
    return root(jnp.sum(rows**2, axis=-1))


def _check(point: Array, holds: Array, what: str) -> None:
    require(
        is_traced(point, holds) or bool(holds),
        f"`init` must be {what}, but is not. Scale it down.",
    )
