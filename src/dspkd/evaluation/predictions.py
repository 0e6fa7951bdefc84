"""Predictions of a network for a set of images: the interface between training and evaluation.

A file of predictions is a CSV with the columns ``id, group, label, logit_<class>, ...``, compressed if its name ends in
``.gz``; after ``label`` it has ``fold`` where several networks predicted. Labels are class names; a logit has nine
significant digits, enough to read back the same float32 bit for bit.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from dspkd.errors import DataError, suggest
from dspkd.runtime import csv_text
from dspkd.runtime.files import read_bytes, write_compressed, write_text

_COLUMNS = ["id", "group", "label"]
_FOLD, _LOGIT = "fold", "logit_"


@dataclass(frozen=True, eq=False)
class Predictions:
    """A network's logits for N images, with their labels and groups.

    Attributes
    ----------
    classes
        The K class names, in the order of the logits.
    ids
        The N image names, all different.
    groups
        ``[N]``, the lesion or patient of each image.
    labels
        ``[N]`` int64, the true class numbers, in 0..K-1.
    logits
        ``[N, K]`` float32, finite.
    folds
        ``[N]`` int64, the fold of each image in a cross-validation, whose network predicted it; a group is in one fold.
        None: one network predicted all images.
    written
        ``[N, K]``, the probabilities as a file has them; None where it has logits. A file rounds them, so that they may
        be 0 or tied, which logits in float32 are not.

    Raises
    ------
    DataError
        Where lengths, types or ranges are others than these, or there is no image.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    folds: NDArray[np.int64] | None = None
    written: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self._check_shapes()
        if repeated := _repeated(self.classes):
            raise DataError(f"class {repeated!r} is named twice; class names must differ")
        if repeated := _repeated(self.ids):
            raise DataError(f"id {repeated!r} occurs twice; predict each image once")
        if self.folds is not None:
            fold_of: dict[str, int] = {}
            for group, fold in zip(self.groups, self.folds.tolist(), strict=True):
                if fold_of.setdefault(group, fold) != fold:
                    raise DataError(f"lesion or patient {group!r} is in two folds, {fold_of[group]} and {fold}")
        for row in np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))[:1]:
            raise DataError(f"id {self.ids[row]!r}: label {self.labels[row]} is not in 0..{len(self.classes) - 1}")
        for row, column in np.argwhere(~np.isfinite(self.logits))[:1]:
            raise DataError(
                f"id {self.ids[row]!r}: the logit of {self.classes[column]!r} is {self.logits[row, column]}; "
                "logits must be finite float32, so the network or its weights are broken"
            )

    def _check_shapes(self) -> None:
        images = len(self.ids)
        if images == 0:
            raise DataError("there are no predictions; at least one image is needed")
        if len(self.groups) != images or self.labels.shape != (images,):
            raise DataError(f"{images} ids, {len(self.groups)} groups, labels {self.labels.shape}: lengths must agree")
        if self.folds is not None and self.folds.shape != (images,):
            raise DataError(f"{images} ids, folds {self.folds.shape}: lengths must agree")
        if self.logits.shape != (images, len(self.classes)) or self.logits.dtype != np.float32:
            raise DataError(
                f"logits must be float32 [{images}, {len(self.classes)}], "
                f"got {self.logits.dtype} {list(self.logits.shape)}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """``[N, K]`` softmax of the logits in float64; rows sum to 1 and large logits do not overflow."""
        return np.asarray(softmax(self.logits.astype(np.float64), axis=1))

    @property
    def scores(self) -> NDArray[np.float64]:
        """``[N, K]`` by which images are ranked: `written`, or else the probabilities.

        Those of the first image stand for all where all are equal but for the rounding of float32: the logits of an
        image may all be larger by a number without meaning.
        """
        if self.written is not None:
            return self.written
        largest_N1 = self.logits.max(axis=1, keepdims=True)
        below_NK = self.logits.astype(np.float64) - largest_N1
        noise_NK = np.spacing(np.abs(self.logits)) + np.spacing(np.abs(largest_N1))
        equal = (np.abs(below_NK - below_NK[0]) <= noise_NK + noise_NK[0]).all()
        return np.repeat(self.probabilities[:1], len(self), axis=0) if equal else self.probabilities

    @property
    def predicted(self) -> NDArray[np.int64]:
        """``[N]`` class numbers of the largest logits; of tied ones, the first."""
        return np.asarray(self.logits.argmax(axis=1))

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the predictions of these rows, in this order; at least one."""
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            groups=tuple(self.groups[row] for row in rows),
            labels=self.labels[rows],
            logits=self.logits[rows],
            folds=None if self.folds is None else self.folds[rows],
            written=None if self.written is None else self.written[rows],
        )

    def of(self, ids: Sequence[str]) -> Self:
        """Return the predictions of these images, in this order; `DataError` where one is not among them."""
        row_of = {name: row for row, name in enumerate(self.ids)}
        if missing := [name for name in ids if name not in row_of]:
            raise DataError(f"{len(missing)} of {len(ids)} images have no prediction, such as {missing[0]!r}")
        return self.take(np.array([row_of[name] for name in ids], dtype=np.int64))

    def save(self, path: Path, digits: int | None = None) -> None:
        """Write the predictions to `path`, making its folder; the file is replaced as a whole.

        With `digits`, logits are rounded to so many decimals.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        text, number = io.StringIO(), ".9g" if digits is None else f".{digits}f"
        rows = csv_text.Writer(text)
        folds = [[]] * len(self) if self.folds is None else [[fold] for fold in self.folds.tolist()]
        rows.writerow([*_COLUMNS, *([] if self.folds is None else [_FOLD]), *(_LOGIT + name for name in self.classes)])
        for image, group, label, fold, logits in zip(
            self.ids, self.groups, self.labels, folds, self.logits, strict=True
        ):
            scores = [format(float(logit), number) for logit in logits]
            rows.writerow([image, group, self.classes[label], *fold, *scores])
        write = write_compressed if path.suffix == ".gz" else write_text
        write(path, text.getvalue())

    @classmethod
    def joined(cls, parts: Sequence[Self], ids: Sequence[str]) -> Self:
        """Join `parts`, which together have exactly these `ids`, in the order of `ids`."""
        row_of = {name: row for row, name in enumerate(name for part in parts for name in part.ids)}
        order = [row_of[name] for name in ids]
        groups = [group for part in parts for group in part.groups]
        return cls(
            classes=parts[0].classes,
            ids=tuple(ids),
            groups=tuple(groups[row] for row in order),
            labels=np.concatenate([part.labels for part in parts])[order],
            logits=np.concatenate([part.logits for part in parts])[order],
        )

    @classmethod
    def of_folds(cls, folds: Sequence[Self]) -> Self:
        """Join the predictions of the networks of a cross-validation, each of the images of its fold; sorted by id.

        Raises
        ------
        DataError
            The folds have other classes, or share an image or a lesion.
        """
        first = folds[0]
        for number, fold in enumerate(folds):
            if fold.classes != first.classes:
                raise DataError(
                    f"fold {number} has the classes {', '.join(fold.classes)}, fold 0 {', '.join(first.classes)}"
                )
        joined = cls.joined(folds, sorted(name for fold in folds for name in fold.ids))
        number_of = {name: number for number, fold in enumerate(folds) for name in fold.ids}
        return replace(joined, folds=np.array([number_of[name] for name in joined.ids], dtype=np.int64))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` wrote.

        Raises
        ------
        DataError
            Where the file is missing or not such a file; the message names the file and the line.
        """
        try:
            return cls(**_parse(io.StringIO(read_bytes(path).decode(), newline="")))
        except FileNotFoundError:
            raise DataError(f"{path}: no such file of predictions") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: not a CSV in UTF-8: {error}") from None
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def _parse(lines: Iterable[str]) -> dict[str, Any]:
    """Parse the lines of a CSV into the fields of `Predictions`."""
    rows = csv_text.Reader(lines)
    header = next(rows, [])
    folded = header[len(_COLUMNS) : len(_COLUMNS) + 1] == [_FOLD]
    classes = _classes([name for name in header if not (folded and name == _FOLD)])
    number = {name: place for place, name in enumerate(classes)}
    ids, groups, labels, folds, logits = [], [], [], [], []
    for row in rows:
        place = f"line {rows.line_num}"
        if len(row) != len(header):
            raise DataError(f"{place}: expected {len(header)} values, got {len(row)}")
        image, group, label, *texts = row
        if folded:
            folds.append(fold_number(texts.pop(0), place))
        if label not in number:
            raise DataError(f"{place}: no class is called {label!r}; {suggest(label, classes)}")
        ids.append(image)
        groups.append(group)
        labels.append(number[label])
        logits.append([_number(text, place) for text in texts])
    with np.errstate(over="ignore"):  # a value beyond float32 becomes inf, which is refused by its id
        logits_NK = np.array(logits, dtype=np.float64).reshape(len(ids), len(classes)).astype(np.float32)
    return {
        "classes": classes,
        "ids": tuple(ids),
        "groups": tuple(groups),
        "labels": np.array(labels, dtype=np.int64),
        "logits": logits_NK,
        "folds": np.array(folds, dtype=np.int64) if folded else None,
    }


def fold_number(text: str, place: str) -> int:
    """Return the number of a fold; DataError, beginning with `place`, unless it is a whole number of at least 0."""
    if not text.isdecimal():
        raise DataError(f"{place}: {_FOLD} must be a whole number of at least 0, got {text!r}")
    return int(text)


def _classes(header: list[str]) -> tuple[str, ...]:
    """Parse the class names from a header."""
    fixed, logits = header[: len(_COLUMNS)], header[len(_COLUMNS) :]
    if fixed != _COLUMNS or not logits or not all(name.startswith(_LOGIT) for name in logits):
        raise DataError(f"line 1: expected the columns id, group, label, logit_<class>, ...; got {', '.join(header)!r}")
    return tuple(name.removeprefix(_LOGIT) for name in logits)


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{place}: a logit must be a number, got {text!r}") from None


def _repeated(names: Iterable[str]) -> str | None:
    """Return the first of the names that occur more than once."""
    return next((name for name, count in Counter(names).items() if count > 1), None)
