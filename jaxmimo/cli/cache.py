"""The folder of kernels, as compiled and as traced, shared by all runs of the command."""

import os
from pathlib import Path

import jax

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
"""JAX reads it itself on import, so that where it is set nothing remains to be done."""


def folder() -> Path:
    """Where kernels are kept between runs."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "jaxmimo" / "kernels"


def traces() -> Path:
    """Where they are kept as traced, so that what was compiled is found without tracing."""
    return folder() / "traces"


def size() -> int:
    """Size of the cache [bytes]."""
    return sum(path.stat().st_size for path in folder().rglob("*") if path.is_file())


def enable() -> None:
    """Keep compiled kernels on disk; the command does so, the library never."""
    if not os.environ.get(VARIABLE):
        jax.config.update("jax_compilation_cache_dir", str(folder()))
        # By default only kernels that took a second or more are kept; to load is always faster.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
