"""Masked generation: mask parts of a map and let a small network reconstruct the whole."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from dspkd.methods._base import precise
from dspkd.types import Batch

MaskKind = Literal["channel", "spatial"]
"""Whether whole channels are masked, or positions in all channels."""
GeneratorKind = Literal["conv", "separable"]
"""Whether a 3x3 convolution of the generator is one, or a depthwise one followed by a 1x1 convolution."""


def draw_mask(x_BCHW: Tensor, kind: MaskKind, ratio: float, batch: Batch) -> Tensor:
    """Return a new random mask for the map, 1 keep and 0 drop, in its type and on its device.

    Each channel (``[B, C, 1, 1]``) or position (``[B, 1, H, W]``) of each image is dropped independently with
    probability `ratio`; the others are not scaled up. Drawn with torch's global generator of that device.
    """
    _, C, H, W = x_BCHW.shape
    shape = (C, 1, 1) if kind == "channel" else (1, H, W)
    drawn = batch.draw(lambda B: torch.rand((B, *shape), device=x_BCHW.device))
    return (drawn >= ratio).to(x_BCHW.dtype)


def build_generator(channels: int, hidden: int, kind: GeneratorKind) -> nn.Sequential:
    """Return conv3x3, ReLU, conv3x3 from `channels` to `channels` over `hidden` of them; 0 means `channels`.

    Either kind sees 5x5 positions. For C channels over h, ``"conv"`` has 18Ch weights beside its h + C biases,
    ``"separable"`` 2Ch + 9(C + h), and as many multiply-accumulates for each position.
    """
    width = hidden or channels
    block = _conv if kind == "conv" else _separable
    return nn.Sequential(block(channels, width), nn.ReLU(), block(width, channels))


def _conv(channels: int, outputs: int) -> nn.Module:
    return nn.Conv2d(channels, outputs, kernel_size=3, padding=1)


def _separable(channels: int, outputs: int) -> nn.Module:
    """Return a depthwise 3x3 convolution and a 1x1 convolution, which has the bias."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, outputs, kernel_size=1),
    )


def squared_error(generated_BCHW: Tensor, true_BCHW: Tensor) -> Tensor:
    """Return the squared difference summed over channels and positions, mean over the batch, in float32."""
    return (precise(generated_BCHW) - precise(true_BCHW)).square().sum(dim=(1, 2, 3)).mean()
