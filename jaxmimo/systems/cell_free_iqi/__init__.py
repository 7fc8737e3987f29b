"""System 1: cell-free massive MIMO downlink with multi-antenna users under I/Q imbalance.

Sutton, Ngo, Matthaiou, "Cell-Free Massive MIMO with Multiple-Antenna Users under I/Q Imbalance".
"""

from jaxmimo.systems.cell_free_iqi.closed_form import asymptotic_se, closed_form_se
from jaxmimo.systems.cell_free_iqi.effective_channels import DownlinkMoments
from jaxmimo.systems.cell_free_iqi.simulation import (
    downlink_moments,
    moments_of_pilots,
    se_model,
    simulate_se,
    theorem1_se,
)
from jaxmimo.systems.cell_free_iqi.system import CellFreeIQI
from jaxmimo.transceiver.estimation import linear_mmse, widely_linear_mmse
from jaxmimo.transceiver.pilots import full_pilots, projected_pilots

__all__ = [
    "CellFreeIQI",
    "DownlinkMoments",
    "asymptotic_se",
    "closed_form_se",
    "downlink_moments",
    "full_pilots",
    "linear_mmse",
    "moments_of_pilots",
    "projected_pilots",
    "se_model",
    "simulate_se",
    "theorem1_se",
    "widely_linear_mmse",
]
