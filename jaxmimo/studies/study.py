"""What a study is: the sweep, the picture and the claims of one published figure."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxmimo.simulation.checkpoint import Checkpoint
from jaxmimo.simulation.results import as_json
from jaxmimo.studies import domains


@dataclass(frozen=True)
class Progress:
    """How far a study has come."""

    done: int
    """Realizations drawn so far."""
    total: int
    """Realizations after which the run ends at the latest."""
    relative_error: float
    """Largest standard error over mean of the points that are being simulated."""
    label: str = ""
    """The part of the study at work, such as ``"L = 4"``; empty if it has one part."""


@dataclass(frozen=True)
class Sampling:
    """How a study draws its Monte Carlo points; the same for all studies."""

    key: jax.Array
    """Typed key, ``jax.random.key(seed)``."""
    realizations: int
    """Channel realizations per point, or the cap when ``target_error`` is given."""
    target_error: float | None = None
    """Stop once every point has this relative standard error."""
    progress: Callable[[Progress], None] | None = None
    """Called now and then while the study runs."""
    checkpoint: Checkpoint | None = None
    """Where what is known is kept, and taken from."""


@dataclass(frozen=True)
class Parameters:
    """What a study's own parameters derive from: tuples hold the values of sweeps."""

    def __post_init__(self) -> None:
        """Check values, and make tuples of lists and arrays: parameters are hashed and compared."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list | np.ndarray):
                object.__setattr__(self, field.name, tuple(np.asarray(value).tolist()))
        domains.check(self)

    def largest_array(self) -> int:
        """Numbers in the largest array of one realization, or fewer; for the check of memory."""
        return 1


CERTAIN = 3.0
"""Margin from which on a statement counts as borne out or as refuted, in standard errors of a
normal law: chance alone reaches it once in 740 comparisons, while all studies together make a few
hundred."""


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, and how well the result bears it out."""

    text: str
    margin: float
    """Standard errors by which the statement is true, as `verdicts` counts them: negative where it
    is false, infinite for what is exact."""
    evidence: str

    @property
    def verdict(self) -> Literal["holds", "undecided", "does not hold"]:
        """What the margin says: by less than `CERTAIN` nothing is decided, either way."""
        if self.margin > CERTAIN:
            return "holds"
        return "does not hold" if self.margin < -CERTAIN else "undecided"


@dataclass(frozen=True)
class Study:
    """One published figure: how to simulate it, draw it and judge its claims."""

    name: str
    summary: str
    paper: str
    figure: str
    parameters: type
    """Frozen dataclass of the study's own parameters; its defaults are the paper's."""
    realizations: int
    """Default number of channel realizations."""
    run: Callable[[Any, Sampling], xr.Dataset]
    plot: Callable[..., Axes]
    """``plot(dataset, ax=None)`` draws into ``ax`` or new axes, and returns them."""
    claims: Callable[[xr.Dataset], list[Claim]]
    convergence: Callable[..., Axes] | None = None
    """As `plot`, how fast the searches of a tuning study converge; None for other studies."""

    def pictures(self, stem: str) -> dict[str, Callable[..., Axes]]:
        """Everything there is to draw, by the names of files that begin with `stem`."""
        extra = {} if self.convergence is None else {f"{stem}-convergence": self.convergence}
        return {stem: self.plot, **extra}

    def changed(self, dataset: xr.Dataset) -> dict[str, tuple[Any, Any]]:
        """Parameters of a result that are not the defaults, with both values."""
        used, usual = map(json.loads, (dataset.attrs["parameters"], as_json(self.parameters())))
        names = [name for name in usual if name in used and used[name] != usual[name]]
        return {name: (used[name], usual[name]) for name in names}
