"""How much memory there is."""

import math
import os
from typing import Any


def memory_of(device: Any) -> float:
    """Bytes of memory of a device of JAX; those of the machine where the device does not tell."""
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if limit is None and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return math.inf if limit is None else float(limit)
