"""How many processor cores this process may use."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the cores this process may use: fewer than the machine has where it is shared out, as by SLURM."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_of_cores(jobs: int) -> int:
    """Return the threads of each of `jobs` processes that compute at the same time, at least 1."""
    return max(1, available_cores() // jobs)
