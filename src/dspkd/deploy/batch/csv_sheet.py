"""Ask a bundle about many images: in parallel, none lost, and on from where it was stopped."""

from __future__ import annotations

import csv
import io
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from dspkd.data.image_files import SUFFIXES
from dspkd.deploy.bundle.predictor import Prediction, Predictor
from dspkd.errors import DataError
from dspkd.runtime.files import atomic_open

Answer = Prediction | DataError
_AHEAD = 4
"""Images a thread that are asked about before the first answer is taken."""


def find(paths: Iterable[Path]) -> list[Path]:
    """Return these files, and in place of a folder all images in it and below, by name.

    Raises
    ------
    DataError
        A folder has no image.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not inside:
            raise DataError(f"{path}: no image in it or below ({', '.join(sorted(SUFFIXES))})")
        found += inside
    return found


def ask(predictor: Predictor, paths: Iterable[Path], *, threads: int = 1) -> Iterator[tuple[Path, Answer]]:
    """Yield each image with what the bundle says of it, or with why it cannot be read, in their order.

    Images are decoded and asked about by so many threads at once; few are held in memory at any time.
    """

    def answer(path: Path) -> Answer:
        try:
            return predictor.predict(path)
        except DataError as error:
            return error

    waiting = iter(paths)
    with ThreadPoolExecutor(threads) as pool:
        asked = deque((path, pool.submit(answer, path)) for path in itertools.islice(waiting, _AHEAD * threads))
        while asked:
            path, told = asked.popleft()
            for following in itertools.islice(waiting, 1):
                asked.append((following, pool.submit(answer, following)))
            yield path, told.result()


class Sheet:
    """A CSV file of answers that grows a row at a time; a file that was begun before goes on.

    Columns: image, error, top, confidence, refer, p_<class> for each class, bundle (the first 12 digits of its digest)
    and precision. An image that could not be read has an error and no answer, and is asked about again next time.

    Parameters
    ----------
    path
        The file; its folder is made.
    predictor
        Whose answers it holds.

    Raises
    ------
    DataError
        The file is no such sheet, or holds the answers of another bundle or precision.
    """

    def __init__(self, path: Path, predictor: Predictor) -> None:
        self.path = path
        self._classes = [known.id for known in predictor.classes]
        self._by = [predictor.bundle.digest[:12], predictor.precision]
        self._head = ["image", "error", "top", "confidence", "refer", *(f"p_{name}" for name in self._classes)]
        self._head += ["bundle", "precision"]
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = self._kept()
        self.answered = frozenset(row[0] for row in kept if not row[1])
        """The images that have an answer."""
        with atomic_open(path) as file:
            csv.writer(file, lineterminator="\n").writerows([self._head, *(row for row in kept if not row[1])])
        self._file = path.open("a", encoding="utf-8", newline="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def write(self, image: Path, answer: Answer) -> None:
        """Append a row; it is in the file when this returns."""
        if isinstance(answer, DataError):
            cells: list[object] = [str(answer), *([""] * (3 + len(self._classes)))]
        else:
            shares = [f"{answer.probabilities[name]:.6f}" for name in self._classes]
            cells = ["", answer.top, f"{answer.confidence:.6f}", "yes" if answer.refer else "no", *shares]
        csv.writer(self._file, lineterminator="\n").writerow([str(image), *cells, *self._by])
        self._file.flush()

    def _kept(self) -> Sequence[list[str]]:
        """Return the whole rows of the file as it was; a last one without an end was cut off while it was written."""
        if not self.path.exists():
            return []
        try:
            text = self.path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{self.path}: is there already and holds no answers; name another file") from None
        if f"{','.join(self._head)}\n".startswith(text):
            return []  # killed while it wrote its first line
        head, *rows = [*csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))] or [[]]
        if head != self._head:
            raise DataError(f"{self.path}: is there already and holds no answers with these classes; name another file")
        for row in rows:
            if len(row) != len(head) or row[-2:] != self._by:
                told = " ".join(row[-2:])
                raise DataError(
                    f"{self.path}: holds answers of {told}; these would be of {' '.join(self._by)}: name another file"
                )
        return rows
