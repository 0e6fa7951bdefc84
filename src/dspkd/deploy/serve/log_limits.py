"""A log that no client can fill: of each kind of message one a minute."""

from __future__ import annotations

import logging
import time

EVERY = 60.0
"""Seconds between two messages of a kind."""

_MOST_KINDS = 1000


class OneAMinute(logging.Filter):
    """Lets through the first message of a kind, and then one every `EVERY` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._latest: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record; its kind is where it was logged and the class of its exception."""
        of = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        kind, now = (f"{record.pathname}:{record.lineno}", of), time.monotonic()
        if now - self._latest.get(kind, -EVERY) < EVERY:
            return False
        if len(self._latest) < _MOST_KINDS:
            self._latest[kind] = now
        return True


def install() -> None:
    """Limit what the server's libraries log."""
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, OneAMinute) for each in logger.filters):
            logger.addFilter(OneAMinute())
