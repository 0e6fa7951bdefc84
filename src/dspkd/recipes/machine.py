"""Hardware settings of a recipe: device, threads, loader processes, cache."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dspkd.recipes.stage import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MachineConfig:
    """Hardware settings. Not part of the digest: a run may be resumed on another machine.

    Bit-identical results need the same device, threads and compile.
    """

    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, `mps` ..."""
    workers: Annotated[int, Field(ge=0, le=1024)] | Literal["auto"] = "auto"
    """Processes that load images; results do not depend on their number. `auto`: none on a CPU, whose cores are busy
    anyway; with a GPU, one less than there are cores, up to 16."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads of torch; 0: those that `dspkd plan --fastest` measured, or else torch's default. Results change by
    rounding."""
    compile: bool | Literal["auto"] = "auto"
    """Compile student and teacher with torch.compile, which takes minutes before the first step. Results change by
    rounding. `auto`: where `dspkd plan --fastest` has measured that the run ends earlier; never in a comparison."""
    loggers: tuple[str, ...] = ()
    """Where epochs are logged beside `metrics.jsonl`: `csv`, `tensorboard`, `wandb`, `mlflow`."""
    cache: str = "auto"
    """Folder of decoded images and cached teacher outputs, shared by runs; it may be deleted at any time. `auto`:
    $XDG_CACHE_HOME/dspkd or ~/.cache/dspkd; `none`: no cache, every image is decoded each time."""
