"""BKD: distillation whose teacher gives more probability to rare classes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dspkd.methods._base import Term, precise
from dspkd.methods._divergence import kl_per_image
from dspkd.methods._options import Positive, Share
from dspkd.methods._priors import images_of, weights_of
from dspkd.types import Batch, NetworkSpec, Output


class BKD(Term):
    r"""Match the teacher's softened probabilities after a weight for each class, more for rare ones.

    .. math:: L = \frac{T^2}{B} \sum_b \mathrm{KL}\big(q_b \,\|\, \sigma(s_b / T)\big), \qquad
              q_{bc} \propto w_c\, \sigma(t_b / T)_c, \qquad w_c = \frac{1 - \beta}{1 - \beta^{N_c}}

    with :math:`N_c` the student's training images of class c, and q normalised for each image.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    temperature
        :math:`T > 0`; the authors' 2.
    effective_beta
        :math:`\beta` in [0, 1). 0 gives `kd`; towards 1 the weights become those of :math:`1 / N_c`. The authors use
        0.9999. The default is inferred, because the weights follow the temperature: q is `kd` of a teacher with logits
        :math:`t + T \log w`, and with the class sizes of ISIC 2019 :math:`T \log w` then spans 6.9 nats, more than the
        4.0 of the prior itself; with 0.999 it spans 3.1.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes, or the training images per class are unknown or 0.

    Notes
    -----
    Logits ``[B, K]``, any float type, computed in float32; nats times :math:`T^2`; mean over the batch. With
    :math:`w_c = 1 / \pi_c` it is `kd` with ``prior`` = T.

    The authors add unweighted cross-entropy (here: the term `labels`) with equal weight. Their script for CIFAR-10
    starts the weights late (at epoch 160 of 200), that for CIFAR-100 at once, as here.

    Source: Zhang et al., *Balanced Knowledge Distillation for Long-tailed Learning*, Neurocomputing 2023,
    arXiv 2104.10510.
    """

    by_image: ClassVar[bool] = True
    inferred: ClassVar[str] = "effective_beta = 0.999, where the authors use 0.9999, and no late start of the weights."

    log_weight: Tensor

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        temperature: Positive = 2.0,
        effective_beta: Share = 0.999,
    ) -> None:
        super().__init__(student, teacher, temperature=temperature, effective_beta=effective_beta)
        self.require_same_classes(student, teacher)
        self.temperature = temperature
        self.corrects_prior = effective_beta > 0
        images_K = images_of(student, f"{self.name}.effective_beta = {effective_beta}")
        weight_K = weights_of("effective", images_K, effective_beta)
        self.register_buffer("log_weight", weight_K.log().log_softmax(0).float(), persistent=False)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        s_BK, t_BK = precise(student.logits), precise(teacher.logits.detach())
        q_BK = t_BK / self.temperature + self.log_weight.to(t_BK.dtype)
        return self.temperature**2 * kl_per_image(q_BK, s_BK / self.temperature).mean()
