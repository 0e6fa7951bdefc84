"""A recipe becomes a run folder: the unit of resume, evaluation and export.

recipe.toml        as run, every default written out
environment.json   versions, machine
data.json          where the images are, fingerprints, counts per class and part
split.csv          which image trains, chooses the epoch, judges
metrics.jsonl      a record for each epoch
stages/0-NAME/     checkpoint of each stage
model.safetensors  the student alone, under its library's own names
predictions/       val.csv and test.csv: logits, label, id, group; teacher-val.csv and teacher-test.csv
evidence/          small images, where the networks look, pooled vectors: see `dspkd.runs.artifacts`
test_evaluations.jsonl  each time the test part was opened, and for what
result.json        what came out; written last, so a folder that has it is whole
report.html        all of it, to read
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader

from dspkd.errors import RunError
from dspkd.evaluation.inference import predict
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.models.tapped import Tapped
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe
from dspkd.runs import artifacts, build, holdout, teacher_cache, validate
from dspkd.runs.context import RunContext, prepare
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.files import write_json, write_text
from dspkd.training import loggers, loop
from dspkd.training.distiller import Distiller
from dspkd.training.progress import NullProgress, ProgressListener
from dspkd.training.teachers.cached import CacheCost
from dspkd.types import Batch


def train(recipe: Recipe, out: Path, listener: ProgressListener | None = None, world: World = SINGLE) -> None:
    """Train and evaluate what a recipe describes; go on where an earlier, killed run in `out` stopped.

    Parameters
    ----------
    recipe
        The recipe.
    out
        Run folder; made if missing.
    listener
        Is told of counts, steps and epochs, on rank 0.
    world
        Processes that train together. Rank 0 alone needs to see `out`, and ends the run.

    Raises
    ------
    RecipeError, DataError, WeightsError
        Before anything is trained.
    RunError
        `out` holds a run of another recipe.
    TrainingError
        A loss is not finite; epochs before that are saved.
    """
    listener = (listener if world.rank == 0 else None) or NullProgress()
    world.on_all(lambda: validate.check(recipe))
    if world.on_rank_zero(lambda: _claim(recipe, out)):
        return
    inputs = prepare(recipe, out, listener, world)
    student = world.rank_zero_first(lambda: build.student(recipe.model, len(inputs.table.classes), seed=recipe.seed))
    stages, answers = _train_stages(recipe, out, inputs, build.placed(student, inputs.device), listener)
    world.on_rank_zero(lambda: _conclude(recipe, out, replace(inputs, world=SINGLE), student, stages, answers))


def _conclude(
    recipe: Recipe,
    out: Path,
    inputs: RunContext,
    student: Tapped,
    stages: list[dict[str, Any]],
    answers: CacheCost | None,
) -> None:
    """Save the student, judge it, and write down what came out."""
    _save_student(student, out)
    opened = holdout.evaluate_test(inputs.split, out, purpose=holdout.TRAINING)
    rows = {"val": inputs.split.rows("val"), "test": opened}
    said = {
        part: judge(student, inputs, of_part, artifacts.batches(inputs, of_part, recipe))
        for part, of_part in rows.items()
    }
    for part, predictions in said.items():
        predictions.save(out / "predictions" / f"{part}.csv")
    artifacts.keep(out, student, said, rows, inputs, recipe)
    write_json(
        out / "result.json",
        {
            "name": recipe.name,
            "model": recipe.model.name,
            "classes": list(inputs.table.classes),
            "parameters": sum(value.numel() for value in student.parameters()),
            "teacher": ", ".join(recipe.teachers) or None,
            "digest": recipe.digest,
            "seed": recipe.seed,
            "stages": stages,
            "seconds": round(sum(stage["seconds"] for stage in stages), 1),
            "cpu_seconds": _sum(stage["cpu_seconds"] for stage in stages),
            "teacher_cache": asdict(answers) if answers else None,
            "test_evaluations": len(holdout.evaluations(out) or ()),
        },
    )


def judge(student: nn.Module, inputs: RunContext, rows: NDArray[np.int64], shown: DataLoader[Batch]) -> Predictions:
    """Return the student's logits for these rows of the table, of which each rank is shown its own; all get all."""
    own = predict(student, inputs.table, shown, device=inputs.device, bf16=inputs.bf16) if len(shown) else None
    parts = [part for part in inputs.world.all_gather(own) if part]
    return Predictions.joined(parts, [inputs.table.ids[row] for row in rows])


