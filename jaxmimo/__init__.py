"""Spectral efficiency of massive, distributed and cell-free MIMO, simulated in batches on JAX.

Importing the package initializes no device and changes no JAX configuration.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxmimo import (
        beamforming_3d,
        cell_free_iqi,
        complexity,
        distributed_rician,
        pathloss,
        tuning,
        wideband_mmwave,
    )
    from jaxmimo.channel.correlation import local_scattering_covariance, one_ring_covariance
    from jaxmimo.core.programs import programs_kept_in
    from jaxmimo.core.randomness import complex_normal
    from jaxmimo.rates.metrics import condition_number, vector_correlation
    from jaxmimo.rates.sinr import uplink_sinr
    from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
    from jaxmimo.simulation.sweep import Curve, sweep
    from jaxmimo.transceiver.combining import (
        error_aware_mmse_combiner,
        mmse_combiner,
        mr_combiner,
        zf_combiner,
    )
    from jaxmimo.transceiver.hardware import IQImbalance
    from jaxmimo.transceiver.prebeamforming import dft_prebeamformer

__version__ = version("jaxmimo")

# Loaded on first use, so that the command answers `--help` at once.
_HOMES = {
    "Curve": "jaxmimo.simulation.sweep",
    "Estimate": "jaxmimo.simulation.monte_carlo",
    "IQImbalance": "jaxmimo.transceiver.hardware",
    "complex_normal": "jaxmimo.core.randomness",
    "condition_number": "jaxmimo.rates.metrics",
    "dft_prebeamformer": "jaxmimo.transceiver.prebeamforming",
    "error_aware_mmse_combiner": "jaxmimo.transceiver.combining",
    "local_scattering_covariance": "jaxmimo.channel.correlation",
    "mmse_combiner": "jaxmimo.transceiver.combining",
    "monte_carlo": "jaxmimo.simulation.monte_carlo",
    "mr_combiner": "jaxmimo.transceiver.combining",
    "one_ring_covariance": "jaxmimo.channel.correlation",
    "programs_kept_in": "jaxmimo.core.programs",
    "sweep": "jaxmimo.simulation.sweep",
    "uplink_sinr": "jaxmimo.rates.sinr",
    "vector_correlation": "jaxmimo.rates.metrics",
    "zf_combiner": "jaxmimo.transceiver.combining",
}
_MODULES = (
    "beamforming_3d",
    "cell_free_iqi",
    "complexity",
    "distributed_rician",
    "pathloss",
    "tuning",
    "wideband_mmwave",
)

__all__ = [
    "Curve",
    "Estimate",
    "IQImbalance",
    "beamforming_3d",
    "cell_free_iqi",
    "complex_normal",
    "complexity",
    "condition_number",
    "dft_prebeamformer",
    "distributed_rician",
    "error_aware_mmse_combiner",
    "local_scattering_covariance",
    "mmse_combiner",
    "monte_carlo",
    "mr_combiner",
    "one_ring_covariance",
    "pathloss",
    "programs_kept_in",
    "sweep",
    "tuning",
    "uplink_sinr",
    "vector_correlation",
    "wideband_mmwave",
    "zf_combiner",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"jaxmimo.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'jaxmimo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
