"""DKD: the label's probability and the ranking of the other classes, weighted separately."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from dspkd.methods._base import Term, precise
from dspkd.methods._divergence import kl_per_image
from dspkd.methods._options import NotNegative, Positive, Prior
from dspkd.methods._priors import adjustment
from dspkd.types import Batch, NetworkSpec, Output


class DKD(Term):
    r"""Match the probability of the label and, separately, the distribution of the rest over the other classes.

    .. math:: L = \frac{T^2}{B} \sum_b \alpha\, \mathrm{KL}(b^t_b \,\|\, b^s_b)
              + \beta\, \mathrm{KL}(q^t_b \,\|\, q^s_b)

    with :math:`b = (p_y, 1 - p_y)`, :math:`p = \sigma(z / T)`, and :math:`q` the softmax of the K - 1 logits of the
    other classes over T. `kd` is the case of :math:`\alpha = 1` and :math:`\beta = 1 - p^t_y`, image by image.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    alpha
        Weight of the label's part, from 0 on.
    beta
        Weight of the other classes' part, from 0 on. The authors use 8 for 100 classes; 2 is inferred for few. That
        part is void with two classes, where there is one other.
    temperature
        :math:`T > 0`.
    prior
        :math:`\tau \ge 0`: :math:`t_b - \tau \log \pi` replaces the teacher's logits :math:`t_b` before anything
        else, with :math:`\pi` the class prior that its own training met, as drawn and weighted. ``"uniform"`` is 1: a
        teacher for equally common classes, as balanced accuracy counts them. 0 leaves it as it is.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes, or two and `alpha` is 0; if `prior` needs the teacher's class
        prior and it is unknown.

    Notes
    -----
    Logits ``[B, K]``, labels ``[B]``, any float type, computed in float32; nats times :math:`T^2`; mean over the
    batch. The authors raise the weight of the term linearly over the first 20 epochs; a recipe does so
    by ``ramp = { epochs = 20 }``.

    The correction of the prior is inferred (Menon et al., *Long-Tail Learning via Logit Adjustment*, ICLR 2021, adjust
    a classifier, not a teacher). It holds where the logits are about log-probabilities: after focal loss, label
    smoothing or MixUp, 1 is a start to be tuned on the validation set. Labels that favour common classes pull the
    other way: give them ``logit_adjustment = 1``, or draw classes equally (``train.balance = 1``).

    Source: Zhao et al., *Decoupled Knowledge Distillation*, CVPR 2022.
    """

    by_image: ClassVar[bool] = True
    needs_one_label: ClassVar[bool] = True
    inferred: ClassVar[str] = "beta = 2 for few classes, where the authors use 8 for 100; `prior`."

    adjustment: Tensor

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        alpha: NotNegative = 1.0,
        beta: NotNegative = 2.0,
        temperature: Positive = 4.0,
        prior: Prior = 0.0,
    ) -> None:
        super().__init__(student, teacher, alpha=alpha, beta=beta, temperature=temperature, prior=prior)
        self.require_same_classes(student, teacher)
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature
        self.corrects_prior = bool(prior)
        self.register_buffer("adjustment", adjustment(self, teacher, prior), persistent=False)

    @classmethod
    def void(cls, classes: int, **options: object) -> str:
        """Return why there is nothing to learn from two classes; see `Term`."""
        if classes > 2 or options.get("alpha", 1.0):
            return ""
        return "beside the label there is one other class, so it has all of the rest; set alpha above 0"

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Return the loss; see the class."""
        s_B2, s_BR = self._split(precise(student.logits), batch.labels)
        t_BK = precise(teacher.logits.detach())
        t_B2, t_BR = self._split(t_BK - self.adjustment.to(t_BK.dtype), batch.labels)
        loss_B = self.alpha * kl_per_image(t_B2, s_B2) + self.beta * kl_per_image(t_BR, s_BR)
        return self.temperature**2 * loss_B.mean()

    def _split(self, logits_BK: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of (the label, any other class), ``[B, 2]``, and of the other classes, ``[B, K - 1]``."""
        z_BK = logits_BK / self.temperature
        label_B1 = labels_B[:, None]
        others_R = torch.arange(z_BK.shape[1] - 1, device=z_BK.device)
        # Indices, not a mask: with a mask the program would wait for the GPU to count the selected classes.
        rest_BR = z_BK.gather(1, others_R + (others_R >= label_B1))
        return torch.cat([z_BK.gather(1, label_B1), rest_BR.logsumexp(dim=1, keepdim=True)], dim=1), rest_BR
