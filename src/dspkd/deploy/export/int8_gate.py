"""Whether int8 may be a bundle's default: it must be shown, not only hoped, that it misses no more cancers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dspkd.data.table import named
from dspkd.deploy.bundle.limits import counted
from dspkd.evaluation.classes import Malignancy
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.referral import of_kinds
from dspkd.evaluation.shares import paired

MARGIN = 0.05
"""By how much a recall, or the sensitivity, could have fallen at the lower end of its interval (inferred)."""


@dataclass(frozen=True)
class Change:
    """A share of images in float32 and in int8, and the 95 % interval of its change over lesions; see `paired`.

    Attributes
    ----------
    name
        "recall of CLASS", or the sensitivity over all cancers.
    images, lesions
        On which it rests: images, and the lesions or patients that they name.
    before, after
        In float32 and in int8; NaN without images.
    low, high
        Interval of ``after - before``; -1 to 1 without images.
    """

    name: str
    images: int
    lesions: int
    before: float
    after: float
    low: float
    high: float

    @property
    def passes(self) -> bool:
        """Whether a fall by more than `MARGIN` is excluded."""
        return self.low >= -MARGIN

    def __str__(self) -> str:
        if not self.images:
            return f"{self.name}: no image in validation"
        return (
            f"{self.name}: {self.before:.3f} in float32, {self.after:.3f} in int8 (95 % interval of the change "
            f"{self.low:+.3f} to {self.high:+.3f}; {counted(self.images, self.lesions)})"
        )

    @property
    def reason(self) -> str:
        """Why it does not pass, in words."""
        lesions = counted(self.images, self.lesions)
        if self.images and self.before - self.after > MARGIN:
            return f"{self.name} falls from {self.before:.3f} to {self.after:.3f} ({lesions})"
        return f"{self.name} rests on too few images ({lesions})"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        values = {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(self).items()}
        if not self.images:
            values |= {"before": None, "after": None}
        return {**values, "passes": self.passes}


def allowed(images: int, max_loss: float) -> float:
    """Return how many correct predictions a class with this number of validation images may lose."""
    return max(1.0, max_loss * images)


def changes(
    fp32: Predictions,
    int8: Predictions,
    kinds: Sequence[Malignancy],
    referred: Callable[[Predictions], NDArray[np.bool_]],
) -> list[Change]:
    """Compare int8 with float32 on the same validation images.

    Parameters
    ----------
    fp32, int8
        Predictions of both.
    kinds
        Of the K classes.
    referred
        ``[N]``, whether each image is referred; the same rule for both, that of float32.

    Returns
    -------
    list
        The recall of each class that is not benign, and of all cancers together the share that is referred.
    """
    groups = np.array(fp32.groups)
    of_class = [
        _change(f"recall of {name}", fp32.predicted == number, int8.predicted == number, fp32.labels == number, groups)
        for number, (name, kind) in enumerate(zip(fp32.classes, kinds, strict=True))
        if kind != "benign"
    ]
    if "malignant" not in kinds:
        return of_class
    cancer_N = of_kinds(fp32, kinds, "malignant")
    sensitivity = _change("cancers referred", referred(fp32), referred(int8), cancer_N, groups)
    return [*of_class, sensitivity]


def _change(
    name: str,
    before_N: NDArray[np.bool_],
    after_N: NDArray[np.bool_],
    of_N: NDArray[np.bool_],
    groups_N: NDArray[np.str_],
) -> Change:
    before_M, after_M = before_N[of_N], after_N[of_N]
    if not len(before_M):
        return Change(name, 0, 0, np.nan, np.nan, -1.0, 1.0)
    names_G, images_G = np.unique(groups_N[of_N], return_counts=True)
    low, high = paired(int((before_M & ~after_M).sum()), int((after_M & ~before_M).sum()), images_G)
    return Change(
        name, len(before_M), named(names_G.tolist()), float(before_M.mean()), float(after_M.mean()), low, high
    )
