"""All cases by name: each asserts agreement with a reference, then measures, and gives one row."""

from collections.abc import Callable
from functools import partial

from benchmarks.beams_cases import beams_equivalent, beams_sum_rate
from benchmarks.beams_figure_case import beams_groups
from benchmarks.ceilings import ceilings
from benchmarks.engine_cases import engine_decades, engine_devices, engine_overhead, memory
from benchmarks.gradient_cases import gradients
from benchmarks.import_case import imports
from benchmarks.iqi_cases import iqi_aps, iqi_aps_large, iqi_mismatch, iqi_per_antenna
from benchmarks.measures import Effort
from benchmarks.report import Row
from benchmarks.rician_cases import rician_axis, rician_memory, rician_se
from benchmarks.scaling_cases import subcarriers_of_system_4, users_of_system_1
from benchmarks.study_cases import STUDY_CASES
from benchmarks.wideband_cases import wideband_memory, wideband_response, wideband_se

Case = Callable[[Effort], Row]

HEADLINES: dict[str, Case] = {
    "ceilings": ceilings,
    "import": imports,
    "iqi-aps": iqi_aps,
    "rician-se": rician_se,
    "beams-groups": beams_groups,
    "wideband-se": wideband_se,
}
"""Measured always: a figure of each system, within five minutes on two cores."""

FURTHER: dict[str, Case] = {
    "gradients": gradients,
    "engine-overhead": engine_overhead,
    "iqi-mismatch": iqi_mismatch,
    "iqi-aps-1024": iqi_aps_large,
    "iqi-per-antenna": iqi_per_antenna,
    "rician-axis": rician_axis,
    "beams-sum-rate": beams_sum_rate,
    "beams-sum-rate-16": partial(beams_sum_rate, azimuth_groups=16),
    "beams-equivalent": beams_equivalent,
    "wideband-response": wideband_response,
    "scaling-users": users_of_system_1,
    "scaling-subcarriers": subcarriers_of_system_4,
    "engine-decades": engine_decades,
    "engine-devices": engine_devices,
    "memory": memory,
    "rician-memory": rician_memory,
    "wideband-memory": wideband_memory,
}
"""Measured by `--full`."""

FIGURES: dict[str, Case] = STUDY_CASES
"""Measured by `--figures`: every study at its default size."""
