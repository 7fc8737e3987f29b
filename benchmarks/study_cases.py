"""Every study's figure: compile times, cold and cached, and a run of its default size.

Each is run in processes of its own, as a user starts it; the time of its default size is that of a
second run there.
"""

from functools import partial

from benchmarks.fresh import fresh_runs
from benchmarks.measures import Effort
from benchmarks.report import Row
from jaxmimo.studies import STUDIES

FEW = 8
"""Realizations of the run whose first time is compilation."""


def study_case(effort: Effort, name: str) -> Row:
    """Compile times of a study, and its default run."""
    if not effort.fresh:
        return Row(case=f"study-{name}")
    count = STUDIES[name].realizations
    runs = fresh_runs(f"study-{name}", FEW, count)
    return Row(
        case=f"study-{name}",
        compile_cold_s=runs.compile_cold_s,
        compile_cached_s=runs.compile_cached_s,
        steady_s=runs.run_s,
        realizations_per_s=count / runs.run_s,
        peak_bytes=runs.peak_bytes,
        further={"realizations": count},
    )


STUDY_CASES = {f"study-{name}": partial(study_case, name=name) for name in STUDIES}
