"""The unlabelled images that a run learnt from, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable

from dspkd.reports import wording
from dspkd.runs.run_folder import Run
from dspkd.runtime import csv_text


def sentence(run: Run) -> str:
    """Return how many unlabelled images a run learnt from, where they lie, and how many were left out; "" for none."""
    first = run.parts[0]
    folder, path = first.recipe.data.unlabelled, first.files.unlabelled
    if folder is None or not path.is_file():
        return ""
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv_text.Reader(file)
    reasons = [reason for _, reason in rows]
    used = sum(not reason for reason in reasons)
    left_out = len(reasons) - used
    more = f"; {left_out:,} more were left out, as copies of validation or test images or for like reasons"
    return (
        f"{run.result.name} also learnt from {wording.counted(used, 'image')} without labels in {folder}"
        f"{more * (left_out > 0)}."
    )


def sentences(runs: Iterable[Run]) -> list[str]:
    """Return the sentences of several runs, each once."""
    return list(dict.fromkeys(filter(None, map(sentence, runs))))
