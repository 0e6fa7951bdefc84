"""ShuffleNetV1, which neither torchvision nor timm has."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dspkd.types import Output

GROUPS = 3
UNITS = (4, 8, 4)


class ShuffleNetV1(nn.Module):
    """ShuffleNetV1 with three groups.

    A 3 x 3 convolution of stride 2 to 24 channels, a max pool, three stages of 4, 8 and 4 units, a global average
    pool and a linear classifier with bias (which the paper's 0.912 M parameters at eight classes need).

    Parameters
    ----------
    classes
        K.
    channels
        Of the three stages. (240, 480, 960) is the published network at scale 1.0.

    Notes
    -----
    Takes normalised images ``[B, 3, H, W]``. The map that is pooled is the last stage's, so taps ``stride32`` and
    ``last`` are one tensor. Weights are initialised as PyTorch initialises its layers (inferred).

    Source: Zhang et al., *ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices*,
    CVPR 2018. As in its public implementations, channels are shuffled after the depthwise convolution; the paper's
    figure has it before, which is the same function up to the order of the bottleneck's channels.
    """

    def __init__(self, classes: int, *, channels: tuple[int, int, int] = (240, 480, 960)) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True)
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2 = _stage(24, channels[0], UNITS[0], first_groups=1)
        self.stage3 = _stage(channels[0], channels[1], UNITS[1])
        self.stage4 = _stage(channels[1], channels[2], UNITS[2])
        self.fc = nn.Linear(channels[2], classes)

    def forward(self, x_B3HW: Tensor) -> Output:
        """Return logits, pooled vector and the maps at all taps."""
        maps: dict[str, Tensor] = {}
        maps["stride4"] = self.maxpool(self.conv1(x_B3HW))
        maps["stride8"] = self.stage2(maps["stride4"])
        maps["stride16"] = self.stage3(maps["stride8"])
        maps["stride32"] = self.stage4(maps["stride16"])
        maps["last"] = maps["stride32"]
        pooled_BD = maps["last"].mean((2, 3))
        return Output(self.fc(pooled_BD), pooled_BD, maps)


class Unit(nn.Module):
    """Squeeze by a grouped 1 x 1, filter depthwise, shuffle, expand by a grouped 1 x 1.

    With stride 1 the input is added, then ReLU. With stride 2 (where channels grow) the branch, after ReLU, has the
    additional channels, and is appended to the average-pooled input.

    Notes
    -----
    ``[B, inputs, H, W]`` -> ``[B, outputs, H / stride, W / stride]``; the bottleneck has ``outputs / 4`` channels.
    """

    def __init__(self, inputs: int, outputs: int, *, first_groups: int = GROUPS) -> None:
        super().__init__()
        self.grows = inputs != outputs
        stride, middle = (2 if self.grows else 1), outputs // 4
        added = outputs - inputs if self.grows else outputs
        self.squeeze = nn.Conv2d(inputs, middle, 1, groups=first_groups, bias=False)
        self.squeeze_norm = nn.BatchNorm2d(middle)
        self.depthwise = nn.Conv2d(middle, middle, 3, stride=stride, padding=1, groups=middle, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(middle)
        self.shuffle = nn.ChannelShuffle(GROUPS)
        self.expand = nn.Conv2d(middle, added, 1, groups=GROUPS, bias=False)
        self.expand_norm = nn.BatchNorm2d(added)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the unit's map."""
        branch = F.relu(self.squeeze_norm(self.squeeze(x_BCHW)))
        branch = self.shuffle(self.depthwise_norm(self.depthwise(branch)))
        branch = self.expand_norm(self.expand(branch))
        if self.grows:
            kept = F.avg_pool2d(x_BCHW, 3, stride=2, padding=1)
            return torch.cat([kept, F.relu(branch)], dim=1)
        return F.relu(x_BCHW + branch)


def _stage(inputs: int, outputs: int, units: int, *, first_groups: int = GROUPS) -> nn.Sequential:
    grow = Unit(inputs, outputs, first_groups=first_groups)
    return nn.Sequential(grow, *(Unit(outputs, outputs) for _ in range(units - 1)))
