"""Explain a recipe without training: shapes and sizes of its networks, and each term on the first batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.data.table import Table
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, validate
from dspkd.training.distiller import Distiller
from dspkd.types import Batch, Output


@dataclass(frozen=True)
class TermFacts:
    """A term at the first step of its stage, with its full weight even where that rises along a ramp.

    Attributes
    ----------
    name, weight
        As in the recipe.
    value
        Weighted value on the first batch.
    gradient_share
        Norm of the weighted term's gradient by the student's parameters, divided by the sum of all terms' norms.
    parameters
        Number of parameters of the term's own layers, trained in the stage and dropped after it.
    """

    name: str
    weight: float
    value: float
    gradient_share: float
    parameters: int


@dataclass(frozen=True)
class StageFacts:
    """A stage: its name, epochs, number of trained parameters (student and terms), and terms."""

    name: str
    epochs: int
    trained: int
    terms: tuple[TermFacts, ...]


@dataclass(frozen=True)
class NetworkFacts:
    """A network: its name, number of parameters, and the shape ``(C, H, W)`` of each tap and of the pooled features."""

    name: str
    parameters: int
    shapes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Facts:
    """The result of `explain`."""

    digest: str
    images: int
    batch_size: int
    student: NetworkFacts
    teacher: NetworkFacts | None
    stages: tuple[StageFacts, ...]


def explain(recipe: Recipe) -> Facts:
    """Measure each stage of the recipe on its first batch, always with the initial student.

    Data are read and split, but only one batch of images is decoded. The teacher's run must be finished.

    Raises
    ------
    RecipeError, DataError, RunError, WeightsError
        As training would.
    """
    validate.check(recipe)
    dataset = build.load_data(recipe)
    table = dataset.table
    student = build.student(recipe.model, len(table.classes), seed=recipe.seed)
    teacher = build.teacher(recipe.teachers, table, dataset.split, torch.device("cpu"))
    rows = dataset.split.rows("train")
    batch = next(build.train_batches(recipe, table, rows, torch.device("cpu")).epoch(0))
    with torch.no_grad():
        shapes = _shapes(student.eval()(batch.images))
    counts = _counts(table, rows)
    stages: list[StageFacts] = []
    distiller = None
    for stage in recipe.stages:
        distiller = build.distiller(
            stage, student, teacher, counts, seed=recipe.seed, balance=recipe.train.balance, earlier=distiller
        )
        stages.append(_stage_facts(stage.name, stage.epochs, distiller, batch))
    return Facts(
        digest=recipe.digest,
        images=len(rows),
        batch_size=len(batch),
        student=NetworkFacts(recipe.model.name, _size(student), shapes),
        teacher=_teacher_facts(teacher, batch) if teacher else None,
        stages=tuple(stages),
    )


def _stage_facts(name: str, epochs: int, distiller: Distiller, batch: Batch) -> StageFacts:
    distiller.train()
    parameters = [value for value in distiller.student.parameters() if value.requires_grad]
    losses = distiller(batch)
    norms = {}
    for part in distiller.terms:
        gradients = torch.autograd.grad(losses[part], parameters, retain_graph=True, allow_unused=True)
        norms[part] = math.hypot(*(g.norm().item() for g in gradients if g is not None))
    total = sum(norms.values()) or 1.0
    terms = tuple(
        TermFacts(part, distiller.weights[part], losses[part].item(), norms[part] / total, _size(term))
        for part, term in distiller.terms.items()
    )
    return StageFacts(name, epochs, sum(value.numel() for _, value in distiller.trainable()), terms)


def _teacher_facts(teacher: build.AnyTeacher, batch: Batch) -> NetworkFacts:
    return NetworkFacts(teacher.name, teacher.parameters, _shapes(teacher.answer(batch)))


def _shapes(output: Output) -> dict[str, tuple[int, ...]]:
    shapes = {tap: tuple(values.shape[1:]) for tap, values in output.maps.items()}
    return {**shapes, "pooled": tuple(output.pooled.shape[1:]), "logits": tuple(output.logits.shape[1:])}


def _size(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def _counts(table: Table, rows: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(images for images, _ in table.take(rows).counts().values())
