"""What a damaged zip or npz file raises when it is read."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError,
    KeyError, ValueError, OverflowError, MemoryError,
)  # fmt: skip
"""The errors of Python's zipfile, and of NumPy on top of it, for a damaged file."""
