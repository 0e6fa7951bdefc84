"""The divergence that the methods on logits share."""

from torch import Tensor
from torch.nn import functional as F

STANDARDISED_PAIR = "two standardised logits are always +-0.71; use kd"
"""Why logits divided by their own standard deviation hold nothing but the order where there are two classes."""


def kl_per_image(teacher_BK: Tensor, student_BK: Tensor) -> Tensor:
    """Return KL(softmax(teacher) || softmax(student)) of each image, ``[B]``, in nats.

    Finite for any finite logits: both sides stay logarithms, and a probability that underflows adds 0.
    """
    log_p_BK = F.log_softmax(student_BK, dim=1)
    log_q_BK = F.log_softmax(teacher_BK, dim=1)
    return F.kl_div(log_p_BK, log_q_BK, reduction="none", log_target=True).sum(dim=1)
