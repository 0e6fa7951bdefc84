"""Who is asked about images, and how: decoded in other processes, answered in batches here, or all on a cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.batch.output import PredictionBatch
from dspkd.errors import DataError, DspkdError, RunError
from dspkd.runtime import ray as cluster

Chunk: TypeAlias = Sequence[str]
_TO_A_GPU = 4
"""Actors that share a GPU, since each decodes for itself. Inferred."""

Engine: TypeAlias = Callable[[Iterator[Chunk]], Generator[PredictionBatch, None, None]]
"""Takes chunks of names, and yields what is said of each, in any order; the names stay together."""


class BatchClassifier(Protocol):
    """Whoever answers about images: a run's student, a bundle."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names."""
        ...

    @property
    def key(self) -> str:
        """Changes whenever an answer might."""
        ...

    @property
    def refer_below(self) -> float | None:
        """Probability of its answer below which it advises to refer; None for who gives no advice."""
        ...

    @property
    def batch_size(self) -> int:
        """Images that are asked about at once."""
        ...

    @property
    def on_gpu(self) -> bool:
        """Whether it answers on a GPU."""
        ...

    @property
    def preprocess(self) -> Callable[[Path], NDArray[Any]]:
        """From a file to what `answer` takes a stack of, or DataError; other processes are sent this function."""
        ...

    def answer(self, pixels: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Return ``[N, K]`` probabilities of N images."""
        ...


def run_inline(
    chunks: Iterator[Chunk], *, asked: BatchClassifier, root: Path, workers: int
) -> Generator[PredictionBatch, None, None]:
    """Answer in this process, while `workers` other ones decode ahead; with none, decode here too.

    Raises
    ------
    RunError
        A process that decodes was killed.
    """
    with _decoders(workers) as pool:
        probabilities: list[NDArray[np.floating[Any]]] = []
        errors: list[str] = []
        for chunk, last, made in _decoded(chunks, pool, asked, root, ahead=2 * workers):
            told, wrong = _answers_about(made, asked)
            probabilities.append(told)
            errors += wrong
            if last:
                yield PredictionBatch(chunk, np.concatenate(probabilities), errors)
                probabilities, errors = [], []


def on_ray(
    chunks: Iterator[Chunk], *, make: Callable[[], BatchClassifier], root: Path, address: str, gpu: bool = False
) -> Generator[PredictionBatch, None, None]:
    """Answer by actors of a Ray cluster, one to each CPU, and at most four to a GPU; a lost one is started anew.

    Parameters
    ----------
    make
        Makes whoever is asked, on each actor's machine.
    root
        Folder of the images, on a file system that all nodes see under the same path.
    address
        See `dspkd.runtime.ray.connected`.
    gpu
        Whether actors need a GPU.

    Raises
    ------
    RunError
        There is no such cluster, or an actor failed again and again.
    """
    with cluster.connected(address) as ray:
        there = ray.cluster_resources()
        count = int(min(there.get("CPU", 1), _TO_A_GPU * there.get("GPU", 0) if gpu else np.inf))
        if not count:
            raise RunError(f"--ray {address}: the cluster has no {'GPU' if gpu else 'CPU'} for it")
        needs = {"num_cpus": 1, "num_gpus": gpu / _TO_A_GPU, "max_restarts": 3, "max_task_retries": 3}
        kind: Any = ray.remote(_Elsewhere)
        actors = [kind.options(**needs).remote(str(Path.cwd()), make, root) for _ in range(count)]
        # Two chunks an actor: it has one to go on with while the other's answers come here.
        idle, pending = deque(2 * actors), {}
        for chunk in chunks:
            actor = idle.popleft()
            pending[actor.answers.remote(chunk)] = actor
            if not idle:
                yield _fetched(ray, pending, idle)
        while pending:
            yield _fetched(ray, pending, idle)


_Decoded: TypeAlias = list["NDArray[Any] | str"]
"""An image of each image, or what is wrong with it."""


def _decode(preprocess: Callable[[Path], NDArray[Any]], root: Path, names: Chunk) -> _Decoded:
    made: _Decoded = []
    for name in names:
        try:
            made.append(preprocess(root / name))
        except DataError as error:
            made.append(str(error))
    return made


def _decoded(
    chunks: Iterator[Chunk], pool: Executor, asked: BatchClassifier, root: Path, ahead: int
) -> Iterator[tuple[Chunk, bool, _Decoded]]:
    """Yield each chunk in pieces of a batch: the chunk, whether this is its last piece, and the piece's images.

    While one piece is used, so many of the following are being decoded, and no more.
    """
    coming: deque[tuple[Chunk, bool, Future[_Decoded]]] = deque()
    for chunk in chunks:
        for start in range(0, len(chunk), asked.batch_size):
            names = chunk[start : start + asked.batch_size]
            last = start + asked.batch_size >= len(chunk)
            coming.append((chunk, last, pool.submit(_decode, asked.preprocess, root, names)))
            if len(coming) > ahead:
                yield _arrived(*coming.popleft())
    while coming:
        yield _arrived(*coming.popleft())


def _arrived(chunk: Chunk, last: bool, made: Future[_Decoded]) -> tuple[Chunk, bool, _Decoded]:
    try:
        return chunk, last, made.result()
    except BrokenProcessPool:
        raise RunError(
            "a process that decodes images was killed, perhaps for want of memory; what was answered is kept, and the "
            "same command goes on; --workers 0 decodes in this process"
        ) from None


def _answers_about(made: _Decoded, asked: BatchClassifier) -> tuple[NDArray[np.float64], list[str]]:
    """Return ``[N, K]`` probabilities, NaN where there are none, and N reasons why, "" where there are."""
    probabilities = np.full((len(made), len(asked.classes)), np.nan)
    errors = [item if isinstance(item, str) else "" for item in made]
    pixels = [item for item in made if not isinstance(item, str)]
    if pixels:
        rows = np.array([row for row, error in enumerate(errors) if not error])
        probabilities[rows] = asked.answer(np.stack(pixels))
        for row in rows[~np.isfinite(probabilities[rows]).all(axis=1)]:
            probabilities[row], errors[row] = np.nan, "the network's answer is not finite"
    return probabilities, errors


class _Here(Executor):
    """Does what it is given at once, in this process."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **settings: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*given, **settings))
        return done


@contextmanager
def _decoders(workers: int) -> Iterator[Executor]:
    if not workers:
        yield _Here()
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_alone)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _alone() -> None:
    """Leave Ctrl-C to the process that started this one, and end when it does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


class _Elsewhere:
    """An actor: whoever is asked, on a node of a cluster, where relative paths begin in `directory` too."""

    def __init__(self, directory: str, make: Callable[[], BatchClassifier], root: Path) -> None:
        os.chdir(directory)
        self._asked, self._root = make(), root

    def answers(self, chunk: Chunk) -> PredictionBatch:
        """Return what is said of a chunk."""
        (said,) = run_inline(iter([chunk]), asked=self._asked, root=self._root, workers=0)
        return said


def _fetched(ray: Any, pending: dict[Any, Any], idle: deque[Any]) -> PredictionBatch:
    """Return the answers that come first, and note that their actor has room for more."""
    (ended,), _ = ray.wait(list(pending), num_returns=1)
    idle.append(pending.pop(ended))
    try:
        answers: PredictionBatch = ray.get(ended)
    except ray.exceptions.RayError as failure:
        cause = getattr(failure, "cause", None)
        said = str(cause if isinstance(cause, DspkdError) else failure).strip().splitlines()[-1]
        raise RunError(f"--ray: {said}; what was answered is kept, and the same command goes on") from None
    return answers
