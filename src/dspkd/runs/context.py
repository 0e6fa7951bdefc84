"""The data, networks and settings of a run, prepared once from its recipe and recorded in its folder."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from dspkd import data
from dspkd.data import decode, leakage, metadata
from dspkd.data import split as splits
from dspkd.data.data_card import card
from dspkd.data.decode_cache import DecodeCache
from dspkd.data.loader import Decode, TrainBatches
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import RunError
from dspkd.models.tapped import Tapped
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, hardware
from dspkd.runs.files import RunFiles
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.files import write_json, write_text
from dspkd.runtime.memory import keep_freed_memory
from dspkd.training.progress import ProgressListener
from dspkd.types import Batch


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The data, networks and settings of a run.

    Attributes
    ----------
    recipe, files, listener, world
        The recipe; the files of the run folder; what receives progress; the processes that train together.
    table, split
        All images, and the training, validation or test set of each.
    student, teacher
        The student, on `device`; the frozen teacher, or None.
    device, bf16, compiled
        Where and how steps are computed.
    to_train, to_evaluate
        Cached decoded images of the training set, and of the other two; None where nothing is cached.
    """

    recipe: Recipe
    files: RunFiles
    listener: ProgressListener
    table: Table
    split: Split
    student: Tapped
    teacher: build.AnyTeacher | None
    device: torch.device
    bf16: bool
    compiled: bool
    to_train: Decode | None
    to_evaluate: Decode | None
    world: World = SINGLE

    def train_batches(self) -> TrainBatches:
        """Return the batches of the training set: this process's share of each."""
        return build.train_batches(
            self.recipe,
            self.table,
            self.split.rows("train"),
            self.device,
            decoded=self.to_train,
            world=self.world,
        )

    def eval_loader(self, rows: NDArray[np.int64]) -> DataLoader[Batch]:
        """Return a loader of these rows for evaluation, in order: this process's share of the batches."""
        return build.eval_loader(self.recipe, self.table, rows, self.device, decoded=self.to_evaluate, world=self.world)


def prepare(recipe: Recipe, files: RunFiles, listener: ProgressListener, world: World = SINGLE) -> RunContext:
    """Load, check and split the data, load both networks, and record data and environment in the run folder.

    Every process loads data and networks; rank 0 alone splits, and writes into the folder.
    """
    keep_freed_memory()
    if recipe.machine.threads:
        torch.set_num_threads(recipe.machine.threads)
    device, compiled, table = world.on_all(
        lambda: (
            hardware.device(recipe.machine, world),
            hardware.compiles(recipe.machine, world),
            data.load_table(**build.data_options(recipe)),
        )
    )
    split, leak, digest, new = world.on_rank_zero(lambda: _split(recipe, table, files))
    listener.data(splits.report(table, split))
    for warning in [*([leak] if leak else []), *data.Dataset(table, split, leak).missing_classes]:
        listener.note(f"warning: {warning}")

    def load() -> tuple[tuple[Decode | None, Decode | None], build.AnyTeacher | None, Tapped]:
        if table.digest != digest:
            raise RunError(f"{table.root}: has other images, labels or groups here than on rank 0; copy the data again")
        teacher = build.teacher(recipe.teachers, table, split, device)  # a wrong one is found before decoding
        decoded = _decoded(recipe, table, split, listener, new=new)
        return decoded, teacher, build.student(recipe.model, len(table.classes), seed=recipe.seed)

    (to_train, to_evaluate), teacher, student = world.rank_zero_first(load)
    listener.note(f"{student.name}, {student.loaded}")
    loaders = hardware.workers(recipe.machine, device, world)
    prefix = f"rank 0 of {world.size}: " if world.size > 1 else ""
    listener.note(
        f"{prefix}{device}, {torch.get_num_threads()} threads, {loaders} loader processes{', compiled' * compiled}"
    )
    if world.rank == 0:
        write_json(files.data, _data_summary(recipe, table, split, leak))
        machine = {"workers": loaders, "compiled": compiled, "ranks": world.size}
        write_json(files.environment, {**_environment(device), **machine})
    return RunContext(
        recipe=recipe,
        files=files,
        listener=listener,
        table=table,
        split=split,
        student=hardware.placed(student, device),
        teacher=teacher,
        device=device,
        bf16=hardware.bf16(recipe.train, device),
        compiled=compiled,
        to_train=to_train,
        to_evaluate=to_evaluate,
        world=world,
    )


def _split(recipe: Recipe, table: Table, files: RunFiles) -> tuple[Split, leakage.Leak | None, str, bool]:
    """Save the split; return it, its leak, the digest of the images, and whether nothing is trained yet."""
    _copy_class_map(recipe.data.classes, files.class_map)
    if files.split.exists():
        split = splits.load(files.split, table, by="image")
        leak = leakage.accept(table, split, waiver=recipe.split.waiver, where=str(files.split))
    else:
        dataset = build.divided(recipe, table)
        split, leak = dataset.split, dataset.leak
        split.save(files.split, table)
    metadata.save(files.attributes, table)
    return split, leak, table.digest, not files.stages.exists()


def _copy_class_map(classes: str | None, copy: Path) -> None:
    """Copy the class map into the run folder, as the recipe holds only its path; RunError if it has changed."""
    text = Path(classes).read_text(encoding="utf-8") if classes is not None else None
    if copy.exists() and copy.read_text(encoding="utf-8") != text:
        raise RunError(f"{copy}: the class map has changed since this run began; train into another folder")
    if text is not None:
        write_text(copy, text)


def _decoded(
    recipe: Recipe, table: Table, split: Split, listener: ProgressListener, *, new: bool
) -> tuple[Decode | None, Decode | None]:
    """Decode each image into the cache; where nothing is cached, only check all images before a new run."""
    folder = hardware.cache_folder(recipe.machine)
    if folder is None:
        if new:
            decode.check(table)
        return None, None
    cached = partial(
        DecodeCache,
        table,
        folder=folder,
        artefacts=recipe.images.artefacts,
        progress=listener.prepare,
        log=listener.note,
    )
    evaluated = np.concatenate([split.places("val"), split.places("test")])
    return (
        cached(split.rows("train"), build.augmentation(recipe.images).decode_side),
        cached(evaluated, build.centre_crop(recipe.images).decode_side),
    )


def _data_summary(recipe: Recipe, table: Table, split: Split, leak: leakage.Leak | None) -> dict[str, Any]:
    return {
        "path": recipe.data.path,
        "layout": recipe.data.layout,
        "synthetic": any(table.root.glob("SYNTHETIC*")),
        "classes": list(table.classes),
        "digest": table.digest,
        "split_digest": split.digest,
        "counts": splits.report(table, split),
        "leak": asdict(leak) if leak else None,
        "card": {name: asdict(attribute) for name, attribute in card(table, split).items()},
    }


def _environment(device: torch.device) -> dict[str, Any]:
    packages = ("dspkd", "torch", "torchvision", "timm", "numpy")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }
