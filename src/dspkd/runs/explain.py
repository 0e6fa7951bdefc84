"""Explain a recipe without training: shapes and sizes of its networks, and each term on the first batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.data.table import Table
from dspkd.methods.hierarchical_fusion import HierarchicalFusion
from dspkd.methods.mgd import MGD
from dspkd.recipes.schema import Recipe
from dspkd.recipes.teacher import TeacherConfig
from dspkd.runs import answers, build, fold_teachers, teacher_cache, teacher_words, validate
from dspkd.runs.fold_teachers import FoldTeachers
from dspkd.training.distiller import Distiller
from dspkd.training.gradient_share import gradient_norm
from dspkd.training.teachers.answers import AnswersTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, Output

FEWEST = 4
"""Positions a side below which a map has too little for a generator to rebuild (inferred)."""

NEGLIGIBLE = 0.1
"""Share of the gradient below which a term hardly trains the student (inferred)."""


@dataclass(frozen=True)
class TermFacts:
    """A term at the first step of its stage, with its full weight even where that rises along a ramp.

    Attributes
    ----------
    name, weight, share
        As in the recipe; `weight` of a term with a share is that of the first step.
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
    share: float | None = None


@dataclass(frozen=True)
class StageFacts:
    """A stage: its name, epochs, number of trained parameters (student and terms), terms, and what to reconsider."""

    name: str
    epochs: int
    trained: int
    terms: tuple[TermFacts, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkFacts:
    """A network: its name, number of parameters, and the shape ``(C, H, W)`` of each tap and of the pooled features."""

    name: str
    parameters: int
    shapes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Facts:
    """The result of `explain`; `teaching` says who answers in training and what it costs, where that is not obvious."""

    digest: str
    images: int
    batch_size: int
    student: NetworkFacts
    teacher: NetworkFacts | None
    stages: tuple[StageFacts, ...]
    teaching: tuple[str, ...] = ()
    passes: int = 1
    teacher_warnings: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings about the teacher and of all stages."""
        return (*self.teacher_warnings, *(warning for stage in self.stages for warning in stage.warnings))


def explain(recipe: Recipe, *, stand_in: FrozenTeacher | None = None) -> Facts:
    """Measure each stage of the recipe on its first batch, always with the initial student.

    Data are read and split, but only one batch of images is decoded. The teacher's run must be finished, unless
    `stand_in`, its network with any weights, is given in its place.

    Raises
    ------
    RecipeError, DataError, RunError, WeightsError
        As training would.
    """
    validate.check(recipe)
    dataset = build.load_data(recipe)
    table = dataset.table
    student = build.student(recipe.model, len(table.classes), seed=recipe.seed)
    cpu = torch.device("cpu")
    if stand_in:
        stand_in.network.to(cpu)
    teacher = stand_in or answers.teacher_of(recipe, table, dataset.split, cpu)
    rows = dataset.split.rows("train")
    batch = next(build.train_batches(recipe, table, rows, cpu, larger=build.larger(recipe)).epoch(0))
    with torch.no_grad():
        shapes = _shapes(student.eval()(batch.images))
    teacher_facts = _teacher_facts(teacher, batch) if teacher else None
    make = partial(
        build.distiller,
        student=student,
        teacher=teacher,
        class_counts=_counts(table, rows),
        seed=recipe.seed,
        balance=recipe.train.balance,
    )
    fields: frozenset[str] = frozenset()
    if teacher:
        fields = teacher_cache.reads(recipe, make, student, teacher.answer, batch.rows(0, 2)).fields
    if isinstance(teacher, AnswersTeacher):
        answers.require_readable(teacher.name, teacher, fields)
    stages: list[StageFacts] = []
    planned = recipe.teacher and recipe.teacher.cross_fit and fold_teachers.planned(recipe, table, dataset.split)
    folds = planned[0] if planned else []
    distiller = None
    for stage in recipe.stages:
        distiller = make(stage, earlier=distiller)
        facts = _stage_facts(stage.name, stage.epochs, distiller, batch)
        coarse = _coarse_targets(distiller, _rebuilt(shapes, teacher_facts.shapes)) if teacher_facts else []
        warnings = [*stage.shortened, *coarse, *_unbalanced(facts)]
        stages.append(replace(facts, warnings=tuple(f"stage {stage.name}: {warning}" for warning in warnings)))
    return Facts(
        digest=recipe.digest,
        images=len(rows),
        batch_size=len(batch),
        student=NetworkFacts(recipe.model.name, _size(student), shapes),
        teacher=teacher_facts,
        stages=tuple(stages),
        **_teaching(recipe.teacher, folds, fields, table, rows),
    )


def _teaching(
    config: TeacherConfig | None,
    folds: list[FoldTeachers],
    fields: frozenset[str],
    table: Table,
    rows: NDArray[np.int64],
) -> dict[str, Any]:
    """Return what `Facts` says about who answers in training."""
    if config is None:
        return {}
    features = bool(fields - {"logits"})
    return {
        "teaching": tuple(teacher_words.details(config, folds, features=features)),
        "passes": teacher_words.passes(config, features=features),
        "teacher_warnings": tuple(_teacher_warnings(config, fields, table, rows)),
    }


def _teacher_warnings(
    config: TeacherConfig, fields: frozenset[str], table: Table, rows: NDArray[np.int64]
) -> list[str]:
    """Return what to reconsider about the teacher's settings, given the parts of its outputs that terms read."""
    warnings = []
    changes = {"views": {"logits", "pooled"}, "cross_fit": {"logits"}, "weights": {"logits"}}
    set_here = [key for key in changes if getattr(config, key) not in (1, None, "mean")]
    if unread := [key for key in set_here if not fields & changes[key]]:
        what = " and ".join(f"teacher.{key}" for key in unread)
        warnings.append(f"{what}: no term reads the teacher's logits, so nothing changes; leave it out")
    if len(config.run) > 1 and "logits" not in fields:
        others = ", ".join(config.run[1:])
        warnings.append(
            f"teacher.run: no term reads the teacher's logits, so training learns nothing from {others}; "
            f"name {config.run[0]} alone"
        )
    if enlarged := teacher_words.too_small(config, table, rows):
        warnings.append(enlarged)
    return warnings


def _stage_facts(name: str, epochs: int, distiller: Distiller, batch: Batch) -> StageFacts:
    distiller.train()
    parameters = [value for value in distiller.student.parameters() if value.requires_grad]
    losses = distiller(batch)
    norms = {}
    for part in distiller.terms:
        norms[part] = gradient_norm(losses[part], parameters)
    total = sum(norms.values()) or 1.0
    shares = distiller.shares.shares if distiller.shares else {}
    weights = {**distiller.weights, **(distiller.shares.weights if distiller.shares else {})}
    terms = tuple(
        TermFacts(part, weights[part], losses[part].item(), norms[part] / total, _size(term), shares.get(part))
        for part, term in distiller.terms.items()
    )
    return StageFacts(name, epochs, sum(value.numel() for _, value in distiller.trainable()), terms)


def _coarse_targets(distiller: Distiller, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return a warning for each term that rebuilds a map of the teacher with fewer than `FEWEST` positions a side."""
    found = []
    for name, term in distiller.terms.items():
        rows, columns = shapes[term.target] if isinstance(term, HierarchicalFusion | MGD) else (FEWEST, FEWEST)
        if min(rows, columns) < FEWEST:
            finer = [tap for tap in ("stride16", "stride8") if min(shapes.get(tap, (0,))) >= FEWEST]
            remedy = f'set its options.target = "{finer[0]}"' if finer else "enlarge images.size"
            grid = f"{rows} x {columns} positions, fewer than {FEWEST} x {FEWEST}"
            found.append(f"the map that {name} rebuilds has {grid}; {remedy}")
    return found


def _rebuilt(
    student: Mapping[str, tuple[int, ...]], teacher: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Return the grid on which a term compares each map: the student's, where it divides the teacher's."""
    grids = {tap: (student[tap][1:], teacher[tap][1:]) for tap in student if tap in teacher and len(teacher[tap]) == 3}
    return {
        tap: ours if all(t % s == 0 for s, t in zip(ours, theirs, strict=True)) else theirs
        for tap, (ours, theirs) in grids.items()
    }


def _unbalanced(stage: StageFacts) -> list[str]:
    """Return a warning for the term with nearly all of the gradient, or for each with nearly none.

    Beside terms that keep a share, the others divide the rest in the proportion of the first step.
    """
    if len(stage.terms) == 1:
        return []
    fixed = sum(term.gradient_share for term in stage.terms if term.share is None) or 1.0
    rest = (1 - sum(term.share or 0.0 for term in stage.terms)) / fixed
    shares = {term.name: term.share or rest * term.gradient_share for term in stage.terms}
    extreme = [name for name, share in shares.items() if share > 1 - NEGLIGIBLE]
    extreme = extreme or [name for name, share in shares.items() if 0 < share < NEGLIGIBLE]
    return [
        f"{name} has {shares[name]:.1%} of the gradient, "
        + (f"more than {1 - NEGLIGIBLE:.0%}" if shares[name] > 0.5 else f"less than {NEGLIGIBLE:.0%}")
        + "; change a weight, or set share = 0.4 in place of it"
        for name in extreme
    ]


def _teacher_facts(teacher: build.AnyTeacher | AnswersTeacher, batch: Batch) -> NetworkFacts:
    return NetworkFacts(teacher.name, teacher.parameters, _shapes(teacher.answer(batch)))


def _shapes(output: Output) -> dict[str, tuple[int, ...]]:
    shapes = {tap: tuple(values.shape[1:]) for tap, values in output.maps.items()}
    return {**shapes, "pooled": tuple(output.pooled.shape[1:]), "logits": tuple(output.logits.shape[1:])}


def _size(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def _counts(table: Table, rows: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(images for images, _ in table.take(rows).counts().values())
