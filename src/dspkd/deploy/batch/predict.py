"""Ask about millions of images: in batches, in bounded memory, resumed after a kill, here or on a Ray cluster.

Whoever is asked is an argument: see `dspkd.deploy.batch.engines.BatchClassifier`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from filelock import FileLock, Timeout

from dspkd.deploy.batch.engines import Chunk, Engine
from dspkd.deploy.batch.listing import ImageList
from dspkd.deploy.batch.output import ShardedOutput
from dspkd.errors import DataError

CHUNK = 512
"""Images whose answers are written at once: as many as a kill may cost. Inferred."""


@dataclass(frozen=True)
class BatchCounts:
    """How many images there were, how many of them have no answer, and how many had been answered before."""

    images: int
    unanswered: int
    before: int


def predict(
    source: ImageList,
    parts: ShardedOutput,
    engine: Engine,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> BatchCounts:
    """Write what is said of each image that `source` names into ``parts.out``, a row each, in the order of the source.

    May be killed at any moment: the same call goes on with the chunks of images of which no part is there, and ends
    with the same file. An image that cannot be read has a row with the reason, and stops nothing. Memory does not
    depend on the number of images. Columns are ``image`` (its name in the source), ``predicted``, ``refer`` (from a
    bundle), ``probability_<class>`` and ``error``; a row has either an error or the rest.

    Parameters
    ----------
    source
        Names the images. It is read through once before anything is asked, so that a broken row costs no hours.
    parts
        Where answers are kept.
    engine
        `run_inline` or `on_ray` of `dspkd.deploy.batch.engines`, with their other arguments given.
    progress
        Is told what is being done, how many images are done, and of how many.

    Raises
    ------
    DataError
        The file of answers is there already, somebody else is writing it, or the source is broken or names no image.
    RunError
        From the engine; what was answered is kept.
    """
    if parts.out.exists() and not parts.folder.exists():
        raise DataError(f"{parts.out}: is there already; delete it, or name another file")
    try:
        parts.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(parts.out.with_name(f"{parts.out.name}.lock"), timeout=0):
            return _finish(source, parts, engine, progress)
    except Timeout:
        raise DataError(f"{parts.out}: another process is writing it; wait for it, or name another file") from None
    except OSError as error:
        raise DataError(f"{parts.out}: cannot be written: {error.strerror or error}") from None


def _finish(
    source: ImageList, parts: ShardedOutput, engine: Engine, progress: Callable[[str, int, int], None]
) -> BatchCounts:
    total = sum(1 for _ in source.names())
    if not total:
        parts.clear()
        raise DataError(f"{source.path}: names no image")
    before = done = sum(len(chunk) for chunk in _chunks(source) if parts.path(chunk).exists())
    progress("images", done, total)
    with closing(engine(chunk for chunk in _chunks(source) if not parts.path(chunk).exists())) as answered:
        for answers in answered:
            parts.write(answers)
            done += len(answers.names)
            progress("images", done, total)
    images, unanswered = parts.join(_chunks(source))
    return BatchCounts(images, unanswered, before)


def _chunks(source: ImageList) -> Iterator[Chunk]:
    names = source.names()
    while chunk := tuple(islice(names, CHUNK)):
        yield chunk
