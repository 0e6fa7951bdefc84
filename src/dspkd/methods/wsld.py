"""WSLD: soft labels, weighted for each image by how far the student trails the teacher."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dspkd.methods._base import Term, precise
from dspkd.methods._options import Positive
from dspkd.types import Batch, NetworkSpec, Output


class WSLD(Term):
    r"""Match the teacher's softened probabilities, mostly where the student trails the teacher on the label.

    .. math:: L = \frac{T^2}{B} \sum_b w_b\, H\big(\sigma(t_b / T), \sigma(s_b / T)\big), \qquad
              w_b = 1 - \exp\Big(-\frac{H(1_{y_b}, \sigma(s_b))}{H(1_{y_b}, \sigma(t_b)) + 10^{-7}}\Big)

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    temperature
        :math:`T > 0`. The authors use 2 on ImageNet (with a weight of 2.5 beside 1 for the labels).

    Notes
    -----
    Logits ``[B, K]``, labels ``[B]``, any float type, computed in float32; nats times :math:`T^2`; mean over the
    batch. H is the cross-entropy, not the divergence: the loss is not 0 where the networks agree, its gradient is.
    No gradient flows through w. With a teacher that has memorised the training images every w is nearly 1,
    and the loss is that of `kd` up to a constant.

    Deviation: the authors' code adds the labels' cross-entropy and updates the teacher's batch statistics; here
    `labels` is a separate term, and the teacher does not change.

    Source: Zhou et al., *Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance Tradeoff Perspective*,
    ICLR 2021.
    """

    by_image: ClassVar[bool] = True
    needs_one_label: ClassVar[bool] = True

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec, *, temperature: Positive = 2.0) -> None:
        super().__init__(student, teacher, temperature=temperature)
        self.require_same_classes(student, teacher)
        self.temperature = temperature

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Return the loss; see the class."""
        s_BK, t_BK = precise(student.logits), precise(teacher.logits.detach())
        q_BK = F.softmax(t_BK / self.temperature, dim=1)
        soft_B = F.cross_entropy(s_BK / self.temperature, q_BK, reduction="none")
        hard_s_B = F.cross_entropy(s_BK.detach(), batch.labels, reduction="none")
        hard_t_B = F.cross_entropy(t_BK, batch.labels, reduction="none")
        weight_B = -torch.expm1(-hard_s_B / (hard_t_B + 1e-7))
        return self.temperature**2 * (weight_B * soft_B).mean()
