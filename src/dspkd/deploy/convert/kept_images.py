"""Images that `dspkd export --keep-images` keeps beside a bundle, to check converted files on. They are not in it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle.reader import Bundle
from dspkd.errors import BundleError
from dspkd.evaluation.predictions import Predictions
from dspkd.runtime.files import atomic_open
from dspkd.runtime.zip_files import DAMAGED

_ARRAYS = ("bundle", "calibration", "images", "ids", "groups", "labels")


@dataclass(frozen=True, eq=False)
class KeptImages:
    """Preprocessed images of the data set that a bundle was made with. They may show patients.

    Attributes
    ----------
    calibration
        ``[M, 3, S, S]`` uint8: training images, from which the ranges of activations are computed.
    images
        ``[N, 3, S, S]`` uint8: the validation images.
    ids, groups
        N names of images, and of their lesions or patients.
    labels
        ``[N]`` numbers of their classes.
    """

    calibration: NDArray[np.uint8]
    images: NDArray[np.uint8]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.int64]

    def predictions(self, classes: Sequence[str], logits_NK: NDArray[np.float32]) -> Predictions:
        """Return the logits of the validation images as predictions."""
        return Predictions(tuple(classes), self.ids, self.groups, self.labels, logits_NK)


def save(path: Path, bundle: Bundle, kept: KeptImages) -> None:
    """Write the images for the converted files of one bundle, completely or not at all."""
    arrays = {
        "bundle": np.array(bundle.digest),
        "calibration": kept.calibration,
        "images": kept.images,
        "ids": np.array(kept.ids),
        "groups": np.array(kept.groups),
        "labels": kept.labels,
    }
    with atomic_open(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load(path: Path, bundle: Bundle) -> KeptImages:
    """Read the images that were kept for a bundle.

    Raises
    ------
    BundleError
        The file is missing or damaged, or was kept for another bundle: its validation images may be among the images
        that this one was trained on.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in _ARRAYS}
    except FileNotFoundError:
        raise BundleError(
            f"{path}: there is no such file; write it with: dspkd export RUN --keep-images {path}"
        ) from None
    except (OSError, *DAMAGED) as error:
        raise BundleError(f"{path}: not a file of kept images, or damaged: {str(error)[:200]}") from None
    if (made_for := str(found["bundle"])) != bundle.digest:
        raise BundleError(
            f"{path}: was kept for the bundle {made_for[:12]}, and {bundle.path} is {bundle.digest[:12]}; its images "
            "may be among those that this one was trained on. Export the run again with --keep-images"
        )
    side = bundle.spec.preprocessing.size
    images, calibration, labels = found["images"], found["calibration"], found["labels"]
    fits = all(
        each.dtype == np.uint8 and each.ndim == 4 and each.shape[1:] == (3, side, side) and len(each)
        for each in (images, calibration)
    )
    lengths = {len(images), *(len(found[name]) for name in ("ids", "groups", "labels"))}
    if not fits or len(lengths) != 1 or labels.dtype != np.int64:
        raise BundleError(f"{path}: want uint8 images [N, 3, {side}, {side}], and N ids, groups and labels")
    if not 0 <= labels.min() <= labels.max() < len(bundle.spec.classes):
        raise BundleError(f"{path}: a label is outside of the {len(bundle.spec.classes)} classes")
    return KeptImages(calibration, images, tuple(found["ids"].tolist()), tuple(found["groups"].tolist()), labels)
