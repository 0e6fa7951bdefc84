"""Where and how a run is computed, as strict, frozen, typed data of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dspkd.recipes.stage import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MachineConfig:
    """Where and how a run is computed. Not part of the digest: a run may be resumed on another machine."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, `mps` ..."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Processes that load images; results do not depend on their number. `auto`: none on a CPU, whose cores compute
    anyway; beside a GPU one less than there are cores, up to 16."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads for arithmetic; 0 leaves torch's choice."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the networks that train or teach with torch.compile, which takes minutes before the first step, and fuses
    their many small operations. Results change by rounding. `auto`: no; what it brings on a GPU is not measured."""
    loggers: tuple[str, ...] = ()
    """Where epochs are logged beside `metrics.jsonl`: `csv`, `tensorboard`, `wandb`, `mlflow`."""
    cache: str = "auto"
    """Folder of decoded images and of teachers' answers, which runs share; it may be deleted at any time. `auto`:
    $XDG_CACHE_HOME/dspkd or ~/.cache/dspkd; `none`: decode each image anew each time."""
