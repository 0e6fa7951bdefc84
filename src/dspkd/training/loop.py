"""The training loop of one stage, which resumes where it stopped.

An epoch is a function of (recipe, stage, epoch number, starting state): every random number in it comes from a
seed that is a hash of these names. A run that was killed and resumed therefore ends like one that was not, bit for bit
on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dspkd.models.state import load_tensors, tensors
from dspkd.recipes.stage import StageConfig
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.manifest import Manifest
from dspkd.runtime.seeds import seed_for
from dspkd.training import checkpoint, ddp
from dspkd.training.average import WeightAverage
from dspkd.training.compile import Compiled
from dspkd.training.distiller import Distiller
from dspkd.training.finite import finite, require_finite_losses, require_finite_weights
from dspkd.training.progress import ProgressListener
from dspkd.types import Batch

Score = Callable[[nn.Module], dict[str, float]]
"""Evaluates a student on the validation set; the metric ``balanced_accuracy`` chooses the epoch."""


STEPS_UNCHECKED = 20
"""Steps on a GPU between two checks that losses are finite. What is trained in between is not saved."""


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """How a step is computed.

    Attributes
    ----------
    device
        Device of the distiller; batches are moved there.
    bf16
        Compute in bfloat16 where autocast considers it safe.
    compiled
        Compile the trained networks with torch.compile. Not with several ranks.
    clip
        Largest gradient norm.
    ema
        Decay of the student's `WeightAverage`; 0 turns it off.
    world
        Processes that train together, each on its share of every batch; rank 0 saves checkpoints.
    """

    device: torch.device
    bf16: bool = False
    compiled: bool = False
    clip: float = 5.0
    ema: float = 0.0
    world: World = SINGLE


class Batches(Protocol):
    """The batches of each epoch, a function of the epoch's number."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of epoch `number`, counted over all stages."""
        ...


def fit(
    stage: StageConfig,
    distiller: Distiller,
    batches: Batches,
    score: Score,
    *,
    folder: Path,
    digest: str,
    seed: int,
    first_epoch: int,
    hand_on: Collection[str] = (),
    arithmetic: StepConfig,
    listener: ProgressListener,
    manifest: Manifest | None = None,
) -> checkpoint.Progress:
    """Train a stage, and leave the weights of the epoch that it keeps in ``distiller.student``.

    With a moving average of weights, the average is what is scored, kept and left; it starts again in each stage, from
    the student with which the stage begins.

    Parameters
    ----------
    stage
        Epochs, optimiser, learning rate, and which epoch to keep.
    distiller
        The objective, on `device`.
    batches, score
        Training batches, of which this rank gets its share; evaluation of an epoch, with the same result on all ranks.
    folder, digest
        Where checkpoints are; digest of the recipe that they must belong to.
    seed, first_epoch
        The run's seed; number of epochs before this stage.
    hand_on
        Names of terms whose layers are also left as in the epoch that is kept, for the next stage.
    arithmetic
        How a step is computed.
    listener
        Receives each step and epoch.
    manifest
        Records each checkpoint, where there is one.

    Raises
    ------
    TrainingError
        A loss is not finite, or weights after an epoch; the message names them. The checkpoint of the epoch before
        stays.
    """
    optimizer = make_optimizer(stage, distiller.trainable())
    progress = checkpoint.load(folder / "last.pt", digest, distiller, optimizer, arithmetic.world)
    objective = objective_of(distiller, arithmetic)
    steps = progress.epochs * len(batches)
    average = WeightAverage(distiller.student, arithmetic.ema, steps=steps, state=progress.average)
    progress.average = average.state
    begun_finite = finite(_trained(distiller))
    for record in progress.history:
        listener.epoch(record)
    for epoch in range(progress.epochs, stage.epochs):
        started, computed = time.perf_counter(), time.process_time()
        torch.manual_seed(seed_for(seed, stage.name, "epoch", epoch))
        rates = [
            learning_rate(stage, epoch * len(batches) + step, stage.epochs * len(batches))
            for step in range(len(batches))
        ]
        losses, clipped = _train_epoch(
            stage.name, epoch, distiller, objective, batches.epoch(first_epoch + epoch), optimizer, rates, arithmetic,
            average, listener,
        )  # fmt: skip
        weights = _trained(distiller)
        trained = {name: weights[name] for name in begun_finite}
        place = f"stage {stage.name!r}, epoch {epoch + 1}"
        arithmetic.world.on_all(partial(require_finite_weights, trained, place))
        distiller.eval()
        with average.applied():
            scores = score(distiller.student)
            student = _copied(distiller.student)
        better = scores["balanced_accuracy"] > progress.best_score
        best = epoch + 1 == stage.epochs if stage.keep == "last" else better
        if best:
            progress.best_epoch, progress.best_score = epoch + 1, scores["balanced_accuracy"]
            progress.best_student = student
            progress.best_terms = {name: _copied(distiller.terms[name]) for name in hand_on}
        record = {
            "stage": stage.name,
            "epoch": epoch + 1,
            "lr": rates[-1],
            "train": losses,
            "val": scores,
            "best": best,
        }
        record["clipped"] = clipped
        if arithmetic.ema:
            record["ema"] = average.decay
        if distiller.shares:
            record["share"] = {"weight": dict(distiller.shares.weights), "gradient": distiller.shares.measured()}
        record["seconds"] = round(time.perf_counter() - started, 3)
        computing = arithmetic.world.all_gather(time.process_time() - computed)
        record["cpu_seconds"] = round(sum(computing), 3)  # of all threads of all ranks; not of loader processes
        progress.history.append(record)
        progress.epochs = epoch + 1
        if arithmetic.world.rank == 0:
            checkpoint.save(folder / "last.pt", digest, progress, distiller, optimizer, manifest)
        listener.epoch(record)
    load_tensors(distiller.student, progress.best_student)
    for name in hand_on:
        load_tensors(distiller.terms[name], progress.best_terms[name])
    return progress


