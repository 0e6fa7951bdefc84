"""NormKD: a temperature for each image, proportional to the spread of its logits. The second stage of DSP-KD."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dspkd.methods._base import Term, precise
from dspkd.methods._divergence import STANDARDISED_PAIR, kl_per_image
from dspkd.methods._options import Positive, Prior
from dspkd.methods._priors import adjustment
from dspkd.types import Batch, NetworkSpec, Output


class NormKD(Term):
    r"""Match softened class probabilities, with all images softened to the same spread of logits.

    .. math:: L = \frac1B \sum_b \tau_{t,b}^2 \,
              \mathrm{KL}\big(\sigma(t_b / \tau_{t,b}) \,\|\, \sigma(s_b / \tau_{s,b})\big),
              \qquad \tau_{x,b} = \nu\,\mathrm{std}(x_b)

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    t_norm
        :math:`\nu > 0`, the temperature of an image whose logits have standard deviation 1. The authors use 2 for
        CIFAR-100 and 1 for ImageNet. With 8 classes 2 leaves a confident teacher's best class a probability of
        0.37, nearly uniform, and 1 leaves it 0.71: hence the default, which is inferred.
    prior
        :math:`\tau \ge 0`: :math:`t_b - \tau \log \pi` replaces the teacher's logits :math:`t_b` before anything
        else, with :math:`\pi` the class prior that its own training met, as drawn and weighted. ``"uniform"`` is 1: a
        teacher for equally common classes, as balanced accuracy counts them. 0 leaves it as it is.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes, or fewer than 3; if `prior` needs the teacher's class prior
        and it is unknown.

    Notes
    -----
    Logits ``[B, K]``, K at least 3, any float type, computed in float32; nats times squared logits; mean over the
    batch. ``std`` divides by K - 1, as the authors' code does. With two classes the logits divided by their spread are
    0.71 above and below their mean whatever the network says, and nothing would be learned: use `kd`.

    The loss does not change when the student's logits are shifted or multiplied by a positive number: another term,
    usually `labels`, must set their scale. It grows with the square of the teacher's spread, so with a confident
    teacher it can dwarf that other term: compare both in the log.

    Deviation: a spread is clamped to 1e-6 from below. Logits that are all equal then give the uniform
    distribution, where the authors' code gives NaN.

    The correction of the prior is inferred (Menon et al., *Long-Tail Learning via Logit Adjustment*, ICLR 2021, adjust
    a classifier, not a teacher). It holds where the logits are about log-probabilities: after focal loss, label
    smoothing or MixUp, 1 is a start to be tuned on the validation set. Labels that favour common classes pull the
    other way: give them ``logit_adjustment = 1``, or draw classes equally (``train.balance = 1``).

    Source: Chi et al., *NormKD: Normalized Logits for Knowledge Distillation*, 2023, arXiv 2308.00520.
    """

    by_image: ClassVar[bool] = True
    inferred: ClassVar[str] = (
        "t_norm = 1 for few classes (the authors: 2 for 100, 1 for 1000); spreads clamped to 1e-6; `prior`."
    )

    adjustment: Tensor

    def __init__(
        self, student: NetworkSpec, teacher: NetworkSpec, *, t_norm: Positive = 1.0, prior: Prior = 0.0
    ) -> None:
        super().__init__(student, teacher, t_norm=t_norm, prior=prior)
        self.require_same_classes(student, teacher)
        self.t_norm = t_norm
        self.corrects_prior = bool(prior)
        self.register_buffer("adjustment", adjustment(self, teacher, prior), persistent=False)

    @classmethod
    def void(cls, classes: int, **options: object) -> str:  # noqa: ARG003
        """Return why there is nothing to learn from two classes; see `Term`."""
        return STANDARDISED_PAIR if classes < 3 else ""

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        s_BK, t_BK = precise(student.logits), precise(teacher.logits.detach())
        t_BK = t_BK - self.adjustment.to(t_BK.dtype)
        tau_s_B1, tau_t_B1 = self._temperatures(s_BK), self._temperatures(t_BK)
        return (tau_t_B1.squeeze(1).square() * kl_per_image(t_BK / tau_t_B1, s_BK / tau_s_B1)).mean()

    def _temperatures(self, logits_BK: Tensor) -> Tensor:
        return self.t_norm * logits_BK.std(dim=1, keepdim=True).clamp_min(1e-6)
