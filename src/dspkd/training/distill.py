"""Distil any torch module into any other, with any DataLoader: no recipe and no run folder."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dspkd import methods
from dspkd.errors import DataError, RecipeError
from dspkd.methods import Term
from dspkd.models.adapted import Adapted
from dspkd.models.tapped import Tapped
from dspkd.recipes.stage import StageConfig, with_default_decay
from dspkd.runtime.seeds import seed_for
from dspkd.training import loop
from dspkd.training.distiller import Distiller
from dspkd.training.progress import NullProgress, ProgressListener
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, NetworkSpec

TermLike = str | tuple[str, float] | tuple[str, float, dict[str, Any]]
"""A method's name; with its weight; with its options."""


@dataclass(frozen=True, eq=False)
class Distilled:
    """What `distill` trained.

    Attributes
    ----------
    student
        The network that was passed in, trained, in evaluation mode.
    history
        A record for each epoch: ``epoch`` (from 0), ``lr`` at its end, ``seconds``, ``train`` (the mean loss: ``total``
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
        an object with ``.logits``). The student is trained in place; the teacher is frozen and put into evaluation
        mode; None where no term needs one. Both receive the images as `loader` yields them; networks of
        `dspkd.models` expect [0, 1] and normalise for themselves.
    loader
        Yields ``(images, labels)``: float ``[B, 3, H, W]`` and int64 ``[B]`` in [0, K). Anything after these is
        ignored. `dspkd.types.Batch` is taken as it is.
    terms
        The parts of the loss, each a method's name (`dspkd.list_methods`), ``(name, weight)`` or
        ``(name, weight, options)``. A term may read feature maps, which `dspkd.models.adapted.Adapted` finds.
    epochs, lr, optimizer, weight_decay, warmup, clip
        As in a recipe's stage: ``adamw`` or ``sgd``, with a decay of 0.05 or 1e-4 where none is given; `lr` rises over
        `warmup` epochs, then falls along a cosine; `clip` is the largest gradient norm. Defaults are ours (inferred).
    ema
        Decay of an exponential moving average of the student's weights, e.g. 0.998, which is then validated and
        returned in their place; 0 turns it off. See `dspkd.training.average.WeightAverage`.
    validation
        Labelled batches on which each epoch is evaluated. The last epoch is kept all the same: choosing one by few
        images is a lottery.
    class_counts
        Training images of each of the K classes, for terms that adjust for them.
    seed
        Of the terms' own layers, dropout and masks; not of `loader`.
    device
        By default a GPU where there is one.
    out
        Folder for checkpoints: the same call continues after an interruption. None keeps none.
    progress
        Receives steps and epochs.

    Raises
    ------
    RecipeError
        A method or option does not exist or does not fit the networks, or a term needs a teacher and there is none.
    DataError
        Batches or `class_counts` are not as described.
    TrainingError
        A loss is not finite, or weights after an epoch.
    """
    decay = {} if weight_decay is None else {"weight_decay": weight_decay}
    stage = _stage(terms, epochs=epochs, lr=lr, optimizer=optimizer, warmup=warmup, **decay)
    if not 0 <= ema < 1:
        raise RecipeError(f"ema: a decay in [0, 1), e.g. 0.998, or 0 for none; got {ema!r}")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    batches = _Batches(loader)
    sample = batches.sample().to(place).images
    student.to(place)
    with ExitStack() as stack:
        learner = _network(student, sample, "student", stack)
        frozen = None
        if teacher is not None:
            network = _network(teacher.to(place), sample, "teacher", stack)
            frozen = FrozenTeacher(network, network.spec)
        counts = tuple(int(count) for count in class_counts)
        if counts and len(counts) != learner.spec.classes:
            raise DataError(
                f"class_counts: {len(counts)} numbers, {counts}, for a student of {learner.spec.classes} classes; give "
                "the training images of each class, or leave it out"
            )
        parts = _terms(stage, replace(learner.spec, class_counts=counts), frozen, seed)
        distiller = Distiller(learner, frozen, parts).to(place)
        folder = Path(out) if out is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trained = loop.fit(
            stage,
            distiller,
            batches,
            lambda network: _scores(network, validation, place),
            folder=folder,
            # Without counts it is that of before they were a part of it.
            digest=_digest(
                stage, learner.spec, seed, ema, clip, frozen.digest() if frozen else "", *([counts] if counts else [])
            ),
            seed=seed,
            first_epoch=0,
            arithmetic=loop.StepConfig(device=place, clip=clip, ema=ema),
            listener=progress or NullProgress(),
        )
    student.eval()
    keys = ("epoch", "lr", "seconds", "train", "clipped")
    history = [
        {key: record[key] for key in keys} | {"val": record["val"] if validation is not None else {}}
        for record in trained.history
    ]
    return Distilled(student, tuple(history))


