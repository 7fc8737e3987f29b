"""Spectral efficiency of massive, distributed and cell-free MIMO, simulated in batches on JAX.

Importing the package initializes no device and changes no JAX configuration.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxmimo import cell_free_iqi
    from jaxmimo.core.randomness import complex_normal
    from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
    from jaxmimo.transceiver.hardware import IQImbalance

__version__ = version("jaxmimo")

# Loaded on first use, so that the command answers `--help` at once.
_HOMES = {
    "Estimate": "jaxmimo.simulation.monte_carlo",
    "IQImbalance": "jaxmimo.transceiver.hardware",
    "complex_normal": "jaxmimo.core.randomness",
    "monte_carlo": "jaxmimo.simulation.monte_carlo",
}

__all__ = ["Estimate", "IQImbalance", "cell_free_iqi", "complex_normal", "monte_carlo"]


def __getattr__(name: str) -> Any:
    if name == "cell_free_iqi":
        return import_module("jaxmimo.cell_free_iqi")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'jaxmimo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
