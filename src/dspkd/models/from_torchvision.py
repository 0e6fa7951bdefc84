"""ShuffleNetV2 from torchvision, which timm lacks."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchvision import models

from dspkd.models.tapped import Tapped
from dspkd.types import Output


def walk_shufflenet(network: Any, x_B3HW: Tensor) -> Output:
    """Return the output of a torchvision ShuffleNetV2 for normalised images, computed as in its own ``forward``."""
    maps: dict[str, Tensor] = {}
    maps["stride4"] = network.maxpool(network.conv1(x_B3HW))
    maps["stride8"] = network.stage2(maps["stride4"])
    maps["stride16"] = network.stage3(maps["stride8"])
    maps["stride32"] = network.stage4(maps["stride16"])
    maps["last"] = network.conv5(maps["stride32"])
    pooled_BD = maps["last"].mean([2, 3])
    return Output(network.fc(pooled_BD), pooled_BD, maps)


def tapped(key: str, *, name: str, classes: int) -> Tapped:
    """Return torchvision's ShuffleNetV2 `key` (``shufflenet_v2_x1_0`` and its other widths) with random weights."""

    def download() -> dict[str, Tensor]:
        return models.get_model(key, weights="IMAGENET1K_V1").state_dict()  # type: ignore[no-any-return]

    return Tapped(models.get_model(key, num_classes=classes), walk_shufflenet, name=name, download=download)
