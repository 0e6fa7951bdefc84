"""Cross-entropy with the labels: the one term that asks no teacher."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dspkd.errors import RecipeError
from dspkd.methods._options import NotNegative, Share
from dspkd.methods._term import Term, precise
from dspkd.types import Batch, Output, Spec


class Labels(Term):
    r"""Learn the labels, optionally giving rare classes their due.

    .. math:: L = \frac1B \sum_b w_{y_b}\, H\big((1-\epsilon)\,1_{y_b} + \tfrac\epsilon K,\;
              \sigma(s_b + \tau \log \pi)\big), \qquad \pi_c = N_c / N

    with :math:`H` the cross-entropy, :math:`N_c` the training pictures of class c and :math:`N` their sum. Of a picture
    that is mixed of two, each label's loss counts by its share in the picture.

    Parameters
    ----------
    student, teacher
        Shapes of the networks; the teacher is not used.
    class_weights
        ``"none"``: every picture counts 1. ``"inverse"``: :math:`w_c = N / (K N_c)`, all classes have equal say.
        ``"sqrt_inverse"``: :math:`w_c \propto N_c^{-1/2}`, half-way. In each the mean of w over the training
        *pictures* is 1, so the term keeps its size beside the other terms.
    label_smoothing
        :math:`\epsilon` in [0, 1), the share of each label spread evenly over all classes.
    logit_adjustment
        :math:`\tau \ge 0`. Adds :math:`\tau \log \pi` to the logits in this term only, so the bare logits become
        good for balanced accuracy; 1 is the authors' choice, 0 leaves it out.

    Raises
    ------
    RecipeError
        If `class_weights` or `logit_adjustment` needs the training counts and they are unknown or hold a 0.

    Notes
    -----
    Logits ``[B, K]``, any float type, computed in float32; nats; mean over the batch. The sum is divided by B, not by
    the sum of the weights in the batch as in `torch.nn.CrossEntropyLoss`: there, a picture's say would depend
    on its neighbours, and in a batch of one no weight would have any effect.

    Source: the weights N / N_c follow Wang et al., *SSD-KD*, Medical Image Analysis 2023, up to a common factor;
    Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016 (label smoothing);
    Menon et al., *Long-Tail Learning via Logit Adjustment*, ICLR 2021; Zhang et al., *mixup*, ICLR 2018.
    """

    needs_teacher: ClassVar[bool] = False
    inferred: ClassVar[str] = "Whether the paper weights classes is unknown; plain cross-entropy is the default here."

    log_prior: Tensor
    class_weight: Tensor

    def __init__(
        self,
        student: Spec,
        teacher: Spec | None,
        *,
        class_weights: Literal["none", "inverse", "sqrt_inverse"] = "none",
        label_smoothing: Share = 0.0,
        logit_adjustment: NotNegative = 0.0,
    ) -> None:
        super().__init__(
            student,
            teacher,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
            logit_adjustment=logit_adjustment,
        )
        self.label_smoothing = label_smoothing
        self.logit_adjustment = logit_adjustment
        shares_K = torch.full((student.classes,), 1 / student.classes, dtype=torch.float64)
        if class_weights != "none":
            shares_K = self._shares(student, f"class_weights = {class_weights!r}")
        elif logit_adjustment > 0:
            shares_K = self._shares(student, f"logit_adjustment = {logit_adjustment}")
        weight_K = shares_K ** {"none": 0.0, "inverse": -1.0, "sqrt_inverse": -0.5}[class_weights]
        # Both follow from the training table, so they are no part of a checkpoint.
        self.register_buffer("class_weight", (weight_K / (shares_K * weight_K).sum()).float(), persistent=False)
        self.register_buffer("log_prior", shares_K.log().float(), persistent=False)

    def forward(self, student: Output, teacher: Output | None, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        logits_BK = precise(student.logits)
        adjusted_BK = logits_BK + self.logit_adjustment * self.log_prior.to(logits_BK.dtype)
        loss_B = self._of(batch.labels, adjusted_BK)
        if batch.other_labels is not None and batch.own_share is not None:
            share_B = batch.own_share.to(loss_B.dtype)
            loss_B = share_B * loss_B + (1 - share_B) * self._of(batch.other_labels, adjusted_BK)
        return loss_B.mean()

    def _of(self, labels_B: Tensor, adjusted_BK: Tensor) -> Tensor:
        loss_B = F.cross_entropy(adjusted_BK, labels_B, label_smoothing=self.label_smoothing, reduction="none")
        return self.class_weight[labels_B].to(loss_B.dtype) * loss_B

    def _shares(self, student: Spec, asked: str) -> Tensor:
        counts = student.class_counts
        if not counts:
            raise RecipeError(
                f"labels.{asked}: needs the training pictures per class, and no training table is at hand"
            )
        if 0 in counts:
            empty = ", ".join(str(c) for c, count in enumerate(counts) if count == 0)
            raise RecipeError(f"labels.{asked}: no training picture is of class {empty}; merge or drop it")
        return torch.tensor(counts, dtype=torch.float64) / sum(counts)
