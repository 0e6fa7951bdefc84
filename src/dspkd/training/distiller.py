"""Student, teacher and weighted terms: all differentiable computation of a training step, in one module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor, nn

from dspkd.methods._base import Term
from dspkd.training.gradient_share import GradientShares
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, NetworkSpec, Output


class Teacher(Protocol):
    """Anything that returns the large network's output for a batch: computed, cached, or of an ensemble.

    Attributes
    ----------
    spec
        The network's shape.
    by_row
        Whether outputs are found by row and view, so that there is none for an image that was mixed of two.
    """

    spec: NetworkSpec
    by_row: bool

    def answer(self, batch: Batch) -> Output:
        """Return the output for these images, without a gradient."""
        ...


class LocalStep:
    """Computes outputs and losses of a batch in this process; its subclasses, compiled or in several processes."""

    def answer(self, network: nn.Module, images: Tensor, batch: Batch) -> Output:  # noqa: ARG002
        """Return a trained network's output for `images`: those of the batch and the views derived from it."""
        output: Output = network(images)
        return output

    def loss(self, term: nn.Module, student: Output, teacher: Output | None, batch: Batch) -> Tensor:
        """Return the term's loss for the batch; of one that reads labels, for its labelled images."""
        if batch.labelled is not None and term.labelled_only:
            batch = batch.labelled_part()
            student, teacher = student.first_images(len(batch)), teacher and teacher.first_images(len(batch))
            if not len(batch):  # all are on other ranks, and this one takes part in the sum of gradients
                return 0 * student.logits.sum()
        loss: Tensor = term(student, teacher, batch)
        return loss


class Distiller(nn.Module):
    r"""The objective of a stage, :math:`L = \sum_m w_m L_m`.

    Where images are mixed, :math:`x = \lambda x_a + (1 - \lambda) x_b`, and the teacher has outputs for the single
    images only (`Teacher.by_row`), a term m of that teacher is

    .. math:: L_m = \lambda\, L_m(s, t_a) + (1 - \lambda)\, L_m(s, t_b),

    as the loss of labels is with MixUp. Both losses draw the same random numbers.

    Parameters
    ----------
    student
        Network to train; ``student(images)`` returns an `Output`.
    teacher
        The frozen teacher, or None where no term needs one. It is not a part of this module: its weights are neither
        trained nor saved. Modules that it shares with the student stay in evaluation mode with it, so that its outputs
        do not change while the student trains: their batch statistics are not updated, and dropout in them is off.
    terms
        ``(name, weight, term)`` for each part; names differ.
    ramps
        By name, for parts whose weight rises: the share of the weight that applies, as a function of the epochs of the
        stage that have passed.
    trainable_copy
        A trainable copy of the teacher's network, which is then used instead of the teacher. It is a part of this
        module, and trained by the terms with `Term.trains_teacher`.
    shares
        By name, for parts that keep a share of the gradient instead of a weight; see `GradientShares`.

    Attributes
    ----------
    step
        Computes outputs and losses of a batch: in this process, unless several processes share each batch.
    shares
        Weights of the parts that have a share; None where there are none.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher | None,
        terms: Sequence[tuple[str, float, Term]],
        ramps: Mapping[str, Callable[[float], float]] = MappingProxyType({}),
        trainable_copy: nn.Module | None = None,
        shares: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict({name: term for name, _, term in terms})
        self.weights: Mapping[str, float] = {name: weight for name, weight, _ in terms}
        self._ramps = ramps
        self.trainable_copy = trainable_copy
        self.shares = GradientShares(shares) if shares else None
        self.step = LocalStep()
        self.rotated = any(term.wants_rotated for _, _, term in terms)
        self.teacher = teacher
        self.strong_aug = any(term.wants_strong_aug for _, _, term in terms)
        self._teacher = teacher if teacher and any(term.needs_teacher for _, _, term in terms) else None

    def train(self, mode: bool = True) -> Distiller:
        """Put student and terms into training or evaluation mode; a teacher that is a network stays in the latter."""
        super().train(mode)
        if isinstance(self.teacher, FrozenTeacher):
            self.teacher.network.eval()
        return self

    def forward(self, batch: Batch, elapsed: float = math.inf) -> dict[str, Tensor]:
        """Return each weighted part under its name, and their sum under ``total``; all are scalars.

        `elapsed` is how many epochs of the stage have passed; without it all ramps have ended.
        """
        views = batch.with_derived(rotated=self.rotated, strong_aug=self.strong_aug)
        teacher, second = self._teacher_output(views, batch), self._output_for_second_images(views)
        fixed = teacher.detach() if teacher and self.trainable_copy else teacher
        student = self.parted(self.step.answer(self.student, views.images, batch))
        losses: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            output = teacher if term.trains_teacher else fixed
            if second and term.needs_teacher:
                assert output, "there is one for the second images"
                losses[name] = self._mixed_loss(term, student, output, second, batch)
            else:
                losses[name] = self.step.loss(term, student, output, batch)
        parts = {name: self._weight(name, elapsed) * loss for name, loss in losses.items()}
        if self.shares:
            if self.training and torch.is_grad_enabled():
                unramped = {name: self.weights[name] * loss for name, loss in losses.items()}
                trained = (value for value in self.student.parameters() if value.requires_grad)
                self.shares.update(parts, trained, unramped)
            parts |= {name: weight * parts[name] for name, weight in self.shares.weights.items()}
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    def parted(self, output: Output) -> Output:
        """Return the output split into that for the batch, for the rotated and for the strongly augmented views."""
        if not (self.rotated or self.strong_aug):
            return output
        rows = len(output.logits)
        B = rows // (1 + 3 * self.rotated + self.strong_aug)
        return replace(
            output.rows(0, B),
            rotated=output.rows(B, 4 * B) if self.rotated else None,
            strong_aug=output.rows(rows - B, rows) if self.strong_aug else None,
        )

    def _teacher_output(self, views: Batch, batch: Batch) -> Output | None:
        if self.trainable_copy:
            return self.parted(self.step.answer(self.trainable_copy, views.images, batch))
        return self.parted(self._teacher.answer(views)) if self._teacher else None

    def _output_for_second_images(self, views: Batch) -> Output | None:
        """Return the teacher's output for the second image of each mixture; None where it sees the mixtures."""
        if views.other_index is None or self.trainable_copy or not self._teacher or not self._teacher.by_row:
            return None
        return self.parted(self._teacher.answer(views.of_second_images()))

    def _mixed_loss(self, term: nn.Module, student: Output, first: Output, second: Output, batch: Batch) -> Tensor:
        """Return the losses for the outputs of both images, weighted by their shares, which are those of the batch."""
        assert batch.own_share is not None, "the images are mixed"
        share = batch.own_share[0]
        device = student.logits.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            of_first = self.step.loss(term, student, first, batch)
        return share * of_first + (1 - share) * self.step.loss(term, student, second, batch)

    def _weight(self, name: str, elapsed: float) -> float:
        return self.weights[name] * self._ramps[name](elapsed) if name in self._ramps else self.weights[name]

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each parameter that the stage trains, by name: of the student, the terms, and the trainable copy."""
        return ((name, value) for name, value in self.named_parameters() if value.requires_grad)
