"""Versions and machine of a run, and those with which it was trained before it was resumed elsewhere."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import torch
from pydantic import TypeAdapter

from dspkd.runs import records
from dspkd.runs.files import RunFiles
from dspkd.runs.records import EARLIER, FROM_EPOCH, Environment, Facts
from dspkd.runtime.files import write_json
from dspkd.training.progress import ProgressListener

_PACKAGES = ("dspkd", "torch", "torchvision", "timm", "numpy")


def of_now(device: torch.device) -> Facts:
    """Return versions and machine of this process."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }


def record(files: RunFiles, now: Facts, listener: ProgressListener) -> None:
    """Write the versions and machine of a run; others with which epochs of it were trained stay beside them.

    Parameters
    ----------
    files
        Those of the run.
    now
        What it goes on with.
    listener
        Receives what differs from before.
    """
    epoch = 1 + _epochs(files)
    trained = [each for each in _earlier(files) if epoch == 1 or each[FROM_EPOCH] != epoch]
    current = {FROM_EPOCH: epoch, **now}
    if trained:
        before, after = _differences(trained[-1], now), _differences(now, trained[-1])
        if before or after:
            listener.note(
                f"trained until now with {before or 'less recorded'}, from epoch {epoch} on with "
                f"{after or 'less recorded'}; {files.environment.name} keeps both"
            )
        else:
            current = trained.pop()
    with files.manifest.recording(files.environment):
        write_json(files.environment, {**current, EARLIER: trained} if trained else now)


def _epochs(files: RunFiles) -> int:
    """Return how many epochs are trained."""
    return len(records.text_of(files.metrics).splitlines()) if files.trained and files.metrics.exists() else 0


def _earlier(files: RunFiles) -> list[Facts]:
    """Return with what the run was trained until now, in order, each with its first epoch; nothing of a new run."""
    if not (files.trained and files.environment.exists()):
        return []
    recorded: dict[str, Any] = dict(records.read(TypeAdapter(Environment), files.environment))
    earlier: list[Facts] = recorded.pop(EARLIER, [])
    return [*earlier, {FROM_EPOCH: 1, **recorded}]


def _differences(facts: Facts, others: Facts) -> str:
    """Return in words the facts that are other than `others`."""
    different = {name: value for name, value in facts.items() if others.get(name) != value and name != FROM_EPOCH}
    return ", ".join(f"{name} {value}" for name, value in different.items())
