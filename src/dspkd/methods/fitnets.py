"""FitNets' hint: a map of the student, mapped to the teacher's channels, shall be the teacher's."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from dspkd.methods._align import align, stretched
from dspkd.methods._term import Term, precise
from dspkd.types import Batch, Output, Spec


class FitNets(Term):
    r"""Bring a map of the student to one of the teacher by a linear map of channels.

    .. math:: L = \frac{1}{B C H W} \sum_b \big\| A(S_b) - T_b \big\|_2^2

    with :math:`A` a 1x1 convolution to the teacher's channels, absent where they are equal.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    tap
        The map of both networks.

    Raises
    ------
    RecipeError
        If a network does not offer the tap.

    Notes
    -----
    Maps ``[B, C, H, W]``; mean over everything. The usual weight is 100 beside 1 for the labels. The convolution
    follows autocast; the difference is float32.

    Deviation: FitNets first trains the student up to the map by the hint alone, then the whole by soft labels. Here
    the hint is one term among others; a recipe of two stages, the first with ``keep = "last"``, gives the authors'
    order. Regressors vary among programs (3x3, with batch normalisation and ReLU); this is the plainest.

    Source: Romero et al., *FitNets: Hints for Thin Deep Nets*, ICLR 2015.
    """

    inferred: ClassVar[str] = (
        "A 1x1 convolution as regressor, at the last map, and the resizing of maps whose grids differ."
    )

    def __init__(self, student: Spec, teacher: Spec, *, tap: str = "last") -> None:
        super().__init__(student, teacher, tap=tap)
        asked = f"tap = {tap!r}"
        channels = self.channels("teacher", teacher, tap, asked)
        self.tap = tap
        self.align = align(self.channels("student", student, tap, asked), channels)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        true_BCHW = precise(teacher.maps[self.tap].detach())
        aligned_BCHW = self.align(precise(student.maps[self.tap]))
        return F.mse_loss(precise(stretched(aligned_BCHW, true_BCHW)), true_BCHW)
