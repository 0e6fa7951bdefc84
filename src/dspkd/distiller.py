"""Student, teacher and weighted terms: all the differentiable work of a training step in one module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dspkd.methods._term import Term
from dspkd.types import Batch, Output, Spec


class Teacher(Protocol):
    """Anything that answers a batch as the large network does; training cannot tell one kind from another."""

    spec: Spec

    def answer(self, batch: Batch) -> Output:
        """Return the large network's output for these pictures, without a gradient."""
        ...


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
    """

    def __init__(self, student: nn.Module, teacher: Teacher | None, terms: Sequence[tuple[str, float, Term]]) -> None:
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict({name: term for name, _, term in terms})
        self.weights: Mapping[str, float] = {name: weight for name, weight, _ in terms}
        self._answer = teacher.answer if teacher and any(term.needs_teacher for _, _, term in terms) else None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return each weighted part under its name, and their sum under ``total``; all are scalars."""
        answered = self._answer(batch) if self._answer else None
        output = self.student(batch.images)
        parts = {name: self.weights[name] * term(output, answered, batch) for name, term in self.terms.items()}
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield name and value of each parameter that the stage trains: the student's and the terms' own."""
        return ((name, value) for name, value in self.named_parameters() if value.requires_grad)
