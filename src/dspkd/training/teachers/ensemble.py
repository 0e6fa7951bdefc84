"""An ensemble of teachers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, Output


class EnsembleTeacher:
    r"""An ensemble whose probabilities are averaged; feature maps cannot be averaged, and are the first member's.

    .. math:: z_k = \log \frac1M \sum_m \mathrm{softmax}(z_m)_k

    The logits are logarithms of the mean probabilities: their softmax at temperature 1 is the mean.

    Parameters
    ----------
    members
        Frozen networks for the same classes. Methods that read maps or the pooled vector learn from the first; methods
        that read logits, from all.

    Notes
    -----
    Its class prior is the mean of its members' (inferred; exact where they are equal), unknown where one of them is.

    Costs as many forward passes as there are members. A mean of probabilities is a better teacher than its members
    where these are uncertain in different ways, such as runs of several seeds on few images of a rare class.

    Source: Hinton et al., *Distilling the Knowledge in a Neural Network*, 2015, section 3 (arithmetic mean of an
    ensemble's predictions).
    """

    by_row = False

    def __init__(self, members: Sequence[FrozenTeacher]) -> None:
        self.members = tuple(members)
        priors = [member.spec.class_prior for member in self.members]
        mean = tuple(sum(shares) / len(priors) for shares in zip(*priors, strict=True)) if all(priors) else ()
        self.spec = replace(self.members[0].spec, class_prior=mean)
        self.name = " + ".join(member.name for member in self.members)

    @property
    def parameters(self) -> int:
        """Return the number of weights of all members together."""
        return sum(member.parameters for member in self.members)

    def answer(self, batch: Batch) -> Output:
        """Return the first member's maps and pooled vector, and the logarithm of the mean probabilities as logits."""
        outputs = [member.answer(batch) for member in self.members]
        log_p_MBK = torch.stack([output.logits.float().log_softmax(dim=1) for output in outputs])
        return replace(outputs[0], logits=log_p_MBK.logsumexp(dim=0) - math.log(len(outputs)))

    def compiled(self) -> EnsembleTeacher:
        """Return the same teacher with its members compiled."""
        return EnsembleTeacher([member.compiled() for member in self.members])

    def digest(self) -> str:
        """Return SHA-256 over the members' digests, in hex."""
        return hashlib.sha256("".join(member.digest() for member in self.members).encode()).hexdigest()
