"""A recipe's settings of its teacher in words: who answers, what it costs, and where it sees enlarged images."""

from __future__ import annotations

from statistics import median

import numpy as np
from numpy.typing import NDArray

from dspkd.data.image_formats import open_photograph
from dspkd.data.table import Table
from dspkd.recipes.teacher import TeacherConfig
from dspkd.runs.fold_teachers import FoldTeachers

_SAMPLE = 200
"""Images whose size is read."""

_MANY = 0.1
"""Share of images smaller than the teacher's size from which a warning is due (inferred)."""


def described(config: TeacherConfig) -> str:
    """Return in words which teacher answers in training, such as ``runs/teacher, mean of 8 views, on 128 px``."""
    if config.answers:
        return f"answers in {config.answers}"
    parts = [" and ".join(config.run)]
    if config.cross_fit:
        parts.append(f"cross-fit in {config.cross_fit} folds")
    if config.weights != "mean":
        parts.append("weighted by " + {"agreement": "agreement with each other", "label": "the label"}[config.weights])
    if config.views > 1:
        parts.append(f"mean of {config.views} views")
    if config.size:
        parts.append(f"on {config.size} px")
    return ", ".join(parts)


def passes(config: TeacherConfig, *, features: bool) -> int:
    """Return the forward passes for one view of an image; `features` where terms read maps or pooled vectors."""
    one = len(config.run) * config.views
    return 2 * one if config.cross_fit and features else one


def details(config: TeacherConfig, folds: list[FoldTeachers], *, features: bool) -> list[str]:
    """Return lines about a teacher that is more than one network on one view; none about any other."""
    count = passes(config, features=features)
    if count <= 1 and not config.cross_fit and not config.size:
        return []
    lines = [f"in training: {described(config)}; {count} forward pass{'es' * (count > 1)} an image"]
    for each in folds:
        trained = len(each.recipes) - len(each.missing)
        lines.append(f"fold teachers: {trained} of {len(each.recipes)} trained, in {each.folder}")
    if folds and features:
        lines.append(f"maps and pooled vectors: of {config.run[0]}, which was trained on these images")
    return lines


def too_small(config: TeacherConfig, table: Table, rows: NDArray[np.int64]) -> str:
    """Return a warning where image files have fewer pixels than the teacher's size; empty where few do."""
    if not config.size:
        return ""
    sides = []
    for row in rows[:: max(1, len(rows) // _SAMPLE)]:
        try:
            with open_photograph(table.paths[row]) as image:
                sides.append(min(image.size))
        except Exception:  # decoding reports a damaged file
            continue
    share = np.mean([side < config.size for side in sides]) if sides else 0.0
    if share < _MANY:
        return ""
    return (
        f"teacher.size = {config.size}: {share:.0%} of the training images are smaller (median of the shorter side: "
        f"{median(sides):.0f} px); the teacher sees them enlarged, without more detail"
    )
