"""MGD on one map of the student, fused with its shallower maps. The first stage of DSP-KD."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dspkd.methods._align import align, averaged, coarsened, projection, stretched
from dspkd.methods._base import Term, precise
from dspkd.methods._fusion import Attention, Concat, Sum
from dspkd.methods._masking import GeneratorKind, MaskKind, build_generator, draw_mask, squared_error
from dspkd.methods._options import Share, Width, WidthOrZero
from dspkd.types import TAPS, Batch, NetworkSpec, Output

_FUSIONS = {"concat": Concat, "sum": Sum, "abf": Attention}


class HierarchicalFusion(Term):
    r"""Generate a map of the teacher from the student's, enriched with the student's own shallower maps and masked.

    .. math:: U_l = \mathrm{resize}(\mathrm{BN}(\mathrm{conv}_{1\times1}(S_l))), \qquad
              F = A(S_t) + \gamma\, P(U_1, \dots), \qquad
              L = \frac1B \sum_b \big\| G(F_b \odot M_b) - T_b \big\|_2^2

    with :math:`S_t` and :math:`T` the target of both networks, :math:`A`, :math:`G` and :math:`M` those of `mgd`,
    :math:`P` the fusion, and :math:`\gamma` learned.

    The paper gives this module's name and purpose; its equations are not public. **Everything here but MGD is
    inferred**, as are all defaults but `mask` and `mask_ratio`, which are MGD's. At :math:`\gamma = 0`, the default
    start, the term *is* `mgd`, bit for bit, in every order of masking: its own layers are initialised and its own
    masks are drawn after those of MGD.

    Parameters
    ----------
    student, teacher
        Shapes of the networks.
    target
        The map that is masked and rebuilt: ``"last"``, which the classifier pools, or the one of stride 16 or 8, for
        images so small that the last map has fewer than 4 x 4 positions (inferred).
    levels
        The maps that are fused into the target, all shallower than it: ``"all"`` of them, or the ``"last3"``. For the
        last map these are the strides 8, 16 and 32, and for ``"all"`` also 4; for stride 16 they are 4 and 8, for
        stride 8 it is 4.
    fuse
        P: ``"concat"`` stacks the levels, conv1x1 + BN; ``"sum"`` adds them, conv1x1 + BN; ``"abf"`` fuses them one
        after another by attention as in knowledge review, conv3x3 + BN.
    mask_order
        ``"fuse_then_mask"`` masks F only; ``"mask_then_fuse"`` masks :math:`A(S_t)` and each :math:`U_l` by separate
        masks, and not F; ``"both"`` masks each :math:`U_l` and F.
    mask, mask_ratio
        Kind and drop probability of every mask, as in `mgd`.
    width
        Channels of each :math:`U_l`.
    hidden, generator
        Width and kind of G, as in `mgd`.
    gate
        Initial value of :math:`\gamma`. At 0 the gradient reaches only :math:`\gamma` in the first step, and the levels
        from the second step on.

    Raises
    ------
    RecipeError
        If the student does not offer a level, or a network does not offer the target.

    Notes
    -----
    Maps ``[B, C, H, W]``; reduction, types and random numbers as in `mgd`. Levels are resized to the grid of the
    map that is rebuilt by adaptive average pooling. In training mode the batch normalisations keep running
    statistics; a batch of one value per channel is normalised with those.

    Source: name and purpose, *DSP-KD: Dual-Stage Progressive Knowledge Distillation for Skin Disease Classification*,
    section 3.2.2; Yang et al., *Masked Generative Distillation*, ECCV 2022; Chen et al., *Distilling Knowledge via
    Knowledge Review*, CVPR 2021 (``"abf"``).
    """

    by_image: ClassVar[bool] = True
    inferred: ClassVar[str] = "All but MGD itself: the paper states the module's purpose, its equations are not public."

    def __init__(
        self,
        student: NetworkSpec,
        teacher: NetworkSpec,
        *,
        target: Literal["last", "stride16", "stride8"] = "last",
        levels: Literal["last3", "all"] = "last3",
        fuse: Literal["concat", "sum", "abf"] = "concat",
        mask_order: Literal["fuse_then_mask", "mask_then_fuse", "both"] = "fuse_then_mask",
        mask: MaskKind = "channel",
        mask_ratio: Share = 0.15,
        width: Width = 128,
        hidden: WidthOrZero = 0,
        generator: GeneratorKind = "conv",
        gate: float = 0.0,
    ) -> None:
        super().__init__(
            student,
            teacher,
            target=target,
            levels=levels,
            fuse=fuse,
            mask_order=mask_order,
            mask=mask,
            mask_ratio=mask_ratio,
            width=width,
            hidden=hidden,
            generator=generator,
            gate=gate,
        )
        self.mask_order = mask_order
        self.mask = mask
        self.mask_ratio = mask_ratio
        self.target = target
        channels = self.channels("teacher", teacher, target, f"target = {target!r}")
        # First the layers of MGD, so that they are initialised as MGD's are.
        self.align = align(self.channels("student", student, target, f"target = {target!r}"), channels)
        self.generation = build_generator(channels, hidden, generator)
        setting = f"levels = {levels!r}"
        shallower = TAPS[: TAPS.index(target)]
        taps = shallower if levels == "all" else shallower[-3:]
        self.laterals = nn.ModuleDict(
            {tap: projection(self.channels("student", student, tap, setting), width) for tap in taps}
        )
        self.fusion = _FUSIONS[fuse](len(taps), width, channels)
        self.gate = nn.Parameter(torch.tensor(float(gate)))

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Return the loss; see the class."""
        aligned_BCHW = self.align(precise(student.maps[self.target]))
        true_BCHW = coarsened(teacher.maps[self.target].detach(), aligned_BCHW)
        aligned_BCHW = stretched(aligned_BCHW, true_BCHW)
        mask = draw_mask(aligned_BCHW, self.mask, self.mask_ratio, batch)
        levels = [averaged(lateral(precise(student.maps[tap])), true_BCHW) for tap, lateral in self.laterals.items()]
        if self.mask_order != "fuse_then_mask":
            levels = [level * draw_mask(level, self.mask, self.mask_ratio, batch) for level in levels]
        added_BCHW = self.gate * self.fusion(levels)
        if self.mask_order == "mask_then_fuse":
            fused_BCHW = aligned_BCHW * mask + added_BCHW
        else:
            fused_BCHW = (aligned_BCHW + added_BCHW) * mask
        return squared_error(self.generation(fused_BCHW), true_BCHW)
