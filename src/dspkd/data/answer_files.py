"""Answers of anyone's models: a CSV or parquet file of logits, probabilities or embeddings, by image id."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dspkd.data.answer_checks import Kind, check_ids, check_values
from dspkd.data.arrow_files import parquet, schema_of
from dspkd.errors import DataError, first_few, suggest
from dspkd.runtime import csv_text
from dspkd.runtime.files import atomic_open, require_file

IDS = ("id", "image", "image_id", "isic_id")
"""Columns that may name the image; the first that exists is used."""

_PREFIXES: dict[str, Kind] = {
    "logit_": "logits", "prob_": "probabilities", "probability_": "probabilities", "embedding_": "embeddings",
}  # fmt: skip
_LIST = "embedding"
"""The column of a parquet file with a list of numbers for each image, in place of ``embedding_0`` and so on."""

_EXPECTED = "logit_<class> or prob_<class> for each class, or embedding_0, embedding_1 ..."
_ZERO = np.float32(0.0005)
"""What a probability of 0 may be at most, where all are of few decimals: one that three decimals round to 0."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers in a file.

    Attributes
    ----------
    path
        The file.
    kind
        What they are.
    ids
        N unique names of images.
    values
        ``[N, K]`` float32 in the order of the classes, or ``[N, D]`` embeddings; finite.
    """

    path: Path
    kind: Kind
    ids: tuple[str, ...]
    values: NDArray[np.float32]

    @property
    def logits(self) -> NDArray[np.float32]:
        """Return logits, or the logarithm of probabilities.

        One of 0 is rounded: it counts as half of the least other one, and at most as `_ZERO` (inferred).
        """
        assert self.kind != "embeddings", "a head makes logits of them"
        if self.kind == "logits":
            return self.values
        least = self.values[self.values > 0].min() / 2
        return np.asarray(np.log(np.maximum(self.values, np.clip(least, np.finfo(np.float32).tiny, _ZERO))))


def read(path: Path, classes: Sequence[str]) -> Answers:
    """Read and check a file of answers.

    Parameters
    ----------
    path
        ``.csv`` (UTF-8, with a header) or ``.parquet``, a row for each image: a column of `IDS`, and ``logit_<class>``,
        ``prob_<class>`` (or ``probability_<class>``) for each class, or ``embedding_0``, ``embedding_1`` ..., in a
        parquet file also a column ``embedding`` of lists. Other columns are ignored, and the case of these names but
        for that of classes.
    classes
        The K classes of the data; columns may be in another order.

    Raises
    ------
    DataError
        The file cannot be read; a column is missing, unknown or double; an id is empty or occurs twice; a value is
        missing or not finite; probabilities are negative or do not sum to 1; embeddings differ in length.
    """
    kind_of_file = path.suffix.lower()
    if kind_of_file not in (".csv", ".parquet"):
        raise DataError(f"{path}: answers are read from .csv or .parquet; name such a file")
    header = _csv_header(path) if kind_of_file == ".csv" else schema_of(path).names
    name = find(header, IDS)
    if name is None:
        raise DataError(f"{path}: no column {' or '.join(IDS)} names the image, among {first_few(header)}")
    kind, columns = _columns(path, header, classes)
    try:
        ids, values, place = (_read_csv if kind_of_file == ".csv" else _read_parquet)(path, name, columns)
    except DataError:
        raise
    except Exception as error:  # pyarrow's errors are of many kinds, MemoryError among them
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: is damaged: {reason}; make it again") from None
    check_ids(path, name, ids, place)
    check_values(path, kind, columns, values, place)
    return Answers(path, kind, tuple(ids), values.astype(np.float32))


def require_writable(path: Path) -> None:
    """Check that `write` can write `path`, before anything is computed for it; make its folder.

    Raises
    ------
    DataError
        The format is unknown or needs a package that is not installed, or the file cannot be written.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(f"{path}: answers are written as .csv or .parquet; name such a file")
    if path.suffix.lower() == ".parquet":
        parquet(path)
    try:
        require_file(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def write(path: Path, kind: Kind, ids: Sequence[str], classes: Sequence[str], values: NDArray[np.float32]) -> None:
    """Write a file that `read` reads, completely or not at all, with every float32 exactly as it is.

    Raises
    ------
    DataError
        See `require_writable`.
    """
    require_writable(path)
    prefix = {"logits": "logit_", "probabilities": "prob_", "embeddings": "embedding_"}[kind]
    names = [f"{prefix}{name}" for name in (range(values.shape[1]) if kind == "embeddings" else classes)]
    try:
        if path.suffix.lower() == ".parquet":
            module = parquet(path)
            import pyarrow as pa

            columns = {"id": pa.array(ids, pa.string())}
            columns |= {name: pa.array(values[:, k], pa.float32()) for k, name in enumerate(names)}
            with atomic_open(path, "wb") as file:
                module.write_table(pa.table(columns), file)
        else:
            with atomic_open(path) as file:
                writer = csv_text.Writer(file)
                writer.writerow(["id", *names])
                writer.writerows([image, *(f"{x:.9g}" for x in row)] for image, row in zip(ids, values, strict=True))
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def _columns(path: Path, header: Sequence[str], classes: Sequence[str]) -> tuple[Kind, list[str]]:
    """Return what the file holds, and its columns in order of the classes or of the embedding's numbers."""
    by_prefix = {prefix: [column for column in header if column.lower().startswith(prefix)] for prefix in _PREFIXES} | (
        {_LIST: [_LIST]} if _LIST in header else {}
    )
    present = [prefix for prefix, columns in by_prefix.items() if columns]
    if not present:
        raise DataError(f"{path}: no answers among {first_few(header)}; expected {_EXPECTED}")
    if len(present) > 1:
        raise DataError(f"{path}: has columns {' and '.join(f'{each}...' for each in present)}; keep one kind of them")
    (prefix,) = present
    if prefix == _LIST:
        return "embeddings", [_LIST]
    kind = _PREFIXES[prefix]
    column_of = {column[len(prefix) :]: column for column in by_prefix[prefix]}
    names = list(column_of)
    if len(names) < len(by_prefix[prefix]):
        raise DataError(f"{path}: two columns of {first_few(by_prefix[prefix])} are the same in other case; keep one")
    if kind == "embeddings":
        expected = [str(number) for number in range(len(names))]
        what = "an embedding is numbered from 0 without a gap"
    else:
        expected, what = list(classes), f"the classes of the data are {', '.join(classes)}"
    if unknown := [name for name in names if name not in expected]:
        hint = "" if kind == "embeddings" else f"; {suggest(unknown[0], expected)}"
        raise DataError(f"{path}: column {prefix}{unknown[0]}: {what}{hint}")
    if missing := [name for name in expected if name not in names]:
        raise DataError(f"{path}: no column {prefix}{missing[0]}; {what}")
    return kind, [column_of[name] for name in expected]


def find(header: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the column that is called as the first of these names that a header has, in any case."""
    columns = {column.lower(): column for column in reversed(list(header))}
    return next((columns[name] for name in names if name in columns), None)


def _csv_header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = [cell.strip() for cell in next(csv_text.Reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as CSV in UTF-8: {getattr(error, 'strerror', None) or error}"
        ) from None
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{path}: two columns are called {twice!r}; keep one")
    return header


_Read = tuple[list[str], NDArray[np.float64], Callable[[int], str]]
"""Ids, values ``[N, C]``, and where a row stands, as in "line 7"."""


def _read_csv(path: Path, name: str, columns: Sequence[str]) -> _Read:
    """Read row by row: a file of embeddings has millions of cells."""
    ids: list[str] = []
    lines: list[int] = []
    values: list[NDArray[np.float64]] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv_text.Reader(file)
        header = [cell.strip() for cell in next(reader)]
        of_id, chosen = header.index(name), [header.index(column) for column in columns]
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(f"{path}, line {reader.line_num}: {len(cells)} cells, but the header has {len(header)}")
            ids.append(cells[of_id].strip())
            lines.append(reader.line_num)
            values.append(_numbers(path, reader.line_num, columns, [cells[place] for place in chosen]))
    if not ids:
        raise DataError(f"{path}: has no rows")
    return ids, np.stack(values), lambda row: f"line {lines[row]}"


def _numbers(path: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        pass
    for column, cell in zip(columns, cells, strict=True):
        try:
            float(cell)
        except ValueError:
            raise DataError(f"{path}, line {line}: {column} must be a number, got {cell!r}") from None
    raise AssertionError("a cell is no number")


def _read_parquet(path: Path, name: str, columns: Sequence[str]) -> _Read:
    import pyarrow as pa

    module, size = parquet(path), path.stat().st_size
    if (rows := module.read_metadata(path).num_rows) > size:
        raise DataError(f"{path}: claims {rows:,} rows in {size:,} bytes, so it is damaged; make it again")
    table = module.read_table(path, columns=[name, *columns])
    if not len(table):
        raise DataError(f"{path}: has no rows")
    ids = ["" if cell is None else str(cell).strip() for cell in table[name].to_pylist()]

    def place(row: int) -> str:
        return f"row {row + 1}"

    if columns == [_LIST]:
        return ids, _stacked(path, table[_LIST].to_pylist(), place), place
    try:
        values = [table[column].cast(pa.float64()).to_numpy(zero_copy_only=False) for column in columns]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{path}: a column of {columns[0]} ... holds no numbers: {error}") from None
    return ids, np.stack(values, axis=1).astype(np.float64), place


def _stacked(path: Path, vectors: Sequence[Any], place: Callable[[int], str]) -> NDArray[np.float64]:
    """Return lists of one length as rows."""
    lengths = [len(vector) if isinstance(vector, list) else 0 for vector in vectors]
    for row, length in enumerate(lengths):
        if not length:
            raise DataError(f"{path}, {place(row)}: no embedding; every image needs a list of numbers")
        if length != lengths[0]:
            raise DataError(
                f"{path}, {place(row)}: an embedding of {length:,} numbers, and the first row has {lengths[0]:,}; "
                "all must have the same length"
            )
    try:
        return np.array(vectors, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{path}: column {_LIST}: lists must hold numbers") from None
