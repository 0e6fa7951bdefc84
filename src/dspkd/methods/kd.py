"""Knowledge distillation by Hinton: match softened class probabilities."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dspkd.methods._base import Term, precise
from dspkd.methods._divergence import kl_per_image
from dspkd.methods._options import Positive
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

    Notes
    -----
    Logits ``[B, K]``, any float type, computed in float32; nats times :math:`T^2`; mean over the batch, sum over
    classes. The gradient with respect to the student's logits is :math:`T (\sigma(s/T) - \sigma(t/T)) / B`.
    Published pairs of temperature and weight differ: 4 and 0.9 (beside 0.1 cross-entropy) on CIFAR, 1 and 0.5
    (beside 0.5) or 1 and 3 (beside 1) on ImageNet. The default is the first.

    Source: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural Network*, 2015.
    """

    by_image: ClassVar[bool] = True

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec, *, temperature: Positive = 4.0) -> None:
        super().__init__(student, teacher, temperature=temperature)
        self.require_same_classes(student, teacher)
        self.temperature = temperature

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        s_BK, t_BK = precise(student.logits), precise(teacher.logits.detach())
        return self.temperature**2 * kl_per_image(t_BK / self.temperature, s_BK / self.temperature).mean()
