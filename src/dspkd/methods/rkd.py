"""RKD: match distances and angles between the pooled vectors of a batch."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dspkd.methods._base import Term, exact, precise
from dspkd.methods._options import NotNegative
from dspkd.types import Batch, NetworkSpec, Output


class RKD(Term):
    r"""Match distances between images, relative to their mean, and angles between triples of them.

    .. math:: L = \lambda_d\, \frac1{B^2} \sum_{i,j} h\big(d^s_{ij} / \bar d^s - d^t_{ij} / \bar d^t\big)
              + \lambda_a\, \frac1{B^3} \sum_{i,j,k} h\big(c^s_{ijk} - c^t_{ijk}\big)

    with :math:`d_{ij}` the Euclidean distance of the pooled vectors, :math:`\bar d` the mean of the positive ones,
    :math:`c_{ijk}` the cosine of the angle at i between j and k, and h the smooth L1 loss with its bend at 1.

    Parameters
    ----------
    student, teacher
        Shapes of the networks; the widths of the pooled vectors may differ.
    distance
        :math:`\lambda_d \ge 0`.
    angle
        :math:`\lambda_a \ge 0`.

    Notes
    -----
    Pooled vectors ``[B, D]``, any float type, computed in float32; dimensionless; mean over all pairs and triples, the
    trivial ones included. Uses the batch as a whole, and is 0 for a batch of one. Angles take memory for
    B·B·(B + D) numbers. Distances do not change when a network's vectors are moved, rotated or scaled together.

    Inferred: distances are computed from differences, not by a matrix product, which loses digits for near
    neighbours; a length is clamped to 1e-6 from below.

    Source: Park et al., *Relational Knowledge Distillation*, CVPR 2019.
    """

    inferred: ClassVar[str] = "How distances are rounded; the formula is the authors'."

    def __init__(
        self, student: NetworkSpec, teacher: NetworkSpec, *, distance: NotNegative = 25.0, angle: NotNegative = 50.0
    ) -> None:
        super().__init__(student, teacher, distance=distance, angle=angle)
        self.distance = distance
        self.angle = angle

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        s_BD, t_BD = precise(student.pooled), precise(teacher.pooled.detach())
        (s_distance_BB, s_cosine_BBB), (t_distance_BB, t_cosine_BBB) = _relations(s_BD), _relations(t_BD)
        by_distance = F.smooth_l1_loss(s_distance_BB, t_distance_BB)
        by_angle = F.smooth_l1_loss(s_cosine_BBB, t_cosine_BBB)
        return self.distance * by_distance + self.angle * by_angle


def _relations(x_BD: Tensor) -> tuple[Tensor, Tensor]:
    """Return relative distances ``[B, B]`` and cosines ``[B, B, B]``."""
    difference_BBD = x_BD[None, :] - x_BD[:, None]
    length_BB = difference_BBD.square().sum(dim=2).clamp_min(1e-12).sqrt()
    distance_BB = length_BB * (1 - torch.eye(len(x_BD), dtype=x_BD.dtype, device=x_BD.device))
    mean = distance_BB.sum() / max(len(x_BD) * (len(x_BD) - 1), 1)
    unit_BBD = difference_BBD / length_BB[:, :, None]
    with exact(x_BD):
        cosine_BBB = unit_BBD @ unit_BBD.transpose(1, 2)
    return distance_BB / mean.clamp_min(1e-6), cosine_BBB
