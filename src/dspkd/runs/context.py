"""The data, networks and settings of a run, prepared once from its recipe and recorded in its folder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from dspkd import data
from dspkd.data import decode, leakage, metadata
from dspkd.data import split as splits
from dspkd.data.decode_cache import DecodeCache
from dspkd.data.loader import Decode, TrainBatches
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.data.unlabelled import UnlabelledImages
from dspkd.errors import RunError
from dspkd.evaluation import classes
from dspkd.models.tapped import Tapped
from dspkd.recipes.schema import Recipe
from dspkd.runs import answers, as_it_is, build, environment, hardware, records, resume, same_ranks, seen_images
from dspkd.runs import unlabelled as unlabelled_images
from dspkd.runs.files import RunFiles
from dspkd.runs.teacher_words import described, too_small
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.files import write_json, write_text
from dspkd.runtime.memory import keep_freed_memory
from dspkd.training.progress import ProgressListener
from dspkd.training.teachers.answers import AnswersTeacher
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
    to_train, to_evaluate, to_teach
        Cached decoded images of the training set (and unlabelled ones), of the other two, and of the first at the
        teacher's size where it is not the student's; None where nothing is cached.
    unlabelled
        Images without labels from which the run learns; None where it has none.
    """

    recipe: Recipe
    files: RunFiles
    listener: ProgressListener
    table: Table
    split: Split
    student: Tapped
    teacher: build.AnyTeacher | AnswersTeacher | None
    device: torch.device
    bf16: bool
    compiled: bool
    to_train: Decode | None
    to_evaluate: Decode | None
    to_teach: Decode | None = None
    unlabelled: UnlabelledImages | None = None
    world: World = SINGLE

    @property
    def images(self) -> Table:
        """The table, followed by the unlabelled images."""
        return self.unlabelled.after(self.table) if self.unlabelled else self.table

    def train_batches(self, *, for_teacher: bool, unlabelled: bool = True, strong_aug: bool = False) -> TrainBatches:
        """Return the batches of the training set, this process's share of each; `for_teacher` also at its size.

        With `unlabelled`, the unlabelled images are beside the labelled ones, where the run has any; `strong_aug` as
        for `build`.
        """
        return build.train_batches(
            self.recipe,
            self.images,
            self.split.rows("train"),
            self.device,
            unlabelled=np.arange(len(self.table), len(self.images)) if unlabelled else None,
            strong_aug=strong_aug,
            decoded=self.to_train,
            larger=build.larger(self.recipe, self.to_teach) if for_teacher else None,
            world=self.world,
        )

    def eval_loader(self, rows: NDArray[np.int64]) -> DataLoader[Batch]:
        """Return a loader of these rows for evaluation, in order: this process's share of the batches."""
        return build.eval_loader(self.recipe, self.table, rows, self.device, decoded=self.to_evaluate, world=self.world)

    def teacher_loader(self, rows: NDArray[np.int64]) -> DataLoader[Batch]:
        """Return a loader of these rows at the size that the teacher sees."""
        if not build.larger(self.recipe):
            return self.eval_loader(rows)
        seen, listener = self.recipe.seen_by_teacher, self.listener
        return build.eval_loader(seen, self.table, rows, self.device, listener=listener, world=self.world)


def prepare(recipe: Recipe, files: RunFiles, listener: ProgressListener, world: World = SINGLE) -> RunContext:
    """Load, check and split the data, load both networks, and record data and environment in the run folder.

    Every process loads data and networks; rank 0 alone splits, and writes into the folder.
    """
    keep_freed_memory()
    device = world.on_all(lambda: hardware.device(recipe.machine, world))
    if threads := hardware.threads(recipe, world):
        torch.set_num_threads(threads)
    table = world.rank_zero_first(lambda: _table(recipe, listener))
    kinds = classes.malignancies(table.classes, recipe.data.malignant, recipe.data.benign)
    dataset, digest, new = world.on_rank_zero(lambda: _dataset(recipe, table, files))
    split, leak = dataset.split, dataset.leak
    compiled = world.on_all(lambda: hardware.compiles(recipe, len(split.rows("train")), world))
    for line in [*dataset.notes, *classes.in_words(table.classes, kinds)]:
        listener.note(line)
    listener.data(splits.report(table, split))
    warnings = [*dataset.warnings, *([] if recipe.stages else [as_it_is.caution(recipe.model)])]
    for warning in [*warnings, *([str(leak)] if leak else [])]:
        listener.note(f"warning: {warning}")
    if recipe.teacher and (enlarged := too_small(recipe.teacher, table, split.rows("train"))):
        listener.note(f"warning: {enlarged}")

    unlabelled = world.on_rank_zero(lambda: unlabelled_images.load(recipe, table, split, listener, files=files))
    images = unlabelled.after(table) if unlabelled else table
    content = world.on_rank_zero(lambda: resume.require_same_data(files, table, split, images.paths[len(table) :]))
    world.on_rank_zero(lambda: resume.require_same_initial_weights(files, recipe))
    teacher = _teacher(recipe, table, split, device, files, listener, world, images)  # a wrong one is found now

    def load() -> tuple[tuple[Decode | None, Decode | None, Decode | None], Tapped]:
        if table.digest != digest:
            raise RunError(f"{table.root}: has other images, labels or groups here than on rank 0; copy the data again")
        decoded = _decoded(recipe, images, split, listener, new=new)
        student = build.student(recipe.model, len(table.classes), seed=recipe.seed)
        if not recipe.stages:
            as_it_is.require_classifier(student, table.classes)
        return decoded, student

    def learnt_from() -> dict[str, str]:
        own = world.rank > 0 and world.local_rank == 0  # the other ranks of a machine have its files
        unlabelled_paths = images.paths[len(table) :]
        return {
            "content of the images": resume.content_of(table, split, unlabelled_paths) if own else content,
            "teacher": teacher.digest() if teacher else "none",
        }

    (to_train, to_evaluate, to_teach), student = world.rank_zero_first(load)
    same_ranks.require_same(world, learnt_from)
    listener.note(f"{student.name}, {student.loaded}")
    loaders = hardware.workers(recipe.machine, device, world)
    prefix = f"rank 0 of {world.size}: " if world.size > 1 else ""
    listener.note(
        f"{prefix}{device}, {torch.get_num_threads()} threads, {loaders} loader processes{', compiled' * compiled}"
    )
    if reason := hardware.measured_settings(recipe, world):
        listener.note(reason)
    if world.rank == 0:
        with files.manifest.recording(files.data):
            write_json(files.data, _data_summary(recipe, dataset, warnings, content))
        machine: records.Facts = {"workers": loaders, "compiled": compiled, "ranks": world.size}
        if recipe.teacher:
            machine["teacher"] = described(recipe.teacher)
        environment.record(files, {**environment.of_now(device), **machine}, listener)
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
        to_teach=to_teach,
        unlabelled=unlabelled,
        world=world,
    )


