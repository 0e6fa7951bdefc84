"""When to refer: the sum of the probabilities of all classes that are not known to be benign, against a threshold.

One class after the other misleads: of a melanoma with 23 % melanoma, 20 % squamous cell carcinoma and 40 % naevus the
most probable class is benign, and cancer is the more probable of the two answers that matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dspkd.data.table import named
from dspkd.evaluation.classes import Malignancy
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.shares import wilson

SENSITIVITY = 0.95
"""Share of the images of cancers that must be referred (inferred)."""

FEWEST_LESIONS = 30
"""Lesions of cancers in the validation set below which no threshold is set (inferred)."""

MOST = 0.5
"""The largest threshold: where it is more probable than not that a lesion is not benign, it is referred (inferred)."""

_STEP = 1e-4


@dataclass(frozen=True)
class Share:
    """A share of images, such as a recall or a sensitivity, with its interval over lesions.

    Attributes
    ----------
    share
        Of the images; None where there is none.
    low, high
        Wilson's 95 % interval, the images of a lesion taken as all right or all wrong; see `wilson`.
    images, lesions
        Numbers of images, and of the lesions or patients that they name; 0 without ids.
    """

    share: float | None
    low: float
    high: float
    images: int
    lesions: int


def share(right_N: NDArray[np.bool_], groups: Sequence[str] | NDArray[np.str_]) -> Share:
    """Return the share of N images that are right, with its interval over their `groups`."""
    if not len(right_N):
        return Share(None, 0.0, 1.0, 0, 0)
    names_G, images_G = np.unique(np.array(groups), return_counts=True)
    low, high = wilson(int(right_N.sum()), images_G)
    of_images, low, high = (round(float(value), 6) for value in (right_N.mean(), low, high))
    return Share(of_images, low, high, len(right_N), named(names_G.tolist()))


def share_of(right_N: NDArray[np.bool_], of_N: NDArray[np.bool_], groups: Sequence[str]) -> Share:
    """Return the share of the images `of_N` that are right; see `share`."""
    return share(right_N[of_N], np.array(groups)[of_N])


def of_kinds(predictions: Predictions, kinds: Sequence[Malignancy], *wanted: Malignancy) -> NDArray[np.bool_]:
    """Return ``[N]``, whether the true class of each image is of one of the wanted kinds."""
    return np.array([kind in wanted for kind in kinds])[predictions.labels]


def not_benign(predictions: Predictions, kinds: Sequence[Malignancy]) -> NDArray[np.float64]:
    """Return ``[N]``, the sum of the probabilities of the malignant, premalignant and unknown classes.

    Premalignant ones count, since they need a physician as well and are often mistaken for cancers; unknown ones since
    they may be cancers.
    """
    return np.asarray(predictions.probabilities[:, [kind != "benign" for kind in kinds]].sum(axis=1))


def threshold(
    validation: Predictions, kinds: Sequence[Malignancy], *, sensitivity: float = SENSITIVITY
) -> float | None:
    r"""Return the largest threshold that `not_benign` reaches on a share `sensitivity` of the images of cancers.

    .. math:: t = \max \{t : |\{n \in C : s_n \ge t\}| \ge \text{sensitivity} \cdot |C|\}

    C are the images of malignant classes, all together; t is `MOST` where it would be larger, as it is on validation
    images that are easy, few, or known from training. Rounded down to a multiple of 0.0001, a hundredth of it below
    at least, so that another machine's rounding does not turn an image at the threshold into one below it.

    Parameters
    ----------
    validation
        Other images than those that the threshold is evaluated on.
    kinds
        Of the K classes.
    sensitivity
        In (0, 1].

    Returns
    -------
    float or None
        None where there are fewer than `FEWEST_LESIONS` lesions of cancers, an image without an id being one.
    """
    cancer_N = of_kinds(validation, kinds, "malignant")
    if len({validation.groups[row] for row in np.flatnonzero(cancer_N)}) < FEWEST_LESIONS:
        return None
    falling = np.sort(not_benign(validation, kinds)[cancer_N])[::-1]
    needed = int(np.ceil(sensitivity * len(falling) - 1e-9))  # 0.07 * 100 is above 7 in binary
    return min(MOST, round(float(np.floor(falling[needed - 1] / _STEP - 0.01) * _STEP), 4) + 0.0)
