"""Write a recipe's teacher outputs to a file that ``teacher.answers`` reads."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.data import answer_files
from dspkd.data.answer_checks import Kind
from dspkd.errors import RecipeError
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, teacher_cache, teaching, validate
from dspkd.runs.context import RunContext, prepare
from dspkd.runs.files import RunFiles
from dspkd.runs.train import train
from dspkd.runtime import threads
from dspkd.training.progress import NullProgress, ProgressListener
from dspkd.types import Batch, Output


@threads.kept()
def export(recipe: Recipe, out: Path, kind: Kind = "logits", listener: ProgressListener | None = None) -> int:
    """Write the teacher's output for each image of the recipe's data; return the number of images.

    With ``images.views = 1`` and a term that learns from the teacher a training image's output is that for its one
    view, from the cache: training from the file is then bit for bit training from the cache. With other views, which a
    file with one row for each image cannot hold, and without such a term it is that for the image as in evaluation, as
    is that of validation and test images always.
    Unlabelled images are written as training images are. ``teacher.cross_fit`` and ``weights = "label"`` are for
    training images alone, and need the one view; fold teachers that are missing are trained first.

    Parameters
    ----------
    recipe
        A student's recipe.
    out
        ``.csv`` or ``.parquet``.
    kind
        ``logits``, ``probabilities``, or ``embeddings``: the teacher's pooled vectors.
    listener
        Receives notes and progress.

    Raises
    ------
    RecipeError, DataError, RunError
        As training would; the recipe has no teacher that computes outputs, or one whose outputs in training the file
        cannot hold; `out` cannot be written.
    """
    validate.check(recipe)
    if not recipe.teachers:
        raise RecipeError(f'{recipe.name}: has no teacher to compute outputs of; name its run: teacher = "runs/..."')
    of_training = are_of_training(recipe)
    if not of_training:
        _require_as_evaluated(recipe)
    answer_files.require_writable(out)
    with tempfile.TemporaryDirectory() as folder:
        context = prepare(recipe, RunFiles(Path(folder)), listener or NullProgress())
        images, split = context.images, context.split
        of_views = np.concatenate([split.rows("train"), np.arange(len(context.table), len(images))])
        # In batches of one part, as a run predicts them: a network's output is rounded by batch.
        others = [np.flatnonzero(split.parts == part) for part in np.unique(split.parts) if part != "train"]
        parts = [(of_views, (_of_views if of_training else _as_evaluated)(context, of_views, kind))]
        parts += [(rows, _as_evaluated(context, rows, kind)) for rows in others]
    values = np.empty((len(images), parts[0][1].shape[1]), np.float32)
    for rows, outputs in parts:
        values[rows] = outputs
    answer_files.write(out, kind, images.ids, images.classes, values)
    return len(values)


def are_of_training(recipe: Recipe) -> bool:
    """Return whether training images are written with the outputs for their one view; else as in evaluation."""
    return recipe.images.views == 1 and teacher_cache.is_used(recipe)


def _require_as_evaluated(recipe: Recipe) -> None:
    """Refuse a teacher that says other things of training images than as it is evaluated."""
    assert recipe.teacher, "the caller knows it"
    settings = {
        f"teacher.cross_fit = {recipe.teacher.cross_fit}": recipe.teacher.cross_fit is not None,
        'teacher.weights = "label"': recipe.teacher.weights == "label",
    }
    for setting, is_set in settings.items():
        if is_set:
            raise RecipeError(
                f"{setting}: applies to the views that terms learn from, and a file has one row for each image; set "
                f"images.views = 1 (it is {recipe.images.views!r}) with a term that learns from the teacher, or leave "
                "this out"
            )


def _of_views(context: RunContext, rows: NDArray[np.int64], kind: Kind) -> NDArray[np.float32]:
    """Return the cached outputs for view 0 of these images; those that are missing are computed."""
    table, recipe = context.table, context.recipe
    teacher, _ = teaching.in_training(context, train)
    make = partial(
        build.distiller,
        student=context.student,
        teacher=teacher,
        class_counts=tuple(images for images, _ in table.take(context.split.rows("train")).counts().values()),
        seed=recipe.seed,
        balance=recipe.train.balance,
    )
    read = frozenset({"pooled" if kind == "embeddings" else "logits"})
    views = {(int(row), 0) for row in rows}
    batches = context.train_batches(for_teacher=True)
    assert isinstance(teacher, teaching.AnyTrainingTeacher), "the recipe names a run"
    cached, _ = teacher_cache.cached_teacher(context, teacher, make, batches, views=views, fields=read)
    index = torch.from_numpy(rows)
    return _values(cached.answer(Batch(torch.empty(len(rows), 0), index, index, 0 * index)), kind)


def _as_evaluated(context: RunContext, rows: NDArray[np.int64], kind: Kind) -> NDArray[np.float32]:
    assert context.teacher, "the recipe names one"
    seen, listener = context.recipe.seen_by_teacher, context.listener
    loader = build.eval_loader(seen, context.images, rows, context.device, listener=listener)
    outputs = []
    with torch.inference_mode(), torch.autocast(context.device.type, torch.bfloat16, enabled=context.bf16):
        for batch in loader:
            outputs.append(_values(context.teacher.answer(batch.to(context.device)), kind))
    return np.concatenate(outputs)


def _values(output: Output, kind: Kind) -> NDArray[np.float32]:
    if kind == "embeddings":
        return output.pooled.float().cpu().numpy()
    logits = output.logits.float()
    return (logits.softmax(dim=1) if kind == "probabilities" else logits).cpu().numpy()
