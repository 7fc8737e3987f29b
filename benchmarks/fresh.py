"""Measurements that need a fresh process: compile time, cold and from the cache, and peak memory.

`python -m benchmarks.fresh NAME REALIZATIONS TIMES [CORE ...]` runs a workload once or twice in its
own process, on these cores if any are named, and prints the durations and the peak memory as JSON.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def run_fresh(
    name: str,
    realizations: int,
    cache: str | None = None,
    *,
    devices: int = 1,
    cores: Sequence[int] = (),
    times: int = 2,
) -> dict[str, float]:
    """Run a workload in a process of its own.

    Args:
        name: A key of `workloads.WORKLOADS`.
        realizations: Realizations per run.
        cache: Folder of the persistent compilation cache; None runs without one.
        devices: Devices that the CPU is split into.
        cores: Cores that the process may run on; all if there are none.
        times: Runs, one or two.

    Returns:
        `first_s`, compilation included; `second_s`, without, of two runs; `peak_bytes`.
    """
    environment = dict(os.environ)
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if cache is not None:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    if devices > 1:
        environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-m", "benchmarks.fresh", name, str(realizations), str(times)]
    command += map(str, cores)
    finished = subprocess.run(
        command, env=environment, cwd=_ROOT, stdout=subprocess.PIPE, check=True, timeout=3600
    )
    return json.loads(finished.stdout.splitlines()[-1])


@dataclass(frozen=True)
class FreshRuns:
    """Runs of a workload in processes of their own, of which the first compiles.

    Attributes:
        compile_cold_s: Time that the first run takes beyond its second; tracing is part of it [s].
        compile_cached_s: The same with the caches that it has filled, JAX's and jaxmimo's [s].
        run_s: The longer run, without compilation [s].
        peak_bytes: Peak memory of the runs that compile and of the longer one.
    """

    compile_cold_s: float
    compile_cached_s: float
    run_s: float
    peak_bytes: float


def fresh_runs(name: str, realizations: int, longer_run: int | None = None) -> FreshRuns:
    """Run a workload cold, from the cache, and longer.

    Args:
        name: A key of `workloads.WORKLOADS`.
        realizations: Of the runs that compile times are told by.
        longer_run: Realizations of the longer run, a third process; None takes the second for it.
    """
    with tempfile.TemporaryDirectory() as cache:
        cold, cached = (run_fresh(name, realizations, cache) for _ in range(2))
        longer = cached
        if longer_run is not None:  # its blocks may be others, and compiled anew
            longer = run_fresh(name, longer_run, cache)
    return FreshRuns(
        compile_cold_s=cold["first_s"] - cold["second_s"],
        compile_cached_s=cached["first_s"] - cached["second_s"],
        run_s=longer["second_s"],
        peak_bytes=max(cold["peak_bytes"], longer["peak_bytes"]),
    )


def peak_bytes(name: str, realizations: int) -> float:
    """Peak memory of a process that runs a workload, of its accelerator if it has one [bytes]."""
    return run_fresh(name, realizations)["peak_bytes"]


def _own_peak_bytes() -> int:
    """Peak memory of this process or its accelerator.

    Not `ru_maxrss` where the kernel offers better: Linux carries that over from the parent.
    """
    import jax

    statistics = jax.devices()[0].memory_stats() or {}
    if jax.default_backend() != "cpu" and "peak_bytes_in_use" in statistics:
        return int(statistics["peak_bytes_in_use"])
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(name: str, realizations: int, times: int) -> None:
    """Run a workload and print what it took."""
    from benchmarks.workloads import WORKLOADS
    from jaxmimo import programs_kept_in

    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    run, seconds = WORKLOADS[name](), []
    with nullcontext() if cache is None else programs_kept_in(Path(cache) / "traces"):
        for _ in range(times):
            start = time.perf_counter()
            run(realizations)
            seconds.append(time.perf_counter() - start)
    durations = dict(zip(("first_s", "second_s"), seconds, strict=False))
    print(json.dumps({**durations, "peak_bytes": _own_peak_bytes()}))


if __name__ == "__main__":
    if cores := [int(core) for core in sys.argv[4:]]:
        os.sched_setaffinity(0, cores)  # before JAX counts them
    main(sys.argv[1], *map(int, sys.argv[2:4]))
