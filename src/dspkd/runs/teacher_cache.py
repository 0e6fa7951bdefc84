"""Fills a teacher's bank with all that a recipe will ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version

import torch
from torch import nn

from dspkd import methods
from dspkd.data.decode_cache import DECODER, fingerprints
from dspkd.data.loader import Key, TrainBatches
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import Stage
from dspkd.runs import build
from dspkd.runs.context import Inputs, Watcher
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.cached import BankedTeacher, Spent, image_keys, stored_bytes
from dspkd.training.teachers.fields_read import fields_read
from dspkd.types import Batch, Output, made_numbers


def wanted(made_from: Recipe) -> bool:
    """Return whether the recipe's teacher is to be asked about each picture once only."""
    return bool(made_from.teachers) and made_from.pictures.views != "fresh" and any(map(_asks, made_from.stages))


def bank(
    made_from: Recipe,
    make: Callable[..., Distiller],
    student: nn.Module,
    inputs: Inputs,
    batches: TrainBatches,
    watcher: Watcher,
) -> tuple[BankedTeacher, Spent]:
    """Return the teacher as one that reads its answers, once it has answered what is missing; and what they cost.

    Parameters
    ----------
    made_from
        The recipe.
    make
        Returns the objective of a stage, given the one before as `earlier`.
    student
        The network that will learn.
    inputs
        The live teacher, the table, and how to compute.
    batches
        Show the pictures.
    watcher
        Is told what will be stored, and how it goes.

    Raises
    ------
    DataError, RunError
        See `BankedTeacher.fill`.
    """
    folder = build.cache(made_from.machine)
    teacher, device = inputs.teacher, inputs.device
    assert teacher, "a recipe is checked before it is run"
    assert folder, "a recipe is checked before it is run"
    turned, strong = _made(made_from)

    def show(pictures: Sequence[list[Key]]) -> Iterator[Batch]:
        for batch in batches.show(pictures):
            yield batch.to(device).with_made(turned=turned, strong=strong)

    def ask(batch: Batch, of: build.AnyTeacher) -> Output:
        with torch.autocast(device.type, torch.bfloat16, enabled=inputs.half):
            return of.answer(batch)

    first_two = next(batches.show([batches.keys(0)[:2]])).to(device)
    fields = _fields(made_from, make, student, partial(ask, of=teacher), first_two)
    quick = teacher.compiled() if build.compiles(made_from.machine, inputs.ranks) else teacher
    about = {
        **build.augmentation(made_from.pictures).about,
        "made by": f"{DECODER}, torchvision {version('torchvision')}",
        "precision": "bfloat16" if inputs.half else "float32",
    }

    def opened() -> BankedTeacher:
        images = image_keys(fingerprints(inputs.table.paths), inputs.table.ids)
        return BankedTeacher(teacher, fields, images, about, folder, maps=made_from.bank.maps)

    banked = inputs.ranks.each(opened)
    pictures = schedule(made_from, batches)
    banked.fill(
        pictures,
        show,
        made=made_numbers(turned=turned, strong=strong),
        batch_size=batches.batch_size,
        ask=partial(ask, of=quick),
        progress=watcher.prepare,
        log=watcher.note,
        ranks=inputs.ranks,
    )
    # Rank 0 has written down what its answers took; another rank might look before that.
    return banked, inputs.ranks.first(lambda: banked.cost(len(pictures)))


def bytes_of_an_answer(
    made_from: Recipe,
    make: Callable[..., Distiller],
    student: nn.Module,
    teacher: build.AnyTeacher,
    batches: TrainBatches,
    device: torch.device,
) -> float:
    """Return the bytes that a bank keeps for one picture, those made from it included, by the answer to two."""
    turned, strong = _made(made_from)
    batch = next(batches.show([batches.keys(0)[:2]])).to(device)
    fields = _fields(made_from, make, student, teacher.answer, batch)
    answered = teacher.answer(batch.with_made(turned=turned, strong=strong))
    return stored_bytes(answered, fields, made_from.bank.maps) / len(batch)


def _made(made_from: Recipe) -> tuple[bool, bool]:
    """Return whether the teacher is also asked about turned pictures, and about strong ones."""
    terms = [methods.find(term.method) for stage in made_from.stages if _asks(stage) for term in stage.terms]
    return any(term.wants_turned for term in terms), any(term.wants_strong for term in terms)


def _asks(stage: Stage) -> bool:
    """Return whether the frozen teacher answers in this stage; a copy of it that learns does so in its stead."""
    return not stage.teacher_lr and any(methods.find(term.method).needs_teacher for term in stage.terms)


def schedule(made_from: Recipe, batches: TrainBatches) -> set[Key]:
    """Return the pictures about which the teacher will be asked."""
    shown: set[Key] = set()
    first = 0
    for stage in made_from.stages:
        if _asks(stage):
            shown.update(key for epoch in range(first, first + stage.epochs) for key in batches.keys(epoch))
        first += stage.epochs
    return shown


def _fields(
    made_from: Recipe, make: Callable[..., Distiller], student: nn.Module, ask: Callable[[Batch], Output], batch: Batch
) -> set[str]:
    """Return which parts of the teacher's answers the recipe's terms read."""
    fields: set[str] = set()
    earlier = None
    training = student.training
    for stage in made_from.stages:
        earlier = make(stage, earlier=earlier).to(batch.images.device)
        if _asks(stage):
            shown = batch.with_made(turned=earlier.turned, strong=earlier.strong)
            with torch.no_grad():
                output = earlier.parted(student.eval()(shown.images))
            terms = earlier.terms.values()
            fields |= fields_read(terms, output, earlier.parted(ask(shown)), batch)  # type: ignore[arg-type]
    student.train(training)
    return fields
