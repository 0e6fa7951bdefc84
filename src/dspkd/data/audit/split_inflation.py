"""Split inflation: by how much a split by image overstates a score compared with a split by lesion or patient.

Measured with two probes that train in seconds on thumbnails, without a network to download. The nearest neighbour
finds another photograph of the same lesion and so shows the leak in full. The linear discriminant averages over a class
and can hardly memorise single lesions; it shows what even such a model gains. A large network can memorise.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier

from dspkd.data import split as splitting
from dspkd.data.decode import decode
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import DataError
from dspkd.runtime.progress import Progress

Probe: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], NDArray[np.int64]]
"""``(training points [N, D], their labels [N], test points [M, D]) -> predicted labels [M]``."""

TEST_SHARE = 0.2
_SIDE, _DIMENSIONS = 16, 64
"""Side of a thumbnail in pixels, and its principal components, the input of a probe. Inferred."""


@dataclass(frozen=True)
class SplitInflation:
    """The split inflation that one probe measures.

    Attributes
    ----------
    probe
        Its name.
    by_image, by_group
        Balanced accuracy on the test images of each seed, under both kinds of split.
    leaked
        Share of the test images of each seed whose lesion or patient is in training, when split by image.
    """

    probe: str
    by_image: tuple[float, ...]
    by_group: tuple[float, ...]
    leaked: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean difference over the seeds; positive where splitting by image overstates."""
        return float(np.mean(self._differences))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean: Student's t over the paired differences, one a seed.

        It covers the choice of the split, not that another hospital's images would differ.
        """
        differences = self._differences
        half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
        return float(differences.mean() - half), float(differences.mean() + half)

    @property
    def _differences(self) -> NDArray[np.float64]:
        differences: NDArray[np.float64] = np.array(self.by_image) - np.array(self.by_group)
        return differences


def measure(table: Table, *, seeds: int = 5, progress: Progress | None = None) -> tuple[SplitInflation, ...]:
    """Train each probe under both kinds of split with every seed.

    Both kinds put 20 % of the images of every class into the test set, plus or minus part of a group.

    Raises
    ------
    DataError
        Every image is a group of its own, so that there is nothing to measure; a class is too rare to be split; an
        image does not decode; there are fewer than two seeds.
    """
    if seeds < 2:
        raise DataError(f"split inflation: an interval needs at least 2 seeds, got {seeds}")
    if len(set(table.groups)) == len(table):
        raise DataError(
            f"{table.root}: every image is a lesion or patient of its own, so both kinds of split are one; "
            "name the column that groups images"
        )
    pixels = _pixels(table, progress)
    splits = [(_split(table, seed, "image"), _split(table, seed, "group")) for seed in range(seeds)]
    leaked = tuple(splitting.leak_share(by_image, table) for by_image, _ in splits)
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in PROBES}
    for number, pair in enumerate(splits, start=1):
        inputs = [_principal_components(pixels, split) for split in pair]
        for name, probe in PROBES.items():
            by_image, by_group = (
                _score(table, split, points, probe) for split, points in zip(pair, inputs, strict=True)
            )
            scores[name].append((by_image, by_group))
        if progress is not None:
            progress("seeds done", number, seeds)
    return tuple(
        SplitInflation(name, tuple(a for a, _ in pairs), tuple(b for _, b in pairs), leaked)
        for name, pairs in scores.items()
    )


def _nearest(
    train_ND: NDArray[np.float64], labels_N: NDArray[np.int64], test_MD: NDArray[np.float64]
) -> NDArray[np.int64]:
    predicted: NDArray[np.int64] = KNeighborsClassifier(1).fit(train_ND, labels_N).predict(test_MD)
    return predicted


def _linear(
    train_ND: NDArray[np.float64], labels_N: NDArray[np.int64], test_MD: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Predict by the linear discriminant with equal class priors, as balanced accuracy weights classes equally."""
    classes = len(np.unique(labels_N))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=np.full(classes, 1 / classes))
    predicted: NDArray[np.int64] = model.fit(train_ND, labels_N).predict(test_MD)
    return predicted


PROBES: dict[str, Probe] = {
    "nearest neighbour": _nearest,
    "linear discriminant": _linear,
}
"""``{name: probe}``."""


def _split(table: Table, seed: int, by: Literal["group", "image"]) -> Split:
    return splitting.split(table, val=0, test=TEST_SHARE, seed=seed, by=by)


def _pixels(table: Table, progress: Progress | None) -> NDArray[np.float64]:
    """Return ``[N, 3 * 16 * 16]`` colours in [0, 1]."""
    rows = np.empty((len(table), 3 * _SIDE**2))
    with ThreadPoolExecutor() as pool:
        for row, values in enumerate(pool.map(_thumb, table.paths)):
            rows[row] = values
            if progress is not None and (row + 1) % 100 == 0:
                progress("images read", row + 1, len(table))
    return rows


def _thumb(path: Path) -> NDArray[np.float64]:
    small = Image.fromarray(decode(path, short_side=4 * _SIDE)).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small).reshape(-1) / 255


def _principal_components(pixels: NDArray[np.float64], split: Split) -> NDArray[np.float64]:
    """Return ``[N, D]`` principal components, fitted on the training images alone."""
    train = pixels[split.rows("train")]
    model = PCA(min(_DIMENSIONS, len(train), pixels.shape[1]), svd_solver="covariance_eigh").fit(train)
    points: NDArray[np.float64] = model.transform(pixels)
    return points


def _score(
    table: Table,
    split: Split,
    points: NDArray[np.float64],
    probe: Probe,
) -> float:
    """Compute the balanced accuracy on the test images: the mean recall of the classes that occur in them."""
    train, test = split.rows("train"), split.places("test")
    predicted, labels = probe(points[train], table.labels[train], points[test]), table.labels[test]
    return float(np.mean([(predicted[labels == k] == k).mean() for k in np.unique(labels)]))
