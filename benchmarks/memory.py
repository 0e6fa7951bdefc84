"""Measure the memory of this process, to see whether it grows."""

import ctypes
from pathlib import Path

_NAMES = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _NAMES]


def memory_mib():
    """Return MiB resident, mapped files included, and MiB allocated by glibc's allocator: "512 (300.1)".

    Memory that the allocator keeps for later hides a leak in the first figure, and not in the second.
    """
    mallinfo = ctypes.CDLL("libc.so.6").mallinfo2
    mallinfo.restype = _Mallinfo
    usage = mallinfo()
    resident = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096
    return f"{resident / 2**20:.0f} ({(usage.uordblks + usage.hblkhd) / 2**20:.1f})"
