"""Student, teacher and weighted terms: all the differentiable work of a training step in one module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor, nn

from dspkd.methods._base import Term
from dspkd.types import Batch, NetworkSpec, Output


class Teacher(Protocol):
    """Anything that answers a batch as the large network does; training cannot tell one kind from another."""

    spec: NetworkSpec

    def answer(self, batch: Batch) -> Output:
        """Return the large network's output for these images, without a gradient."""
        ...


class LocalStep:
    """Computes all of each batch in this process. Where several share one, another stands in its place."""

    def answer(self, network: nn.Module, images: Tensor, batch: Batch) -> Output:  # noqa: ARG002
        """Return the answer of a network that learns to `images`, which are the batch's and those made from them."""
        answered: Output = network(images)
        return answered

    def loss(self, term: nn.Module, student: Output, teacher: Output | None, batch: Batch) -> Tensor:
        """Return the term's loss of the batch."""
        of_batch: Tensor = term(student, teacher, batch)
        return of_batch


class Distiller(nn.Module):
    r"""The objective of a stage, :math:`L = \sum_m w_m L_m`.

    Parameters
    ----------
    student
        Network that learns; called as ``student(images)``, answers with an `Output`.
    teacher
        Whom it learns from, or None where no term asks for one. It is not a part of this module: its weights are
        neither trained nor saved.
    terms
        ``(name, weight, term)`` for each part; names differ.
    ramps
        By name, for parts whose weight rises: the share of it that counts, given the epochs of the stage that have
        passed.
    trainable_copy
        A trainable copy of the teacher's network, which then answers in its stead: a part of this module, and trained
        by those terms that say that they train a teacher.

    Attributes
    ----------
    sharing
        How answers and losses of a batch are computed: here alone, unless several processes share each batch.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher | None,
        terms: Sequence[tuple[str, float, Term]],
        ramps: Mapping[str, Callable[[float], float]] = MappingProxyType({}),
        trainable_copy: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict({name: term for name, _, term in terms})
        self.weights: Mapping[str, float] = {name: weight for name, weight, _ in terms}
        self._ramps = ramps
        self.trainable_copy = trainable_copy
        self.sharing = LocalStep()
        self.rotated = any(term.wants_rotated for _, _, term in terms)
        self.strong_aug = any(term.wants_strong_aug for _, _, term in terms)
        self._answer = teacher.answer if teacher and any(term.needs_teacher for _, _, term in terms) else None

    def forward(self, batch: Batch, elapsed: float = math.inf) -> dict[str, Tensor]:
        """Return each weighted part under its name, and their sum under ``total``; all are scalars.

        `elapsed` is how many epochs of the stage have passed; without it all ramps have ended.
        """
        shown = batch.with_derived(rotated=self.rotated, strong_aug=self.strong_aug)
        answered = self._ask(shown, batch)
        settled = answered.detach() if answered and self.trainable_copy else answered
        output = self.parted(self.sharing.answer(self.student, shown.images, batch))
        parts = {}
        for name, term in self.terms.items():
            loss = self.sharing.loss(term, output, answered if term.trains_teacher else settled, batch)
            parts[name] = self._weight(name, elapsed) * loss
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    def parted(self, answered: Output) -> Output:
        """Return the answer to the batch itself, with those to the images made from it beside."""
        if not (self.rotated or self.strong_aug):
            return answered
        shown = len(answered.logits)
        B = shown // (1 + 3 * self.rotated + self.strong_aug)
        return replace(
            answered.rows(0, B),
            rotated=answered.rows(B, 4 * B) if self.rotated else None,
            strong_aug=answered.rows(shown - B, shown) if self.strong_aug else None,
        )

    def _ask(self, shown: Batch, batch: Batch) -> Output | None:
        if self.trainable_copy:
            return self.parted(self.sharing.answer(self.trainable_copy, shown.images, batch))
        return self.parted(self._answer(shown)) if self._answer else None

    def _weight(self, name: str, elapsed: float) -> float:
        return self.weights[name] * self._ramps[name](elapsed) if name in self._ramps else self.weights[name]

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each parameter that the stage trains, by name: the student's, the terms', the teacher copy's."""
        return ((name, value) for name, value in self.named_parameters() if value.requires_grad)
