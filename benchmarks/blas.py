"""Threads of NumPy's BLAS, set while a process runs.

OpenBLAS waits for its threads by spinning: with another process on the same cores its batched
small products become ten times slower, which would flatter us. The harness therefore tries one
thread and all of them, and keeps what is faster.
"""

import ctypes
from collections.abc import Callable
from importlib import import_module

from jaxmimo.simulation.batches import usable_cores

_NAMES = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


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
    cores = usable_cores()
    return (1, cores) if _SET_THREADS is not None and cores > 1 else (cores,)


def set_threads(threads: int) -> None:
    """Let NumPy's products use this many threads, if its BLAS is OpenBLAS."""
    if _SET_THREADS is not None:
        _SET_THREADS(threads)
