"""Bare logits: regress the teacher's logits."""

from torch import Tensor
from torch.nn import functional as F

from dspkd.methods import Term
from dspkd.types import Batch, NetworkSpec, Output


class BareLogits(Term):
    """Match the teacher's logits without softmax.

    Mean squared error over classes and images, float32.

    Source: Ba, Caruana, *Do Deep Nets Really Need to be Deep?*, NeurIPS 2014.
    """

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec) -> None:
        super().__init__(student, teacher)
        self.require_same_classes(student, teacher)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        return F.mse_loss(student.logits.float(), teacher.logits.detach().float())
