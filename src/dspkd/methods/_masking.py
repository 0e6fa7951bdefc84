"""Masked generation: hide parts of a map and let a small network make them up."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from dspkd.methods._term import precise

MaskKind = Literal["channel", "spatial"]
"""Whether whole channels are hidden, or positions in all channels."""


def draw_mask(x_BCHW: Tensor, kind: MaskKind, ratio: float) -> Tensor:
    """Return a fresh mask for the map, 1 keep and 0 drop, in its type and on its device.

    Each channel (``[B, C, 1, 1]``) or position (``[B, 1, H, W]``) of each picture is dropped by itself with
    probability `ratio`; what is kept is not scaled up. Drawn with torch's global generator of that device.
    """
    B, C, H, W = x_BCHW.shape
    shape = (B, C, 1, 1) if kind == "channel" else (B, 1, H, W)
    return (torch.rand(shape, device=x_BCHW.device) >= ratio).to(x_BCHW.dtype)


def generator(channels: int, hidden: int) -> nn.Sequential:
    """Return conv3x3, ReLU, conv3x3 from `channels` to `channels` over `hidden` of them; 0 stands for `channels`."""
    width = hidden or channels
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, channels, kernel_size=3, padding=1),
    )


def squared_error(made_BCHW: Tensor, true_BCHW: Tensor) -> Tensor:
    """Return the squared difference summed over channels and positions, mean over the batch, in float32."""
    return (precise(made_BCHW) - precise(true_BCHW)).square().sum(dim=(1, 2, 3)).mean()