class _Batches:
    """A DataLoader as `dspkd.training.loop.Batches`."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        try:
            self._steps = len(loader)
        except TypeError:
            raise DataError("loader: has no length; use a DataLoader of a dataset that has one") from None
        if not self._steps:
            raise DataError("loader: yields no batch")
        self._loader = loader

    def __len__(self) -> int:
        return self._steps

    def sample(self) -> Batch:
        """Return one batch."""
        return next(_batches(self._loader, 0))

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; a sampler with ``set_epoch`` receives its number."""
        set_epoch = getattr(self._loader.sampler, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(number)
        return _batches(self._loader, number)


def _batches(loader: Iterable[Any], number: int) -> Iterator[Batch]:
    first = 0
    for item in loader:
        if isinstance(item, Batch):
            yield item
            continue
        images, labels = _pair(item)
        index = torch.arange(first, first + len(labels))
        first += len(labels)
        yield Batch(images, labels.long(), index, torch.full_like(index, number))


def _pair(item: Any) -> tuple[Tensor, Tensor]:
    if isinstance(item, list | tuple) and len(item) >= 2:
        images, labels = item[0], item[1]
        if (
            isinstance(images, Tensor)
            and isinstance(labels, Tensor)
            and images.is_floating_point()
            and images.ndim == 4
            and labels.ndim == 1
            and not labels.is_floating_point()
            and len(images) == len(labels)
        ):
            return images, labels
    parts = item if isinstance(item, list | tuple) else [item]
    came = ", ".join(str(list(part.shape)) if isinstance(part, Tensor) else type(part).__name__ for part in parts)
    raise DataError(f"loader: a batch is {came}; want (images, labels): float [B, 3, H, W] and integer [B]")


def _network(network: nn.Module, sample: Tensor, role: str, stack: ExitStack) -> Tapped | Adapted:
    if isinstance(network, Tapped):
        return network
    adapted = Adapted(network, sample, role=role)
    stack.callback(adapted.release)
    return adapted


def _stage(terms: Sequence[TermLike], **settings: Any) -> StageConfig:
    if not terms:
        raise RecipeError('terms: none given, e.g. terms=[("labels", 0.5), ("kd", 0.5)]')
    parts = [(term,) if isinstance(term, str) else term for term in terms]
    listed = [dict(zip(("method", "weight", "options"), part, strict=False)) for part in parts]
    try:
        stage = with_default_decay({"name": "distill", "keep": "last", "terms": listed, **settings})
        return TypeAdapter(StageConfig).validate_json(json.dumps(stage))
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}") from None


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
        parts.append((name, term.weight, method(spec, teacher.spec if teacher else None, **term.options)))
    return parts


def _scores(network: nn.Module, validation: DataLoader[Any] | None, device: torch.device) -> dict[str, float]:
    if validation is None:
        return {"balanced_accuracy": 0.0, "accuracy": 0.0}
    labels, predicted = [], []
    with torch.inference_mode():
        for batch in _batches(validation, 0):
            labels.append(batch.labels.cpu())
            predicted.append(network(batch.images.to(device)).logits.argmax(dim=1).cpu())
    if not labels:
        raise DataError("validation: yields no batch")
    label_N, right_N = torch.cat(labels).numpy(), (torch.cat(labels) == torch.cat(predicted)).numpy()
    recalls = [right_N[label_N == label].mean() for label in np.unique(label_N)]
    return {"balanced_accuracy": math.fsum(recalls) / len(recalls), "accuracy": float(right_N.mean())}


def _digest(stage: StageConfig, spec: NetworkSpec, *others: object) -> str:
    return hashlib.sha256(json.dumps([repr(stage), repr(spec), *others]).encode()).hexdigest()[:12]
