"""EML-style mutual learning, reconstructed: student and teacher learn three kinds of knowledge from each other."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from dspkd.methods._base import Term, exact, precise
from dspkd.methods._divergence import kl_per_image
from dspkd.methods._options import NotNegative, Positive, Width
from dspkd.types import Batch, NetworkSpec, Output


class EML(Term):
    r"""Match logits, small embeddings and similarities between images of student and teacher, in both directions.

    .. math:: L = H(y, \sigma(t)) + \lambda_1 T^2 \big[\mathrm{KL}(\bar p^t \| p^s) + \mathrm{KL}(\bar p^s \| p^t)\big]
              + \frac{\lambda_2}{B} \sum_b \| e^s_b - e^t_b \|_2^2
              + \frac{\lambda_3}{B^2} \big\| G(e^s) - G(e^t) \big\|_F^2

    with :math:`p = \sigma(z / T)`, a bar where no gradient flows, :math:`e` = a linear map (one per network) of
    the pooled vector, scaled to unit length, and :math:`G(e) = e e^\top` with rows of unit length. H is the
    cross-entropy of the *teacher* with the labels; the student's is the term `labels`.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    logits, embedding, relation
        :math:`\lambda_1, \lambda_2, \lambda_3 \ge 0`.
    temperature
        :math:`T > 0`.
    width
        Length of an embedding.

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes.

    Notes
    -----
    Logits ``[B, K]``, labels ``[B]``, pooled vectors ``[B, D]``, any float type, computed in float32; nats (times
    :math:`T^2`) and squared lengths; mean over the batch. The differences of embeddings and of relations occur once,
    though both networks learn from them: the gradient to each network is that of a difference of its own with the
    other side held fixed.

    The teacher is trained where the stage sets ``teacher_lr``: a copy of the trained teacher, discarded at the end.
    Where it is frozen, its own parts, the first two with :math:`p^s` barred, are constants without a gradient, and
    only its linear map is trained. A weight that rises (``ramp``, of shape ``"sigmoid"``) is part of the recipe.
    Deviation from the methods of this family: they raise the weight of what the networks learn from each other only;
    the ramp of a recipe raises the whole term, and with it the teacher's own cross-entropy.

    Nothing in the formula prevents the embeddings from collapsing to one vector; the labels, which shape the pooled
    vectors, counteract it.

    Inferred: all of it. No text or code of the method was available but its title, *embedded mutual learning*, and
    that it is online and combines several kinds of knowledge. The three terms are the usual ones of that family
    (Zhang et al., *Deep Mutual Learning*, CVPR 2018; Tung, Mori, ICCV 2019); results with them are not the authors'.

    Source: after Li et al., *Embedded mutual learning: a novel online distillation method integrating diverse knowledge
    sources*, Applied Intelligence 2023.
    """

    trains_teacher: ClassVar[bool] = True
    needs_one_label: ClassVar[bool] = True
    inferred: ClassVar[str] = (
        "Everything: an EML-style reconstruction, since only the method's title and idea are public."
    )

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        logits: NotNegative = 1.0,
        embedding: NotNegative = 1.0,
        relation: NotNegative = 10.0,
        temperature: Positive = 3.0,
        width: Width = 128,
    ) -> None:
        super().__init__(
            student,
            teacher,
            logits=logits,
            embedding=embedding,
            relation=relation,
            temperature=temperature,
            width=width,
        )
        self.require_same_classes(student, teacher)
        self.logits, self.embedding, self.relation = logits, embedding, relation
        self.temperature = temperature
        self.embed_student = nn.Linear(student.pooled, width, bias=False)
        self.embed_teacher = nn.Linear(teacher.pooled, width, bias=False)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Return the loss; see the class."""
        s_BK, t_BK = precise(student.logits), precise(teacher.logits)
        s_soft_BK, t_soft_BK = s_BK / self.temperature, t_BK / self.temperature
        both_B = kl_per_image(t_soft_BK.detach(), s_soft_BK) + kl_per_image(s_soft_BK.detach(), t_soft_BK)
        with exact(s_BK):
            s_BE = F.normalize(self.embed_student(precise(student.pooled)), dim=1)
            t_BE = F.normalize(self.embed_teacher(precise(teacher.pooled)), dim=1)
            relation = F.mse_loss(F.normalize(s_BE @ s_BE.T, dim=1), F.normalize(t_BE @ t_BE.T, dim=1))
        embedding = (s_BE - t_BE).square().sum(dim=1).mean()
        agreement = self.logits * self.temperature**2 * both_B.mean() + self.embedding * embedding
        return F.cross_entropy(t_BK, batch.labels) + agreement + self.relation * relation
