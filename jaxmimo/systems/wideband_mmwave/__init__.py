"""System 4: mmWave cell-free massive MIMO over bands so wide that delays turn phases.

Ahn et al., "On the Spatial-Wideband Effects in Millimeter-Wave Cell-Free Massive MIMO".
"""

from jaxmimo.channel.frequency_grid import Grid, grid_response
from jaxmimo.channel.multipath import channel_taps, frequency_response, stacked_response
from jaxmimo.channel.umi_street_canyon import always_los, never_los, umi_los
from jaxmimo.rates.beam_squint import (
    beam_squint_gain,
    dft_leakage,
    mean_squint_gain,
    pointing_angle,
    pointing_error,
    squint_bandwidth,
)
from jaxmimo.rates.wideband_correlation import (
    common_angles,
    frequency_correlation,
    independent_angles,
    independent_scattering,
    macro_correlation,
    macro_steering,
    mean_response,
    micro_correlation,
)
from jaxmimo.systems.wideband_mmwave.designs import at_carrier, per_subcarrier, without_squint
from jaxmimo.systems.wideband_mmwave.drop import Links, draw_links, draw_positions
from jaxmimo.systems.wideband_mmwave.prefix import prefix_sample, simulate_prefix
from jaxmimo.systems.wideband_mmwave.simulation import se_sample, simulate_se
from jaxmimo.systems.wideband_mmwave.system import WidebandMmwave
from jaxmimo.transceiver.combining import mmse_combiner, mr_combiner, zf_combiner
from jaxmimo.transceiver.ofdm import (
    cyclic_prefix_weights,
    prefix_efficiency,
    prefix_sinr,
    received_powers,
)
from jaxmimo.transceiver.timing import approximate_cyclic_prefix, minimum_cyclic_prefix

__all__ = [
    "Grid",
    "Links",
    "WidebandMmwave",
    "always_los",
    "approximate_cyclic_prefix",
    "at_carrier",
    "beam_squint_gain",
    "channel_taps",
    "common_angles",
    "cyclic_prefix_weights",
    "dft_leakage",
    "draw_links",
    "draw_positions",
    "frequency_correlation",
    "frequency_response",
    "grid_response",
    "independent_angles",
    "independent_scattering",
    "macro_correlation",
    "macro_steering",
    "mean_response",
    "mean_squint_gain",
    "micro_correlation",
    "minimum_cyclic_prefix",
    "mmse_combiner",
    "mr_combiner",
    "never_los",
    "per_subcarrier",
    "pointing_angle",
    "pointing_error",
    "prefix_efficiency",
    "prefix_sample",
    "prefix_sinr",
    "received_powers",
    "se_sample",
    "simulate_prefix",
    "simulate_se",
    "squint_bandwidth",
    "stacked_response",
    "umi_los",
    "without_squint",
    "zf_combiner",
]
