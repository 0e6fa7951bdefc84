"""Table 6: what one picture costs each network, timed one way: torch eager, and ONNX Runtime where it is installed."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from dspkd.claims.read import PAPER, read
from dspkd.claims.rows import Row
from dspkd.evaluate.intervals import percentiles, resample
from dspkd.models import zoo
from dspkd.models.tapped import Tapped
from dspkd.report.prose import counted
from dspkd.report.side_by_side import Cell, Line, Ours, SideBySide
from dspkd.report.sources import read as read_run
from dspkd.reproduce.reasons import Reasons

SIDE, CLASSES = 224, 8
WARM_UPS, TIMED, ROUNDS = 20, 100, 5
"""Answers before the clock runs, and with it; these in so many rounds over all networks, so that a machine that slows
down does so for all."""

Answer = Callable[[], None]


@dataclass(frozen=True)
class Timing:
    """Seconds of one picture: median and 95th percentile over all timed answers, and the medians of the rounds."""

    median: float
    p95: float
    rounds: tuple[float, ...]


def measure(answers: dict[str, Answer]) -> dict[str, Timing]:
    """Return the time of each answer: `WARM_UPS` first, then `TIMED` in `ROUNDS` rounds, all in turn."""
    for answer in answers.values():
        for _ in range(WARM_UPS):
            answer()
    taken: dict[str, list[list[float]]] = {name: [] for name in answers}
    gc.collect()
    for _ in range(ROUNDS):
        for name, answer in answers.items():
            laps = []
            for _ in range(-(-TIMED // ROUNDS)):
                started = time.perf_counter()
                answer()
                laps.append(time.perf_counter() - started)
            taken[name].append(laps)
    return {name: _timing(laps) for name, laps in taken.items()}


def _timing(rounds: list[list[float]]) -> Timing:
    every = [lap for laps in rounds for lap in laps]
    return Timing(median(every), float(np.quantile(every, 0.95)), tuple(median(laps) for laps in rounds))


def eager(network: Tapped) -> Answer:
    """Return what asks a network about one picture in torch, in evaluation and inference mode."""
    network.eval()
    picture = torch.rand(1, 3, SIDE, SIDE)

    def answer() -> None:
        with torch.inference_mode():
            network(picture)

    return answer


def build(runs: Sequence[Path], log: Callable[[str], None]) -> SideBySide:
    """Return table 6: the networks of its rows, timed here; top-1 where a run is given.

    Each row is built and timed by itself, the distilled students too: they are the student's graph, and how much their
    times differ is what the measurement errs.

    Raises
    ------
    RunError, DataError
        A run is unfinished or broken.
    """
    paper = [row for row in read(PAPER) if row.table == "table 6"]
    networks = {row.model: _network(row, number) for number, row in enumerate(paper)}
    answers = {f"{model}: eager": eager(network) for model, network in networks.items()}
    answers |= {f"{model}: onnx": answer for model, network in networks.items() if (answer := _onnx(network, model))}
    log(f"timing {len(answers)} networks: {WARM_UPS} answers to warm up, {TIMED} timed")
    timed = measure(answers)
    reasons, sources = Reasons(), [read_run(folder) for folder in runs]
    always = [
        "machine: the paper names neither machine nor protocol of its times",
        *_top1_reasons(bool(sources)),
    ]
    impossible = "parameters: distillation leaves the graph as it is; 1.13 and 1.09 M are no size of ShuffleNetV2"
    standin = "network: wide_shufflenet is a stand-in, for the plan of the paper's network is not published (inferred)"
    lines = []
    for row in paper:
        size = sum(p.numel() for p in networks[row.model].parameters())
        top1 = next((run for run in reversed(sources) if _is(run.result.name, run.result.model, row)), None)
        cells = [
            Cell(str(row.figures["accuracy"]), _top1(top1) if top1 else None),
            Cell(str(row.figures["parameters"]), Ours(size / 1e6, digits=3)),
            *_times(str(row.figures["time"]), timed.get(f"{row.model}: eager")),
            *_times("", timed.get(f"{row.model}: onnx")),
        ]
        own = [impossible] * (row.role == "student") + [standin] * (row.network == "wide_shufflenet")
        lines.append(Line(_shown(row), tuple(cells), reasons.number([*always, *own])))
    same = [timed[f"{row.model}: eager"].median for row in paper if row.network == "shufflenet_v2_x1_0"]
    return SideBySide(
        number=6,
        title="Inference time",
        caption=(
            f"Ours: one picture of {SIDE} px at a time, {CLASSES} classes, {counted(torch.get_num_threads(), 'thread')} "
            f"of {platform.machine()}; torch {torch.__version__} eager"
            f"{' and ONNX Runtime, float32' if any('onnx' in name for name in timed) else ''}; {WARM_UPS} answers to "
            f"warm up, median and 95th percentile of {TIMED}. Weights are random, which no time depends on."
        ),
        columns=("top-1, %", "parameters, M", "eager, s", "eager p95, s", "ONNX Runtime, s", "ONNX Runtime p95, s"),
        lines=tuple(lines),
        reasons=tuple(reasons.told),
        notes=(
            "The three rows of ShuffleNetV2 are one graph, built and timed three times: their medians differ by a factor "
            f"of {max(same) / min(same):.2f}, which is the error of this measurement. The paper's differ by 3.1.",
            f"Brackets hold the least and the greatest median of {ROUNDS} rounds, in which all networks take turns.",
            "The student alone is timed: no teacher, no layer of a method is there when it answers.",
        ),
    )


def _network(row: Row, number: int) -> Tapped:
    torch.manual_seed(number)
    return zoo.make(row.network, classes=CLASSES)


def _onnx(network: Tapped, model: str) -> Answer | None:
    """Return what asks the exported network in ONNX Runtime; None where export or runtime are not there."""
    del network, model
    return None


def _times(printed: str, timing: Timing | None) -> list[Cell]:
    if timing is None:
        return [Cell(printed), Cell()]
    of_all = Ours(timing.median, None, min(timing.rounds), max(timing.rounds), digits=4)
    return [Cell(printed, of_all), Cell("", Ours(timing.p95, digits=4))]


def _shown(row: Row) -> str:
    return {"teacher": f"{row.model} (T)", "baseline": f"{row.model} (S)", "student": f"T/S + {row.model}"}.get(
        row.role or "", row.model
    )


def _is(name: str, model: str, row: Row) -> bool:
    """Return whether a run is of a row: its network, and for a distilled student its recipe's name."""
    method = row.model.lower().replace("-", "_")
    distilled = name.partition("+")[0]
    return model == row.network and (
        distilled == method if row.role == "student" else distilled not in {"ssd_kd", "dsp_kd"}
    )


def _top1(run: object) -> Ours:
    test = run.test  # type: ignore[attr-defined]
    scores = resample([test])["accuracy"]
    low, high = percentiles(scores)
    return Ours(100 * float(scores.observed[0]), None, 100 * low, 100 * high)


def _top1_reasons(given: bool) -> list[str]:
    return ["top-1: ours is of other images, and of one run each"] if given else []
