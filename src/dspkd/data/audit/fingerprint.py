"""Fingerprints of image files for the audit: digests of bytes and pixels, size, and features of a thumbnail.

Each file is decoded once. A fingerprint takes about 5 kB, whatever the size of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

from dspkd.data.decode import centre, decode
from dspkd.errors import DataError
from dspkd.runtime.progress import Progress

SIDE = 64
"""Side of a thumbnail in pixels. An image that is not square is squeezed, so that quarter turns can be compared."""

FREQUENCIES = 6
"""Cosine frequencies kept in each direction and channel."""

COLOUR_WEIGHT = 0.75
"""Weight of a colour channel relative to the grey one. Inferred from planted copies, like all constants here."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_AT_ONCE = 256
_STEPS = 50
"""Steps of `Fingerprints.detail` to one local standard deviation."""


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Fingerprints of N image files.

    Attributes
    ----------
    paths
        The N files.
    complaints
        N error messages; "" for a readable image. The other columns of an unreadable file are 0.
    of_bytes, of_pixels
        N digests of the file and of its decoded pixels; "" if unreadable.
    sizes
        ``[N, 2]`` int64, height and width in pixels.
    contrast
        ``[N]`` standard deviation of the thumbnail's grey values, 0 to 127.
    colour
        ``[N]`` mean difference between a thumbnail pixel's largest and smallest channel, 0 to 255.
    layout
        ``[N, 3, F, F]`` float32, F = `FREQUENCIES`: see `layout_of`.
    detail
        ``[N, S, S]`` int8, S = `SIDE`: see `detail_of`.
    centred
        The same of each image's centre square, which is how many data sets are cropped; None where all images have one
        aspect ratio, since none can then be the centre square of another. In it, contrast, colour, layout and detail
        are of the centre square, and all else is of the file.
    cropped
        Whether this is the fingerprint of centre squares.
    """

    paths: tuple[Path, ...]
    complaints: tuple[str, ...]
    of_bytes: tuple[str, ...]
    of_pixels: tuple[str, ...]
    sizes: NDArray[np.int64]
    contrast: NDArray[np.float32]
    colour: NDArray[np.float32]
    layout: NDArray[np.float32]
    detail: NDArray[np.int8]
    centred: Fingerprints | None = None
    cropped: bool = False

    def __len__(self) -> int:
        return len(self.complaints)


def take(paths: tuple[Path, ...], progress: Progress | None = None) -> Fingerprints:
    """Compute the fingerprints of files, in threads; damaged files are recorded, not raised."""
    count = len(paths)
    complaints, of_bytes, of_pixels = [], [], []
    sizes = np.zeros((count, 2), dtype=np.int64)
    whole, centred = _Features.empty(count), _Features.empty(count)
    with ThreadPoolExecutor() as pool:
        for first, files in _in_batches(pool, paths):
            rows = slice(first, first + len(files))
            complaints += [file.complaint for file in files]
            of_bytes += [file.of_bytes for file in files]
            of_pixels += [file.of_pixels for file in files]
            sizes[rows] = [file.size for file in files]
            whole.fill(rows, [file.thumb for file in files])
            centred.fill(rows, [file.thumb if file.centred is None else file.centred for file in files])
            if progress is not None:
                progress("images read", rows.stop, count)
    texts = (tuple(paths), tuple(complaints), tuple(of_bytes), tuple(of_pixels))
    readable = sizes[sizes[:, 0] > 0]
    squares = Fingerprints(*texts, sizes, *centred, cropped=True) if _differ_in_shape(readable) else None
    return Fingerprints(*texts, sizes, *whole, centred=squares)


class _Features(NamedTuple):
    """The columns of `Fingerprints` that are computed from thumbnails."""

    contrast: NDArray[np.float32]
    colour: NDArray[np.float32]
    layout: NDArray[np.float32]
    detail: NDArray[np.int8]

    @classmethod
    def empty(cls, count: int) -> _Features:
        return cls(
            np.zeros(count, dtype=np.float32),
            np.zeros(count, dtype=np.float32),
            np.zeros((count, 3, FREQUENCIES, FREQUENCIES), dtype=np.float32),
            np.zeros((count, SIDE, SIDE), dtype=np.int8),
        )

    def fill(self, rows: slice, thumbs_of: list[NDArray[np.uint8]]) -> None:
        thumbs = np.stack(thumbs_of)
        self.contrast[rows] = (thumbs @ _LUMA).std(axis=(1, 2))
        self.colour[rows] = (thumbs.max(axis=3) - thumbs.min(axis=3)).mean(axis=(1, 2))
        self.layout[rows] = layout_of(thumbs)
        self.detail[rows] = detail_of(thumbs)


def _differ_in_shape(sizes: NDArray[np.int64]) -> bool:
    """Return whether long side over short side differs among ``[N, 2]`` sizes, by more than a resize rounds (1 %)."""
    if not len(sizes):
        return False
    ratio = sizes.max(axis=1) / sizes.min(axis=1)
    return bool(ratio.max() > 1.01 * ratio.min())


def thumbnail(pixels: NDArray[np.uint8], side: int = SIDE, *, centred: bool = False) -> NDArray[np.uint8]:
    """Return the image ``[H, W, 3]``, or its centre square, resized to a square ``[S, S, 3]``."""
    if centred:
        pixels = centre(pixels, min(pixels.shape[:2]))
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0))


def layout_of(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    r"""Return the layout of thumbnails, ``[N, 3, F, F]``: the lowest cosine frequencies of brightness and colour.

    Channels are grey and the logarithms of red/green and blue/green, each minus its mean and divided by its standard
    deviation, so that brightness, contrast and a tint do not matter. The first coefficient, the mean, is 0. Two images
    are compared by Euclidean distance. Mirroring changes the signs of the odd coefficients, transposing transposes
    them: see `rotated_layout`.
    """
    half = thumbs.reshape(len(thumbs), SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(2, 4), dtype=np.float32) + 8
    logs = np.log(half)
    channels = np.stack([half @ _LUMA, logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1]], axis=1)
    channels -= channels.mean(axis=(2, 3), keepdims=True)
    # The floor keeps the noise of a featureless channel from being amplified.
    floor = np.array([4, 0.02, 0.02], dtype=np.float32)[:, None, None]
    channels /= channels.std(axis=(2, 3), keepdims=True) + floor
    channels *= np.array([1, COLOUR_WEIGHT, COLOUR_WEIGHT], dtype=np.float32)[:, None, None]
    waves: NDArray[np.float32] = fft.dctn(channels, axes=(2, 3), norm="ortho")[:, :, :FREQUENCIES, :FREQUENCIES]
    waves /= SIDE // 2
    waves[:, :, 0, 0] = 0
    return waves


def detail_of(thumbs: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return fine structure ``[N, S, S]``, in 1/50 of its local standard deviation, clipped at 2.5 of these; any S.

    The difference of Gaussians of 0.5 and 2 pixels of log grey values, which removes illumination. The black surround
    of a dermatoscope, similar in images of different lesions, is 0, and so are pixels near it.
    """
    grey = thumbs @ _LUMA
    logs = 60 * np.log(grey + 8)
    band = ndimage.gaussian_filter(logs, (0, 0.5, 0.5)) - ndimage.gaussian_filter(logs, (0, 2, 2))
    local = np.sqrt(ndimage.gaussian_filter(band**2, (0, 4, 4))) + 1.5
    band = np.where(_surround(grey), 0, np.clip(band / local, -2.5, 2.5))
    steps: NDArray[np.int8] = np.rint(band * _STEPS).astype(np.int8)
    return steps


