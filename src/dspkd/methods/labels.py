"""Cross-entropy with the labels: the one term that needs no teacher."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dspkd.errors import DataError, RecipeError
from dspkd.methods._base import Term, precise
from dspkd.methods._options import NotNegative, Share
from dspkd.methods._priors import ClassWeights, class_prior, images_of, weights_of
from dspkd.types import Batch, NetworkSpec, Output


class Labels(Term):
    r"""Learn the labels, optionally with more weight for rare classes or hard images.

    .. math:: L = \frac1B \sum_b w_{y_b}\, (1 - p_{b,y_b})^\gamma\,
              H\big((1-\epsilon)\,1_{y_b} + \tfrac\epsilon K,\; p_b\big), \qquad
              p_b = \sigma(s_b + \tau \log \pi), \qquad \pi_c \propto w_c M_c

    with :math:`H` the cross-entropy, :math:`N_c` the training images of class c, and :math:`M_c` its images in an
    epoch: :math:`N_c`, or proportional to :math:`N_c^{1-\mathtt{balance}}` where ``train.balance`` samples classes more
    evenly. With MixUp, the losses of an image's two labels are weighted by their shares in the image. With
    `soft_labels`, the loss :math:`L_{b,c}` of each class is weighted by its share :math:`q_{b,c}` of the label,

    .. math:: L = \frac1B \sum_b \sum_c q_{b,c} L_{b,c}, \qquad \sum_c q_{b,c} = 1,

    which is the cross-entropy :math:`H(q_b, p_b)` with soft targets where the other options are left as they are.

    Parameters
    ----------
    student, teacher
        Shapes of the networks; the teacher is not used.
    class_weights
        ``"none"``: every image counts 1. ``"inverse"``: :math:`w_c = N / (K N_c)`, all classes have equal total weight.
        ``"sqrt_inverse"``: :math:`w_c \propto N_c^{-1/2}`, half-way. ``"effective"``:
        :math:`w_c \propto (1 - \beta) / (1 - \beta^{N_c})`, the inverse of the class's effective number of images.
        In each the mean of w over the training *images* is 1, so the size of the term relative to others stays where
        each occurs once in an epoch. Weights multiply the effect of ``train.balance``: rare classes are then drawn more
        often, so the mean of w over the images of an epoch is above 1 and the term counts for more, and ``"inverse"``
        with ``balance = 1`` overcorrects.
    effective_beta
        :math:`\beta` in [0, 1) of ``"effective"``, unused elsewhere: 0 weights all classes equally, towards 1 the
        weights become those of ``"inverse"``. :math:`1 / (1 - \beta)` is the number of images beyond which more images
        of a class hardly change its weight. The authors try 0.9, 0.99, 0.999 and 0.9999.
    focal_gamma
        :math:`\gamma \ge 0`. Images that the student already classifies well, :math:`p_y` near 1, count less; 2 is the
        authors' choice, 0 switches it off.
    label_smoothing
        :math:`\epsilon` in [0, 1), the share of each label spread evenly over all classes.
    logit_adjustment
        :math:`\tau \ge 0`. Adds :math:`\tau \log \pi` to the logits in this term only, so that the unadjusted logits
        suit balanced accuracy; 1 is the authors' choice, 0 switches it off.

    soft_labels
        Learn from the weights that the data set gives the classes of each image, such as SCIN's, instead of the class
        with the largest. Validation and evaluation use that class; so do the numbers :math:`N_c`, which are then not
        the prior that is learned: `logit_adjustment` is refused, and `prior` is unknown.

    Attributes
    ----------
    prior
        Class shares that the student's logits reflect once this term has trained them; empty where the training images
        are unknown, and with `soft_labels`.

    Raises
    ------
    RecipeError
        If `class_weights` or `logit_adjustment` needs the training counts and they are unknown or hold a 0; if
        `logit_adjustment` is set beside `soft_labels`.
    DataError
        With `soft_labels`, if the data set gives each image its class alone.

    Notes
    -----
    Logits ``[B, K]``, any float type, computed in float32; nats; mean over the batch. The sum is divided by B, not by
    the sum of the weights in the batch as in `torch.nn.CrossEntropyLoss`: there, an image's weight would depend
    on the others in its batch, and in a batch of one no weight would have any effect.

    The prior :math:`\pi` is that of the classes as sampled and weighted in training, since the logits would follow
    it: Theorem 1 of the authors requires :math:`\log(w_c P_c)`, with P the distribution trained on.
    Where sampling or weights already make all classes equal, there is nothing to adjust, and any
    :math:`\tau` gives the same loss.

    Deviations: effective numbers are scaled as described above; by the authors so that the weights' mean over *classes*
    is 1. The focal loss is the authors' for classes that exclude each other: softmax, not K sigmoids. :math:`1 - p_y`
    is computed as the sum of the other classes' probabilities in logarithms, so that neither value nor gradient is lost
    where :math:`p_y` rounds to 1.

    Source: the weights N / N_c follow Wang et al., *SSD-KD*, Medical Image Analysis 2023, up to a common factor;
    Cui et al., *Class-Balanced Loss Based on Effective Number of Samples*, CVPR 2019;
    Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017;
    Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016 (label smoothing);
    Menon et al., *Long-Tail Learning via Logit Adjustment*, ICLR 2021; Zhang et al., *mixup*, ICLR 2018;
    Peterson et al., *Human Uncertainty Makes Classification More Robust*, ICCV 2019 (soft labels).
    """

    by_image: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = False
    inferred: ClassVar[str] = (
        "Whether the paper weights classes is unknown; plain cross-entropy is the default here. How `focal_gamma` goes "
        "together with `label_smoothing` and `logit_adjustment`, and all options with `soft_labels`."
    )

    log_prior: Tensor
    class_weight: Tensor

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec | None,
        *,
        class_weights: ClassWeights = "none",
        effective_beta: Share = 0.999,
        focal_gamma: NotNegative = 0.0,
        label_smoothing: Share = 0.0,
        logit_adjustment: NotNegative = 0.0,
        soft_labels: bool = False,
    ) -> None:
        super().__init__(
            student,
            teacher,
            class_weights=class_weights,
            effective_beta=effective_beta,
            focal_gamma=focal_gamma,
            label_smoothing=label_smoothing,
            logit_adjustment=logit_adjustment,
            soft_labels=soft_labels,
        )
        self.focal_gamma = focal_gamma
        self.label_smoothing = label_smoothing
        self.logit_adjustment = logit_adjustment
        self.soft_labels = soft_labels
        if soft_labels and logit_adjustment > 0:
            raise RecipeError(
                f"labels.logit_adjustment = {logit_adjustment}: not with soft_labels = true, as images are counted by "
                "their largest class, which is not the prior that soft labels teach; leave one of the two out"
            )
        images_K = draws_K = torch.ones(student.classes, dtype=torch.float64)
        if class_weights != "none" or logit_adjustment > 0:
            weighted = class_weights != "none"
            setting = f"class_weights = {class_weights!r}" if weighted else f"logit_adjustment = {logit_adjustment}"
            images_K = images_of(student, f"labels.{setting}")
            draws_K = torch.tensor(student.class_draws or student.class_counts, dtype=torch.float64)
        weight_K = weights_of(class_weights, images_K, effective_beta)
        weight_K *= images_K.sum() / (images_K * weight_K).sum()
        self.prior: tuple[float, ...] = ()
        if not soft_labels:
            self.prior = class_prior(
                student,
                class_weights=class_weights,
                effective_beta=effective_beta,
                logit_adjustment=logit_adjustment,
            )
        # Both follow from the training set, so they are not saved in checkpoints.
        self.register_buffer("class_weight", weight_K.float(), persistent=False)
        self.register_buffer("log_prior", (draws_K * weight_K).log().log_softmax(0).float(), persistent=False)

    def forward(self, student: Output, teacher: Output | None, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        logits_BK = precise(student.logits)
        adjusted_BK = logits_BK + self.logit_adjustment * self.log_prior.to(logits_BK.dtype)
        if self.soft_labels:
            return self._of_soft(batch.soft_labels, adjusted_BK)
        loss_B = self._of(batch.labels, adjusted_BK)
        if batch.other_labels is not None and batch.own_share is not None:
            share_B = batch.own_share.to(loss_B.dtype)
            loss_B = share_B * loss_B + (1 - share_B) * self._of(batch.other_labels, adjusted_BK)
        return loss_B.mean()

    def _of_soft(self, soft_BK: Tensor | None, adjusted_BK: Tensor) -> Tensor:
        if soft_BK is None:
            raise DataError(
                "labels.soft_labels = true: the data set gives each image one class and no weights; leave it out"
            )
        image_M, class_M = soft_BK.nonzero(as_tuple=True)
        loss_M = self._of(class_M, adjusted_BK[image_M])
        return (soft_BK[image_M, class_M].to(loss_M.dtype) * loss_M).sum() / len(soft_BK)

    def _of(self, labels_B: Tensor, adjusted_BK: Tensor) -> Tensor:
        loss_B = F.cross_entropy(adjusted_BK, labels_B, label_smoothing=self.label_smoothing, reduction="none")
        if self.focal_gamma > 0:
            loss_B = (self.focal_gamma * _log_miss(adjusted_BK, labels_B)).exp() * loss_B
        return self.class_weight[labels_B].to(loss_B.dtype) * loss_B


def _log_miss(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Return ``[B]`` the logarithm of 1 - p_y, the probability of all classes but the label."""
    log_p_BK = F.log_softmax(logits_BK, dim=1)
    label_BK = F.one_hot(labels_B, logits_BK.shape[1]).bool()
    return log_p_BK.masked_fill(label_BK, -torch.inf).logsumexp(dim=1)
