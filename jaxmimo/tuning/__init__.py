"""Powers by gradient and by fixed point: `maximize`, and what it takes for a system."""

from jaxmimo.tuning.ascent import Maximum, maximize, maximize_from_each
from jaxmimo.tuning.domains import ApPowerBudget, Domain, PowerLimits, Unconstrained
from jaxmimo.tuning.downlink import max_min_downlink
from jaxmimo.tuning.fairness import max_min
from jaxmimo.tuning.objectives import proportional_fairness, soft_min, sum_se
from jaxmimo.tuning.powers import downlink_se, equal_split, uplink_se, with_amplitudes
from jaxmimo.tuning.uplink import BalancedPowers, balanced_powers, fractional_power_control

__all__ = [
    "ApPowerBudget",
    "BalancedPowers",
    "Domain",
    "Maximum",
    "PowerLimits",
    "Unconstrained",
    "balanced_powers",
    "downlink_se",
    "equal_split",
    "fractional_power_control",
    "max_min",
    "max_min_downlink",
    "maximize",
    "maximize_from_each",
    "proportional_fairness",
    "soft_min",
    "sum_se",
    "uplink_se",
    "with_amplitudes",
]
