"""Table 6: inference time of one image for each network, in eager torch and, if installed, in ONNX Runtime."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dspkd.deploy.export.latency import PROTOCOL, Latency, measure
from dspkd.evaluation.intervals import resample
from dspkd.experiments.paper.cells import of_run
from dspkd.experiments.paper.claims.read import PAPER, read
from dspkd.experiments.paper.claims.rows import ClaimRow
from dspkd.experiments.paper.reasons import Reasons
from dspkd.experiments.paper.side_by_side import OurFigure, SideBySide, TableCell, TableRow
from dspkd.models import zoo
from dspkd.models.tapped import Tapped
from dspkd.runs.run_folder import Run
from dspkd.runs.run_folder import read as read_run
from dspkd.runtime import threads

SIDE, CLASSES = 224, 8

_MACHINE = "machine: the paper names neither the machine nor the protocol of its times"
_IMAGES = "top-1: ours is for other images, one run each"
_SIZE = "parameters: distillation does not change the graph; 1.13 and 1.09 M are no size of ShuffleNetV2"
_STAND_IN = "network: wide_shufflenet is a stand-in, since the paper's architecture is not published (inferred)"


def build(runs: Sequence[Path], log: Callable[[str], None]) -> SideBySide:
    """Return table 6: the networks of its rows, timed on this machine; top-1 of the runs that are given.

    Each row is built and timed by itself, the distilled students too: they have the student's graph, so the differences
    of their times show the measurement error.

    Raises
    ------
    RunError, DataError
        A run is unfinished or broken.
    """
    sources = [read_run(folder) for folder in runs]
    rows = [row for row in read(PAPER) if row.table == "table 6"]
    networks = {row.model: _network(row, number) for number, row in enumerate(rows)}
    exported = _exported(networks, log)
    log(f"timing {len(networks)} networks: {PROTOCOL}")
    with threads.kept(1):
        timed = measure({**{f"{model}: torch": _eager(each) for model, each in networks.items()}, **exported})
    reasons = Reasons()
    lines = [_line(row, networks[row.model], timed, sources, reasons) for row in rows]
    same = [timed[f"{row.model}: torch"].p50 for row in rows if row.network == "shufflenet_v2_x1_0"]
    return SideBySide(
        number=6,
        title="Inference time",
        caption=(
            f"Ours: {SIDE} px, {CLASSES} classes, {PROTOCOL}; {platform.machine()}, torch {torch.__version__} eager"
            f"{' and ONNX Runtime, both in float32' if exported else ', float32'}. Weights are random, which does "
            "not affect the times."
        ),
        columns=("top-1, %", "parameters, M", "torch, s", "torch p95, s", "ONNX Runtime, s", "ONNX Runtime p95, s"),
        lines=tuple(lines),
        reasons=tuple(reasons.listed),
        notes=(
            "The three rows of ShuffleNetV2 are one graph, built and timed three times: their medians in torch differ "
            f"by a factor of {max(same) / min(same):.2f}, the measurement error. The paper's differ by 3.1.",
            "Seconds are medians, and 95th percentiles (p95). The student alone is timed, without a teacher or layers "
            "of a method.",
            *(() if exported else ("ONNX Runtime: not timed; install it with pip install 'dspkd[export]'.",)),
        ),
        synthetic=any(run.data.synthetic for run in sources),
    )


def _network(row: ClaimRow, seed: int) -> Tapped:
    torch.manual_seed(seed)
    return zoo.make(row.network, classes=CLASSES).eval()


def _eager(network: Tapped) -> Callable[[], object]:
    image = torch.rand(1, 3, SIDE, SIDE)

    def call() -> object:
        with torch.inference_mode():
            return network(image)

    return call


def _exported(networks: dict[str, Tapped], log: Callable[[str], None]) -> dict[str, Callable[[], object]]:
    """Return a call of each network in ONNX Runtime; none if that is not installed."""
    try:
        import onnxruntime  # noqa: F401

        from dspkd.deploy.bundle.network import INPUT, OUTPUT, session
        from dspkd.deploy.export.onnx_graph import to_onnx
    except ModuleNotFoundError as error:
        log(f"ONNX Runtime is not timed: {error.name} is not installed")
        return {}
    image = {INPUT: torch.rand(1, 3, SIDE, SIDE).numpy()}

    def call(model: bytes) -> Callable[[], object]:
        loaded = session(model)
        return lambda: loaded.run([OUTPUT], image)

    return {f"{model}: onnx": call(to_onnx(network, SIDE)) for model, network in networks.items()}


def _line(
    row: ClaimRow, network: Tapped, timed: dict[str, Latency], sources: Sequence[Run], reasons: Reasons
) -> TableRow:
    run = next((run for run in reversed(sources) if _matches(run, row)), None)
    cells = [
        TableCell(
            str(row.figures["accuracy"]), of_run(resample([run.predictions("test")])["accuracy"]) if run else None
        ),
        TableCell(
            str(row.figures["parameters"]), OurFigure(sum(p.numel() for p in network.parameters()) / 1e6, digits=3)
        ),
        *_times(str(row.figures["time"]), timed[f"{row.model}: torch"]),
        *_times("", timed.get(f"{row.model}: onnx")),
    ]
    why = [_MACHINE, *([_IMAGES] if run else []), *([_SIZE] if row.role == "student" else [])]
    why += [_STAND_IN] if row.network == "wide_shufflenet" else []
    names = {"teacher": f"{row.model} (T)", "baseline": f"{row.model} (S)", "student": f"T/S + {row.model}"}
    return TableRow(names.get(row.role or "", row.model), tuple(cells), reasons.number(why))


def _times(printed: str, took: Latency | None) -> list[TableCell]:
    if took is None:
        return [TableCell(printed), TableCell()]
    return [
        TableCell(printed, OurFigure(took.p50 / 1000, digits=4)),
        TableCell("", OurFigure(took.p95 / 1000, digits=4)),
    ]


def _matches(run: Run, row: ClaimRow) -> bool:
    """Return whether a run has the row's network and, for a distilled student, its method; else no teacher."""
    method = run.result.name.partition("+")[0].replace("_", "-").upper()
    return run.result.model == row.network and (
        method == row.model if row.role == "student" else run.result.teacher is None
    )
