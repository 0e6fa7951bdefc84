"""Types of progress reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called as ``(what, done, total)``; the total is None where it is unknown."""

Counts: TypeAlias = dict[str, dict[str, list[int]]]
"""``{part: {class: [images, lesions or patients]}}``."""
