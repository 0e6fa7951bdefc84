"""The record of a call in its folder, by which another call with this folder is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from dspkd.errors import RunError
from dspkd.models.state import tensors
from dspkd.models.weights import digest
from dspkd.runtime.files import write_text
from dspkd.training.loader_batches import batches_of

FEW = 8
"""Images of a loader that are compared, evenly spread: folds of one data set differ in some of them."""


@contextmanager
def same_call(
    folder: Path, student: nn.Module, loader: DataLoader[Any], validation: DataLoader[Any] | None
) -> Iterator[None]:
    """Refuse a folder with a checkpoint of another student or other images; else record those of this call in it.

    The student is the same if its weights are those with which the call began, or those that it left in the student,
    finished or interrupted. The former are in ``initial.pt``. A checkpoint without a record is not checked.

    Raises
    ------
    RunError
        The checkpoint in the folder is of another student or other images, or its record is not readable.
    """
    file, initial = folder / "call.json", folder / "initial.pt"
    weights = tensors(student)
    call: dict[str, Any] = {
        "architecture": digest({name: torch.tensor(value.shape) for name, value in weights.items()}),
        "weights": digest(weights),
        "loader": _described(loader),
        "validation": _described(validation) if validation is not None else None,
    }
    if (folder / "last.pt").exists():
        if not file.exists():
            yield
            return
        try:
            before: dict[str, Any] = json.loads(file.read_text())
        except ValueError as error:
            raise RunError(f"{file}: not readable; delete it to continue this call unchecked") from error
        _require_same(before, call, folder)
        call = before
    else:
        torch.save({name: value.cpu() for name, value in weights.items()}, initial)
        write_text(file, json.dumps(call))
    try:
        yield
    finally:
        with suppress(OSError):  # of a full disk, say: the error of training is the one to see
            write_text(file, json.dumps({**call, "left": digest(tensors(student))}))


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    if before["architecture"] != now["architecture"]:
        raise RunError(f"{folder}: holds a call with a student of another architecture; choose another out")
    if now["weights"] not in (before["weights"], before.get("left")):
        raise RunError(
            f"{folder}: holds a call whose student began with other weights; choose another out. To continue that "
            f"call: student.load_state_dict(torch.load({str(folder / 'initial.pt')!r})); weights are the same in each "
            "process after torch.manual_seed"
        )
    for place in ("loader", "validation"):
        was, came = before[place], now[place]
        if (was is None) is not (came is None):
            raise RunError(f"{folder}: holds a call {'with' if was else 'without'} {place}; choose another out")
        for key in was or ():
            if was[key] != came[key] and None not in (was[key], came[key]):
                raise RunError(
                    f"{folder}: holds a call with other images, {place}: {key} {was[key]}, now {came[key]}; choose "
                    f"another out, or delete {folder / 'call.json'} if they are the same"
                )


def _described(loader: DataLoader[Any]) -> dict[str, Any]:
    """Return what distinguishes a loader's images from others, for JSON: numbers, and labels and pixels of a few.

    Random augmentation draws the same each time. Where it does not, having a generator of its own, two readings of an
    image differ, and pixels are None; so are labels and pixels of a dataset whose images have no number.
    """
    few = [_few(loader) for _ in range(2)]
    labels, pixels = (first if first == second else None for first, second in zip(*few, strict=True))
    images = _length(getattr(loader, "dataset", None))
    return {"batches": _length(loader), "images": images, "labels": labels, "pixels": pixels}


def _length(sized: Any) -> int | None:
    try:
        return len(sized)
    except (TypeError, NotImplementedError):
        return None


def _few(loader: DataLoader[Any]) -> tuple[list[int] | None, str | None]:
    """Return the labels of a few images, and a digest of their pixels."""
    dataset: Any = getattr(loader, "dataset", loader)
    by_image = getattr(loader, "batch_sampler", None) is not None  # else each item is a batch
    try:
        places = sorted({number * len(dataset) // FEW for number in range(FEW)})
        # In another process where the loader reads in others: a file that is opened here must not be shared with them.
        reading: DataLoader[Any] = DataLoader(
            dataset,
            batch_size=FEW if by_image else None,
            sampler=places,
            collate_fn=getattr(loader, "collate_fn", None),
            num_workers=min(getattr(loader, "num_workers", 0), 1),
            worker_init_fn=getattr(loader, "worker_init_fn", None),
            multiprocessing_context=getattr(loader, "multiprocessing_context", None),
            generator=torch.Generator().manual_seed(0),
        )
        with _fixed_seeds():
            batch = next(batches_of(reading, "loader"))
    except Exception:  # whatever a dataset raises that is not read by number
        return None, None
    return batch.labels.tolist(), digest({"images": batch.images})


@contextmanager
def _fixed_seeds() -> Iterator[None]:
    """Seed the global generators for a while; on leaving they are as before."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
