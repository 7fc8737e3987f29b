"""Where the time of a run goes: compilation, simulation, and a trace to look at."""

import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
"""Events of JAX, some within others, that compilation consists of."""


@dataclass
class Profile:
    """What a run took.

    Attributes:
        trace: Folder of the trace, for TensorBoard or xprof.
        compile_s: Tracing, lowering and compiling [s]; kernels from the cache count as they load.
        total_s: The run as a whole [s].
        peak_bytes: Most memory in use: of the device, or of the process where the device is a CPU.
    """

    trace: Path
    compile_s: float = 0.0
    total_s: float = 0.0
    peak_bytes: int = 0

    def show(self, console: Console, realizations: int) -> None:
        """Print it."""
        running = max(self.total_s - self.compile_s, 1e-9)
        rows = {
            "compilation": f"{self.compile_s:.2f} s",
            "simulation": f"{running:.2f} s",
            "realizations": f"{realizations / running:.4g} per second",
            "peak memory": f"{self.peak_bytes / 2**20:.0f} MiB",
            "trace": str(self.trace),
        }
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in rows.items():
            table.add_row(name, value)
        console.print(table, soft_wrap=True)


@contextmanager
def profiled(trace: Path) -> Iterator[Profile]:
    """Trace the body and time it."""
    profile, compiling = Profile(trace), []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event in COMPILING:
            now = time.perf_counter()
            compiling.append((now - duration_secs, now))

    jax.monitoring.register_event_duration_secs_listener(listen)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    options.host_tracer_level = 1  # at 2, every operation of a CPU is an event, gigabytes of them
    with jax.profiler.trace(str(trace), profiler_options=options):
        start = time.perf_counter()
        try:
            yield profile
        finally:
            profile.total_s = time.perf_counter() - start
            profile.compile_s = _covered(compiling)
            profile.peak_bytes = _peak_bytes()
            jax.monitoring.unregister_event_duration_listener(listen)


def _covered(spans: list[tuple[float, float]]) -> float:
    """Time that is within one of the spans, which may lie within each other."""
    covered, end = 0.0, -math.inf
    for begin, finish in sorted(spans):
        covered += max(0.0, finish - max(begin, end))
        end = max(end, finish)
    return covered


def _peak_bytes() -> int:
    statistics = jax.local_devices()[0].memory_stats() or {}
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(statistics.get("peak_bytes_in_use", resident))
