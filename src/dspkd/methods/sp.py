"""Similarity preserving: match the similarities between the images of a batch."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dspkd.methods._base import Term, exact, precise
from dspkd.types import Batch, NetworkSpec, Output


class SP(Term):
    r"""Match the pairwise similarities of the batch's images.

    .. math:: L = \frac{1}{B^2} \big\| G(S) - G(T) \big\|_F^2, \qquad
              G(F)_{b,:} = \frac{(F F^\top)_{b,:}}{\|(F F^\top)_{b,:}\|_2}

    with each image's map flattened to a row of F.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    tap
        The map of both networks; channels and grids may differ.

    Raises
    ------
    RecipeError
        If a network does not offer the tap.

    Notes
    -----
    Maps ``[B, C, H, W]``, any float type, computed in float32; dimensionless. Uses the batch as a whole: it depends on
    the batch size, and is 0 for a batch of one. The usual weight is 3000.

    Source: Tung, Mori, *Similarity-Preserving Knowledge Distillation*, ICCV 2019.
    """

    def __init__(self, student: NetworkSpec, teacher: NetworkSpec, *, tap: str = "last") -> None:
        super().__init__(student, teacher, tap=tap)
        self.channels("student", student, tap, f"tap = {tap!r}")
        self.channels("teacher", teacher, tap, f"tap = {tap!r}")
        self.tap = tap

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the loss; see the class."""
        return F.mse_loss(_similarity(student.maps[self.tap]), _similarity(teacher.maps[self.tap].detach()))


def _similarity(x_BCHW: Tensor) -> Tensor:
    rows_BF = precise(x_BCHW).flatten(start_dim=1)
    with exact(rows_BF):
        return F.normalize(rows_BF @ rows_BF.T, dim=1)
