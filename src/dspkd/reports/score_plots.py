"""Plots of scores: differences with intervals, score against size and time, recall class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from dspkd.evaluation.intervals import Estimate
from dspkd.evaluation.scoring import TITLES
from dspkd.evaluation.significance import LEVEL, Verdict
from dspkd.reports import style, wording
from dspkd.reports.glance import Network
from dspkd.reports.style import LIGHT, SERIES
from dspkd.reports.subgroups import GapRow

_WIDTH = 4.0
"""Inches of a plot that a phone shows whole, with letters that can be read."""
_LONGEST, _NAME = 50, 20
"""Letters that fit into the width of a plot, and into a name in it."""
NO_IMAGES = "(no test images)"
DASH = "\N{EN DASH}"

Row = tuple[str, Sequence[tuple[Estimate, bool] | None]]
"""A label, and differences as shares, each with whether it is significant; None where there is none."""


def intervals(
    rows: Sequence[Row], series: Sequence[str], xlabel: str, *, name: str, alt: str, scale: float = 100
) -> Markup:
    """Draw differences as points with intervals, a label above each row; filled where significant, else hollow.

    Parameters
    ----------
    rows
        Each with a difference for each of `series`.
    series
        What a row's differences are of, in a legend; a single one needs none.
    scale
        By what values are multiplied: 100 for percentage points.
    """
    step = 0.5 + 0.5 * len(series)
    lines = _legend_lines(series) if len(series) > 1 else 0
    figure, (axes,) = style.sheet(width=_WIDTH, height=0.75 + 0.36 * step * len(rows) + 0.17 * lines)
    axes.axvline(0, color=LIGHT["muted"], linewidth=1)
    for place, (label, several) in enumerate(rows):
        top = -step * place
        behind: dict[str, Any] = {"facecolor": LIGHT["card"], "edgecolor": "none", "pad": 0.5}
        axes.text(0, top, _short(label), transform=axes.get_yaxis_transform(), va="bottom", fontsize=8, bbox=behind)
        for number, each in enumerate(several):
            if each is not None:
                _interval(axes, top - 0.28 - 0.45 * number, *each, scale, SERIES[number])
    if len(series) > 1:
        for number, of in enumerate(series):
            axes.plot([], [], "o-", color=SERIES[number], markersize=5, linewidth=1.4, label=_short(of, _NAME))
        _legend(axes, lines)
    axes.set(ylim=(-step * (len(rows) - 1) - 0.5 * len(series) - 0.1, 0.4), yticks=[], xlabel=xlabel)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    return style.svg(figure, name=name, alt=alt)


def forest(verdicts: Sequence[Verdict]) -> Markup:
    """Draw the differences of pairs of methods by one metric, with their intervals."""
    metric = verdicts[0].metric
    rows = [(f"{row.one} against {row.other}", [(row.difference, row.word != "inconclusive")]) for row in verdicts]
    scale = 1 if metric == "log_loss" else 100
    listed = "; ".join(f"{row.one} against {row.other}: {wording.result(row)}" for row in verdicts)
    title = f"difference in {TITLES[metric]}, {wording.unit_of(metric)}"
    return intervals(rows, [""], title, name="forest", scale=scale, alt=f"Differences in {TITLES[metric]}. {listed}.")


def gaps(rows: Sequence[GapRow], names: Sequence[str]) -> Markup | None:
    """Draw gaps of subgroups in balanced accuracy, from `subgroups.rows`; None where there is none."""
    drawn: list[Row] = []
    for attribute, reference, group, several in rows:
        cells = [each if each is None else (each.own, each.p < LEVEL) for each in several]
        drawn.append((f"{attribute}: {group} against {reference}", cells))
    if not drawn:
        return None
    listed = "; ".join(
        f"{label}: {', '.join(wording.points(cell[0].value) if cell else DASH for cell in cells)}"
        for label, cells in drawn
    )
    title = "gap in balanced accuracy, percentage points"
    return intervals(drawn, names, title, name="gaps", alt=f"Gaps of subgroups in balanced accuracy. {listed}.")


def recalls(by_network: Mapping[str, Sequence[float | None]], classes: Sequence[str]) -> Markup:
    """Draw the recall of each class as bars, one for each network."""
    labels = [_short(each, 20) for each in classes]
    lines = _legend_lines(list(by_network), beside=max(map(len, labels)))
    height = 0.75 + (0.12 + 0.16 * len(by_network)) * len(classes) + 0.17 * lines
    figure, (axes,) = style.sheet(width=_WIDTH, height=height)
    thick = 0.84 / len(by_network)
    for number, (name, values) in enumerate(by_network.items()):
        places = np.arange(len(classes)) + thick * (number - (len(by_network) - 1) / 2)
        widths = [0.0 if value is None else value for value in values]
        axes.barh(places, widths, 0.86 * thick, color=SERIES[number], label=_short(name, _NAME))
    absent = [name for name, *values in zip(classes, *by_network.values(), strict=True) if set(values) == {None}]
    for name in absent:
        axes.text(0.01, classes.index(name), NO_IMAGES, va="center", fontsize=8, color=LIGHT["muted"])
    axes.set_yticks(range(len(classes)), labels)
    axes.set(xlim=(0, 1), ylim=(len(classes) - 0.5, -0.5), xlabel="recall on the test images", ylabel="true class")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    _legend(axes, lines)
    listed = "; ".join(
        f"{name}: {', '.join(f'{k} {v:.2f}' for k, v in zip(classes, values, strict=True) if v is not None)}"
        for name, values in by_network.items()
    )
    listed += "".join(f"; {name} {NO_IMAGES}" for name in absent)
    return style.svg(figure, name="recalls", alt=f"Recall of each class. {listed}.")


def pareto(networks: Sequence[Network], of: Literal["parameters", "milliseconds"]) -> Markup | None:
    """Draw the score against parameters or time, with intervals; None unless two networks differ in them."""
    known = [(float(size), each) for each in networks if (size := getattr(each.size, of)) is not None]
    if len({size for size, _ in known}) < 2:
        return None
    lines = _legend_lines([each.name for _, each in known], beside=8)
    figure, (axes,) = style.sheet(width=_WIDTH, height=2.8 + 0.17 * lines)
    sizes = [size for size, _ in known]
    step = (max(sizes) / min(sizes)) ** 0.025
    for number, (size, each) in enumerate(known):
        color = SERIES[number % len(SERIES)]
        shifted = size * step ** sizes[:number].count(size)  # intervals of equal sizes side by side
        axes.plot([shifted, shifted], [each.low, each.high], color=color, linewidth=1.4)
        axes.plot(shifted, each.score, "os^Dv"[number % 5], color=color, markersize=6, label=_short(each.name, _NAME))
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xticks(_apart(sizes))
    axes.set_xticks([], minor=True)
    unit = "parameters" if of == "parameters" else "time for one image"

    def as_text(value: float) -> str:
        return wording.parameters(round(value)) if of == "parameters" else wording.milliseconds(value)

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: as_text(value)))
    axes.set(xlabel=f"{unit} (logarithmic)", ylabel=TITLES[known[0][1].metric])
    _legend(axes, lines)
    listed = "; ".join(f"{each.name}: {as_text(size)}, {each.score:.3f}" for size, each in known)
    return style.svg(figure, name=f"pareto{of}", alt=f"{TITLES[known[0][1].metric]} against {unit}. {listed}.")


def _legend_lines(names: Sequence[str], beside: int = 0) -> int:
    """Return the lines that a legend of these names needs above the axes, which have `beside` letters on their left."""
    entry = min(max(map(len, names)), _NAME) + 7
    return math.ceil(len(names) / max(1, (_LONGEST - beside) // entry))


def _legend(axes: Axes, lines: int) -> None:
    """Draw the legend above the axes, on so many lines."""
    columns = math.ceil(len(axes.get_legend_handles_labels()[0]) / lines)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0, columnspacing=1.2)


def _interval(axes: Axes, height: float, of: Estimate, significant: bool, scale: float, color: str) -> None:
    axes.plot([scale * of.low, scale * of.high], [height, height], color=color, linewidth=1.4, solid_capstyle="butt")
    face = color if significant else LIGHT["card"]
    axes.plot(scale * of.value, height, "o", markersize=5.5, mfc=face, mec=color, mew=1.4, zorder=3)


def _apart(sizes: Sequence[float]) -> list[float]:
    """Return the sizes, without those whose labels would lie on that of a smaller one on a logarithmic axis."""
    ticks = [min(sizes)]
    least = (max(sizes) / min(sizes)) ** 0.2
    for size in sorted(sizes):
        if size >= least * ticks[-1]:
            ticks.append(size)
    return ticks


def _short(text: str, longest: int = _LONGEST) -> str:
    """Return the text without its middle where it is too long for a plot; tables have it whole."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[-(longest // 2 - 1) :]}"
