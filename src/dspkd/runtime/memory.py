"""Memory of this process and of the machine."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Make glibc's allocator keep freed memory; return whether it does (False where there is no glibc).

    Large freed buffers are then not requested from the kernel again at each step.
    Forward and backward of MobileNetV2 on two cores gain some 80 %, of ShuffleNetV2 14 %, for 10-20 % more resident
    memory. Results do not change.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))


def memory_of_machine() -> int | None:
    """Return the bytes of memory that processes of this machine share, or of this container; None where unknown."""
    if not hasattr(os, "sysconf"):
        return None
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text(encoding="utf-8").strip() if limit.exists() else "max"
    return min(machine, int(allowed)) if allowed.isdigit() else machine


def peak_memory() -> int | None:
    """Return the most bytes of memory that this process has used at once; None where unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
