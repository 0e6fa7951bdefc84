"""What a run computes with: images, split, teacher and device, made from its recipe and written into its folder."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dspkd.data import decode, leakage
from dspkd.data import metadata as attributes
from dspkd.data import split as splits
from dspkd.data.data_card import card
from dspkd.data.decode_cache import DecodeCache
from dspkd.data.loader import Decode
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import RunError
from dspkd.recipes.schema import Recipe
from dspkd.runs import build
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.files import write_json
from dspkd.runtime.memory import keep_freed_memory
from dspkd.training.progress import ProgressListener


@dataclass(frozen=True)
class RunContext:
    """What a run computes with, made from its recipe."""

    table: Table
    split: Split
    teacher: build.AnyTeacher | None
    device: torch.device
    bf16: bool
    to_train: Decode | None
    to_judge: Decode | None
    """Return the decoded image of a row, for those parts; None where each is decoded anew."""
    world: World = SINGLE


def prepare(recipe: Recipe, out: Path, listener: ProgressListener, world: World = SINGLE) -> RunContext:
    """Read and check the data, split them, load the teacher; write down what they were.

    Each rank reads data and teacher for itself; rank 0 splits and writes.
    """
    keep_freed_memory()
    if recipe.machine.threads:
        torch.set_num_threads(recipe.machine.threads)
    device = world.on_all(lambda: build.device(recipe.machine, world))
    table = world.on_all(lambda: build.table(recipe.data))
    split, leak, digest, new = world.on_rank_zero(lambda: _split(recipe, table, out))
    world.on_all(lambda: _require_digest(table, digest))
    counts = splits.report(table, split)
    listener.data(counts)
    if leak:
        listener.note(f"warning: {leak}")
    to_train, to_judge = world.rank_zero_first(lambda: _decoded(recipe, table, split, listener, new=new))
    teacher = world.on_all(lambda: build.teacher(recipe.teachers, table, split, device))
    compiles = world.on_all(lambda: build.compiles(recipe.machine, world))
    loaders = build.workers(recipe.machine, device, world)
    among = f"rank 0 of {world.size}: " if world.size > 1 else ""
    listener.note(
        f"{among}{device}, {torch.get_num_threads()} threads, {loaders} loader processes{', compiled' * compiles}"
    )
    about = {
        "path": recipe.data.path,
        "layout": recipe.data.layout,
        "synthetic": any(table.root.glob("SYNTHETIC*")),
        "classes": list(table.classes),
        "digest": table.digest,
        "split_digest": split.digest,
        "counts": counts,
        "leak": asdict(leak) if leak else None,
        "card": {name: asdict(attribute) for name, attribute in card(table, split).items()},
    }
    environment = {**_environment(device), "workers": loaders, "compiled": compiles, "ranks": world.size}
    if world.rank == 0:
        write_json(out / "data.json", about)
        write_json(out / "environment.json", environment)
    return RunContext(table, split, teacher, device, build.bf16(recipe.train, device), to_train, to_judge, world)


def _split(recipe: Recipe, table: Table, out: Path) -> tuple[Split, leakage.Leak | None, str, bool]:
    """Return the run's split, its leak, the digest of its images, and whether nothing has been trained yet."""
    _keep_class_map(recipe.data.classes, out)
    if (out / "split.csv").exists():
        split = splits.load(out / "split.csv", table, by="image")
    else:
        split = build.split(recipe.split, table)
        splits.require_training_images(table, split)
        split.save(out / "split.csv", table)
    attributes.save(out / attributes.FILE, table)
    leak = leakage.accept(table, split, waiver=recipe.split.waiver, where=str(out / "split.csv"))
    return split, leak, table.digest, not (out / "stages").exists()


def _require_digest(table: Table, digest: str) -> None:
    if table.digest != digest:
        raise RunError(f"{table.root}: holds other images, labels or groups here than where rank 0 is; copy them anew")


def _keep_class_map(classes: str | None, out: Path) -> None:
    """Copy the class map into the run's folder, since its recipe has no more than the name of the file."""
    kept = out / "classes.toml"
    said = Path(classes).read_text(encoding="utf-8") if classes is not None else None
    if kept.exists() and kept.read_text(encoding="utf-8") != said:
        raise RunError(f"{kept}: the class map has changed since this run began; train into another folder")
    if said is not None:
        kept.write_text(said, encoding="utf-8")


def _decoded(
    recipe: Recipe, table: Table, split: Split, listener: ProgressListener, *, new: bool
) -> tuple[Decode | None, Decode | None]:
    """Decode each image once and keep it, or at least see, before a new run, that none is damaged."""
    folder = build.cache(recipe.machine)
    if folder is None:
        if new:
            decode.check(table)
        return None, None
    artefacts = recipe.images.artefacts
    keep = partial(DecodeCache, table, folder=folder, artefacts=artefacts, progress=listener.prepare, log=listener.note)
    judged = np.concatenate([split.places("val"), split.places("test")])
    return (
        keep(split.rows("train"), build.augmentation(recipe.images).decode_side),
        keep(judged, build.centre_crop(recipe.images).decode_side),
    )


def _environment(device: torch.device) -> dict[str, Any]:
    packages = ("dspkd", "torch", "torchvision", "timm", "numpy")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }
