"""Every study's figure: compile times, cold and cached, and a run of its default size.

Each is run in processes of its own, as a user starts it. The run's time is what its first takes
beyond compilation.
"""

from functools import partial

from benchmarks.fresh import compile_seconds, run_fresh
from benchmarks.measures import Effort
from benchmarks.report import Row
from jaxmimo.studies import STUDIES

FEW = 8
"""Realizations of the run whose first time is compilation."""


def study_case(effort: Effort, name: str) -> Row:
    """Compile times of a study, and its default run."""
    if not effort.fresh:
        return Row(case=f"study-{name}")
    cold, cached = compile_seconds(f"study-{name}", FEW)
    count = STUDIES[name].realizations
    run = run_fresh(f"study-{name}", count, times=1)
    steady = run["first_s"] - cold
    return Row(
        case=f"study-{name}",
        compile_cold_s=cold,
        compile_cached_s=cached,
        steady_s=steady,
        realizations_per_s=count / steady,
        peak_bytes=run["peak_bytes"],
        further={"realizations": count},
    )


STUDY_CASES = {f"study-{name}": partial(study_case, name=name) for name in STUDIES}
