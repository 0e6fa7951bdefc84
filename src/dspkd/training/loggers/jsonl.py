"""``metrics.jsonl``: a line of JSON for each epoch. Always on, since reports are made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

from dspkd.training.loggers._base import Sink


class JSONL(Sink):
    """Writes ``metrics.jsonl`` of the run folder, each line as soon as the epoch has ended."""

    required: ClassVar[bool] = True

    def open(self, folder: Path, run: str, settings: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Begin an empty file."""
        self._file: IO[str] = (folder / "metrics.jsonl").open("w", encoding="utf-8")

    def epoch(self, record: Mapping[str, Any], number: int) -> None:  # noqa: ARG002
        """Write the record as a line."""
        print(json.dumps(record), file=self._file, flush=True)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
