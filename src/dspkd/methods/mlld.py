"""MLLD: match the teacher's predictions per image, and their relations between images and between classes."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dspkd.methods._base import Term, exact, precise
from dspkd.methods._divergence import kl_per_image
from dspkd.methods._options import NotNegative, Positive
from dspkd.types import Batch, NetworkSpec, Output


class MLLD(Term):
    r"""Match softened probabilities at several temperatures, and how they relate images and classes.

    .. math:: L = \lambda H(y, \sigma(\hat s)) + \sum_{\text{views}} \sum_T \Big[
              \frac{T^2}{B} \sum_b m_b \mathrm{KL}(p^t_b \| p^s_b)
              + \frac1B \big\| m^{1/2} (P_t P_t^\top - P_s P_s^\top) \big\|_F^2
              + \frac1K \big\| n^{1/2} (P_t^\top P_t - P_s^\top P_s) \big\|_F^2 \Big]

    with :math:`P = \sigma(z / T)` of the batch, ``[B, K]``, and T = `temperature`, 2, 3, 5, 6, of which one may occur
    twice. The views are the training image and a strongly augmented one (a hat) with two more operations of
    RandAugment; m and n weight the rows of the matrices. For the training image, :math:`m_b` is 1 where the teacher's
    highest probability (at T = 1) is at most the batch's median and :math:`n_k` where its summed probability of class
    k is at most the classes' median, else 0; for the strongly augmented one all are 1. H is the cross-entropy of the
    strongly augmented images; that of the training images is the term `labels`.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    labels
        :math:`\lambda \ge 0`. 1 if `labels` and this term have equal weights (the authors' 0.5 and 0.5 on
        ImageNet), 0.111 for their 0.1 and 0.9 on CIFAR.
    temperature
        :math:`T_0 > 0`. The authors use 4 on CIFAR, 1 on ImageNet.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes.

    Notes
    -----
    Logits ``[2B, K]``, labels ``[B]``, any float type, computed in float32. Uses the batch as a whole, so it depends on
    the batch size.

    Deviation: the authors' code reduces losses to scalars before it multiplies them by m and n, uses the training
    images instead of the strongly augmented ones at T = 2 and T = 6, and computes relations of the latter that it does
    not add. This implementation follows the evident intent. Both views go through the student in one forward pass
    instead of two, so batch normalisation sees both.

    Source: Jin, Wang, Lin, *Multi-level Logit Distillation*, CVPR 2023.
    """

    wants_strong_aug: ClassVar[bool] = True
    needs_one_label: ClassVar[bool] = True
    inferred: ClassVar[str] = "The intent, where the code deviates from it; all strongly augmented images count."

    def __init__(
        self, student: NetworkSpec, teacher: NetworkSpec, *, labels: NotNegative = 1.0, temperature: Positive = 4.0
    ) -> None:
        super().__init__(student, teacher, labels=labels, temperature=temperature)
        self.require_same_classes(student, teacher)
        self.labels = labels
        self.temperatures = sorted([float(temperature), 2.0, 3.0, 5.0, 6.0])

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Return the loss; see the class."""
        assert student.strong_aug, "a distiller provides it, since wants_strong_aug is true"
        assert teacher.strong_aug, "a distiller provides it, since wants_strong_aug is true"
        s_BK, t_BK = precise(student.logits), precise(teacher.logits.detach())
        s_hat_BK, t_hat_BK = precise(student.strong_aug.logits), precise(teacher.strong_aug.logits.detach())
        p_BK = t_BK.softmax(dim=1)
        unsure_B, unsure_K = (_lower_half(x).to(t_BK.dtype) for x in (p_BK.amax(dim=1), p_BK.sum(dim=0)))
        losses = [self.labels * F.cross_entropy(s_hat_BK, batch.labels)]
        for T in self.temperatures:
            losses.append(_levels(s_BK, t_BK, unsure_B, unsure_K, T))
            losses.append(_levels(s_hat_BK, t_hat_BK, torch.ones_like(unsure_B), torch.ones_like(unsure_K), T))
        return torch.stack(losses).sum()


def _lower_half(x: Tensor) -> Tensor:
    return x <= x.median()


def _levels(s_BK: Tensor, t_BK: Tensor, counts_B: Tensor, counts_K: Tensor, T: float) -> Tensor:
    """Return the disagreement of images, between images and between classes at one temperature."""
    p_BK, q_BK = (s_BK / T).softmax(dim=1), (t_BK / T).softmax(dim=1)
    with exact(p_BK):
        images_BB = (q_BK @ q_BK.T - p_BK @ p_BK.T).square()
        classes_KK = (q_BK.T @ q_BK - p_BK.T @ p_BK).square()
    instance = T**2 * (counts_B * kl_per_image(t_BK / T, s_BK / T)).mean()
    return instance + (counts_B * images_BB.sum(dim=1)).mean() + (counts_K * classes_KK.sum(dim=1)).mean()
