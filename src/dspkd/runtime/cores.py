"""Which processor this is, and how many of its cores this process may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def available_cores() -> int:
    """Return the cores this process may use: fewer than the machine has where it is shared out, as by SLURM."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_of_cores(jobs: int) -> int:
    """Return the threads of each of `jobs` processes that compute at the same time, at least 1."""
    return max(1, available_cores() // jobs)


def processor() -> str:
    """Return the architecture, and on Linux the processor's model name: ``x86_64, AMD EPYC 7543``."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()}, {names[0]}" if names else platform.machine()
