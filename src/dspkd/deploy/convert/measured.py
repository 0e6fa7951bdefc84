"""What was measured of a converted file, and whether it passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.convert.worker_process import Outputs
from dspkd.deploy.export import int8_gate
from dspkd.deploy.export.int8_gate import Change
from dspkd.evaluation.predictions import Predictions

LARGEST_ERROR = 1e-4
"""By how much a logit of a file in float32 may differ from the bundle's."""

AS_MADE = "contiguous, [1, 3, S, S] float32"
"""The layout that every file is made for."""

NEVER_RUN = "NEVER RUN"

THRESHOLDS = "thresholds measured for this file"
"""The key of a file's record that says whether an app may apply the bundle's thresholds to it."""

YES, ALWAYS_REFER = "yes", "no: always refer"


@dataclass(frozen=True)
class ClassRecall:
    """Validation images of a class, and the recall of the bundle in float32 and of the file."""

    images: int
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A converted file.

    Attributes
    ----------
    format, precision
        Of `PhoneFormat`.
    files
        ``{name: bytes}``.
    error
        Largest difference of a logit from the bundle's in float32, over golden images; None where it was never run.
    layouts
        ``{layout: what happened}`` to an image with other strides.
    images, agreement, recall, changes
        On the validation images: how many, the share with the same class as the bundle in float32, the recall of each
        class, and the checks of `dspkd.deploy.export.int8_gate`. 0, None and empty without them.
    milliseconds, onnx_milliseconds
        Median latency of an image with one thread, and that of the bundle in float32 on the same machine.
    of_default
        Whether the bundle's thresholds were set for its network in float32, from which the file was made.
    problems
        Why it does not pass; empty if it does.
    """

    format: str
    precision: str
    files: Mapping[str, int]
    error: float | None = None
    layouts: Mapping[str, str] = field(default_factory=dict)
    images: int = 0
    agreement: float | None = None
    recall: Mapping[str, ClassRecall] = field(default_factory=dict)
    changes: Sequence[Change] = ()
    milliseconds: float | None = None
    onnx_milliseconds: float | None = None
    of_default: bool = False
    problems: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Whether it passes: "passes", "FAILS: why", or that it was never run."""
        if self.error is None:
            return NEVER_RUN
        return f"FAILS: {'; '.join(self.problems)}" if self.problems else "passes"

    @property
    def thresholds(self) -> str:
        """Whether the bundle's thresholds hold for the file: `YES`, or else `ALWAYS_REFER`.

        They hold where they were set for the network in float32, and the file computes its logits, or is a smaller form
        of which the advice was measured on validation images.
        """
        measured = self.precision == "fp32" or bool(self.changes)
        passes = self.error is not None and not self.problems
        return YES if self.of_default and measured and passes else ALWAYS_REFER

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        content = {key: value for key, value in asdict(self).items() if key != "of_default"}
        content["changes"] = [change.to_json() for change in self.changes]
        return content | {"verdict": self.verdict, THRESHOLDS: self.thresholds}


def layouts(outputs: Outputs) -> dict[str, str]:
    """Return what the runtime did with an image of other strides: the same logits, a refusal, or wrong ones."""
    found = {AS_MADE: "right"}
    for layout, logits_K in outputs.layouts.items():
        error = float(np.abs(logits_K - outputs.logits[0]).max())
        found[layout] = "right" if error <= LARGEST_ERROR else f"WRONG WITHOUT AN ERROR, by {error:.2g}"
    return found | {layout: f"refused: {why}" for layout, why in outputs.refused.items()}


def of_golden(outputs: Outputs, expected_NK: NDArray[np.float32], precision: str) -> tuple[float, list[str]]:
    """Return the largest error of a logit over golden images, and what is wrong with it."""
    if outputs.logits.shape != expected_NK.shape or not np.isfinite(outputs.logits).all():
        return float("inf"), [f"computes {list(outputs.logits.shape)} logits, or such that are not finite"]
    error = float(np.abs(outputs.logits - expected_NK).max())
    if precision == "fp32" and error > LARGEST_ERROR:
        return error, [f"a logit of a golden image differs by {error:.2g}, more than {LARGEST_ERROR:g}"]
    return error, []


def of_validation(
    before: Predictions, after: Predictions, changes: Sequence[Change], precision: str, max_loss: float
) -> tuple[float, dict[str, ClassRecall], list[str]]:
    """Return the agreement, the recall of each class, and what is wrong with the file on validation images."""
    recall, problems = {}, []
    for number, name in enumerate(before.classes):
        mine_N = before.labels == number
        if not mine_N.any():
            continue
        right_N, now_N = before.predicted[mine_N] == number, after.predicted[mine_N] == number
        recall[name] = ClassRecall(int(mine_N.sum()), float(right_N.mean()), float(now_N.mean()))
        lost = int(right_N.sum()) - int(now_N.sum())
        if lost > int8_gate.allowed(len(right_N), max_loss):
            problems.append(f"loses {lost} of the {len(right_N)} images of {name}")
    error = float(np.abs(before.logits - after.logits).max())
    if precision == "fp32":
        if error > LARGEST_ERROR:
            problems.append(f"a logit of a validation image differs by {error:.2g}, more than {LARGEST_ERROR:g}")
    else:
        problems += [change.reason for change in changes if not change.passes]
    return float((before.predicted == after.predicted).mean()), recall, problems
