"""Powers by gradient and by fixed point: `maximize`, and what it takes for a system."""

from jaxmimo.tuning.ascent import Maximum, maximize, maximize_from_each
from jaxmimo.tuning.domains import (
    ApPowerBudget,
    Domain,
    PowerLimits,
    ScaledApBudget,
    TotalPower,
    Unconstrained,
)
from jaxmimo.tuning.downlink import fractional_split, max_min_downlink
from jaxmimo.tuning.fairness import max_min
from jaxmimo.tuning.groups import (
    GroupSearch,
    TunedGroups,
    annealed_groups,
    greedy_groups,
    soft_rates,
    tune_groups,
)
from jaxmimo.tuning.objectives import proportional_fairness, soft_min, sum_se
from jaxmimo.tuning.powers import cell_se, downlink_se, equal_split, uplink_se, with_amplitudes
from jaxmimo.tuning.splits import best_split
from jaxmimo.tuning.stochastic import ExpectedMaximum, maximize_expected
from jaxmimo.tuning.uplink import (
    BalancedPowers,
    balanced_powers,
    balanced_split,
    fractional_power_control,
)

__all__ = [
    "ApPowerBudget",
    "BalancedPowers",
    "Domain",
    "ExpectedMaximum",
    "GroupSearch",
    "Maximum",
    "PowerLimits",
    "ScaledApBudget",
    "TotalPower",
    "TunedGroups",
    "Unconstrained",
    "annealed_groups",
    "balanced_powers",
    "balanced_split",
    "best_split",
    "cell_se",
    "downlink_se",
    "equal_split",
    "fractional_power_control",
    "fractional_split",
    "greedy_groups",
    "max_min",
    "max_min_downlink",
    "maximize",
    "maximize_expected",
    "maximize_from_each",
    "proportional_fairness",
    "soft_min",
    "soft_rates",
    "sum_se",
    "tune_groups",
    "uplink_se",
    "with_amplitudes",
]
