"""Studies: one file per published figure, with its sweep, its claims and its picture."""

from jaxmimo.studies import (
    beams_equivalent,
    beams_flops,
    beams_groups,
    cyclic_prefix,
    iqi_aps,
    iqi_mismatch,
    iqi_users,
    rician_condition,
    rician_correlation,
    rician_se,
    rician_zf_mmse,
    squint_gain,
    tune_groups,
    tune_power_iqi,
    tune_power_rician,
    wideband_correlation,
    wideband_se,
)
from jaxmimo.studies.study import Study

_MODULES = (
    iqi_mismatch,
    iqi_aps,
    iqi_users,
    rician_correlation,
    rician_condition,
    rician_se,
    rician_zf_mmse,
    beams_equivalent,
    beams_groups,
    beams_flops,
    squint_gain,
    cyclic_prefix,
    wideband_correlation,
    wideband_se,
    tune_power_iqi,
    tune_power_rician,
    tune_groups,
)

STUDIES: dict[str, Study] = {module.STUDY.name: module.STUDY for module in _MODULES}
"""Every study by its name."""
