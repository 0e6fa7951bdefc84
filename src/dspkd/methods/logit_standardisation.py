"""Logit standardisation: compare z-scores of logits."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dspkd.methods._base import Term, precise
from dspkd.methods._divergence import STANDARDISED_PAIR, kl_per_image
from dspkd.methods._options import Positive
from dspkd.types import Batch, NetworkSpec, Output


class LogitStandardisation(Term):
    r"""Match softened class probabilities of standardised logits.

    .. math:: L = \frac{T^2}{B} \sum_b
              \mathrm{KL}\big(\sigma(\hat t_b / T) \,\|\, \sigma(\hat s_b / T)\big), \qquad
              \hat x = \frac{x - \mathrm{mean}(x)}{\mathrm{std}(x) + 10^{-7}}

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    temperature
        :math:`T > 0`, the temperature of z-scores. The authors use 2 with a weight of 9 beside 0.1 for the labels.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes, or fewer than 3.

    Notes
    -----
    Logits ``[B, K]``, K at least 3 (two standardised logits are always +-0.71), any float type, computed in float32;
    nats times :math:`T^2`; mean over the batch. ``std`` divides by K - 1. The probabilities are those of `normkd` at
    ``t_norm`` = T; there each image is weighted by the square of the teacher's spread, here all equally. As there,
    another term must set the scale of the student's logits.

    Source: Sun et al., *Logit Standardization in Knowledge Distillation*, CVPR 2024.
    """

    by_image: ClassVar[bool] = True

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec, *, temperature: Positive = 2.0) -> None:
        super().__init__(student, teacher, temperature=temperature)
        self.require_same_classes(student, teacher)
        self.temperature = temperature

    @classmethod
    def void(cls, classes: int, **options: object) -> str:  # noqa: ARG003
        """Return why there is nothing to learn from two classes; see `Term`."""
        return STANDARDISED_PAIR if classes < 3 else ""

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        s_BK, t_BK = _standardised(precise(student.logits)), _standardised(precise(teacher.logits.detach()))
        return self.temperature**2 * kl_per_image(t_BK / self.temperature, s_BK / self.temperature).mean()


def _standardised(logits_BK: Tensor) -> Tensor:
    centred_BK = logits_BK - logits_BK.mean(dim=1, keepdim=True)
    return centred_BK / (logits_BK.std(dim=1, keepdim=True) + 1e-7)
