"""Cosine: match the direction of the teacher's pooled vectors."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dspkd.methods import Share, Term, exact, precise
from dspkd.types import Batch, NetworkSpec, Output


class Cosine(Term):
    r"""Match the direction of the student's pooled vectors, mapped linearly, to that of the teacher's.

    .. math:: L = \frac1B \sum_b \max\big(0,\; 1 - \epsilon - \cos(A\,s_b, t_b)\big)

    with :math:`A` a linear map to the width of the teacher's vectors.

    Parameters
    ----------
    student, teacher
        Shapes of the networks; the widths of the pooled vectors may differ.
    margin
        :math:`\epsilon` in [0, 1): a cosine above :math:`1 - \epsilon` has no loss.

    Notes
    -----
    Pooled vectors ``[B, D]``, any float type, computed in float32; dimensionless, in [0, 2]; mean over the batch.
    The loss does not depend on the length of a vector; one of length zero has cosine 0 with all others.

    Source: an example, not a publication.
    """

    inferred: ClassVar[str] = "Everything: it is the example of the guide."

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec, *, margin: Share = 0.0) -> None:
        super().__init__(student, teacher, margin=margin)
        self.margin = margin
        self.map = nn.Linear(student.pooled, teacher.pooled)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        with exact(student.pooled):
            mapped_BD = self.map(precise(student.pooled))
        cosine_B = F.cosine_similarity(mapped_BD, precise(teacher.pooled.detach()))
        return torch.relu(1 - self.margin - cosine_B).mean()
