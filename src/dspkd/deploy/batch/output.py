"""Predictions on disk: in shards while the work goes on, in one file when it is done.

A shard is named by a hash of all that it depends on: the classifier, the images' names, and their files' sizes and
times. So a shard that exists is valid, whichever process wrote it and when, and one that is missing is computed.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.arrow_files import parquet
from dspkd.deploy.bundle.advice import ReferralRule
from dspkd.errors import DataError
from dspkd.runtime import csv_text

FORMATS = (".csv", ".parquet")
"""Suffixes of a file of predictions."""

_IMAGE, _PREDICTED, _ERROR = "image", "predicted", "error"
_ADVICE = ("refer", "reasons")
_NOT_BENIGN, _PROBABILITY = "not_benign", "probability_"


@dataclass(frozen=True, eq=False)
class PredictionBatch:
    """The predictions for N images.

    Attributes
    ----------
    names
        The N images as their source names them.
    probabilities
        ``[N, K]`` float64; NaN for images without a prediction.
    errors
        N reasons why there is no prediction; "" where there is one.
    """

    names: Sequence[str]
    probabilities: NDArray[np.float64]
    errors: Sequence[str]


class ShardedOutput:
    """The shards of a file of predictions, in a folder beside it.

    Parameters
    ----------
    out
        The file; its suffix is its format, CSV or parquet.
    classes
        The K class names.
    key
        Identifies the classifier: another model, another key.
    rule
        When the column `refer` is ``yes``; `reasons` has why, and `not_benign` the sum of the classes that are
        not benign. None: there are no such columns.

    Raises
    ------
    DataError
        The format is unknown or needs a package that is not installed.
    """

    def __init__(self, out: Path, classes: Sequence[str], key: str, rule: ReferralRule | None = None) -> None:
        if out.suffix.lower() not in FORMATS:
            raise DataError(f"{out}: predictions are written as {' or '.join(FORMATS)}; name such a file")
        if out.suffix.lower() == ".parquet":
            parquet(out)
        self.out, self.classes, self.key = out, tuple(classes), key
        self.folder = out.with_name(f"{out.name}.parts")
        self._root: Path | None = None
        self._paths: dict[bytes, Path] = {}
        self._rule = rule
        self._texts = [_IMAGE, *(_ADVICE if rule else ()), _PREDICTED]
        shares = [*([_NOT_BENIGN] if rule else []), *(_PROBABILITY + name for name in classes)]
        self._header = [*self._texts, *shares, _ERROR]

    def of_folder(self, root: Path) -> ShardedOutput:
        """Return the output for images whose names are relative to this folder: elsewhere they name other images."""
        output = copy(self)
        output.key = f"{self.key} {root.resolve()}"
        output._root, output._paths = root, {}
        return output

    def path(self, names: Sequence[str]) -> Path:
        """Return the file of the shard of these images, as they are at the first call for them.

        So a file that was replaced under its name is predicted again by the next command, and one that is replaced
        meanwhile leaves the shards of this one together.
        """
        digest = hashlib.blake2b(digest_size=16)
        for word in (self.key, repr(self._rule), *self.classes, *names):
            digest.update(word.encode(errors="surrogateescape") + b"\0")
        of_names = digest.digest()
        if of_names not in self._paths:
            if self._root is not None:
                for name in names:
                    digest.update(_state(self._root / name))
            self._paths[of_names] = self.folder / f"{digest.hexdigest()}{self.out.suffix.lower()}"
        return self._paths[of_names]

    def write(self, batch: PredictionBatch) -> None:
        """Write a shard: wholly, or not at all, whenever this is killed."""
        path = self.path(batch.names)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        (self._write_csv if path.suffix == ".csv" else self._write_parquet)(partial, batch)
        partial.replace(path)

    def join(self, chunks: Iterable[Sequence[str]]) -> tuple[int, int]:
        """Join the shards of these images, in this order, into the file, and delete the shards.

        Returns
        -------
        tuple[int, int]
            Images, and those of them without a prediction.
        """
        joined = self.folder / f"whole{self.out.suffix.lower()}"
        paths = (self.path(names) for names in chunks)
        counts = (self._join_csv if joined.suffix == ".csv" else self._join_parquet)(joined, paths)
        joined.replace(self.out)
        self.clear()
        return counts

    def clear(self) -> None:
        """Delete the shards."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _predicted(self, batch: PredictionBatch) -> list[str]:
        top = np.nan_to_num(batch.probabilities, nan=-1).argmax(axis=1)
        return ["" if error else self.classes[k] for k, error in zip(top, batch.errors, strict=True)]

    def _columns(self, batch: PredictionBatch) -> tuple[list[Sequence[str]], NDArray[np.float64]]:
        """Return the columns of text, and those of probabilities ``[N, columns]``."""
        predicted = self._predicted(batch)
        if self._rule is None:
            return [batch.names, predicted], batch.probabilities
        advice = [
            None if error else self._rule.advise(p_K)
            for p_K, error in zip(batch.probabilities, batch.errors, strict=True)
        ]
        refer = ["" if each is None else "yes" if each.refer else "no" for each in advice]
        reasons = ["" if each is None else " ".join(each.reasons) for each in advice]
        not_benign_N1 = np.array([[np.nan if each is None else each.not_benign] for each in advice])
        return [batch.names, refer, reasons, predicted], np.hstack([not_benign_N1, batch.probabilities])

    def _write_csv(self, path: Path, batch: PredictionBatch) -> None:
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv_text.Writer(file)
            texts, shares = self._columns(batch)
            for text, probabilities, error in zip(zip(*texts, strict=True), shares, batch.errors, strict=True):
                writer.writerow([*text, *("" if error else f"{p:.6g}" for p in probabilities), error])
            file.flush()
            os.fsync(file.fileno())

    def _join_csv(self, joined: Path, paths: Iterable[Path]) -> tuple[int, int]:
        images = failed = 0
        with joined.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv_text.Writer(file).writerow(self._header)
            for path in paths:
                with path.open(encoding="utf-8", errors="surrogateescape", newline="") as shard:
                    text = shard.read()
                errors = [row[-1] for row in csv_text.Reader(io.StringIO(text, newline=""))]
                images, failed = images + len(errors), failed + sum(map(bool, errors))
                file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return images, failed

    def _write_parquet(self, path: Path, batch: PredictionBatch) -> None:
        import pyarrow as pa

        failed = np.array([bool(error) for error in batch.errors])
        (names, *texts), shares = self._columns(batch)
        columns = [
            pa.array([name.encode(errors="backslashreplace").decode() for name in names], pa.string()),
            *(pa.array([word or None for word in column], pa.string()) for column in texts),
            *(pa.array(column.astype(np.float32), mask=failed) for column in shares.T),
            pa.array([error or None for error in batch.errors], pa.string()),
        ]
        parquet(path).write_table(pa.table(columns, names=self._header), path)

    def _join_parquet(self, joined: Path, paths: Iterable[Path]) -> tuple[int, int]:
        import pyarrow as pa

        strings = {*self._texts, _ERROR}
        schema = pa.schema([(name, pa.string() if name in strings else pa.float32()) for name in self._header])
        images = failed = 0
        with parquet(joined).ParquetWriter(joined, schema) as file:
            for path in paths:
                table = parquet(path).read_table(path)
                errors = table.column(_ERROR)
                images, failed = images + len(errors), failed + len(errors) - errors.null_count
                file.write_table(table)
        return images, failed


def _state(path: Path) -> bytes:
    """Return what changes when a file is replaced: its size, and when it was written."""
    try:
        stat = path.stat()
    except OSError:
        return b"-\0"
    return f"{stat.st_size} {stat.st_mtime_ns}\0".encode()
