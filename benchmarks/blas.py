"""Threads of NumPy's BLAS, set while a process runs.

OpenBLAS waits for its threads by spinning: with another process on the same cores its batched
small products become ten times slower, which would flatter us. The harness therefore tries one
thread and all of them, and keeps what is faster.
"""

import ctypes
import os
from collections.abc import Callable
from importlib import import_module

_NAMES = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


def cpu_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _find_setter() -> Callable[[int], None] | None:
    try:
        umath = import_module("numpy._core._multiarray_umath")
        library = ctypes.CDLL(umath.__file__)  # finds the names of what it links to as well
    except (ImportError, OSError):
        return None
    return next((getattr(library, name) for name in _NAMES if hasattr(library, name)), None)


_SET_THREADS = _find_setter()


def thread_choices() -> tuple[int, ...]:
    """Numbers of threads worth trying; one choice if they cannot be set."""
    return (1, cpu_count()) if _SET_THREADS is not None and cpu_count() > 1 else (cpu_count(),)


def set_threads(threads: int) -> None:
    """Let NumPy's products use this many threads, if its BLAS is OpenBLAS."""
    if _SET_THREADS is not None:
        _SET_THREADS(threads)
