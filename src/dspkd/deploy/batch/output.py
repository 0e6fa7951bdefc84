"""Answers on disk: in parts while the work goes on, in one file when it is done.

A part is called after all that it depends on: who answers, and which images are asked about. So a part that is there
is right, whoever made it and when, and one that is missing is made.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.batch.listing import parquet
from dspkd.errors import DataError

FORMATS = (".csv", ".parquet")
"""How the file of answers may end."""

_FIXED = ("image", "predicted")
_REFER, _PROBABILITY, _ERROR = "refer", "probability_", "error"


@dataclass(frozen=True, eq=False)
class PredictionBatch:
    """What was said of N images.

    Attributes
    ----------
    names
        The N images as their source calls them.
    probabilities
        ``[N, K]`` float64; NaN for images without an answer.
    errors
        N reasons why there is no answer; "" where there is one.
    """

    names: Sequence[str]
    probabilities: NDArray[np.float64]
    errors: Sequence[str]


class ShardedOutput:
    """The parts of a file of answers, in a folder beside it.

    Parameters
    ----------
    out
        The file; its suffix says its format, CSV or parquet.
    classes
        The K class names.
    key
        Names who answers: another model, another key.
    refer_below
        Probability of the answer below which it is "not sure, refer": `refer` then says ``yes`` or ``no``. None for who
        has no such threshold: no such column.

    Raises
    ------
    DataError
        The format is unknown or needs what is not installed.
    """

    def __init__(self, out: Path, classes: Sequence[str], key: str, refer_below: float | None = None) -> None:
        if out.suffix.lower() not in FORMATS:
            raise DataError(f"{out}: answers are written as {' or '.join(FORMATS)}; name such a file")
        if out.suffix.lower() == ".parquet":
            parquet(out)
        self.out, self.classes, self.key = out, tuple(classes), key
        self.folder = out.with_name(f"{out.name}.parts")
        self._refer_below = refer_below
        advice = () if refer_below is None else (_REFER,)
        self._header = [*_FIXED, *advice, *(_PROBABILITY + name for name in classes), _ERROR]

    def path(self, names: Sequence[str]) -> Path:
        """Return the file of the part about these images."""
        said = hashlib.blake2b(digest_size=16)
        for word in (self.key, str(self._refer_below), *self.classes, *names):
            said.update(word.encode(errors="surrogateescape") + b"\0")
        return self.folder / f"{said.hexdigest()}{self.out.suffix.lower()}"

    def write(self, answers: PredictionBatch) -> None:
        """Write a part: wholly, or not at all, whenever this is killed."""
        path = self.path(answers.names)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.partial")
        (self._write_csv if path.suffix == ".csv" else self._write_parquet)(unfinished, answers)
        unfinished.replace(path)

    def join(self, chunks: Iterable[Sequence[str]]) -> tuple[int, int]:
        """Make the file of the parts about these images, in this order, and delete the parts.

        Returns
        -------
        tuple[int, int]
            Images, and those of them without an answer.
        """
        whole = self.folder / f"whole{self.out.suffix.lower()}"
        paths = (self.path(names) for names in chunks)
        counts = (self._join_csv if whole.suffix == ".csv" else self._join_parquet)(whole, paths)
        whole.replace(self.out)
        self.clear()
        return counts

    def clear(self) -> None:
        """Delete the parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _predicted(self, answers: PredictionBatch) -> list[str]:
        best = np.nan_to_num(answers.probabilities, nan=-1).argmax(axis=1)
        return ["" if error else self.classes[k] for k, error in zip(best, answers.errors, strict=True)]

    def _advice(self, answers: PredictionBatch) -> list[list[str]]:
        """Return the columns of advice, which are none or one."""
        if self._refer_below is None:
            return []
        best = answers.probabilities.max(axis=1)
        told = zip(best < self._refer_below, answers.errors, strict=True)
        return [["" if error else "yes" if refer else "no" for refer, error in told]]

    def _write_csv(self, path: Path, answers: PredictionBatch) -> None:
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            said = zip(answers.names, self._predicted(answers), *self._advice(answers), strict=True)
            for words, shares, error in zip(said, answers.probabilities, answers.errors, strict=True):
                rows.writerow([*words, *("" if error else f"{p:.6g}" for p in shares), error])
            file.flush()
            os.fsync(file.fileno())

    def _join_csv(self, whole: Path, paths: Iterable[Path]) -> tuple[int, int]:
        images = unanswered = 0
        with whole.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(self._header)
            for path in paths:
                with path.open(encoding="utf-8", errors="surrogateescape", newline="") as part:
                    text = part.read()
                errors = [row[-1] for row in csv.reader(io.StringIO(text, newline=""))]
                images, unanswered = images + len(errors), unanswered + sum(map(bool, errors))
                file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return images, unanswered

    def _write_parquet(self, path: Path, answers: PredictionBatch) -> None:
        import pyarrow as pa

        told = [not error for error in answers.errors]
        columns = [
            pa.array(list(answers.names), pa.string()),
            *(
                pa.array([word or None for word in column], pa.string())
                for column in (self._predicted(answers), *self._advice(answers))
            ),
            *(pa.array(shares.astype(np.float32), mask=~np.array(told)) for shares in answers.probabilities.T),
            pa.array([error or None for error in answers.errors], pa.string()),
        ]
        parquet(path).write_table(pa.table(columns, names=self._header), path)

    def _join_parquet(self, whole: Path, paths: Iterable[Path]) -> tuple[int, int]:
        import pyarrow as pa

        strings = {*_FIXED, _REFER, _ERROR}
        schema = pa.schema([(name, pa.string() if name in strings else pa.float32()) for name in self._header])
        images = unanswered = 0
        with parquet(whole).ParquetWriter(whole, schema) as file:
            for path in paths:
                table = parquet(path).read_table(path)
                errors = table.column(_ERROR)
                images, unanswered = images + len(errors), unanswered + len(errors) - errors.null_count
                file.write_table(table)
        return images, unanswered
