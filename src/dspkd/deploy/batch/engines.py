"""How images are classified: decoded in other processes and predicted here in batches, or all of it on a cluster."""

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
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.batch.output import PredictionBatch
from dspkd.deploy.bundle.advice import ReferralRule
from dspkd.errors import DataError, DspkdError, RunError
from dspkd.runtime import ray as cluster

Chunk: TypeAlias = Sequence[str]
_ACTORS_PER_GPU = 4
"""Actors that share a GPU, since each decodes for itself. Inferred."""
_LOST_ACTORS = 3
"""Actors that may be lost before the call fails, for each one there was at first. Inferred."""

Engine: TypeAlias = Callable[[Iterator[Chunk]], Generator[PredictionBatch, None, None]]
"""Takes chunks of names and yields the predictions for each chunk, the chunks in any order."""


class BatchClassifier(Protocol):
    """What maps batches of images to probabilities: a run's student, a bundle."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names."""
        ...

    @property
    def key(self) -> str:
        """Changes whenever a prediction might."""
        ...

    @property
    def rule(self) -> ReferralRule | None:
        """When to refer an image; None where it has no thresholds, as a run."""
        ...

    @property
    def batch_size(self) -> int:
        """Images in a batch."""
        ...

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        ...

    @property
    def preprocess(self) -> Callable[[Path], NDArray[Any]]:
        """From a file to an image for `answer`, or DataError; the function is sent to other processes."""
        ...

    def answer(self, pixels: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Return ``[N, K]`` probabilities of N images."""
        ...


def run_inline(
    chunks: Iterator[Chunk], *, classifier: BatchClassifier, root: Path, workers: int
) -> Generator[PredictionBatch, None, None]:
    """Predict in this process, while `workers` other ones decode ahead; with none, decode here too.

    Raises
    ------
    RunError
        A process that decodes was killed.
    """
    with _decoders(workers) as pool:
        probabilities: list[NDArray[np.floating[Any]]] = []
        errors: list[str] = []
        for chunk, last, images in _decode_ahead(chunks, pool, classifier, root, ahead=2 * workers):
            batch_probabilities, batch_errors = _classify(images, classifier)
            probabilities.append(batch_probabilities)
            errors += batch_errors
            if last:
                yield PredictionBatch(chunk, np.concatenate(probabilities), errors)
                probabilities, errors = [], []


def on_ray(
    chunks: Iterator[Chunk], *, load: Callable[[], BatchClassifier], root: Path, address: str, gpu: bool = False
) -> Generator[PredictionBatch, None, None]:
    """Predict by actors of a Ray cluster, one to each CPU, and at most four to a GPU.

    The chunks of an actor that is lost, with its node or alone, go to others, and an actor is started in its place as
    soon as the cluster has room for it.

    Parameters
    ----------
    load
        Loads the classifier, on each actor's machine.
    root
        Folder of the images, on a file system that all nodes see under the same path.
    address
        See `dspkd.runtime.ray.connected`.
    gpu
        Whether actors need a GPU.

    Raises
    ------
    RunError
        There is no such cluster, actors were lost again and again, or the classifier cannot be loaded.
    """
    with cluster.connected(address) as ray:
        resources = ray.cluster_resources()
        count = int(min(resources.get("CPU", 1), _ACTORS_PER_GPU * resources.get("GPU", 0) if gpu else np.inf))
        if not count:
            raise RunError(f"--ray {address}: the cluster has no {'GPU' if gpu else 'CPU'} for it")
        actor_class: Any = ray.remote(_RayActor).options(num_cpus=1, num_gpus=gpu / _ACTORS_PER_GPU)
        actors = _Actors(ray, partial(actor_class.remote, str(Path.cwd()), root), load, count)
        yield from actors.predict(chunks)


_Decoded: TypeAlias = list["NDArray[Any] | str"]
"""For each image its pixels, or why it cannot be read."""


def _decode(preprocess: Callable[[Path], NDArray[Any]], root: Path, names: Chunk) -> _Decoded:
    images: _Decoded = []
    for name in names:
        try:
            images.append(preprocess(root / name))
        except DataError as error:
            images.append(str(error))
        except MemoryError:
            images.append(f"{root / name}: preprocessing it needs more memory than there is")
    return images


def _decode_ahead(
    chunks: Iterator[Chunk], pool: Executor, classifier: BatchClassifier, root: Path, ahead: int
) -> Iterator[tuple[Chunk, bool, _Decoded]]:
    """Yield each chunk in pieces of a batch: the chunk, whether this is its last piece, and the piece's images.

    While one piece is used, at most `ahead` of the following are being decoded.
    """
    queue: deque[tuple[Chunk, bool, Future[_Decoded]]] = deque()
    for chunk in chunks:
        for start in range(0, len(chunk), classifier.batch_size):
            names = chunk[start : start + classifier.batch_size]
            last = start + classifier.batch_size >= len(chunk)
            queue.append((chunk, last, pool.submit(_decode, classifier.preprocess, root, names)))
            if len(queue) > ahead:
                yield _wait_for(*queue.popleft())
    while queue:
        yield _wait_for(*queue.popleft())


def _wait_for(chunk: Chunk, last: bool, images: Future[_Decoded]) -> tuple[Chunk, bool, _Decoded]:
    try:
        return chunk, last, images.result()
    except BrokenProcessPool:
        raise RunError(
            "a process that decodes images was killed, perhaps for want of memory; finished predictions are kept, and "
            "the same command resumes; --workers 0 decodes in this process"
        ) from None


def _classify(images: _Decoded, classifier: BatchClassifier) -> tuple[NDArray[np.float64], list[str]]:
    """Return ``[N, K]`` probabilities, NaN where there are none, and N reasons why, "" where there are."""
    probabilities = np.full((len(images), len(classifier.classes)), np.nan)
    errors = [image if isinstance(image, str) else "" for image in images]
    pixels = [image for image in images if not isinstance(image, str)]
    if pixels:
        rows = np.array([row for row, error in enumerate(errors) if not error])
        probabilities[rows] = classifier.answer(np.stack(pixels))
        for row in rows[~np.isfinite(probabilities[rows]).all(axis=1)]:
            probabilities[row], errors[row] = np.nan, "the network's output is not finite"
    return probabilities, errors


class _InlineExecutor(Executor):
    """Runs each job at once, in this process."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        return future


@contextmanager
def _decoders(workers: int) -> Iterator[Executor]:
    if not workers:
        yield _InlineExecutor()
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent process, and exit when the parent does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class _RayActor:
    """A classifier on a node of a cluster; relative paths start in `directory`, as in the process that started it."""

    def __init__(self, directory: str, root: Path) -> None:
        os.chdir(directory)
        self._root = root
        self._classifier: BatchClassifier | None = None

    def load(self, load: Callable[[], BatchClassifier]) -> None:
        """Load the classifier."""
        self._classifier = load()

    def predict(self, chunk: Chunk) -> PredictionBatch:
        """Return the predictions for a chunk."""
        assert self._classifier is not None
        (batch,) = run_inline(iter([chunk]), classifier=self._classifier, root=self._root, workers=0)
        return batch


class _Actors:
    """Actors that share chunks; one gets its first when it has loaded the classifier, so that none waits for it."""

    def __init__(self, ray: Any, start: Callable[[], Any], load: Callable[[], BatchClassifier], count: int) -> None:
        self._ray, self._start, self._load = ray, start, load
        self._calls: dict[Any, tuple[Any, Chunk | None]] = {}  # by what they return: actor and chunk; None: it loads
        self._idle: deque[Any] = deque()
        self._again: deque[Chunk] = deque()
        self._may_be_lost = _LOST_ACTORS * count
        for _ in range(count):
            self._add()

    def predict(self, chunks: Iterator[Chunk]) -> Iterator[PredictionBatch]:
        """Yield the predictions for each chunk, in any order."""
        while True:
            while self._idle and (chunk := self._again.popleft() if self._again else next(chunks, None)) is not None:
                actor = self._idle.popleft()
                self._calls[actor.predict.remote(chunk)] = actor, chunk
            if not any(chunk is not None for _, chunk in self._calls.values()) and self._idle:
                return
            batch = self._next_finished()
            if batch is not None:
                yield batch

    def _add(self) -> None:
        actor = self._start()
        self._calls[actor.load.remote(self._load)] = actor, None

    def _next_finished(self) -> PredictionBatch | None:
        """Wait for a call to return: the predictions for its chunk; None where there are none, or the actor is lost."""
        (finished,), _ = self._ray.wait(list(self._calls), num_returns=1)
        actor, chunk = self._calls.pop(finished)
        try:
            batch: PredictionBatch | None = self._ray.get(finished)
        except self._ray.exceptions.RayActorError as failure:
            self._replace(actor, chunk, failure)
            return None
        except self._ray.exceptions.RayError as failure:
            raise _failed(failure) from None
        # Two chunks an actor: it computes one while the predictions for the other are sent.
        self._idle.extend([actor, actor] if chunk is None else [actor])
        return batch

    def _replace(self, actor: Any, chunk: Chunk | None, failure: Exception) -> None:
        """Start an actor in place of a lost one, and let others compute its chunks."""
        if not self._may_be_lost:
            raise _failed(failure)
        self._may_be_lost -= 1
        lost = [call for call, (of, _) in self._calls.items() if of is actor]
        self._again.extend(each for each in (chunk, *(self._calls.pop(call)[1] for call in lost)) if each is not None)
        self._idle = deque(each for each in self._idle if each is not actor)
        self._add()


def _failed(failure: Exception) -> RunError:
    cause = getattr(failure, "cause", None)
    reason = str(cause if isinstance(cause, DspkdError) else failure).strip().splitlines()[-1]
    return RunError(f"--ray: {reason}; finished predictions are kept, and the same command resumes")
