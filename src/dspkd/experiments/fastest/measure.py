"""Find the fastest settings of this machine for a recipe's training step; `dspkd.runs.fastest` keeps them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date

import torch

from dspkd.errors import RunError
from dspkd.experiments.fastest.timed_steps import READY, Setting, Timed
from dspkd.recipes.schema import Recipe
from dspkd.runs import fastest, hardware
from dspkd.runs.fastest import Fastest
from dspkd.runtime.cores import available_cores, share_of_cores
from dspkd.runtime.memory import memory_of_machine

SECONDS = 3.0
"""For how long each setting is timed."""

GAIN = 1.03
"""More threads or jobs are chosen only where they are so many times as fast (inferred from repeated measurements)."""


@dataclass(frozen=True)
class Measured:
    """A setting, and how fast it is.

    Attributes
    ----------
    jobs, threads, compiled, bf16
        Runs at the same time, CPU threads of each, and their arithmetic.
    step
        Seconds of a step: the median, of the slowest of the runs.
    images
        Images a second of all runs together.
    first
        Seconds that the first step takes longer than the others.
    """

    jobs: int
    threads: int
    compiled: bool
    bf16: bool
    step: float
    images: float
    first: float

    @property
    def in_words(self) -> str:
        """Return the setting in words: ``2 runs at a time, 1 thread each``."""
        return _in_words(self.jobs, self.threads, compiled=self.compiled, bf16=self.bf16)


@dataclass(frozen=True)
class Found:
    """What was measured, what of it later runs can use, and why a setting could not be measured."""

    measured: tuple[Measured, ...]
    kept: Fastest
    failed: str = ""


def find(recipe: Recipe, *, seconds: float = SECONDS, log: Callable[[str], None] = lambda _: None) -> Found:
    """Time the recipe's training step with each setting in turn; `dspkd.runs.fastest.keep` then keeps the fastest.

    A step is that of plain training on random images: forward, backward and update of the student. On a CPU: threads of
    a single run, runs at the same time that share the cores, as many as half of the memory holds, and bfloat16 where
    the processor has it; everywhere, torch.compile. Each setting has new processes.

    Parameters
    ----------
    seconds
        For how long each setting is timed.
    log
        Called with a line before each setting.

    Raises
    ------
    RecipeError
        The recipe's device is missing.
    RunError
        A process failed.
    """
    device = hardware.device(recipe.machine)
    if warning := _busy():
        log(f"warning: {warning}")
    bf16 = hardware.bf16(recipe.train, device)

    def timed(jobs: int, threads: int, *, compiled: bool = False, bf16: bool = bf16) -> tuple[Measured, Timed]:
        how = _in_words(jobs, threads, compiled=compiled, bf16=bf16)
        log(f"timing {how}{' (a minute or more)' * compiled}")
        setting = Setting(
            recipe.model.name,
            recipe.images.size,
            recipe.train.batch_size,
            str(device),
            threads,
            compiled,
            bf16,
            seconds,
        )
        results = _at_the_same_time(setting, jobs)
        slowest = max(results, key=lambda each: each.step)
        images = sum(each.rate for each in results) * setting.batch
        return Measured(jobs, threads, compiled, bf16, slowest.step, images, slowest.first), slowest

    if device.type != "cpu":
        single, _ = timed(1, torch.get_num_threads())
        measured, together = [single], single
    else:
        alone = [timed(1, threads) for threads in _up_to(available_cores())]
        single = _best([each for each, _ in alone])
        most = min(available_cores(), _fit_into_memory(max(each.memory or 0 for _, each in alone)))
        several = [timed(jobs, share_of_cores(jobs))[0] for jobs in _up_to(most) if jobs > 1]
        together = _best([single, *several])
        measured = [*(each for each, _ in alone), *several]
        if not bf16 and _has_bf16():
            measured.append(timed(1, single.threads, bf16=True)[0])
    failed, compiled = "", None
    try:
        compiled, _ = timed(1, single.threads, compiled=True)
        measured.append(compiled)
    except RunError as error:
        failed = str(error)
    kept = Fastest(
        threads=single.threads,
        jobs=together.jobs,
        step=single.step,
        compiled_step=compiled.step if compiled else None,
        compiling=compiled.first if compiled else 0.0,
        measured=date.today().isoformat(),
    )
    return Found(tuple(measured), kept, failed)


def best_jobs(recipe: Recipe, log: Callable[[str], None] = lambda _: None) -> int:
    """Return how many runs at a time were measured to be fastest for the recipe's training step; 1 if nothing was.

    `log` is called with a line that says so.
    """
    found = fastest.of(recipe)
    if found is None:
        return 1
    log(f"runs at a time: {found.jobs}, as dspkd plan --fastest measured on {found.measured}; choose with --jobs")
    return found.jobs


def _in_words(jobs: int, threads: int, *, compiled: bool, bf16: bool) -> str:
    runs = "1 run" if jobs == 1 else f"{jobs} runs at a time"
    how = [*["bfloat16"] * bf16, *["compiled"] * compiled]
    return ", ".join([f"{runs}, {threads} thread{'s' * (threads > 1)}{' each' * (jobs > 1)}", *how])


def _up_to(most: int) -> list[int]:
    """Return 1, 2, 4, ... and `most`."""
    return sorted({*(2**power for power in range(most.bit_length()) if 2**power <= most), most})


def _best(measured: Sequence[Measured]) -> Measured:
    """Return the first, or a later one that is clearly faster, as the last that won."""
    best, *others = measured
    for other in others:
        if other.images > GAIN * best.images:
            best = other
    return best


def _fit_into_memory(used: int) -> int:
    """Return how many runs half of the memory holds; a run is supposed to use twice what its steps use (inferred)."""
    memory = memory_of_machine()
    return max(1, memory // 2 // (2 * used)) if memory and used else 1


def _busy() -> str:
    """Return a warning if other programs compute on this machine, "" if none does or it cannot be known (Windows)."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < 0.5:
        return ""
    return f"other programs use this machine (load {load:.1f}); close them, or the fastest setting may be another one"


def _has_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) if torch._C._has_mkldnn else False


def _at_the_same_time(setting: Setting, jobs: int) -> list[Timed]:
    """Time a setting in `jobs` processes that begin at the same moment."""
    with tempfile.TemporaryDirectory() as compiler_cache, ExitStack() as running:
        environment = os.environ | {"OMP_NUM_THREADS": str(setting.threads), "TORCHINDUCTOR_CACHE_DIR": compiler_cache}
        processes = [running.enter_context(_process(environment)) for _ in range(jobs)]
        for process in processes:
            _write(process, json.dumps(asdict(setting)))
        ready = [_line(process) for process in processes]
        for line, process in zip(ready, processes, strict=True):
            if line == READY:
                _write(process, "go")
        results = [Timed(**json.loads(line if line != READY else _line(process)))
                   for line, process in zip(ready, processes, strict=True)]  # fmt: skip
    if errors := [each.error for each in results if each.error]:
        raise RunError(errors[0])
    return results


@contextmanager
def _process(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "dspkd.experiments.fastest.timed_steps"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    with suppress(BrokenPipeError):  # it has ended: reading from it says how
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    if line := process.stdout.readline().strip():
        return line
    raise RunError(f"timing training steps: a process ended with exit code {process.wait()}; out of memory?")