def _teacher(
    recipe: Recipe,
    table: Table,
    split: Split,
    device: torch.device,
    files: RunFiles,
    listener: ProgressListener,
    world: World,
    images: Table,
) -> build.AnyTeacher | AnswersTeacher | None:
    """Load the teacher on each process; answers from a file on rank 0, which keeps them in the run folder."""
    load = partial(
        answers.teacher_of, recipe, table, split, device, images=images, kept=files.teacher_answers, listener=listener
    )
    if recipe.teacher and recipe.teacher.answers:
        with files.manifest.recording_new(files.teacher_answers) if world.rank == 0 else nullcontext():
            return world.on_rank_zero(load)
    return world.on_all(load)


def _table(recipe: Recipe, listener: ProgressListener) -> Table:
    """Read the images; the search for copies among them shows its progress, and is remembered."""
    cache = hardware.cache_folder(recipe.machine)
    return data.load_table(**build.data_options(recipe), cache=cache, progress=listener.prepare, log=listener.note)


def _dataset(recipe: Recipe, table: Table, files: RunFiles) -> tuple[data.Dataset, str, bool]:
    """Save the split; return the data set, the digest of the images, and whether nothing is trained yet.

    Until an epoch is saved, class map, split and what follows from them are those of the data as they are now.
    """
    new = not files.trained
    if new:
        for path in (files.class_map, files.split, files.unlabelled, files.teacher_answers):
            path.unlink(missing_ok=True)
    with files.manifest.recording_new(files.class_map):
        _copy_class_map(recipe.data.classes, files.class_map)
    if files.split.exists():
        split = splits.load(files.split, table, by="image")
        leak = leakage.accept(table, split, waiver=recipe.split.waiver, where=str(files.split))
        recorded = resume.recorded_data(files)
        dataset = data.Dataset(table, split, leak, recorded.split_how if recorded else "")
        seen_images.require_unseen_before(recipe, table, split)
    else:
        dataset = build.divided(recipe, table)
        with files.manifest.recording(files.split):
            dataset.split.save(files.split, table)
    with files.manifest.recording(files.attributes):
        metadata.save(files.attributes, table)
    return dataset, table.digest, new


def _copy_class_map(classes: str | None, copy: Path) -> None:
    """Copy the class map into the run folder, as the recipe holds only its path; RunError if it has changed."""
    text = records.text_of(Path(classes)) if classes is not None else None
    if copy.exists() and records.text_of(copy) != text:
        raise RunError(f"{copy}: the class map has changed since this run began; train into another folder")
    if text is not None:
        write_text(copy, text)


def _decoded(
    recipe: Recipe, table: Table, split: Split, listener: ProgressListener, *, new: bool
) -> tuple[Decode | None, Decode | None, Decode | None]:
    """Decode each image into the cache; where nothing is cached, only check all images before a new run."""
    folder = hardware.cache_folder(recipe.machine)
    if folder is None:
        if new:
            decode.check(table)
        return None, None, None
    cached = partial(
        DecodeCache,
        table,
        folder=folder,
        artefacts=recipe.images.artefacts,
        progress=listener.prepare,
        log=listener.note,
    )
    trained = np.concatenate([split.rows("train"), np.arange(len(split.parts), len(table))])  # and unlabelled ones
    evaluated = np.concatenate([split.places("val"), split.places("test")])
    to_teach = build.augmentation(recipe.seen_by_teacher.images).decode_side if build.larger(recipe) else None
    return (
        cached(trained, build.augmentation(recipe.images).decode_side),
        cached(evaluated, build.centre_crop(recipe.images).decode_side),
        cached(trained, to_teach) if to_teach else None,
    )


def _data_summary(recipe: Recipe, dataset: data.Dataset, warnings: list[str], content: str) -> dict[str, Any]:
    table, split = dataset.table, dataset.split
    return {
        "path": recipe.data.path,
        "layout": recipe.data.layout,
        "synthetic": any(table.root.glob("SYNTHETIC*")),
        "classes": list(table.classes),
        "digest": table.digest,
        "content": content,
        "split_digest": split.digest,
        "split_how": dataset.how,
        "notes": list(dataset.notes),
        "warnings": warnings,
        "counts": splits.report(table, split),
        "leak": asdict(dataset.leak) if dataset.leak else None,
        "card": {name: asdict(attribute) for name, attribute in dataset.card.items()},
    }
