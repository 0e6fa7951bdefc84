"""Predict millions of images: in batches, in bounded memory, resumed after a kill, here or on a Ray cluster.

The classifier is an argument: see `dspkd.deploy.batch.engines.BatchClassifier`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from filelock import FileLock, Timeout

from dspkd.deploy.batch.engines import Chunk, Engine
from dspkd.deploy.batch.listing import ImageSource
from dspkd.deploy.batch.output import ShardedOutput
from dspkd.errors import DataError

CHUNK = 512
"""Images whose predictions are written at once: as many as a kill may cost. Inferred."""


@dataclass(frozen=True)
class BatchCounts:
    """Images, those of them without a prediction, and those that an earlier call had processed."""

    images: int
    failed: int
    before: int


def predict(
    source: ImageSource,
    output: ShardedOutput,
    engine: Engine,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> BatchCounts:
    """Write a row for each image that `source` names into ``output.out``, in the order of the source.

    May be killed at any moment: the same call continues with the chunks of images that have no shard yet, and ends with
    the same file. An image that cannot be read has a row with the reason, and stops nothing. Memory hardly depends on
    the number of images: a file name is kept for every `CHUNK` of them. Columns are ``image`` (its name in the source),
    ``refer``, ``reasons``, ``predicted``, ``not_benign``, ``probability_<class>`` and ``error``; see `ShardedOutput`. A
    row has either an error or the rest.

    Parameters
    ----------
    source
        Names the images. It is read through once before the first prediction, so that a broken row costs no hours.
    output
        Where predictions are kept, those of another folder apart.
    engine
        `run_inline` or `on_ray` of `dspkd.deploy.batch.engines`, with their other arguments given.
    progress
        Called with what is being counted, how many images are done, and of how many.

    Raises
    ------
    DataError
        The output file exists already, another process is writing it, or the source is broken or names no image.
    RunError
        From the engine; what was predicted is kept.
    """
    if output.out.exists() and not output.folder.exists():
        raise DataError(f"{output.out}: exists already; delete it, or name another file")
    try:
        output.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(output.out.with_name(f"{output.out.name}.lock"), timeout=0):
            return _finish(source, output.of_folder(source.root), engine, progress)
    except Timeout:
        raise DataError(f"{output.out}: another process is writing it; wait for it, or name another file") from None
    except OSError as error:
        raise DataError(f"{output.out}: cannot be written: {error.strerror or error}") from None


def _finish(
    source: ImageSource, output: ShardedOutput, engine: Engine, progress: Callable[[str, int, int], None]
) -> BatchCounts:
    total = sum(1 for _ in source.names())
    if not total:
        output.clear()
        raise DataError(f"{source}: names no image")
    before = done = sum(len(chunk) for chunk in _chunks(source) if output.path(chunk).exists())
    progress("images", done, total)
    with closing(engine(chunk for chunk in _chunks(source) if not output.path(chunk).exists())) as batches:
        for batch in batches:
            output.write(batch)
            done += len(batch.names)
            progress("images", done, total)
    images, failed = output.join(_chunks(source))
    return BatchCounts(images, failed, before)


def _chunks(source: ImageSource) -> Iterator[Chunk]:
    names = source.names()
    while chunk := tuple(islice(names, CHUNK)):
        yield chunk
