"""LTKD: distillation between groups of frequent and rare classes, balanced, and within them. A reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dspkd.errors import RecipeError
from dspkd.methods._base import Term, precise
from dspkd.methods._divergence import kl_per_image
from dspkd.methods._options import NotNegative, Positive
from dspkd.types import Batch, NetworkSpec, Output


class LTKD(Term):
    r"""Match the probabilities of class groups, with the teacher's bias removed, and of the classes within each group.

    .. math:: L = \frac{T^2}{B} \sum_b \Big[ \alpha\, \mathrm{KL}\big(\hat P_b \,\|\, P^s_b\big)
              + \beta \sum_G w_G\, \mathrm{KL}\big(\tilde p^t_{bG} \,\|\, \tilde p^s_{bG}\big) \Big], \qquad
              \hat P_{bG} \propto \frac{w_G}{\sum_i P^t_{iG}} P^t_{bG}

    with :math:`P_{bG}` the sum of the softened probabilities :math:`\sigma(z_b / T)` of the classes of group G, and
    :math:`\tilde p_{bG}` these probabilities scaled to sum 1. Sums over i run over the batch: every group then has
    about its target share :math:`w_G` of the teacher's probability. `kd` is the case of :math:`\hat P = P^t`,
    :math:`\alpha = \beta = 1` and :math:`w_G = P^t_{bG}`, image by image.

    Groups: the classes in the order of their training images, cut at a third and two thirds (0.33 and 0.67, rounded).

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    temperature
        :math:`T > 0`.
    cross, within
        :math:`\alpha, \beta \ge 0`. The part `within` is void with two classes, where each group has one.
    target
        ``"groups"``: all :math:`w_G` are equal, as published. ``"classes"``: :math:`w_G` is the group's share of the
        classes. They differ where groups have different numbers of classes: 8 classes make 3, 2 and 3, and equal groups
        would give each of the two in the middle half as much again as each of the others.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes, or two and `cross` is 0; if the training images per class are
        unknown.

    Notes
    -----
    Logits ``[B, K]``, any float type, computed in float32; nats times :math:`T^2`; mean over the batch. Uses the batch
    as a whole, so it depends on the batch size. Within a group the teacher's class prior stays.

    Reconstructed: neither the body of the paper nor code was available. The decomposition, the groups, the balanced
    sums and the constant weights within groups follow descriptions of it by others.

    Source: after Kim, *Biased Teacher, Balanced Student*, CVPR 2026, arXiv 2506.18496.
    """

    corrects_prior = True
    inferred: ClassVar[str] = (
        "A reconstruction from descriptions: temperature 4, also of the batch sums; cross = within = 1; constants "
        "within groups that sum to 1; target = classes; the cuts for few classes."
    )

    order: Tensor
    log_target: Tensor

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        temperature: Positive = 4.0,
        cross: NotNegative = 1.0,
        within: NotNegative = 1.0,
        target: Literal["classes", "groups"] = "classes",
    ) -> None:
        super().__init__(student, teacher, temperature=temperature, cross=cross, within=within, target=target)
        self.require_same_classes(student, teacher)
        if not student.class_counts:
            raise RecipeError(f"{self.name}: needs the training images per class, and there is no training set")
        self.temperature, self.cross, self.within = temperature, cross, within
        groups = _groups(student.class_counts)
        self.sizes = [len(group) for group in groups]
        self.shares = [size / student.classes if target == "classes" else 1 / len(groups) for size in self.sizes]
        self.register_buffer("order", torch.tensor([c for group in groups for c in group]), persistent=False)
        self.register_buffer("log_target", torch.tensor([math.log(share) for share in self.shares]), persistent=False)

    @classmethod
    def void(cls, classes: int, **options: object) -> str:
        """Return why there is nothing to learn from two classes; see `Term`."""
        if classes > 2 or options.get("cross", 1.0):
            return ""
        return "each group has one class; set cross above 0"

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        s, t = (self._grouped(precise(logits)) for logits in (student.logits, teacher.logits.detach()))
        s_BG, t_BG = (torch.stack([z_BC.logsumexp(dim=1) for z_BC in z], dim=1) for z in (s, t))
        log_share_BG = t_BG.log_softmax(dim=1)
        balanced_BG = log_share_BG - log_share_BG.logsumexp(dim=0) + self.log_target.to(t_BG.dtype)
        loss_B = self.cross * kl_per_image(balanced_BG, s_BG)
        for share, s_BC, t_BC in zip(self.shares, s, t, strict=True):
            loss_B = loss_B + self.within * share * kl_per_image(t_BC, s_BC)
        return self.temperature**2 * loss_B.mean()

    def _grouped(self, logits_BK: Tensor) -> Sequence[Tensor]:
        """Return the softened logits of each group's classes, ``[B, C]`` each."""
        return torch.split((logits_BK / self.temperature)[:, self.order], self.sizes, dim=1)


def _groups(counts: Sequence[int]) -> list[list[int]]:
    """Return the classes of each group, most images first, of equal ones the first; no group is empty."""
    K = len(counts)
    by_count = sorted(range(K), key=lambda c: -counts[c])
    cuts = (0, round(0.33 * K), round(0.67 * K), K)
    return [by_count[first:last] for first, last in pairwise(cuts) if last > first]
