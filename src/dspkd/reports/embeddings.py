"""Embedding of the pooled features of validation images: t-SNE, and the share of nearest neighbours of one class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from dspkd.data.table import is_named
from dspkd.errors import RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.reports import style
from dspkd.reports.style import LIGHT, SERIES
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.runtime.zip_files import DAMAGED

_ENOUGH = 30
"""Images below which principal components are drawn in place of t-SNE."""
_MARKERS = {"o": 3.6, "s": 3.4, "^": 4.2, "D": 3.4, "v": 4.2, "P": 4.8, "X": 4.8, "*": 6.0, "<": 4.2, ">": 4.2}
"""Shapes, and the sizes in points at which they look equally large."""


@dataclass(frozen=True, eq=False)
class Features:
    """Pooled vectors of the same images, ``{network: [N, D]}``, with their ids and labels."""

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    pooled: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Panels:
    """A panel for each network, its share of nearest neighbours of the same class, and the method of the embedding.

    `named`: whether the images have ids of lesions or patients, from which neighbours must differ.
    """

    panels: list[Markup]
    shares: dict[str, float]
    images: int
    method: str
    named: bool


def read(folder: Path) -> Features | None:
    """Read the pooled vectors of a run; None for a run that did not keep them.

    Raises
    ------
    RunError
        The file is broken.
    """
    path = RunFiles(folder).features
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            pooled = {name: arrays[name].astype(np.float64) for name in ("teacher", "student") if name in arrays}
            return Features(tuple(arrays["ids"].tolist()), arrays["labels"].astype(np.int64), pooled)
    except (OSError, *DAMAGED) as error:
        raise RunError(f"{path}: {error}; not a file that training wrote") from None


def panels(run: Run) -> Panels | None:
    """Draw the features of a run's networks, the teacher's first; None without features. Also writes a PNG."""
    features = read(run.folder)
    if features is None or len(features.ids) < 3:
        return None
    whole, axes_of = style.sheet(len(features.pooled), width=4.6, height=4.4)
    shares, drawn = {}, []
    for place, (name, vectors) in enumerate(features.pooled.items()):
        shares[name] = same_class(vectors, features.labels, _groups(run.predictions("val"), features.ids))
        points = embed(vectors)
        alone, (axes,) = style.sheet(width=4.6, height=4.4)
        for panel in (axes, axes_of[place]):
            scatter(panel, points, features.labels, run.predictions("val").classes, name)
        alt = (
            f"Pooled features of the {name} for {len(features.ids)} validation images in two dimensions, by class; "
            f"the nearest neighbour is of the same class for {100 * shares[name]:.0f} %."
        )
        drawn.append(style.svg(alone, name=f"features{place}", alt=alt))
    style.png(whole, run.folder / "figures/features.png")
    method = "t-SNE" if len(features.ids) >= _ENOUGH else "two principal components"
    named = any(map(is_named, _groups(run.predictions("val"), features.ids)))
    return Panels(drawn, shares, len(features.ids), method, named)


def same_class(vectors_ND: NDArray[np.float64], labels_N: NDArray[np.int64], groups: tuple[str, ...]) -> float:
    """Compute the share of images whose nearest neighbour from another lesion has their class.

    By Euclidean distance; images of the same group are skipped, for they are near-copies. An image without any other
    group counts as a miss.
    """
    squares_N = np.square(vectors_ND).sum(axis=1)
    distances_NN = squares_N[:, None] + squares_N[None, :] - 2 * vectors_ND @ vectors_ND.T
    _, group_N = np.unique(np.array(groups), return_inverse=True)
    distances_NN[group_N[:, None] == group_N[None, :]] = np.inf
    nearest_N = distances_NN.argmin(axis=1)
    has_neighbour_N = np.isfinite(distances_NN.min(axis=1))
    return float(np.mean((labels_N[nearest_N] == labels_N) & has_neighbour_N))


def embed(vectors_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    """Embed in two dimensions, ``[N, 2]``: t-SNE of the first 50 principal components; for few images the first two.

    Source: van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008, as scikit-learn does it.
    """
    images, width = vectors_ND.shape
    main = PCA(min(50, images, width), random_state=0).fit_transform(vectors_ND)
    if images < _ENOUGH:
        return np.asarray(main[:, :2] if width > 1 else np.pad(main, ((0, 0), (0, 1))))
    perplexity = min(30.0, (images - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0, max_iter=500, n_jobs=1).fit_transform(main)
    return np.asarray(points, dtype=np.float64)


def scatter(
    axes: Axes, points_N2: NDArray[np.float64], labels_N: NDArray[np.int64], classes: tuple[str, ...], title: str
) -> None:
    """Draw points, a colour and a marker for each class, rare classes on top."""
    counts = np.bincount(labels_N, minlength=len(classes))
    for k in sorted(range(len(classes)), key=lambda k: -counts[k]):
        mine = labels_N == k
        marker, size = list(_MARKERS.items())[k % len(_MARKERS)]
        if mine.any():
            axes.plot(
                *points_N2[mine].T.round(2),
                linestyle="",
                marker=marker,
                markersize=size,
                markerfacecolor=SERIES[k % len(SERIES)],
                markeredgecolor=LIGHT["card"],
                markeredgewidth=0.3,
                label=classes[k],
            )
    axes.set_title(title.capitalize())
    axes.set(xticks=[], yticks=[], xlabel="first dimension", ylabel="second dimension")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=4, handletextpad=0.2, columnspacing=0.9)


def _groups(val: Predictions, ids: tuple[str, ...]) -> tuple[str, ...]:
    group_of = dict(zip(val.ids, val.groups, strict=True))
    return tuple(group_of.get(name, name) for name in ids)
