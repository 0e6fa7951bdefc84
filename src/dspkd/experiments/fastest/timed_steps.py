"""Take training steps for some seconds: ``python -m dspkd.experiments.fastest.timed_steps``.

It reads one line, the `Setting` in JSON; takes the first steps and writes a line; and, once it has read another line,
takes steps for the time of the setting and writes a `Timed` in JSON. So several processes can begin at the same moment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from dspkd import methods
from dspkd.errors import DspkdError
from dspkd.models import zoo
from dspkd.recipes.stage import StageConfig, TermConfig
from dspkd.runs import hardware
from dspkd.runtime.memory import keep_freed_memory, peak_memory
from dspkd.training import loop
from dspkd.training.distiller import Distiller
from dspkd.types import Batch

READY = "ready"
"""The line that says that the first steps are taken."""

_CLASSES = 8
_UNTIMED = 3
_FEWEST = 5


@dataclass(frozen=True)
class Setting:
    """What to time, and for at least how many seconds; `size` in pixels a side, `batch` in images."""

    network: str
    size: int
    batch: int
    device: str
    threads: int
    compiled: bool
    bf16: bool
    seconds: float


@dataclass(frozen=True)
class Timed:
    """Median seconds of a step, those that the first step took longer, steps a second, and the process's memory."""

    step: float = 0.0
    first: float = 0.0
    rate: float = 0.0
    memory: int | None = None
    error: str = ""


def training_step(
    network: str, size: int, batch: int, arithmetic: loop.StepConfig, *, clips: bool = True
) -> Callable[[], None]:
    """Return a function that takes a step of plain training on one batch of random images, as `dspkd train` does.

    Forward, backward, clipping unless not `clips`, AdamW. It returns once the device has finished.
    """
    device = arithmetic.device
    torch.manual_seed(0)
    model = hardware.placed(zoo.make(network, classes=_CLASSES), device)
    stage = StageConfig(name="timed", epochs=1, lr=1e-3, terms=(TermConfig(method="labels"),))
    distiller = Distiller(model, None, [("labels", 1.0, methods.find("labels")(model.spec, None))]).to(device).train()
    objective = loop.objective_of(distiller, arithmetic)
    optimizer = loop.make_optimizer(stage, distiller.trainable())
    trained = loop.owners(distiller.trainable())
    numbers = torch.arange(batch)
    images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    data = Batch(images, numbers % _CLASSES, numbers, torch.zeros_like(numbers)).to(device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=arithmetic.bf16):
            losses = objective(data)
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        if clips:
            loop.update(trained, optimizer, stage.lr, arithmetic.clip)
        else:
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def timed(setting: Setting, wait: Callable[[], object]) -> Timed:
    """Take the first steps, `wait`, then take steps for the setting's time."""
    keep_freed_memory()
    torch.set_num_threads(setting.threads)
    arithmetic = loop.StepConfig(device=torch.device(setting.device), bf16=setting.bf16, compiled=setting.compiled)
    step = training_step(setting.network, setting.size, setting.batch, arithmetic)
    first, *_ = [_seconds_of(step) for _ in range(_UNTIMED)]
    wait()
    laps: list[float] = []
    while sum(laps) < setting.seconds or len(laps) < _FEWEST:
        laps.append(_seconds_of(step))
    usual = sorted(laps)[len(laps) // 2]
    return Timed(step=usual, first=first - usual, rate=len(laps) / sum(laps), memory=peak_memory())


def _seconds_of(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main() -> None:
    """Time what standard input describes."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not be taken for the result

    def wait() -> None:
        print(READY, file=out, flush=True)
        sys.stdin.readline()

    try:
        result = timed(Setting(**json.loads(sys.stdin.readline())), wait)
    except DspkdError as error:
        result = Timed(error=str(error))
    print(json.dumps(asdict(result)), file=out, flush=True)


if __name__ == "__main__":
    main()
