"""The folders of kernels, as compiled and as traced, shared by all runs of the command."""

import os
from contextlib import suppress
from pathlib import Path

import jax

from jaxmimo.core.kept import make_private

OURS = "JAXMIMO_CACHE_DIR"
"""Names another folder than the one in the user's home."""
JAXS = "JAX_COMPILATION_CACHE_DIR"
"""JAX reads it itself on import, so that where it is set nothing remains to be done."""


def compiled() -> Path:
    """Where JAX keeps compiled kernels between runs."""
    chosen = os.environ.get(JAXS)
    return Path(chosen) if chosen else _own() / "kernels"


def traces() -> Path:
    """Where they are kept as traced, so that what was compiled is found without tracing.

    Always jaxmimo's own folder: one that others share may hold what others wrote.
    """
    return _own() / "traces"


def size() -> int:
    """Size of both [bytes]."""
    files = {path for folder in (compiled(), traces()) for path in folder.rglob("*")}
    return sum(path.stat().st_size for path in files if path.is_file())


def enable() -> None:
    """Keep compiled kernels on disk; the command does so, the library never."""
    if os.environ.get(JAXS):
        return
    with suppress(OSError):  # without a folder of one's own, each run compiles
        if make_private(_own()) and make_private(compiled()):
            jax.config.update("jax_compilation_cache_dir", str(compiled()))
            # By default only kernels that took a second or more are kept; to load is always faster.
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _own() -> Path:
    if chosen := os.environ.get(OURS):
        return Path(chosen).expanduser()
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "jaxmimo"
