"""Warnings of too few lesions for the verdicts about a test set."""

from __future__ import annotations

from dspkd.evaluation.predictions import Predictions

FEW = 5
"""Lesions or patients below which a warning is due: methods that are equal on average differed significantly in 23 % of
200 simulated studies with 2 patients of 40 images each, in 18 % with 3, and in 6 to 8 % with 5 to 30. Likewise those of
a single class: with 1 lesion in one of three classes in 14 % by AUROC and 19 % by log loss, with 3 in 6 and 9 %, with
5 in 5 and 6 %."""


def warnings(test: Predictions) -> list[str]:
    """Return a line where the test images, or those of a class, are of fewer than `FEW` lesions or patients."""
    units = len(set(test.groups))
    if units < FEW:
        return [f"only {units} lesions or patients: verdicts err more often than in 5 % of cases"]
    groups: dict[str, set[str]] = {}
    for label, group in sorted(zip(test.labels.tolist(), test.groups, strict=True)):
        groups.setdefault(test.classes[label], set()).add(group)
    few = ", ".join(f"{len(of)} of {name}" for name, of in groups.items() if len(of) < FEW)
    if not few:
        return []
    return [f"few lesions or patients ({few}): verdicts by means over classes err more often than in 5 % of cases"]
