"""The limitations of the results of a run, in sentences."""

from __future__ import annotations

from dspkd.data.table import is_named
from dspkd.evaluation.metrics import Summary
from dspkd.reports import data_card
from dspkd.reports.wording import counted
from dspkd.runs.run_folder import Run
from dspkd.runtime.rounding import score

_FEW = 50
"""Test images of a class below which the step of its recall is worth a warning."""


def notes(run: Run, val: Summary, test: Summary) -> list[str]:
    """Return the limitations of the results of a run, most general first."""
    limits = [
        f"The epochs were chosen on {counted(val.images, 'validation image')}, where the kept weights have balanced "
        f"accuracy {score(val.balanced_accuracy)}; the choice makes that number optimistic."
        if run.result.stages
        else "This run trained nothing. Whether its network saw these images where it was trained is not known; if it "
        "did, all results are too high."
    ]
    if few := [row for row in test.per_class if 0 < row.images < _FEW]:
        steps = ", ".join(f"{row.name} by {1 / row.images:.3f}" for row in few)
        limits.append(f"Few test images: one image changes the recall of {steps}.")
    if shared := set(run.predictions("test").groups) & set(run.predictions("val").groups):
        nouns = ("lesion", "lesions") if any(map(is_named, shared)) else ("group of copies", "groups of copies")
        limits.append(
            f"{counted(len(shared), *nouns)} of the test images also occur among the validation images: the data were "
            f"not split by {nouns[0]}, and test results are too high."
        )
    if run.data.card and (missing := data_card.missing(run.data.card)):
        limits.append(f"Missing for all images: {', '.join(missing)}. How the results depend on them is not known.")
    if test.absent:
        limits.append(f"Without test images, left out of every mean: {', '.join(test.absent)}.")
    if test.undefined:
        limits.append(f"0/0, counted as 0 (AUC: left out): {', '.join(test.undefined)}.")
    if test.tied:
        limits.append(
            f"Ties: {counted(test.tied, 'test image')} with several largest logits. Counted as wrong, as in ISIC, "
            f"balanced accuracy is {test.balanced_accuracy_isic:.3f}."
        )
    return limits
