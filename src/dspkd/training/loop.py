"""The loop: one stage of training, resumed where it was left.

An epoch is a function of (recipe, stage, epoch number, starting state): every random number in it comes from a
seed that is a hash of these names. A run that was killed therefore ends as one that was not, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dspkd.errors import TrainingError
from dspkd.recipes.stage import StageConfig
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.seeds import seed_for
from dspkd.training import checkpoint, ddp
from dspkd.training.compile import Compiled
from dspkd.training.distiller import Distiller
from dspkd.types import Batch

Score = Callable[[nn.Module], dict[str, float]]
"""Judges a student on the validation images, by ``balanced_accuracy`` above all."""


STEPS_UNSEEN = 20
"""Steps on a GPU between two looks at whether losses are finite. What is trained in between is not saved."""


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """How a step is computed.

    Attributes
    ----------
    device
        Where the distiller is and batches are sent.
    half
        Compute in bfloat16 where autocast thinks it safe.
    compiled
        Have torch.compile make the networks that learn quicker. Not with several ranks.
    clip
        Largest gradient norm.
    world
        Processes that train together, each on its share of every batch; rank 0 saves.
    """

    device: torch.device
    bf16: bool = False
    compiled: bool = False
    clip: float = 5.0
    world: World = SINGLE


class Batches(Protocol):
    """Batches of one epoch at a time, always the same for the same number."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of epoch `number`, counted over all stages."""
        ...


class EpochListener(Protocol):
    """Is told how training goes; shows it, or writes it down."""

    def step(self, stage: str, epoch: int, done: int, steps: int) -> None:
        """`done` of the epoch's `steps` are done."""
        ...

    def epoch(self, record: dict[str, Any]) -> None:
        """Take the record of an epoch; a resumed stage tells those of earlier epochs again."""
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
    listener: EpochListener,
) -> checkpoint.Progress:
    """Train until the stage's last epoch, leave the weights of the epoch that it keeps in ``distiller.student``.

    Parameters
    ----------
    stage
        Epochs, optimiser, learning rate, and which epoch to keep.
    distiller
        The objective, on `device`.
    batches, score
        What to train on, of each batch this rank's share; how to judge an epoch, the same on all ranks.
    folder, digest
        Where checkpoints go; the recipe that they must be of.
    seed, first_epoch
        The run's seed; how many epochs came before this stage.
    hand_on
        Names of the terms whose layers, too, are left as they were in the epoch that is kept, for the next stage.
    arithmetic
        How a step is computed.
    listener
        Is told of each step and epoch.

    Raises
    ------
    TrainingError
        A loss is not finite; names the terms. The checkpoint of the epoch before stays.
    """
    optimizer = make_optimizer(stage, distiller.trainable())
    progress = checkpoint.load(folder / "last.pt", digest, distiller, optimizer, arithmetic.world)
    objective = objective_of(distiller, arithmetic)
    for record in progress.history:
        listener.epoch(record)
    for epoch in range(progress.epochs, stage.epochs):
        started, computed = time.perf_counter(), time.process_time()
        torch.manual_seed(seed_for(seed, stage.name, "epoch", epoch))
        rates = [
            learning_rate(stage, epoch * len(batches) + step, stage.epochs * len(batches))
            for step in range(len(batches))
        ]
        losses = _train_epoch(
            stage.name, epoch, distiller, objective, batches.epoch(first_epoch + epoch), optimizer, rates, arithmetic,
            listener,
        )  # fmt: skip
        distiller.eval()
        scores = score(distiller.student)
        better = scores["balanced_accuracy"] > progress.best_score
        best = epoch + 1 == stage.epochs if stage.keep == "last" else better
        if best:
            progress.best_epoch, progress.best_score = epoch, scores["balanced_accuracy"]
            progress.best_student = _copied(distiller.student)
            progress.best_terms = {name: _copied(distiller.terms[name]) for name in hand_on}
        record = {"stage": stage.name, "epoch": epoch, "lr": rates[-1], "train": losses, "val": scores, "best": best}
        record["seconds"] = round(time.perf_counter() - started, 3)
        computing = arithmetic.world.all_gather(time.process_time() - computed)
        record["cpu_seconds"] = round(sum(computing), 3)  # of all threads of all ranks; not of loader processes
        progress.history.append(record)
        progress.epochs = epoch + 1
        if arithmetic.world.rank == 0:
            checkpoint.save(folder / "last.pt", digest, progress, distiller, optimizer)
        listener.epoch(record)
    distiller.student.load_state_dict(progress.best_student)
    for name in hand_on:
        distiller.terms[name].load_state_dict(progress.best_terms[name])
    return progress


