"""Cache of decoded images: decoded and resized once, kept as memory-mapped uint8 pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features

from dspkd.data.artefacts import about
from dspkd.data.decode import damaged, decode
from dspkd.data.image_formats import open_photograph
from dspkd.data.table import Table
from dspkd.errors import DataError
from dspkd.runtime.array_store import KEY_BYTES, Store
from dspkd.runtime.files import readable
from dspkd.runtime.progress import Progress

RGB = NDArray[np.uint8]
_CHUNK = 256
"""Images decoded between two writes, the most that an interruption loses."""

DECODER = f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"
"""The decoder, part of the cache's key: another one may give other pixels."""


class DecodeCache:
    """Images of a table, bit for bit as `dspkd.data.decode.decode` returns them, decoded at most once.

    The key is the content of the image file: a changed image is decoded again, and data sets, splits and runs that
    share images share their pixels.

    Parameters
    ----------
    table
        All images.
    rows
        Rows to decode.
    short_side
        In pixels; see `decode`.
    folder
        Folder of the stores, one for each `short_side`, `artefacts` and version of the libraries that compute the
        pixels: environments with different versions can share the folder.
    artefacts
        What is removed from each image; see `decode`.
    progress
        Called with the progress of decoding, if there is anything to decode.
    log
        Called with what is about to be written.

    Raises
    ------
    DamagedImagesError
        Some images do not decode: their number, and the first three. What was decoded stays.
    DataError
        The disk is too small.
    """

    def __init__(
        self,
        table: Table,
        rows: Sequence[int] | NDArray[np.int64],
        short_side: int,
        folder: Path,
        *,
        artefacts: Sequence[str] = (),
        progress: Progress,
        log: Callable[[str], None],
    ) -> None:
        depends = {"short_side": short_side, "decoder": DECODER, **about(artefacts)}
        version = hashlib.blake2b(json.dumps(depends).encode(), digest_size=4).hexdigest()
        self._store = Store(folder / "-".join([f"pixels-{short_side}", *artefacts, version]), "uint8", depends)
        self._decode = partial(decode, short_side=short_side, artefacts=artefacts)
        indices = [int(row) for row in rows]
        self._keys = dict(zip(indices, fingerprints([table.paths[row] for row in indices]), strict=True))
        with self._store.writing():
            new = [row for row in indices if self._keys[row] not in self._store]
            if new:
                self._fill(table, new, short_side, progress, log)

    def __call__(self, row: int) -> RGB:
        """Return the image of this row, ``[H, W, 3]``, read-only."""
        return cast("RGB", self._store.read(self._keys[row]))

    def _fill(
        self, table: Table, rows: list[int], short_side: int, progress: Progress, log: Callable[[str], None]
    ) -> None:
        size = sum(3 * short_side * round(short_side * _aspect(table.paths[row])) for row in rows)
        log(f"decoding {len(rows):,} images once, to {short_side} px: {readable(size)} in {self._store.folder}")
        self._store.require_space(size)
        problems: dict[int, str] = {}

        def decode_row(row: int) -> RGB | None:
            try:
                return self._decode(table.paths[row])
            except DataError as error:
                problems[row] = str(error)
                return None

        with ThreadPoolExecutor() as pool:
            for start in range(0, len(rows), _CHUNK):
                chunk = rows[start : start + _CHUNK]
                images = zip(chunk, pool.map(decode_row, chunk), strict=True)
                self._store.append((self._keys[row], image) for row, image in images if image is not None)
                progress("decoding", start + len(chunk), len(rows))
        if problems:
            raise damaged(table, problems)


def fingerprints(paths: Sequence[Path]) -> list[bytes]:
    """Return a digest of the content of each file.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_fingerprint, paths))


def _fingerprint(path: Path) -> bytes:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=KEY_BYTES).digest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _aspect(path: Path) -> float:
    """Return the longer side over the shorter, 1 if it cannot be read."""
    try:
        with open_photograph(path) as image:
            return max(image.size) / min(image.size)
    except Exception:  # decoding reports a damaged file
        return 1.0
