"""CRKD: match the relations between channels of the teacher's map. The channel relation of SSD-KD."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from dspkd.methods._align import coarsened, projection, stretched
from dspkd.methods._base import Term, exact, precise
from dspkd.types import Batch, NetworkSpec, Output


class CRKD(Term):
    r"""Match which channels of a map are active together, image by image.

    .. math:: L = \sqrt{\frac{1}{B C^2} \sum_b \big\| G(A(S_b)) - G(T_b) \big\|_F^2}, \qquad
              G(F) = \frac{F F^\top}{C H W}

    with each map flattened to C rows of H·W, and :math:`A` a 1x1 convolution to the teacher's channels, batch
    normalisation and ReLU.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    tap
        The map of both networks; ``"last"`` is the authors'.

    Raises
    ------
    RecipeError
        If a network does not offer the tap.

    Notes
    -----
    Maps ``[B, C, H, W]``, any float type; the convolution follows autocast, the relations are float32. The root is
    taken of the mean over the whole batch, so the loss has the size of G, which is small: the authors' weight is
    1000. The loss does not depend on where in the image a pattern lies, if it moves equally in all channels. A is never
    negative, so a teacher with negative values in its map (ConvNeXt) is matched in part only.

    No C x C matrix is computed where there are fewer positions than channels. With X the mapped student,
    :math:`D = X - T` and :math:`E = X + T`, there holds :math:`2\,\|X X^\top - T T^\top\|_F^2 =
    \langle D^\top D, E^\top E\rangle + \langle D^\top E, E^\top D\rangle`, and these are H·W x H·W: 49 x 49 and not
    2048 x 2048, forwards and backwards. Either way the matrices take no more memory than the maps. D is small where
    the maps are similar, so there is no cancellation, unlike between the three squares of the usual expansion. Where
    the relations agree and the maps do not, the rounding error is up to 3e-4 of the size of G.

    The root has no gradient at 0. Its argument is clamped from below to the smallest normal number, so that for equal
    relations the loss is below 1e-19 and its gradient zero.

    Inferred: a teacher's map whose grid is a multiple of the student's is averaged to it; on any other grid the
    student's map is interpolated bilinearly after A.

    Source: Wang et al., *SSD-KD: A Self-Supervised Diverse Knowledge Distillation Method for Lightweight Skin Lesion
    Classification Using Dermoscopic Images*, Medical Image Analysis 2023.
    """

    inferred: ClassVar[str] = "A `tap` other than the last, and the resizing of maps whose grids differ."

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec, *, tap: str = "last") -> None:
        super().__init__(student, teacher, tap=tap)
        setting = f"tap = {tap!r}"
        channels = self.channels("teacher", teacher, tap, setting)
        self.tap = tap
        projected = projection(self.channels("student", student, tap, setting), channels)
        self.regress = nn.Sequential(projected, nn.ReLU())

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        mapped_BCHW = self.regress(precise(student.maps[self.tap]))
        true_BCHW = precise(coarsened(teacher.maps[self.tap].detach(), mapped_BCHW))
        mapped_BCHW = precise(stretched(mapped_BCHW, true_BCHW))
        B, C, H, W = true_BCHW.shape
        squares = _distance(mapped_BCHW.flatten(start_dim=2), true_BCHW.flatten(start_dim=2))
        return squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt() / (C * H * W * C * math.sqrt(B))


def _distance(s_BCP: Tensor, t_BCP: Tensor) -> Tensor:
    """Return the squared Frobenius norm of s s^T - t t^T, summed over the batch, P being positions."""
    _, C, P = s_BCP.shape
    difference_BCP, sum_BCP = s_BCP - t_BCP, s_BCP + t_BCP
    with exact(s_BCP):
        if C <= P:
            cross_BCC = difference_BCP @ sum_BCP.mT
            return (cross_BCC + cross_BCC.mT).square().sum() / 4
        cross_BPP = difference_BCP.mT @ sum_BCP
        within_BPP = (difference_BCP.mT @ difference_BCP) * (sum_BCP.mT @ sum_BCP)
        return (within_BPP + cross_BPP * cross_BPP.mT).sum() / 2
