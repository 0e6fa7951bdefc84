"""DIST: match the teacher's probabilities up to scale and shift, image by image and class by class."""

from __future__ import annotations

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

from dspkd.methods._base import Term, precise
from dspkd.methods._options import NotNegative, Positive
from dspkd.types import Batch, NetworkSpec, Output


class DIST(Term):
    r"""Correlate the student's probabilities with the teacher's, along the classes and along the batch.

    .. math:: L = T^2 \Big[ \lambda \Big(1 - \frac1B \sum_b \rho(p^s_{b,:}, p^t_{b,:})\Big)
              + \mu \Big(1 - \frac1K \sum_k \rho(p^s_{:,k}, p^t_{:,k})\Big) \Big]

    with :math:`p = \sigma(z / T)` and :math:`\rho` Pearson's correlation.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    inter
        :math:`\lambda \ge 0`, weight of the part that compares how one image ranks the classes. That part is void with
        two classes, where the probabilities of an image correlate fully or not at all.
    intra
        :math:`\mu \ge 0`, weight of the part that compares how one class ranks the images.
    temperature
        :math:`T > 0`.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes, or two and `intra` is 0.

    Notes
    -----
    Logits ``[B, K]``, any float type, computed in float32; dimensionless, each bracket in [0, 2]. The second part uses
    the batch as a whole, so it depends on the batch size, and is a constant 1 for a batch of one. With 8 classes the
    first part correlates 8 numbers. A constant row or column counts as uncorrelated (1e-8 is added to
    the denominator, as the authors do).

    Source: Huang et al., *Knowledge Distillation from A Stronger Teacher*, NeurIPS 2022.
    """

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        inter: NotNegative = 1.0,
        intra: NotNegative = 1.0,
        temperature: Positive = 1.0,
    ) -> None:
        super().__init__(student, teacher, inter=inter, intra=intra, temperature=temperature)
        self.require_same_classes(student, teacher)
        self.inter = inter
        self.intra = intra
        self.temperature = temperature

    @classmethod
    def void(cls, classes: int, **options: object) -> str:
        """Return why there is nothing to learn from two classes; see `Term`."""
        if classes > 2 or options.get("intra", 1.0):
            return ""
        return "the two probabilities of an image correlate fully or not at all; set intra above 0"

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        s_BK = F.softmax(precise(student.logits) / self.temperature, dim=1)
        t_BK = F.softmax(precise(teacher.logits.detach()) / self.temperature, dim=1)
        inter, intra = 1 - _correlation(s_BK, t_BK, dim=1).mean(), 1 - _correlation(s_BK, t_BK, dim=0).mean()
        return self.temperature**2 * (self.inter * inter + self.intra * intra)


def _correlation(x_BK: Tensor, y_BK: Tensor, dim: int) -> Tensor:
    x_BK = x_BK - x_BK.mean(dim=dim, keepdim=True)
    y_BK = y_BK - y_BK.mean(dim=dim, keepdim=True)
    lengths: Tensor = vector_norm(x_BK, dim=dim) * vector_norm(y_BK, dim=dim)
    return (x_BK * y_BK).sum(dim=dim) / (lengths + 1e-8)
