"""An ensemble of teachers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.training.teachers.means import log_mean, weights_by_agreement, weights_by_label
from dspkd.types import Batch, NetworkSpec, Output

Weights = Literal["mean", "agreement", "label"]


class EnsembleTeacher:
    """An ensemble whose probabilities are averaged; feature maps cannot be averaged, and are the first member's.

    The logits are logarithms of the mean probabilities; `dspkd.training.teachers.means` has the formula.

    Parameters
    ----------
    members
        Frozen networks for the same classes. Methods that read maps or the pooled vector learn from the first; methods
        that read logits, from all.
    weights
        ``mean``: all members weigh the same. ``agreement``, ``label``: a member's weight for an image rises with its
        agreement with the other members, or with the image's label.

    Notes
    -----
    Its class prior is the mean of its members' (inferred; exact where they are equal), unknown where one of them is.

    Costs as many forward passes as there are members. A mean of probabilities is a better teacher than its members
    where these are uncertain in different ways, such as runs of several seeds on few images of a rare class.

    Source: Hinton et al., *Distilling the Knowledge in a Neural Network*, 2015, section 3 (arithmetic mean of an
    ensemble's predictions).
    """

    by_row = False

    def __init__(self, members: Sequence[FrozenTeacher], weights: Weights = "mean") -> None:
        self.members, self.weights = tuple(members), weights
        prior = mean_prior([member.spec for member in self.members])
        self.spec = replace(self.members[0].spec, class_prior=prior)
        self.name = " + ".join(member.name for member in self.members)

    @property
    def parameters(self) -> int:
        """Return the number of weights of all members together."""
        return sum(member.parameters for member in self.members)

    def answer(self, batch: Batch) -> Output:
        """Return the first member's maps and pooled vector, and the logarithm of the mean probabilities as logits."""
        outputs = [member.answer(batch) for member in self.members]
        logits_MBK = torch.stack([output.logits for output in outputs])
        weights_MB = None
        if self.weights != "mean":
            by_label = self.weights == "label"
            weights_MB = weights_by_label(logits_MBK, batch) if by_label else weights_by_agreement(logits_MBK)
        return replace(outputs[0], logits=log_mean(logits_MBK, weights_MB))

    def averaging(self, views: int) -> EnsembleTeacher:
        """Return the same teacher with so many views of each image."""
        return EnsembleTeacher([member.averaging(views) for member in self.members], self.weights)

    def compiled(self) -> EnsembleTeacher:
        """Return the same teacher with its members compiled."""
        return EnsembleTeacher([member.compiled() for member in self.members], self.weights)

    def digest(self) -> str:
        """Return SHA-256 over the members' digests and how they are weighted, in hex."""
        weighted = "" if self.weights == "mean" else self.weights  # so that caches of before still match
        return hashlib.sha256("".join([*(member.digest() for member in self.members), weighted]).encode()).hexdigest()


def mean_prior(specs: Sequence[NetworkSpec]) -> tuple[float, ...]:
    """Return the mean of the class priors; empty where one of them is unknown."""
    priors = [spec.class_prior for spec in specs]
    return tuple(sum(shares) / len(priors) for shares in zip(*priors, strict=True)) if all(priors) else ()
