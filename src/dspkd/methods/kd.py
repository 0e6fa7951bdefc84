"""Knowledge distillation by Hinton: match softened class probabilities."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dspkd.methods._base import Term, precise
from dspkd.methods._divergence import kl_per_image
from dspkd.methods._options import Positive, Prior
from dspkd.methods._priors import adjustment
from dspkd.types import Batch, NetworkSpec, Output


class KD(Term):
    r"""Match the teacher's class probabilities, both softened by one temperature.

    .. math:: L = \frac{T^2}{B} \sum_b \mathrm{KL}\big(\sigma(t_b / T) \,\|\, \sigma(s_b / T)\big)

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    temperature
        :math:`T > 0`. Large values emphasise how the teacher ranks the wrong classes. :math:`T^2` keeps the size of the
        gradient as T changes.
    prior
        :math:`\tau \ge 0`: :math:`t_b - \tau \log \pi` replaces the teacher's logits :math:`t_b` before anything
        else, with :math:`\pi` the class prior that its own training met, as drawn and weighted. ``"uniform"`` is 1: a
        teacher for equally common classes, as balanced accuracy counts them. 0 leaves it as it is.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes, or `prior` needs the teacher's class prior and it is unknown.

    Notes
    -----
    Logits ``[B, K]``, any float type, computed in float32; nats times :math:`T^2`; mean over the batch, sum over
    classes. The gradient with respect to the student's logits is :math:`T (\sigma(s/T) - \sigma(t/T)) / B`.
    Published pairs of temperature and weight differ: 4 and 0.9 (beside 0.1 cross-entropy) on CIFAR, 1 and 0.5
    (beside 0.5) or 1 and 3 (beside 1) on ImageNet. The default is the first.

    The correction of the prior is inferred (Menon et al., *Long-Tail Learning via Logit Adjustment*, ICLR 2021, adjust
    a classifier, not a teacher). It holds where the logits are about log-probabilities: after focal loss, label
    smoothing or MixUp, 1 is a start to be tuned on the validation set. Labels that favour common classes pull the
    other way: give them ``logit_adjustment = 1``, or draw classes equally (``train.balance = 1``).

    Source: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural Network*, 2015.
    """

    by_image: ClassVar[bool] = True
    inferred: ClassVar[str] = "`prior`: published for classifiers, not for teachers."

    adjustment: Tensor

    def __init__(
        self, student: NetworkSpec, teacher: NetworkSpec, *, temperature: Positive = 4.0, prior: Prior = 0.0
    ) -> None:
        super().__init__(student, teacher, temperature=temperature, prior=prior)
        self.require_same_classes(student, teacher)
        self.temperature = temperature
        self.corrects_prior = bool(prior)
        self.register_buffer("adjustment", adjustment(self, teacher, prior), persistent=False)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        s_BK, t_BK = precise(student.logits), precise(teacher.logits.detach())
        t_BK = t_BK - self.adjustment.to(t_BK.dtype)
        return self.temperature**2 * kl_per_image(t_BK / self.temperature, s_BK / self.temperature).mean()
