"""Values that parameters of studies may have: by declaration, by unit, by type.

Names end in their units, so that units decide what most parameters may be; `Annotated` says so
where they do not. Here an error names the parameter as Python does; the command names its flag.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from numbers import Integral, Real
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from jaxmimo.core.checks import require
from jaxmimo.core.memory import host_memory


@dataclass(frozen=True)
class Domain:
    """An interval, and what to do where a value lies outside of it."""

    least: float
    most: float
    remedy: str
    above: bool = False
    """Whether the least value itself is outside."""
    increasing: bool = True
    """Whether several values must increase."""

    def rule(self, value: int | float) -> str | None:
        """What `value` must be, but is not; None if it lies in the interval."""
        if value != value:
            return "be a number"
        if value < self.least or (self.above and value == self.least):
            return f"be {'above' if self.above else 'at least'} {self.least:g}"
        return f"be at most {self.most:g}" if value > self.most else None


COUNT = Domain(1.0, 1e7, "Give a number of things that can be simulated.")
COUNT_OR_NONE = Domain(0.0, 1e7, "Give a number of things that can be simulated.")
COUNTS_IN_ANY_ORDER = Domain(1.0, 1e7, COUNT.remedy, increasing=False)
NUMBER = Domain(-1e30, 1e30, "Give a number that single precision holds.")
SPREAD = Domain(0.0, 180.0, "Give degrees.")
LENGTH = Domain(0.0, 1e9, "Give metres.", above=True)
LENGTH_OR_NONE = Domain(0.0, 1e9, "Give metres.")
WAVELENGTHS = Domain(0.0, 1e6, "Give wavelengths, such as 0.5.", above=True)
PATH_LOSS_EXPONENT = Domain(0.0, 10.0, "Free space has 2.", above=True)
AMPLITUDE = Domain(0.0, 100.0, "It is a ratio of amplitudes; 1 is perfect.")
EXPONENT = Domain(-10.0, 10.0, "Try 0.5.")

MOST_VALUES = 1000
"""Values of a list: more make programs that nobody waits for."""

UNITS = {
    "db": Domain(-300.0, 300.0, "Give decibels."),
    "dbm": Domain(-300.0, 300.0, "Give dBm: 23 for 200 mW."),
    "mw": Domain(0.0, 1e30, "Give milliwatts.", above=True),
    "deg": Domain(-360.0, 360.0, "Give degrees."),
    "ghz": Domain(1e-3, 1e4, "Give gigahertz: 3.5 for 3.5e9 Hz."),
    "mhz": Domain(0.0, 1e7, "Give megahertz: 100 for 1e8 Hz.", above=True),
    "m": LENGTH,
    "cm": Domain(0.0, 1e9, "Give centimetres."),
    "ns": Domain(0.0, 1e9, "Give nanoseconds."),
}
"""What the last part of a name says of its values."""


def check(parameters: Any) -> None:
    """Refuse parameters outside of their domains, and networks that no memory holds.

    Args:
        parameters: A dataclass; its method `largest_array` tells how many numbers an array of one
            realization holds, at the least.
    """
    for name, (kind, several, domain) in kinds_of(type(parameters)).items():
        value = getattr(parameters, name)
        for each in value if several else (value,):
            _check_type(name, each, kind)
            rule = None if domain is None else domain.rule(each)
            got = f"{'holds' if several else 'got'} {each}"
            require(rule is None, f"`{name}` must {rule}, but {got}. {domain and domain.remedy}")
        if several:
            _check_list(name, value, increasing=domain is None or domain.increasing)
    need, have = 8 * parameters.largest_array(), host_memory()
    require(
        need <= have / 2,
        f"the network must fit into memory, but one array of one realization alone takes "
        f"{_bytes(need)}, and this machine has {_bytes(have)}. Simulate fewer antennas or users.",
    )


@cache
def kinds_of(parameters: type) -> dict[str, tuple[type, bool, Domain | None]]:
    """For each field: the type of a value, whether it holds several, and their domain."""
    hints = get_type_hints(parameters, include_extras=True)
    return {field.name: _kind_of(field.name, hints[field.name]) for field in fields(parameters)}


def _kind_of(name: str, hint: Any) -> tuple[type, bool, Domain | None]:
    declared = None
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        declared = next((note for note in notes if isinstance(note, Domain)), None)
    several = get_origin(hint) is tuple
    kind = get_args(hint)[0] if several else hint
    by_type = {int: COUNT, float: UNITS.get(name.rpartition("_")[2], NUMBER)}
    return kind, several, declared or by_type.get(kind)


def _check_type(name: str, value: object, kind: type) -> None:
    wanted = {int: (Integral, "a whole number"), float: (Real, "a number")}.get(kind)
    if wanted is not None:
        fits = isinstance(value, wanted[0]) and not isinstance(value, bool)
        require(fits, f"`{name}` must be {wanted[1]}, but got {value!r}. Give another value.")


def _check_list(name: str, values: Sequence[int] | Sequence[float], *, increasing: bool) -> None:
    """Refuse lists that are empty, and where order matters those that do not increase."""
    require(len(values) > 0, f"`{name}` must hold at least one value, but is empty. Give one.")
    require(
        len(values) <= MOST_VALUES,
        f"`{name}` must hold at most {MOST_VALUES} values, but got {len(values)}. Leave some out.",
    )
    if not increasing or all(a < b for a, b in pairwise(values)):
        return
    each = sorted(set(values))
    twice = next((a for a, b in pairwise(sorted(values)) if a == b), None)
    found = f"holds {twice} twice" if twice is not None else f"holds {_listed(values)}"
    require(False, f"`{name}` must increase, but {found}. Write {_listed(each)}.")


def _listed(values: Sequence[int] | Sequence[float]) -> str:
    return " ".join(map(str, values[:12])) + (" ..." if len(values) > 12 else "")


def _bytes(count: int | float) -> str:
    power = min(int(math.log10(max(count, 1)) // 3), 6)
    return f"{count / 1000**power:.3g} {('', 'k', 'M', 'G', 'T', 'P', 'E')[power]}B"
