"""MGD: generate the teacher's map from a partly masked map of the student."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dspkd.methods._align import align, coarsened, stretched
from dspkd.methods._base import Term, precise
from dspkd.methods._masking import GeneratorKind, MaskKind, build_generator, draw_mask, squared_error
from dspkd.methods._options import Share, WidthOrZero
from dspkd.types import Batch, NetworkSpec, Output


class MGD(Term):
    r"""Generate the teacher's map from the student's map after masking.

    .. math:: L = \frac1B \sum_b \big\| G(A(S_b) \odot M_b) - T_b \big\|_2^2

    with :math:`A` a 1x1 convolution to the teacher's channels (absent where they are equal), :math:`M` a new random
    mask and :math:`G` = conv3x3, ReLU, conv3x3.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    target
        The map of both networks; ``"last"`` is the one that the classifier pools. At small image sizes that has too few
        positions to mask and rebuild: 2 x 2 of stride 32 at 64 pixels, where ``"stride16"`` has 4 x 4. A target other
        than the last is ours (inferred); the authors' for classification is the last.
    mask_ratio
        Probability in [0, 1) that a channel or position is dropped. 0.15 is the authors' for classification, 0.65
        (with ``"spatial"``) for detection; 0 is the control without a mask.
    mask
        ``"channel"`` drops whole channels, as the authors do for classification; ``"spatial"`` drops positions.
    hidden
        Width of G between its convolutions; 0 is the teacher's channels, as in the authors' code. G then has
        :math:`18 C^2` weights, 75 million for C = 2048. A narrower one is ours, not the authors'.
    generator
        ``"conv"`` is the authors' G. ``"separable"`` makes each of its convolutions a depthwise 3x3 followed by a 1x1,
        for a ninth of the arithmetic at the same width and the same 5x5 positions seen: ours, not the authors'.

    Raises
    ------
    RecipeError
        If a network does not offer the map.

    Notes
    -----
    Maps ``[B, C, H, W]``. The error is summed over C, H and W and averaged over the batch, so the authors' weight
    of 7e-5 is small; a weight for the *mean* over all four is that times C·H·W. They recommend a weight for which
    the term is about as large as the cross-entropy.

    Dropped parts are zero and the others are not scaled up. New masks are drawn at each call, both in training and in
    evaluation mode, from torch's global generator on the map's device. The convolutions follow autocast; the
    differences and their sum are float32.

    Inferred: a teacher's map whose grid is a multiple of the student's is averaged to it, so that the weight means the
    same; on any other grid the student's map is interpolated bilinearly after A; the authors refuse both.

    Source: Yang et al., *Masked Generative Distillation*, ECCV 2022.
    """

    by_image: ClassVar[bool] = True
    inferred: ClassVar[str] = (
        "A `hidden` width other than 0, the separable generator, targets other than the last map, and the resizing of "
        "maps whose grids differ."
    )

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        target: str = "last",
        mask_ratio: Share = 0.15,
        mask: MaskKind = "channel",
        hidden: WidthOrZero = 0,
        generator: GeneratorKind = "conv",
    ) -> None:
        super().__init__(
            student, teacher, target=target, mask_ratio=mask_ratio, mask=mask, hidden=hidden, generator=generator
        )
        setting = f"target = {target!r}"
        channels = self.channels("teacher", teacher, target, setting)
        self.target = target
        self.mask_ratio = mask_ratio
        self.mask = mask
        self.align = align(self.channels("student", student, target, setting), channels)
        self.generation = build_generator(channels, hidden, generator)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Return the loss; see the class."""
        aligned_BCHW = self.align(precise(student.maps[self.target]))
        true_BCHW = coarsened(teacher.maps[self.target].detach(), aligned_BCHW)
        aligned_BCHW = stretched(aligned_BCHW, true_BCHW)
        mask = draw_mask(aligned_BCHW, self.mask, self.mask_ratio, batch)
        return squared_error(self.generation(aligned_BCHW * mask), true_BCHW)
