"""Ways to fuse maps of several levels, all ``[B, D, H, W]`` on one grid, into one ``[B, C, H, W]``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dspkd.methods._align import projection


def attended(attend: nn.Module, x_BDHW: Tensor, y_BDHW: Tensor) -> Tensor:
    """Return x z_0 + y z_1 with the two weights of each position, z = sigmoid(attend([x; y]))."""
    z_B2HW = torch.sigmoid(attend(torch.cat([x_BDHW, y_BDHW], dim=1)))
    return x_BDHW * z_B2HW[:, :1] + y_BDHW * z_B2HW[:, 1:]


class Concat(nn.Module):
    """Stack the levels and project them with a 1x1 convolution and batch normalisation."""

    def __init__(self, levels: int, width: int, channels: int) -> None:
        super().__init__()
        self.project = projection(levels * width, channels)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return the fused map."""
        fused_BCHW: Tensor = self.project(torch.cat(levels, dim=1))
        return fused_BCHW


class Sum(nn.Module):
    """Add the levels and project the sum with a 1x1 convolution and batch normalisation."""

    def __init__(self, levels: int, width: int, channels: int) -> None:  # noqa: ARG002
        super().__init__()
        self.project = projection(width, channels)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return the fused map."""
        fused_BCHW: Tensor = self.project(torch.stack(levels).sum(dim=0))
        return fused_BCHW


class Attention(nn.Module):
    """Fuse the levels one after another with weights for each position.

    From the shallowest level on: z = sigmoid(conv1x1([x; y])), y <- x z_0 + y z_1, with x the next level and y the
    result so far. The last y is projected with a 3x3 convolution and batch normalisation.

    Source: the attention-based fusion of Chen et al., *Distilling Knowledge via Knowledge Review*, CVPR 2021, which
    goes from deep to shallow and keeps the grids.
    """

    def __init__(self, levels: int, width: int, channels: int) -> None:
        super().__init__()
        self.attend = nn.ModuleList(nn.Conv2d(2 * width, 2, kernel_size=1) for _ in range(levels - 1))
        self.project = projection(width, channels, kernel_size=3)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return the fused map."""
        y_BDHW = levels[0]
        for x_BDHW, attend in zip(levels[1:], self.attend, strict=True):
            y_BDHW = attended(attend, x_BDHW, y_BDHW)
        fused_BCHW: Tensor = self.project(y_BDHW)
        return fused_BCHW
