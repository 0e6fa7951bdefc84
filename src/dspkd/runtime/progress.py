"""How far something is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and of how much; None where that is not known."""

Counts: TypeAlias = dict[str, dict[str, list[int]]]
"""``{part: {class: [images, lesions or patients]}}``."""