def objective_of(distiller: Distiller, arithmetic: StepConfig) -> nn.Module:
    """Return what to call in the distiller's place, so that its losses are computed as `arithmetic` says."""
    if arithmetic.compiled:
        distiller.sharing = Compiled()
    return ddp.shared(distiller, arithmetic.world)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _train_epoch(
    stage: str,
    epoch: int,
    distiller: Distiller,
    objective: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    rates: list[float],
    arithmetic: StepConfig,
    listener: EpochListener,
) -> dict[str, float]:
    """Take one step for each rate; return the mean of each part of the loss over the epoch's images."""
    distiller.train()
    trained = owners(distiller.trainable())
    sums: dict[str, Tensor] = {}
    seen = 0
    unseen: list[dict[str, Tensor]] = []
    # Looking at a loss makes a GPU wait; a CPU has it anyway.
    patience = 1 if arithmetic.device.type == "cpu" else STEPS_UNSEEN
    for step, (rate, loaded) in enumerate(zip(rates, batches, strict=True)):
        batch = loaded.to(arithmetic.device)
        with torch.autocast(arithmetic.device.type, torch.bfloat16, enabled=arithmetic.bf16):
            losses = objective(batch, epoch + step / len(rates))
        told = ddp.averaged(losses, arithmetic.world)
        unseen.append(told)
        if len(unseen) == patience or step + 1 == len(rates):
            _require_finite(unseen, f"stage {stage!r}, epoch {epoch}", last=step)
            unseen.clear()
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        update(trained, optimizer, rate, arithmetic.clip)
        seen += len(batch)
        for name, loss in told.items():
            sums[name] = sums.get(name, torch.zeros_like(loss)) + loss * len(batch)
        listener.step(stage, epoch, step + 1, len(rates))
    return {name: (total / seen).item() for name, total in sums.items()}


def _require_finite(unseen: list[dict[str, Tensor]], place: str, *, last: int) -> None:
    """Raise TrainingError if a loss of the steps up to `last` is not finite, naming the first such step."""
    if torch.stack([losses["total"] for losses in unseen]).isfinite().all():
        return
    for step, losses in enumerate(unseen, start=last + 1 - len(unseen)):
        bad = [name for name, loss in losses.items() if not loss.isfinite()]
        if bad:
            raise TrainingError(
                f"{place}, step {step}: loss not finite: {', '.join(bad)}; "
                "lower the learning rate or the term's weight. Epochs before this one are saved"
            )


def update(trained: Iterable[list[nn.Parameter]], optimizer: torch.optim.Optimizer, rate: float, clip: float) -> None:
    """Take a step at this rate along the gradients, each owner's clipped to the norm `clip`."""
    for values in trained:
        nn.utils.clip_grad_norm_(values, clip)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    optimizer.step()


def learning_rate(stage: StageConfig, step: int, steps: int) -> float:
    """Return the rate of step `step` of `steps`: linear over the stage's warm-up epochs, then a cosine to 0."""
    warmup = steps * stage.warmup / stage.epochs
    if step < warmup:
        return stage.lr * (step + 1) / (warmup + 1)
    return stage.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def make_optimizer(stage: StageConfig, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    """Return the stage's optimiser; biases, norms and other vectors do not decay.

    Each group has a ``scale``, by which it multiplies the stage's rate: 1, or that of a teacher that learns.
    """
    mine, peers = owners(parameters)
    groups: list[dict[str, Any]] = []
    for values, scale in ((mine, 1.0), (peers, (stage.teacher_lr or 0.0) / stage.lr)):
        matrices, vectors = ([value for value in values if (value.ndim > 1) is wanted] for wanted in (True, False))
        groups += [{"params": matrices, "weight_decay": stage.weight_decay, "scale": scale}] if matrices else []
        groups += [{"params": vectors, "weight_decay": 0.0, "scale": scale}] if vectors else []
    if stage.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=stage.lr, momentum=0.9, fused=True)
    return torch.optim.AdamW(groups, lr=stage.lr, fused=True)


def owners(parameters: Iterable[tuple[str, nn.Parameter]]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters of student and terms, and those of a teacher that learns."""
    named = list(parameters)
    mine = [value for name, value in named if not name.startswith("trainable_copy.")]
    return mine, [value for name, value in named if name.startswith("trainable_copy.")]