def _surround(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the mask of dark regions that touch the border, dilated by 6 pixels."""
    dark = grey < 0.4 * np.median(grey, axis=(1, 2), keepdims=True)
    within = np.zeros((3, 3, 3), dtype=bool)
    within[1] = ndimage.generate_binary_structure(2, 1)
    marks, _ = ndimage.label(dark, structure=within)
    border = np.concatenate([marks[:, 0], marks[:, -1], marks[:, :, 0], marks[:, :, -1]], axis=1)
    outside = np.isin(marks, np.unique(border[border > 0]))
    grown: NDArray[np.bool_] = ndimage.binary_dilation(outside, structure=within, iterations=6)
    return grown


def rotated_layout(layout: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Return the layouts ``[..., F, F]`` of the same images under one of the eight turns; see `rotated`."""
    if turn & 4:
        layout = layout.swapaxes(-1, -2)
    signs = np.where(np.arange(layout.shape[-1]) % 2, -1, 1).astype(layout.dtype)
    if turn & 2:
        layout = layout * signs[:, None]
    return layout * signs if turn & 1 else layout


def rotated(images: NDArray[np.int8], turn: int) -> NDArray[np.int8]:
    """Return square images ``[N, S, S]`` under one of the eight turns and flips.

    `turn` is a sum of 4 (transposed, first), 2 (top to bottom) and 1 (left to right).
    """
    if turn & 4:
        images = images.swapaxes(1, 2)
    if turn & 2:
        images = images[:, ::-1]
    return images[:, :, ::-1] if turn & 1 else images


@dataclass(frozen=True, eq=False)
class _File:
    """Fingerprint of one file, with its thumbnail."""

    thumb: NDArray[np.uint8]
    complaint: str = ""
    of_bytes: str = ""
    of_pixels: str = ""
    size: tuple[int, int] = (0, 0)
    centred: NDArray[np.uint8] | None = None
    """Thumbnail of the centre square; None for a square image."""


def _in_batches(pool: ThreadPoolExecutor, paths: tuple[Path, ...]) -> Iterator[tuple[int, list[_File]]]:
    """Yield the number of the first file and the files of a batch, while only the next batch is being read."""
    first = 0
    waiting: list[_File] | Iterator[_File] = []
    for start in range(0, len(paths), _AT_ONCE):
        following = pool.map(_read, paths[start : start + _AT_ONCE])
        if files := list(waiting):
            yield first, files
        first, waiting = first + len(files), following
    if files := list(waiting):
        yield first, files


def _read(path: Path) -> _File:
    black = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    try:
        of_bytes = digest_of(path)
        pixels = decode(path)
    except DataError as error:
        return _File(black, complaint=str(error))
    shape = str(pixels.shape).encode()
    of_pixels = hashlib.blake2b(shape + pixels.tobytes(), digest_size=16).hexdigest()
    height, width = pixels.shape[:2]
    centred = None if height == width else thumbnail(pixels, centred=True)
    return _File(thumbnail(pixels), "", of_bytes, of_pixels, (height, width), centred)


def digest_of(path: Path) -> str:
    """Return a digest of a file's content; DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
