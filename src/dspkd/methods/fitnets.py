"""FitNets' hint: match a map of the teacher by a map of the student and a small regressor."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from dspkd.methods._align import BatchNorm, align, coarsened, stretched
from dspkd.methods._base import Term, precise
from dspkd.types import Batch, NetworkSpec, Output

_STRIDES = {"stride4": 4, "stride8": 8, "stride16": 16, "stride32": 32, "last": 32}


class FitNets(Term):
    r"""Regress a map of the teacher from a map of the student.

    .. math:: L = \frac{1}{B C H W} \sum_b \big\| A(S_b) - T_b \big\|_2^2 \qquad \text{or} \qquad
              L = \frac1B \sum_b \bigg\| \frac{A(S_b)}{\|A(S_b)\|_2} - \frac{T_b}{\|T_b\|_2} \bigg\|_2^2

    with :math:`A` the regressor, to the teacher's channels.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    tap
        The student's map, the guided layer.
    teacher_tap
        The teacher's map, the hint; empty for the one of the same name.
    regressor
        ``"linear"``: a 1x1 convolution, absent where the channels are equal. ``"relu"``: a 1x1 convolution and ReLU.
        ``"norm_relu"``: a convolution, batch normalisation and ReLU; 3x3 with stride 2 where the student's map has
        half the teacher's stride, transposed 4x4 with stride 2 where it has twice, else 1x1.
    compare
        ``"mean"``, the first formula, or ``"unit"``, the second: each image's maps as vectors scaled to length 1.

    Raises
    ------
    RecipeError
        If a network does not offer its tap.

    Notes
    -----
    Maps ``[B, C, H, W]``; ``"mean"`` is the mean over everything, ``"unit"`` sums within an image, in [0, 4], and
    takes the mean over the batch. Convolutions follow autocast; the difference is float32.

    Published forms, each with 1 for the labels: ``"norm_relu"`` and a weight of 100 (mdistiller); ``"norm_relu"`` with
    ``"unit"``, two terms with taps of stride 16 and 32, and 10 each (mmrazor); ``"relu"`` at stride 4 in a stage of
    its own (torchdistill, which sums, so its weight differs). A ReLU at the end cannot produce the negative values in
    the maps of ConvNeXt or of networks with SiLU.

    Deviation: FitNets first trains the student up to the map by the hint only, then the whole by soft labels. Here
    the hint is one term among others; a recipe of two stages, the first with ``keep = "last"``, follows the authors'
    order.

    Inferred: where the grids still differ, as with taps further apart or a vision transformer, a teacher's map on a
    multiple of the student's grid is averaged to it; else the mapped student is interpolated bilinearly. A tap's
    stride is that of its name; ``last`` counts as 32.

    Source: Romero et al., *FitNets: Hints for Thin Deep Nets*, ICLR 2015.
    """

    by_image: ClassVar[bool] = True
    inferred: ClassVar[str] = (
        "Which regressor and taps are the default, and the resizing of maps whose grids differ after the regressor."
    )

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        tap: str = "last",
        teacher_tap: str = "",
        regressor: Literal["linear", "relu", "norm_relu"] = "linear",
        compare: Literal["mean", "unit"] = "mean",
    ) -> None:
        super().__init__(student, teacher, tap=tap, teacher_tap=teacher_tap, regressor=regressor, compare=compare)
        self.tap, self.teacher_tap = tap, teacher_tap or tap
        self.compare = compare
        setting = f"teacher_tap = {teacher_tap!r}" if teacher_tap else f"tap = {tap!r}"
        outputs = self.channels("teacher", teacher, self.teacher_tap, setting)
        inputs = self.channels("student", student, tap, f"tap = {tap!r}")
        if regressor == "linear":
            self.align = align(inputs, outputs)
        elif regressor == "relu":
            self.align = nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size=1), nn.ReLU())
        else:
            resize = _resizing(inputs, outputs, _STRIDES[self.teacher_tap] / _STRIDES[tap])
            self.align = nn.Sequential(resize, BatchNorm(outputs), nn.ReLU())

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        mapped_BCHW = self.align(precise(student.maps[self.tap]))
        true_BCHW = precise(coarsened(teacher.maps[self.teacher_tap].detach(), mapped_BCHW))
        mapped_BCHW = precise(stretched(mapped_BCHW, true_BCHW))
        if self.compare == "mean":
            return F.mse_loss(mapped_BCHW, true_BCHW)
        mapped_BF, true_BF = (F.normalize(x_BCHW.flatten(start_dim=1), dim=1) for x_BCHW in (mapped_BCHW, true_BCHW))
        return (mapped_BF - true_BF).square().sum(dim=1).mean()


def _resizing(inputs: int, outputs: int, coarser: float) -> nn.Module:
    """Return a convolution to a grid of `coarser` times the stride, if that is 2 or 0.5; else a 1x1 convolution."""
    if coarser == 2:
        return nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1, bias=False)
    if coarser == 0.5:
        return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)
    return nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
