"""``metrics.csv``: a row for each epoch, for spreadsheets and pandas."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from dspkd.runtime import csv_text
from dspkd.runtime.files import atomic_open
from dspkd.training.loggers._base import Sink, flat


class CSV(Sink):
    """Writes ``metrics.csv`` of the run folder; a cell is empty where a stage does not have the column's loss."""

    def open(self, folder: Path, run: str, settings: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Begin without rows."""
        self._path = folder / "metrics.csv"
        self._rows: list[dict[str, Any]] = []

    def epoch(self, record: Mapping[str, Any], number: int) -> None:  # noqa: ARG002
        """Write all rows so far; the columns are those of all stages so far."""
        self._rows.append(flat(record, "/"))
        columns = list(dict.fromkeys(chain.from_iterable(self._rows)))
        with atomic_open(self._path) as file:
            writer = csv_text.Writer(file)
            writer.writerow(columns)
            writer.writerows([row.get(column, "") for column in columns] for row in self._rows)

    def close(self) -> None:
        """Do nothing: the file is complete after each epoch."""
