"""How much memory this machine has."""

from __future__ import annotations

import os
from pathlib import Path


def memory_gib() -> float | None:
    """Memory of the machine, or the container's limit where that is lower; None where a system does not say."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit) / 2**30) if limit.isdigit() else total
