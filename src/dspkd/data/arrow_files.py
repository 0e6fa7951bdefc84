"""Files whose columns have types: parquet, and Arrow as `save_to_disk` of Hugging Face and Feather write it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from dspkd.errors import DataError, DspkdError

ARROW = (".arrow", ".feather")
"""Suffixes of Arrow's own format, a stream (as Hugging Face writes) or a file with an index (as Feather does)."""

SUFFIXES = (".parquet", *ARROW)

_INDEXED = b"ARROW1"
"""How a file of Arrow with an index begins."""


def parquet(path: Path) -> ModuleType:
    """Return the module `pyarrow.parquet`; DataError about `path` where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        kind = "parquet" if path.suffix.lower() == ".parquet" else "Arrow"
        raise DataError(f"{path}: {kind} needs pyarrow, which is not installed: pip install 'dspkd[parquet]'") from None
    module: ModuleType = pyarrow.parquet
    return module


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Make any error inside, of pyarrow on a damaged file, a DataError."""
    try:
        yield
    except DspkdError:
        raise
    except Exception as error:  # pyarrow's errors are of many kinds, MemoryError among them
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not a readable {path.suffix[1:].lower()} file: {reason}") from None


def schema_of(path: Path) -> Any:
    """Return the schema of a file, which is all that is read of it."""
    module = parquet(path)
    with reading(path):
        if path.suffix.lower() not in ARROW:
            return module.read_schema(path)
        with _opened(path) as reader:
            return reader.schema


def batches(path: Path, columns: Sequence[str], size: int = 65_536) -> Iterator[Any]:
    """Yield the rows of a file, at most `size` at once, with these columns.

    Raises
    ------
    DataError
        The file cannot be read, or pyarrow is not installed.
    """
    module = parquet(path)
    with reading(path):
        if path.suffix.lower() not in ARROW:
            with module.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=size, columns=list(columns))
            return
        with _opened(path) as reader:
            indexed = hasattr(reader, "num_record_batches")
            for batch in map(reader.get_batch, range(reader.num_record_batches)) if indexed else reader:
                kept = batch.select(list(columns))
                yield from (kept.slice(start, size) for start in range(0, batch.num_rows, size))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of Arrow, of either kind, without reading it into memory."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        first = source.read(len(_INDEXED))
        source.seek(0)
        with (pa.ipc.open_file if first == _INDEXED else pa.ipc.open_stream)(source) as reader:
            yield reader


def is_nested(field: Any) -> bool:
    """Return whether a column holds structures or bytes, or lists of them, and so no cells of a table."""
    import pyarrow.types

    kind = field.type
    while pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pyarrow.types.is_struct(kind)) or is_bytes(kind)


def is_bytes(kind: Any) -> bool:
    """Return whether a type of pyarrow is bytes, as pandas or Polars write them."""
    import pyarrow.types

    return bool(
        pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind) or pyarrow.types.is_binary_view(kind)
    )
