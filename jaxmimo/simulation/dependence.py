"""What the results of a sample depend on: the key, and whether by more than yes and no."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from jax.extend.core import ClosedJaxpr, Literal


class Dependence(IntEnum):
    """How a value depends on the key, by rising strength."""

    NONE = 0
    CHOICE = 1
    """Only by comparisons and what else is true or false: it has few values, each with a chance."""
    VALUE = 2


def dependences(jaxpr: ClosedJaxpr) -> list[Dependence]:
    """How each result of a trace depends on its first argument, the key."""
    count = len(jaxpr.in_avals)
    return _results(jaxpr.jaxpr, [Dependence.VALUE] + [Dependence.NONE] * (count - 1))


def _results(jaxpr: Any, given: Sequence[Dependence]) -> list[Dependence]:
    known = dict(zip(jaxpr.invars, given, strict=True))

    def of(atom: Any) -> Dependence:
        return Dependence.NONE if isinstance(atom, Literal) else known.get(atom, Dependence.NONE)

    for equation in jaxpr.eqns:
        found = _of_equation(equation, [of(atom) for atom in equation.invars])
        for result, dependence in zip(equation.outvars, found, strict=True):
            is_choice = dependence and str(getattr(result.aval, "dtype", "")) == "bool"
            known[result] = Dependence.CHOICE if is_choice else dependence
    return [of(atom) for atom in jaxpr.outvars]


def _of_equation(equation: Any, given: list[Dependence]) -> list[Dependence]:
    """A call is looked into; loops and branches are not, so that their results may say too much."""
    inner: Any = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    inner = getattr(inner, "jaxpr", inner)
    if equation.primitive.name in ("scan", "while", "cond"):
        inner = None
    if inner is not None and len(inner.invars) == len(given):
        found = _results(inner, given)
        if len(found) == len(equation.outvars):
            return found
    if "callback" in equation.primitive.name:  # whose function may do anything
        return [Dependence.VALUE] * len(equation.outvars)
    return [max(given, default=Dependence.NONE)] * len(equation.outvars)
