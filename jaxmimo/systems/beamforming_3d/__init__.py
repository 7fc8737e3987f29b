"""System 3: 3D massive MIMO downlink with two-stage beamforming.

Fan, He, Huang, Yang, "A low-complexity 3D massive MIMO scheme jointly using statistical and
instantaneous CSIT".
"""

from jaxmimo.channel.karhunen_loeve import captured_energy, eigenvalues_above
from jaxmimo.systems.beamforming_3d.cell import Cell, Groups, assign_groups, make_cell
from jaxmimo.systems.beamforming_3d.schemes import (
    FixedPrecoders,
    FullDimension,
    TwoStageSLNR,
    adjacent_groups,
    all_groups,
    full_dimension_slnr,
    full_dimension_zf,
    generalized_mrt,
    own_group,
)
from jaxmimo.systems.beamforming_3d.shares import SharedPower, with_shares
from jaxmimo.systems.beamforming_3d.simulation import (
    deterministic_sum_rate,
    equivalent_sample,
    rate_sample,
    simulate_sum_rate,
    sum_rate,
)
from jaxmimo.systems.beamforming_3d.system import Beamforming3D, Users, draw_users
from jaxmimo.systems.beamforming_3d.user_rates import user_rates
from jaxmimo.transceiver.grouping import overall, per_direction

__all__ = [
    "Beamforming3D",
    "Cell",
    "FixedPrecoders",
    "FullDimension",
    "Groups",
    "SharedPower",
    "TwoStageSLNR",
    "Users",
    "adjacent_groups",
    "all_groups",
    "assign_groups",
    "captured_energy",
    "deterministic_sum_rate",
    "draw_users",
    "eigenvalues_above",
    "equivalent_sample",
    "full_dimension_slnr",
    "full_dimension_zf",
    "generalized_mrt",
    "make_cell",
    "overall",
    "own_group",
    "per_direction",
    "rate_sample",
    "simulate_sum_rate",
    "sum_rate",
    "user_rates",
    "with_shares",
]