def _train_stages(
    recipe: Recipe, out: Path, inputs: RunContext, student: Tapped, listener: ProgressListener
) -> tuple[list[dict[str, Any]], CacheCost | None]:
    """Run the stages one after another on the same student; return a summary of each, and what a cache cost."""
    rows, world = inputs.split.rows("train"), inputs.world
    counts = tuple(images for images, _ in inputs.table.take(rows).counts().values())
    arithmetic = build.arithmetic(recipe, inputs.device, world)
    teacher = inputs.teacher.compiled() if inputs.teacher and arithmetic.compiled else inputs.teacher
    make = partial(
        build.distiller, learner=student, teacher=teacher, class_counts=counts, seed=recipe.seed,
        balance=recipe.train.balance,
    )  # fmt: skip
    world.on_all(lambda: _try(recipe, make))
    show = partial(build.batches, recipe, inputs.table, rows, inputs.device, decoded=inputs.to_train, world=world)
    batches = world.on_all(show)
    answers = None
    if teacher_cache.wanted(recipe):
        cached, answers = teacher_cache.cached_teacher(recipe, make, student, inputs, batches, listener)
        make = partial(make, teacher=cached)
    initial = {name: value.clone() for name, value in student.state_dict().items()}
    judging = artifacts.batches(inputs, inputs.split.rows("val"), recipe)  # whose processes serve all epochs
    untouched = inputs.teacher.digest() if inputs.teacher else ""
    summaries: list[dict[str, Any]] = []
    done = 0
    distiller = None
    written = (
        loggers.MetricsLogger(out, listener, recipe.machine.loggers, run=recipe.name, settings=asdict(recipe))
        if world.rank == 0
        else None
    )
    with written or nullcontext(listener) as records:
        for number, stage in enumerate(recipe.stages):
            if stage.start == "initial":
                student.load_state_dict(initial)
            distiller = make(stage, earlier=distiller).to(inputs.device)
            progress = loop.fit(
                stage,
                distiller,
                batches,
                partial(_score, inputs=inputs, shown=judging),
                folder=out / "stages" / f"{number}-{stage.name}",
                digest=recipe.digest,
                seed=recipe.seed,
                first_epoch=done,
                hand_on=recipe.stages[number + 1].carried if number + 1 < len(recipe.stages) else (),
                arithmetic=arithmetic,
                listener=records,
            )
            done += stage.epochs
            summaries.append(
                {
                    "name": stage.name,
                    "epochs": stage.epochs,
                    "best_epoch": progress.best_epoch,
                    "best_score": progress.best_score,
                    "seconds": round(sum(record["seconds"] for record in progress.history), 1),
                    "cpu_seconds": _sum(record.get("cpu_seconds") for record in progress.history),
                }
            )
    if inputs.teacher and inputs.teacher.digest() != untouched:
        raise AssertionError("the frozen teacher's weights or statistics changed while its student trained")
    return summaries, answers


def _sum(parts: Iterable[float | None]) -> float | None:
    """Return the sum; None where a part is not known, as of an epoch that was trained before it was kept."""
    known = list(parts)
    return None if None in known else round(sum(part for part in known if part is not None), 1)


def _try(recipe: Recipe, make: Callable[..., Distiller]) -> None:
    """Build each stage without memory: what cannot be built should stop the run now, not after the stages before it."""
    loggers.check(recipe.machine.loggers)
    earlier = None
    with torch.device("meta"):
        for stage in recipe.stages:
            earlier = make(stage, earlier=earlier)


def _score(student: nn.Module, *, inputs: RunContext, shown: DataLoader[Batch]) -> dict[str, float]:
    """Return what an epoch is chosen by, and two figures beside it, on the validation images."""
    summary = summarise(judge(student, inputs, inputs.split.rows("val"), shown))
    return {
        "balanced_accuracy": summary.balanced_accuracy,
        "accuracy": summary.accuracy,
        "macro_f1": summary.f1_macro,
    }


def _save_student(student: Tapped, out: Path) -> None:
    weights = {name: value.detach().cpu().contiguous() for name, value in student.library_state().items()}
    save_file(weights, out / "model.safetensors", metadata={"network": student.name})


def _claim(recipe: Recipe, out: Path) -> bool:
    """Make the folder this recipe's, or see that it already is; return whether its run has ended."""
    if out.is_file():
        raise RunError(f"{out}: is a file; --out names a folder")
    out.mkdir(parents=True, exist_ok=True)
    if (out / "recipe.toml").exists():
        earlier = schema.load(out / "recipe.toml")
        if earlier.digest != recipe.digest:
            raise RunError(
                f"{out}: holds a run of recipe {earlier.digest} ({earlier.name}), but this recipe is "
                f"{recipe.digest}; choose another --out"
            )
    elif any(out.iterdir()):
        raise RunError(f"{out}: not empty, and not a run folder; choose another --out")
    write_text(out / "recipe.toml", schema.dump(recipe))
    return (out / "result.json").exists()
