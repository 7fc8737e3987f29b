"""System 2: distributed MIMO uplink under Rician fading.

Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading".
"""

from jaxmimo.channel.correlation import LocalScattering, ScatteringClusters, uncorrelated
from jaxmimo.systems.distributed_rician.closed_form import MaximumRatioDrop, maximum_ratio_drop
from jaxmimo.systems.distributed_rician.separability import (
    ConditionNumber,
    simulate_condition,
    simulate_correlation,
    single_ap_correlation,
)
from jaxmimo.systems.distributed_rician.simulation import se_of_drops, se_sample, simulate_se
from jaxmimo.systems.distributed_rician.system import DistributedRician
from jaxmimo.transceiver.channel_estimation import least_squares, lmmse, perfect_csi
from jaxmimo.transceiver.combining import (
    error_aware_mmse_combiner,
    mmse_combiner,
    mr_combiner,
    zf_combiner,
)

__all__ = [
    "ConditionNumber",
    "DistributedRician",
    "LocalScattering",
    "MaximumRatioDrop",
    "ScatteringClusters",
    "error_aware_mmse_combiner",
    "least_squares",
    "lmmse",
    "maximum_ratio_drop",
    "mmse_combiner",
    "mr_combiner",
    "perfect_csi",
    "se_of_drops",
    "se_sample",
    "simulate_condition",
    "simulate_correlation",
    "simulate_se",
    "single_ap_correlation",
    "uncorrelated",
    "zf_combiner",
]
