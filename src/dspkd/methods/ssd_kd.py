"""SSD-KD's parts that need rotated images: their soft labels, similarities and relations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dspkd.methods._base import Term, exact, precise
from dspkd.methods._divergence import kl_per_image
from dspkd.methods._options import NotNegative, Positive
from dspkd.methods._ranking import mean_of, trusted
from dspkd.methods.crkd import CRKD
from dspkd.methods.rkd import RKD
from dspkd.types import Batch, NetworkSpec, Output


class SSDKD(Term):
    r"""Match a teacher on rotated images: their classes, similarities to upright images, and relations.

    .. math:: L = \lambda_{tf} \frac{T^2}{3B} \sum_i
              \mathrm{KL}\big(\sigma(\tilde t_i / T) \| \sigma(\tilde s_i / T)\big)
              + \lambda_{ss} \frac{\theta^2}{|\mathcal K|} \sum_{i \in \mathcal K}
              \mathrm{KL}\big(\sigma(a^t_i / \theta) \| \sigma(a^s_i / \theta)\big)
              + \lambda_r L_{\mathrm{RKD}} + \lambda_c L_{\mathrm{CRKD}}

    A tilde marks the 3B images rotated by 90, 180 and 270 degrees; :math:`a_{ij} = \cos(h(\tilde f_i), h(f_j))`
    compares rotated image i with upright image j, with f the pooled vectors and each network's head :math:`h` = linear,
    ReLU, linear. :math:`\mathcal K` holds the rotated images that the teacher finds most similar to their own upright
    image, and of the others the best-ranked share `wrong_kept`. `rkd` and `crkd` use all 4B images.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    trains
        ``"student"``: the formula above, with a fixed teacher's head. ``"teacher_head"``: instead, the cross-entropy of
        the rows :math:`a^t_i` with the own upright image as label, which trains only the teacher's head.
    transfer, self_supervision, relation, channels
        :math:`\lambda_{tf}, \lambda_{ss}, \lambda_r, \lambda_c \ge 0`; the authors' values.
    temperature
        :math:`T > 0`, of the classes.
    similarity_temperature
        :math:`\theta > 0`, of the similarities.
    wrong_kept
        In [0, 1].

    Raises
    ------
    RecipeError
        If the networks have different numbers of classes, or one has no map ``last``.

    Notes
    -----
    Logits ``[4B, K]``, pooled vectors ``[4B, D]``, maps ``[4B, C, H, W]``, any float type; the convolution of `crkd`
    follows autocast, all else is float32. The angles of `rkd` take memory for 4B·4B·(4B + D) numbers.

    The complete SSD-KD is a recipe of two stages: the first has only this term, with ``trains = "teacher_head"`` and
    ``keep = "last"``; the second starts from the initial student, has `labels` (0.1, inverse class weights), `kd` (0.9,
    T = 4) and this term with ``carry = true``, so that it starts from the trained head. Without that the
    teacher's head is random: recipes and `dspkd.distill` refuse it unless `self_supervision` is 0. All networks process
    upright and rotated images in one forward pass, as in the authors' code, so batch normalisation sees both.

    Deviation: the authors rotate the original image and draw another random transform for each of the four views; here
    the one augmented view is rotated, so that its rotations differ in nothing else.

    The authors also select among the rotated images by how the teacher ranks their label, and then keep all of them;
    that selection is left out.

    Source: Wang et al., *SSD-KD: A Self-Supervised Diverse Knowledge Distillation Method for Lightweight Skin Lesion
    Classification Using Dermoscopic Images*, Medical Image Analysis 2023; the rotated images: Xu et al., *Knowledge
    Distillation Meets Self-Supervision*, ECCV 2020.
    """

    wants_rotated: ClassVar[bool] = True
    inferred: ClassVar[str] = (
        "The order among images that the teacher ranks equally; head training without early stopping."
    )

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        trains: Literal["student", "teacher_head"] = "student",
        transfer: NotNegative = 2.7,
        self_supervision: NotNegative = 10.0,
        relation: NotNegative = 1.0,
        channels: NotNegative = 1000.0,
        temperature: Positive = 4.0,
        similarity_temperature: Positive = 0.5,
        wrong_kept: Annotated[float, Field(ge=0, le=1)] = 0.75,
    ) -> None:
        super().__init__(
            student,
            teacher,
            trains=trains,
            transfer=transfer,
            self_supervision=self_supervision,
            relation=relation,
            channels=channels,
            temperature=temperature,
            similarity_temperature=similarity_temperature,
            wrong_kept=wrong_kept,
        )
        self.require_same_classes(student, teacher)
        self.trains = trains
        self.transfer, self.self_supervision = transfer, self_supervision
        self.relation, self.channels_weight = relation, channels
        self.temperature, self.similarity_temperature = temperature, similarity_temperature
        self.wrong_kept = wrong_kept
        self.rkd, self.crkd = RKD(student, teacher), CRKD(student, teacher)
        self.student_head, self.teacher_head = _head(student.pooled), _head(teacher.pooled)
        for layers in (self.student_head, self.crkd):
            layers.requires_grad_(trains == "student")
        self.teacher_head.requires_grad_(trains == "teacher_head")

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Return the loss; see the class."""
        teacher = teacher.detach()
        assert student.rotated, "a distiller provides it, since wants_rotated is true"
        assert teacher.rotated, "a distiller provides it, since wants_rotated is true"
        true_NB = _similarity(self.teacher_head, teacher.rotated, teacher)
        own_N = torch.arange(len(batch), device=true_NB.device).repeat(3)
        if self.trains == "teacher_head":
            return F.cross_entropy(true_NB, own_N)
        student_NB = _similarity(self.student_head, student.rotated, student)
        by_class = _softened(teacher.rotated.logits, student.rotated.logits, self.temperature).mean()
        similarity_N = _softened(true_NB, student_NB, self.similarity_temperature)
        similarity = mean_of(similarity_N, trusted(true_NB, own_N, self.wrong_kept))
        all_images = _joined(student, student.rotated), _joined(teacher, teacher.rotated)
        by_image, by_channel = self.rkd(*all_images, batch), self.crkd(*all_images, batch)
        relations: Tensor = self.relation * by_image + self.channels_weight * by_channel
        return self.transfer * by_class + self.self_supervision * similarity + relations


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


def _similarity(head: nn.Module, rotated: Output, upright: Output) -> Tensor:
    """Return the cosine of each rotated image with each upright one, ``[3B, B]``."""
    with exact(upright.pooled):
        rotated_ND: Tensor = F.normalize(head(precise(rotated.pooled)), dim=1)
        upright_BD: Tensor = F.normalize(head(precise(upright.pooled)), dim=1)
        return rotated_ND @ upright_BD.T


def _softened(teacher_NK: Tensor, student_NK: Tensor, temperature: float) -> Tensor:
    return temperature**2 * kl_per_image(precise(teacher_NK) / temperature, precise(student_NK) / temperature)


def _joined(upright: Output, rotated: Output) -> Output:
    """Return the output for all 4B images, with the one map that is needed."""
    last = torch.cat([upright.maps["last"], rotated.maps["last"]])
    logits, pooled = torch.cat([upright.logits, rotated.logits]), torch.cat([upright.pooled, rotated.pooled])
    return Output(logits, pooled, {"last": last})
