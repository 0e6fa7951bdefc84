"""The plots of a report. Each function fills one panel; `style` turns panels into figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from dspkd.evaluation.calibration import Bin
from dspkd.evaluation.metrics import Summary
from dspkd.evaluation.predictions import Predictions
from dspkd.reports.comparison import ArmRuns
from dspkd.reports.style import LIGHT, SERIES
from dspkd.runs.records import Epoch, StageResult

_COUNTS_UP_TO = 24
"""Classes up to which the cells of a confusion matrix have room for their counts."""


def confusion(axes: Axes, summary: Summary) -> None:
    """Draw the confusion matrix: shade is the share of the true class, number is images; rows add up to 1."""
    counts_KK = np.array(summary.confusion)
    shares_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    names = [row.name for row in summary.per_class]
    for (row, column), share in np.ndenumerate(shares_KK):
        shade = 0.05 + 0.67 * share  # so that text is readable on all of them, in light and dark
        axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=LIGHT["cell"], alpha=shade))
        if len(names) <= _COUNTS_UP_TO and counts_KK[row, column]:
            axes.text(
                column,
                row,
                str(counts_KK[row, column]),
                ha="center",
                va="center_baseline",
                weight="bold" if row == column else "normal",
            )
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
    slanted = max(map(len, names)) > 5
    how: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(names)), names, **how)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def loss(axes: Axes, history: Sequence[Epoch], _: StageResult) -> None:
    """Draw the training loss of a stage, epoch by epoch: its total and the weighted terms that add up to it."""
    epochs = _numbers(history)
    _line(axes, epochs, [epoch.train["total"] for epoch in history], color=LIGHT["ink"], label="total")
    for name, color in _colours(history).items():
        _line(axes, epochs, [epoch.parts.get(name, 0.0) for epoch in history], color=color, label=name, linewidth=1.3)
    axes.set_title("Training loss, terms as weighted")
    low, high = axes.get_ylim()
    lines_of_legend = -(-len(axes.lines) // 3)
    axes.set_ylim(min(0.0, low), high * (1 + 0.16 * lines_of_legend))
    axes.legend(ncols=3, loc="upper right", handlelength=1.2, columnspacing=1.0)
    axes.set_ylabel("loss")
    _epoch_axis(axes, epochs)


def shares(axes: Axes, history: Sequence[Epoch], _: StageResult) -> None:
    """Draw, for each epoch of a stage, the share that each weighted term has in the loss."""
    epochs = _numbers(history)
    names = _colours(history)
    sizes = np.array([[abs(epoch.parts.get(name, 0.0)) for epoch in history] for name in names])
    stacked = np.vstack([np.zeros(len(epochs)), np.cumsum(sizes, axis=0)])
    stacked = stacked / np.maximum(stacked[-1], np.finfo(float).tiny)
    edges = np.append(epochs - 0.5, epochs[-1] + 0.5)
    for (name, color), low, high in zip(names.items(), stacked, stacked[1:], strict=False):
        axes.stairs(high, edges, baseline=low, fill=True, facecolor=color)
        if min(high - low) > 0.12:
            words = f"{name}, finally {high[-1] - low[-1]:.0%}"
            axes.text(epochs.mean(), (high + low).mean() / 2, words, color=LIGHT["on-series"], ha="center", fontsize=8)
    axes.set_title("Share of each term in the loss")
    axes.set(ylim=(0, 1), ylabel="share of the loss")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _epoch_axis(axes, epochs, margin=0.5)


def validation(axes: Axes, history: Sequence[Epoch], stage: StageResult) -> None:
    """Draw balanced accuracy on validation, epoch by epoch, and mark the epoch whose weights were kept."""
    epochs = _numbers(history)
    scores = [epoch.val["balanced_accuracy"] for epoch in history]
    _line(axes, epochs, scores, color=LIGHT["accent"])
    axes.plot(stage.best_epoch, stage.best_score, "o", ms=8, mfc=LIGHT["card"], mec=LIGHT["accent"], mew=2, zorder=3)
    late = stage.best_epoch > (epochs[0] + epochs[-1]) / 2
    axes.annotate(
        f"kept: epoch {stage.best_epoch}, {stage.best_score:.3f}",
        (stage.best_epoch, stage.best_score),
        xytext=(4 if late else -4, 9),
        textcoords="offset points",
        ha="right" if late else "left",
        fontsize=8,
        weight="bold",
    )
    axes.set_title("Validation balanced accuracy")
    axes.set_ylabel("balanced accuracy")
    axes.margins(y=0.18)
    _epoch_axis(axes, epochs, margin=max(0.3, 0.04 * len(epochs)))


def roc(axes: Axes, predictions: Predictions, number: int, auc: float | None) -> None:
    """Draw the ROC curve of one class against the rest; the area under it is the AUC. None: it has no curve."""
    axes.plot([0, 1], [0, 1], color=LIGHT["line"], linewidth=1)
    name = predictions.classes[number]
    if auc is None:
        axes.text(0.5, 0.5, "no curve", ha="center", va="center", color=LIGHT["muted"])
    else:
        wrong, right, _ = roc_curve(predictions.labels == number, predictions.probabilities[:, number])
        axes.fill_between(wrong, right, color=LIGHT["accent"], alpha=0.12, linewidth=0)
        axes.plot(wrong, right, color=LIGHT["accent"], linewidth=1.6)
        axes.text(0.97, 0.06, f"AUC {auc:.3f}", ha="right", fontsize=9)
    axes.set_title(name)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.set(xlabel="1 \N{MINUS SIGN} specificity", ylabel="sensitivity")


def reliability(axes: Axes, bins: Sequence[Bin], title: str) -> None:
    """Draw accuracy against confidence; the area of a point is its share of the images."""
    confidence, accuracy = [row.confidence for row in bins], [row.accuracy for row in bins]
    images = sum(row.images for row in bins)
    axes.plot([0, 1], [0, 1], color=LIGHT["line"], linewidth=1)
    axes.plot(confidence, accuracy, color=LIGHT["accent"], linewidth=1.2)
    sizes = [max(6.0, 900 * row.images / images) for row in bins]
    axes.scatter(confidence, accuracy, s=sizes, color=LIGHT["accent"], alpha=0.55, linewidth=0, clip_on=False)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal", xlabel="confidence", ylabel="accuracy")
    axes.set_title(title)


def risk_coverage(axes: Axes, coverage: NDArray[np.float64], risk: NDArray[np.float64]) -> None:
    """Draw the share of errors against the share of images predicted, the most confident first."""
    axes.plot(coverage, risk, color=LIGHT["accent"], linewidth=1.6)
    axes.set(xlim=(0, 1), ylim=(0, max(0.02, 1.08 * risk.max())), xlabel="share of images predicted (coverage)")
    axes.set_ylabel("share of errors among them (risk)")
    axes.set_title("Errors among the images predicted")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))


def whole_run(axes: Axes, arm: ArmRuns) -> None:
    """Draw validation balanced accuracy over all stages, a line for each run; a rule stands where a stage ends."""
    for run in (part for whole in arm.runs for part in whole.parts):
        scores = [epoch.val["balanced_accuracy"] for stage in run.result.stages for epoch in run.epochs_of(stage)]
        _line(axes, np.arange(1, len(scores) + 1), scores, color=LIGHT["accent"], alpha=0.8, linewidth=1.3)
    lengths = [stage.epochs for stage in arm.runs[0].result.stages]
    for end in np.cumsum(lengths)[:-1]:
        axes.axvline(end + 0.5, color=LIGHT["muted"], linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_title(arm.name)
    axes.set_ylabel("balanced accuracy, validation")
    _epoch_axis(axes, np.arange(1, sum(lengths) + 1))


def _line(axes: Axes, epochs: NDArray[np.int64], values: Sequence[float], **how: Any) -> None:
    """Draw a line, with markers where it has few points."""
    axes.plot(epochs, values, marker="o" if len(values) <= 12 else None, markersize=3, **how)


def _numbers(history: Sequence[Epoch]) -> NDArray[np.int64]:
    """Return the epochs' numbers, counted from 1."""
    return np.array([epoch.epoch for epoch in history])


def _colours(history: Sequence[Epoch]) -> dict[str, str]:
    """Return a colour for each term of a stage."""
    names = dict.fromkeys(name for epoch in history for name in epoch.parts)
    return {name: SERIES[place % len(SERIES)] for place, name in enumerate(names)}


def _epoch_axis(axes: Axes, epochs: NDArray[np.int64], margin: float = 0.3) -> None:
    axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.grid(visible=False, axis="x")
