"""Attention transfer: match the teacher's spatial attention maps."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from dspkd.methods._align import LEVELS, averaged
from dspkd.methods._base import Term, precise
from dspkd.types import Batch, NetworkSpec, Output


class AT(Term):
    r"""Match where in the image the activations are strong, level by level.

    .. math:: L = \sum_l \frac{1}{B H_l W_l} \sum_b \big\| a(S_{l,b}) - a(T_{l,b}) \big\|_2^2, \qquad
              a(F) = \frac{\bar F}{\|\bar F\|_2}, \quad \bar F_{hw} = \frac1C \sum_c F_{chw}^2

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    levels
        The maps to compare: ``"last"``, ``"last3"`` (strides 8, 16 and 32), or ``"all"`` (also stride 4).

    Raises
    ------
    RecipeError
        If a network does not offer a level.

    Notes
    -----
    Maps ``[B, C, H, W]``, any numbers of channels, any float type, computed in float32. Mean over the batch and over
    positions, sum over levels; values are small, and the usual weight is 1000. Where the grids differ the finer
    map is pooled to the coarser grid. A map that is zero everywhere has zero attention.

    Source: Zagoruyko, Komodakis, *Paying More Attention to Attention*, ICLR 2017; weight and mean as in the
    code of *Contrastive Representation Distillation* (Tian et al., ICLR 2020) and its successors.
    """

    by_image: ClassVar[bool] = True

    def __init__(
        self, student: NetworkSpec, teacher: NetworkSpec, *, levels: Literal["last", "last3", "all"] = "last3"
    ) -> None:
        super().__init__(student, teacher, levels=levels)
        self.taps = LEVELS[levels]
        for tap in self.taps:
            self.channels("student", student, tap, f"levels = {levels!r}")
            self.channels("teacher", teacher, tap, f"levels = {levels!r}")

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        pairs = [(precise(student.maps[tap]), precise(teacher.maps[tap].detach())) for tap in self.taps]
        losses = [F.mse_loss(_attention(s_BCHW, t_BCHW), _attention(t_BCHW, s_BCHW)) for s_BCHW, t_BCHW in pairs]
        return sum(losses[1:], start=losses[0])


def _attention(x_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
    """Return ``[B, H W]`` of unit length, on the coarser grid of the two maps."""
    if x_BCHW.shape[2] > other_BCHW.shape[2]:
        x_BCHW = averaged(x_BCHW, other_BCHW)
    return F.normalize(x_BCHW.square().mean(dim=1).flatten(start_dim=1), dim=1)
