"""How much memory there is."""

import math
import os
from pathlib import Path
from typing import Any


def memory_of(device: Any) -> float:
    """Bytes of memory of a device of JAX; those of the machine where the device does not tell."""
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return host_memory() if limit is None else float(limit)


def host_memory() -> float:
    """Bytes of memory that a process may use on this machine; infinity where nothing tells."""
    physical = math.inf
    if {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(getattr(os, "sysconf_names", ())):
        physical = float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    try:  # what a container may use
        return min(physical, float(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return physical
