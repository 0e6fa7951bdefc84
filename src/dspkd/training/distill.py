"""Distil any torch module into any other, with any DataLoader: no recipe and no run folder."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from dspkd import methods
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.methods import Term
from dspkd.models.modes import as_before_on_error
from dspkd.recipes.stage import StageConfig
from dspkd.runtime import lock
from dspkd.runtime.files import require_file
from dspkd.runtime.seeds import seed_for
from dspkd.training import generators, loop
from dspkd.training.call_networks import adapted, require_networks
from dspkd.training.call_settings import TermLike, counts_of, plain, require_ema_and_clip, seed_of, stage_of
from dspkd.training.distiller import Distiller
from dspkd.training.loader_batches import LoaderBatches, batches_of, first_batch
from dspkd.training.progress import NullProgress, ProgressListener
from dspkd.training.same_call import same_call
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import NetworkSpec


@dataclass(frozen=True, eq=False)
class Distilled:
    """What `distill` trained.

    Attributes
    ----------
    student
        The network that was passed in, trained, in evaluation mode.
    history
        A record for each epoch: ``epoch`` (from 1), ``lr`` at its end, ``seconds``, ``train`` (the mean loss: ``total``
        and each weighted term), ``val`` (balanced accuracy and accuracy; empty without validation batches), ``clipped``
        (the share of steps whose gradient was clipped).
    """

    student: nn.Module
    history: tuple[dict[str, Any], ...]


def distill(
    student: nn.Module,
    teacher: nn.Module | None,
    loader: DataLoader[Any],
    *,
    terms: Sequence[TermLike],
    epochs: int,
    validation: DataLoader[Any] | None = None,
    lr: float = 1e-3,
    optimizer: str = "adamw",
    weight_decay: float | None = None,
    warmup: float = 0.0,
    clip: float = 5.0,
    ema: float = 0.0,
    class_counts: Sequence[int] = (),
    seed: int = 0,
    device: str | torch.device | None = None,
    out: str | Path | None = None,
    progress: ProgressListener | None = None,
) -> Distilled:
    """Train `student` on labels and on the outputs of `teacher`.

    Parameters
    ----------
    student, teacher
        Classifiers with the same K classes: timm, torchvision or any other modules that return logits ``[B, K]`` (or
        an object with ``.logits``). The student is trained in place; the teacher is frozen and stays in evaluation
        mode, and so does a frozen body that both share; None where no term needs one. Both receive the images as
        `loader` yields them; networks of `dspkd.models` expect [0, 1] and normalise for themselves.
    loader
        Yields ``(images, labels)``: float ``[B, 3, H, W]`` and int64 ``[B]`` in [0, K). Anything after these is
        ignored. `dspkd.types.Batch` is taken as it is. Labels that no term reads may be any integers.
    terms
        The parts of the loss, each a method's name (`dspkd.list_methods`), ``(name, weight)`` or
        ``(name, weight, options)``. A term may read feature maps, which `dspkd.models.adapted.Adapted` finds.
    epochs, lr, optimizer, weight_decay, warmup, clip
        As in a recipe's stage: ``adamw`` or ``sgd``, with a decay of 0.05 or 1e-4 where none is given; `lr` rises over
        `warmup` epochs, then falls along a cosine; `clip` is the largest gradient norm, ``math.inf`` for none.
        Defaults are ours (inferred).
    ema
        Decay of an exponential moving average of the student's weights, e.g. 0.998, which is then validated and
        returned in their place; 0 turns it off. See `dspkd.training.average.WeightAverage`.
    validation
        Labelled batches on which each epoch is evaluated. The last epoch is kept all the same: choosing one by few
        images is a lottery.
    class_counts
        Training images of each of the K classes, for terms that adjust for them.
    seed
        Of the terms' own layers, dropout and masks, and of the order of a `loader` that shuffles without a generator of
        its own. Torch's global generators have their state again when the call ends.
    device
        By default a GPU where there is one.
    out
        Folder for checkpoints: the same call continues after an interruption, and one that had ended returns its
        result. None keeps none. A call with other settings, images or initial weights of the student is refused. Where
        the student begins with random weights, seed torch before it is made, or load them from ``initial.pt`` in `out`.
    progress
        Receives steps and epochs.

    Raises
    ------
    RecipeError
        A method, option or setting is not valid or does not fit the networks, a term needs a teacher and there is none,
        or no parameter of the student can be trained.
    DataError
        Batches or `class_counts` are not as described.
    RunError
        `out` holds another call, is in use by one, or cannot be a folder for checkpoints.
    TrainingError
        A loss is not finite, or weights after an epoch.
    """
    seed = seed_of(seed)
    decay = {} if weight_decay is None else {"weight_decay": weight_decay}
    stage = stage_of(terms, epochs=epochs, lr=lr, optimizer=optimizer, warmup=warmup, **decay)
    require_ema_and_clip(ema, clip)
    if isinstance(progress, bool):
        raise RecipeError(f"progress: {progress}; want a dspkd.training.progress.ProgressListener, or None")
    require_networks(student, teacher)
    place = _device(device)
    student.to(place)
    mine = [network for network in (student, teacher) if network is not None]
    with generators.kept(), as_before_on_error(*mine), ExitStack() as stack:
        sample = first_batch(loader).to(place).images
        learner = adapted(student, sample, "student", stack)
        frozen = None
        if teacher is not None:
            network = adapted(teacher.to(place), sample, "teacher", stack)
            frozen = FrozenTeacher(network, network.spec)
        counts = counts_of(class_counts, learner.spec.classes)
        parts = _terms(stage, replace(learner.spec, class_counts=counts), frozen, seed)
        distiller = Distiller(learner, frozen, parts).to(place)
        folder = _folder(out, stack)
        if out is not None:
            stack.enter_context(lock.held(folder))
            stack.enter_context(same_call(folder, student, loader, validation))
        reads_labels = any(term.labelled_only for _, _, term in parts)
        try:
            trained = loop.fit(
                stage,
                distiller,
                LoaderBatches(loader, learner.spec.classes if reads_labels else None),
                lambda network: _scores(network, validation, learner.spec.classes, place),
                folder=folder,
                # Without counts it is that of before they were a part of it.
                digest=_digest(
                    stage, learner.spec, seed, ema, clip, frozen.digest() if frozen else "",
                    *([counts] if counts else []),
                ),
                seed=seed,
                first_epoch=0,
                arithmetic=loop.StepConfig(device=place, clip=clip, ema=ema),
                listener=progress or NullProgress(),
            )  # fmt: skip
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):  # of torch's batch normalisation
                raise
            raise DataError(
                "loader: a batch of one image, from which batch normalisation has no statistics; use drop_last=True, "
                "or another batch size"
            ) from error
    student.eval()
    keys = ("epoch", "lr", "seconds", "train", "clipped")
    history = [
        {key: record[key] for key in keys} | {"val": record["val"] if validation is not None else {}}
        for record in trained.history
    ]
    return Distilled(student, tuple(history))


def _device(device: str | torch.device | None) -> torch.device:
    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"device: {str(device)!r} cannot be used: {reason}; leave it out, or use 'cpu'") from error
    return place


def _folder(out: str | Path | None, stack: ExitStack) -> Path:
    if out is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory()))
    if not isinstance(out, str | os.PathLike):
        raise RunError(f"out: {out!r}; want a folder's path")
    folder = Path(out)
    try:
        require_file(folder / "last.pt")
    except OSError as error:
        raise RunError(f"out: {folder} cannot be a folder for checkpoints: {error.strerror}; choose another") from error
    return folder


def _terms(
    stage: StageConfig, spec: NetworkSpec, teacher: FrozenTeacher | None, seed: int
) -> list[tuple[str, float, Term]]:
    torch.manual_seed(seed_for(seed, stage.name, "terms"))
    parts = []
    for name, term in zip(stage.part_names, stage.terms, strict=True):
        method = methods.find(term.method)
        methods.check_options(term.method, term.options)
        if method.needs_teacher and teacher is None:
            raise RecipeError(f"terms: {term.method!r} learns from a teacher; pass one")
        if method.trains_teacher:
            raise RecipeError(f"terms: {term.method!r} trains a copy of the teacher; write a recipe with teacher_lr")
        imitates_head = term.options.get("trains") != "teacher_head" and term.options.get("self_supervision") != 0
        if term.method == "ssd_kd" and imitates_head:
            raise RecipeError(
                "terms: 'ssd_kd' needs a trained head of the teacher: write a recipe of two stages (dspkd recipes show "
                "dermoscopy150/ssd_kd), or set self_supervision to 0"
            )
        parts.append((name, term.weight, method(spec, teacher.spec if teacher else None, **term.options)))
    return parts


def _scores(
    network: nn.Module, validation: DataLoader[Any] | None, classes: int, device: torch.device
) -> dict[str, float]:
    if validation is None:
        return {"balanced_accuracy": 0.0, "accuracy": 0.0}
    labels, predicted = [], []
    with torch.inference_mode():
        for batch in batches_of(validation, "validation", classes=classes):
            labels.append(batch.labels.cpu())
            logits_BK = network(batch.images.to(device)).logits
            if not logits_BK.isfinite().all():  # whose largest would be class 0
                raise DataError("validation: the student's logits are not finite; check the images of this loader")
            predicted.append(logits_BK.argmax(dim=1).cpu())
    if not labels:
        raise DataError("validation: yields no batch")
    label_N, right_N = torch.cat(labels).numpy(), (torch.cat(labels) == torch.cat(predicted)).numpy()
    recalls = [right_N[label_N == label].mean() for label in np.unique(label_N)]
    return {"balanced_accuracy": math.fsum(recalls) / len(recalls), "accuracy": float(right_N.mean())}


def _digest(stage: StageConfig, spec: NetworkSpec, *others: object) -> str:
    return hashlib.sha256(json.dumps([repr(stage), repr(spec), *others], default=plain).encode()).hexdigest()[:12]