def objective_of(distiller: Distiller, arithmetic: StepConfig) -> nn.Module:
    """Return the module that computes the distiller's losses: compiled or on several ranks, as in `arithmetic`."""
    if arithmetic.compiled:
        distiller.step = Compiled()
    return ddp.shared(distiller, arithmetic.world)


def _trained(distiller: Distiller) -> dict[str, Tensor]:
    """Return what an epoch changes: what the optimiser trains, and the student's statistics."""
    return {**dict(distiller.trainable()), **tensors(distiller.student, "student.")}


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors(module).items()}


def _train_epoch(
    stage: str,
    epoch: int,
    distiller: Distiller,
    objective: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    rates: list[float],
    arithmetic: StepConfig,
    average: WeightAverage,
    listener: ProgressListener,
) -> tuple[dict[str, float], float]:
    """Take one step per rate; return the mean of each part of the loss over images, and the share of clipped steps."""
    distiller.train()
    trained = owners(distiller.trainable())
    sums: dict[str, Tensor] = {}
    seen = 0
    unchecked: list[dict[str, Tensor]] = []
    clipped: list[Tensor] = []
    # Reading a loss makes the program wait for a GPU.
    interval = 1 if arithmetic.device.type == "cpu" else STEPS_UNCHECKED
    for step, (rate, loaded) in enumerate(zip(rates, batches, strict=True)):
        batch = loaded.to(arithmetic.device)
        with torch.autocast(arithmetic.device.type, torch.bfloat16, enabled=arithmetic.bf16):
            losses = objective(batch, epoch + step / len(rates))
        of_batch = ddp.averaged(losses, arithmetic.world)
        unchecked.append(of_batch)
        if len(unchecked) == interval or step + 1 == len(rates):
            require_finite_losses(unchecked, f"stage {stage!r}, epoch {epoch + 1}", last=step)
            unchecked.clear()
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        clipped.append(update(trained, optimizer, rate, arithmetic.clip))
        average.update()
        seen += len(batch)
        for name, loss in of_batch.items():
            sums[name] = sums.get(name, torch.zeros_like(loss)) + loss * len(batch)
        listener.step(stage, epoch + 1, step + 1, len(rates))
    means = {name: (total / seen).item() for name, total in sums.items()}
    return means, torch.stack(clipped).float().mean().item()


def update(
    trained: tuple[list[nn.Parameter], ...], optimizer: torch.optim.Optimizer, rate: float, clip: float
) -> Tensor:
    """Take an optimiser step at this rate, with the gradient norm of each owner's parameters clipped to `clip`.

    Returns whether the first owner's (student and terms) was larger, as a scalar on its device.
    """
    norms = [nn.utils.clip_grad_norm_(values, clip) for values in trained]
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    optimizer.step()
    return norms[0] > clip


def learning_rate(stage: StageConfig, step: int, steps: int) -> float:
    """Return the learning rate of step `step` of `steps`: a linear warm-up, then a cosine to 0."""
    warmup = steps * stage.warmup_epochs / stage.epochs
    if step < warmup:
        return stage.lr * (step + 1) / (warmup + 1)
    return stage.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def make_optimizer(stage: StageConfig, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    """Return the stage's optimiser, without weight decay for biases, norms and other vectors.

    Each group has a ``scale``, the factor of the stage's rate: 1, or for a trainable copy of the teacher
    ``teacher_lr / lr``.
    """
    own, copied = owners(parameters)
    groups: list[dict[str, Any]] = []
    for values, scale in ((own, 1.0), (copied, (stage.teacher_lr or 0.0) / stage.lr)):
        matrices, vectors = ([value for value in values if (value.ndim > 1) is matrix] for matrix in (True, False))
        groups += [{"params": matrices, "weight_decay": stage.weight_decay, "scale": scale}] if matrices else []
        groups += [{"params": vectors, "weight_decay": 0.0, "scale": scale}] if vectors else []
    if stage.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=stage.lr, momentum=0.9, fused=True)
    return torch.optim.AdamW(groups, lr=stage.lr, fused=True)


def owners(parameters: Iterable[tuple[str, nn.Parameter]]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters of student and terms, and those of the trainable copy of the teacher."""
    named = list(parameters)
    own = [value for name, value in named if not name.startswith("trainable_copy.")]
    return own, [value for name, value in named if name.startswith("trainable_copy.")]
