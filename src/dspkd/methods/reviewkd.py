"""ReviewKD: match the teacher's map of each level by the student's map fused with all deeper levels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dspkd.errors import RecipeError
from dspkd.methods._align import projection
from dspkd.methods._base import Term, precise
from dspkd.methods._fusion import attended
from dspkd.methods._options import Width
from dspkd.types import TAPS, Batch, NetworkSpec, Output


class ReviewKD(Term):
    r"""Fuse the student's maps from deep to shallow and match the teacher's at each level, coarsely and finely.

    .. math:: F_L = U_L, \qquad F_l = z_{l,0} \odot U_l + z_{l,1} \odot \mathrm{resize}(F_{l+1}), \qquad
              L = \sum_l \mathrm{HCL}\big(P_l(F_l) - T_l\big)

    .. math:: \mathrm{HCL}(D) = \frac{\sum_g 2^{-g}\, \mathrm{mean}\big(\mathrm{pool}_g(D)^2\big)}{\sum_g 2^{-g}}

    with :math:`U_l` = conv1x1, BN of the student's level, :math:`z_l` = sigmoid(conv1x1) of both maps stacked, and
    :math:`P_l` = conv3x3, BN to the teacher's channels; :math:`\mathrm{pool}_0` is the identity, the next
    ones average to 4x4, 2x2 and 1x1 cells, without those that are not coarser than the map.

    Parameters
    ----------
    student, teacher
        Shapes of the networks. The levels are the maps of stride 8, 16, 32 and ``last`` that both offer.
    width
        Channels of each :math:`U_l`, at most; fewer if the student's deepest level has fewer.

    Raises
    ------
    RecipeError
        If the networks have no such map in common.

    Notes
    -----
    Maps ``[B, C, H, W]``. Mean over everything within a level, sum over levels. Maps are resized to the next level's
    grid, and to the teacher's, by nearest-neighbour interpolation. Convolutions follow autocast; the differences and
    their means are float32. On CUDA two runs can differ in the last digits: torch has no deterministic backward pass of
    adaptive average pooling there, and raises an error under ``torch.use_deterministic_algorithms(True)``.

    The authors raise the weight from 0 over the first 20 epochs; a recipe does so by ``ramp = { epochs = 20 }``.

    Deviations: the authors' deepest level is the pooled vector, and in some set-ups their shallowest is of stride 4.
    They initialise the convolutions of :math:`U_l` and :math:`P_l` by Kaiming's uniform rule with a = 1; here with
    torch's default, a third of that variance. Batch normalisation makes the outputs equal, not the first steps.

    Source: Chen et al., *Distilling Knowledge via Knowledge Review*, CVPR 2021.
    """

    by_image: ClassVar[bool] = True
    inferred: ClassVar[str] = "The choice of levels; the authors add the pooled vector, and sometimes stride 4."

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec, *, width: Width = 512) -> None:
        super().__init__(student, teacher, width=width)
        taps = [tap for tap in TAPS[1:] if tap in student.channels and tap in teacher.channels]
        if not taps:
            offers = [", ".join(spec.channels) or "no maps" for spec in (student, teacher)]
            raise RecipeError(
                f"{self.name}: the student offers {offers[0]} and the teacher {offers[1]}; "
                f"they need one of {', '.join(TAPS[1:])} in common"
            )
        width = min(width, student.channels[taps[-1]])
        self.laterals = nn.ModuleDict({tap: projection(student.channels[tap], width) for tap in taps})
        self.attend = nn.ModuleDict({tap: nn.Conv2d(2 * width, 2, kernel_size=1) for tap in taps[:-1]})
        self.project = nn.ModuleDict({tap: projection(width, teacher.channels[tap], kernel_size=3) for tap in taps})

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        levels = {tap: lateral(precise(student.maps[tap])) for tap, lateral in self.laterals.items()}
        *shallower, deepest = levels
        fused = {deepest: levels[deepest]}
        deeper_BDHW = levels[deepest]
        for tap in reversed(shallower):
            deeper_BDHW = attended(self.attend[tap], levels[tap], _on_grid_of(levels[tap], deeper_BDHW))
            fused[tap] = deeper_BDHW
        losses = [self._compared(tap, fused[tap], teacher.maps[tap].detach()) for tap in levels]
        return torch.stack(losses).sum()

    def _compared(self, tap: str, fused_BDHW: Tensor, true_BCHW: Tensor) -> Tensor:
        projected_BCHW = self.project[tap](_on_grid_of(true_BCHW, fused_BDHW))
        return _hierarchical(precise(projected_BCHW) - precise(true_BCHW))


def _on_grid_of(like: Tensor, x_BCHW: Tensor) -> Tensor:
    if x_BCHW.shape[2:] == like.shape[2:]:
        return x_BCHW
    return F.interpolate(x_BCHW, size=like.shape[2:], mode="nearest")


def _hierarchical(difference_BCHW: Tensor) -> Tensor:
    """Return the mean square of the differences, averaged over grids, each coarser one counting half as much."""
    side = min(difference_BCHW.shape[2:])
    grids = [difference_BCHW]
    grids += [F.adaptive_avg_pool2d(difference_BCHW, cells) for cells in (4, 2, 1) if cells < side]
    weights = [0.5**g for g in range(len(grids))]
    squares = [weight * grid.square().mean() for weight, grid in zip(weights, grids, strict=True)]
    return torch.stack(squares).sum() / sum(weights)
