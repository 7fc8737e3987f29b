"""Rules for values, which refuse all others in one line."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxmimo.core.checks import check_finite, check_limits, plain_array
from jaxmimo.core.covariances import check_semidefinite

_KINDS = {"f": "real", "c": "complex", "i": "integers", "b": "boolean", "any": "numbers"}
_ACCEPTED = {"f": "fiub", "c": "cfiub", "i": "iu", "b": "b", "any": "cfiub"}


@dataclass(frozen=True)
class Rule:
    """The values that an argument may hold.

    Attributes:
        kind: `f` for real numbers, `c` for complex ones, `i` for integers, `b` for booleans; None
            takes that of the annotation, or else real ones.
        least: Smallest value; None if there is none.
        above: Value that is just too small.
        most: Largest value.
        infinite: Whether infinity will do.
        semidefinite: Whether the matrices of the last two axes must be covariances.
        unit: Unit of the values, where giving another is a common mistake.
        remedy: What to do about values out of range.
        early: Whether values must be known while functions are traced; they then stay NumPy's, in
            double precision.
        shape: Shapes as in jaxtyping, alternatives apart by `|`; None takes that of the
            annotation, or else any that broadcasts with the other arguments.
    """

    kind: str | None = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    infinite: bool = False
    semidefinite: bool = False
    unit: str = ""
    remedy: str = "Check the data it comes from."
    early: bool = False
    shape: str | None = None

    def shaped(self, shape: str) -> "Rule":
        """The same rule for arrays of a shape."""
        return replace(self, shape=shape)

    def of_kind(self, kind: str) -> "Rule":
        """The same rule for another kind of numbers."""
        return replace(self, kind=kind)

    def known_early(self) -> "Rule":
        """The same rule for values that decide what a program looks like."""
        return replace(self, early=True)

    def allows(self, value: Any) -> bool:
        """Whether a value is a plain number that surely follows the rule, told without arrays."""
        if type(value) not in (int, float) or (self.kind or "f") != "f" or self.semidefinite:
            return False
        floor = self.least if self.above is None else self.above
        above = floor is None or floor < value
        return above and (self.most is None or value <= self.most) and -1e37 < value < 1e37

    def known(self, name: str, value: Any) -> np.ndarray:
        """Values in JAX's default precision, refused unless they follow the rule."""
        kind = self.kind or "f"
        array = plain_array(name, value)
        if array.dtype.kind not in _ACCEPTED[kind]:
            raise ValueError(f"`{name}` must be {_KINDS[kind]}, but has dtype {array.dtype}.")
        if kind == "any":
            kind = "c" if array.dtype.kind == "c" else "f"
        if kind == "i" and array.size and np.abs(array.astype(float)).max() >= 2.0**31:
            raise ValueError(f"`{name}` must hold integers below 2^31. Give smaller ones.")
        with np.errstate(over="ignore"):
            array = array.astype(default_dtype(kind))
        if kind in "fc":
            check_finite(name, array, allow_infinity=self.infinite)
        if kind in "fi":
            check_limits(
                name,
                array,
                least=self.least,
                above=self.above,
                most=self.most,
                unit=self.unit,
                remedy=self.remedy,
            )
        if self.semidefinite:
            check_semidefinite(name, array)
        return array


finite = Rule()
complex_numbers = Rule(kind="c")
nonnegative = Rule(least=0.0, remedy="Give linear values, not decibels.")
positive = Rule(above=0.0, remedy="Give linear values in SI units.")
extended = replace(nonnegative, infinite=True)
at_least_one = Rule(kind="i", least=1.0, remedy="Give one or more.")
index = Rule(kind="i", least=0.0, shape="", remedy="Count from zero.")
share = Rule(least=0.0, most=1.0, remedy="Give a share of the whole.")
boolean = Rule(kind="b")
semidefinite = Rule(semidefinite=True)
direction = Rule(
    least=-2.01 * math.pi,
    most=2.01 * math.pi,
    unit="rad",
    remedy="Angles are in radians: use `numpy.deg2rad` for degrees.",
)
"""An angle; a little more than a turn either way, lest rounding be refused."""
path_angle = replace(direction, least=-4 * math.pi, most=4 * math.pi)
"""An angle of a path, which is that of a user plus random deviations."""
half_turn = replace(direction, least=-1.001 * math.pi, most=1.001 * math.pi)
angular_spread = replace(half_turn, least=0.0)


def kind_in_words(kind: str) -> str:
    """The word for numbers of a kind."""
    return _KINDS[kind]


def default_dtype(kind: str) -> np.dtype:
    """JAX's dtype of a kind of numbers, as its precision is set now."""
    return np.dtype(jnp.result_type({"f": float, "c": complex, "i": int, "b": bool}[kind]))
