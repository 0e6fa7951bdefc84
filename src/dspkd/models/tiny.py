"""Two tiny convolutional networks for tests and demonstrations; not for diagnosis."""

from __future__ import annotations

from torch import Tensor, nn

from dspkd.types import Output


class Tiny(nn.Module):
    """A plain convolutional network with all five taps, for tests and demonstrations only.

    Five 3 x 3 convolutions of stride 2, each with batch normalisation and ReLU, a 1 x 1 convolution to the map that
    is pooled, and a linear classifier. Works from 32 px up.

    Parameters
    ----------
    classes
        K.
    width
        Multiplies all channels: 1 gives about 58 thousand parameters, 2 about 230 thousand.

    Notes
    -----
    Takes normalised images ``[B, 3, H, W]``; channels at width 1 are 24, 32, 48, 64 at strides 4 to 32, and 96 last.
    """

    def __init__(self, classes: int, *, width: int = 1) -> None:
        super().__init__()
        self.stem = _unit(3, 12 * width, 2)
        self.stage1 = _unit(12 * width, 24 * width, 2)
        self.stage2 = _unit(24 * width, 32 * width, 2)
        self.stage3 = _unit(32 * width, 48 * width, 2)
        self.stage4 = _unit(48 * width, 64 * width, 2)
        self.neck = _unit(64 * width, 96 * width, 1)
        self.fc = nn.Linear(96 * width, classes)

    def forward(self, x_B3HW: Tensor) -> Output:
        """Return logits, pooled vector and the maps at all taps."""
        maps: dict[str, Tensor] = {}
        maps["stride4"] = self.stage1(self.stem(x_B3HW))
        maps["stride8"] = self.stage2(maps["stride4"])
        maps["stride16"] = self.stage3(maps["stride8"])
        maps["stride32"] = self.stage4(maps["stride16"])
        maps["last"] = self.neck(maps["stride32"])
        pooled_BD = maps["last"].mean((2, 3))
        return Output(self.fc(pooled_BD), pooled_BD, maps)


def _unit(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    kernel = 3 if stride == 2 else 1
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
