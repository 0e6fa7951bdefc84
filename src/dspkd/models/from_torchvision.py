"""ShuffleNetV2 from torchvision, which timm lacks; and torchvision's other networks with feature maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from dspkd.errors import RecipeError, suggest
from dspkd.models.adapted import STRIDES, shapes
from dspkd.models.tapped import IMAGENET_MEAN, IMAGENET_STD, Tapped
from dspkd.types import TAPS, Output

PREFIX = "torchvision:"
"""Begins the name of a torchvision network in recipes: without it the name is timm's."""

_SIDE = 224

_IMAGENET = "IMAGENET1K_V1"
"""Weights that `imagenet` means; the largest networks have others alone, trained at other sizes."""


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


@dataclass(frozen=True)
class TracedWalk:
    """Runs a network that torchvision's feature extractor has traced; `taps` are the names of its maps but `last`."""

    taps: tuple[str, ...]

    def __call__(self, network: nn.Module, x_B3HW: Tensor) -> Output:
        """Return the output, computed as in the network's own ``forward``."""
        values = network(x_B3HW)
        maps = {tap: values[tap] for tap in self.taps} | dict.fromkeys(("stride32", "last"), values["last"])
        return Output(values["logits"], values["pooled"], maps)


def names() -> list[str]:
    """Return the names of torchvision's classifiers, without the prefix."""
    return [*models.list_models(module=models)]


def tapped(key: str, *, name: str, classes: int) -> Tapped:
    """Return torchvision's ShuffleNetV2 `key` (``shufflenet_v2_x1_0`` and its other widths) with random weights."""
    return Tapped(models.get_model(key, num_classes=classes), walk_shufflenet, name=name, download=_Download(key))


def traced(key: str, *, name: str, classes: int) -> Tapped:
    """Return any of torchvision's classifiers that ends in a map, a pooling and one linear layer, with random weights.

    Taps are, for each stride 4, 8, 16 and 32, the last map of that stride among the outermost modules with one; `last`
    is that of stride 32.

    Raises
    ------
    RecipeError
        There is no such network, or it has no such maps or no such layer.
    """
    known = names()
    if key not in known:
        raise RecipeError(f"no model is called {name!r}; {suggest(key, known)}")
    if key.startswith("shufflenet_v2"):
        return tapped(key, name=name, classes=classes)
    try:
        places = _places(key, classes)
        whole = models.get_model(key, num_classes=classes)
        network = create_feature_extractor(whole, places)
        if network.state_dict().keys() != whole.state_dict().keys():
            raise ValueError("a part of it computes no logits")
    except Exception as error:  # torchvision has some eighty networks, which fail in many ways
        raise RecipeError(
            f"model {name!r} cannot be tapped: {str(error).partition(chr(10))[0]}; choose another (see `dspkd models`)"
        ) from error
    taps = tuple(tap for tap in TAPS[:3] if tap in places.values())
    head = next(place for place, tap in places.items() if tap == "logits")
    trained = models.get_model_weights(key)
    means = next(iter(trained)).transforms()
    mean, std = (tuple(getattr(means, each, usual)) for each, usual in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)))
    download = _Download(key) if _IMAGENET in trained.__members__ else None
    return Tapped(network, TracedWalk(taps), name=name, mean=mean, std=std, head=head, download=download)


@dataclass(frozen=True)
class _Download:
    """Fetches the ImageNet weights of a network."""

    key: str

    def __call__(self) -> dict[str, Tensor]:
        return models.get_model(self.key, weights=_IMAGENET).state_dict()  # type: ignore[no-any-return]


def _places(key: str, classes: int) -> dict[str, str]:
    """Return ``{node of the traced network: its name in the output}``: the taps, the pooled vector and the logits.

    Raises
    ------
    ValueError
        Gives the reason why the network has none.
    """
    with torch.device("meta"):
        network = models.get_model(key, num_classes=classes).eval()
        called = shapes(network, torch.empty(1, 3, _SIDE, _SIDE))
    linear = [name for name, _, _ in called if isinstance(network.get_submodule(name), nn.Linear)]
    if not linear:
        raise ValueError("it does not end in a linear layer")
    head = linear[-1]
    tap_of: dict[str, str] = {}
    for stride, tap in STRIDES.items():
        of_stride = [name for name, _, shape in called if shape[2:] == (_SIDE // stride, _SIDE // stride)]
        if of_stride:
            least = min(name.count(".") for name in of_stride)
            tap_of[tap] = [name for name in of_stride if name.count(".") == least][-1]
    if "stride32" not in tap_of:
        raise ValueError("it has no map of stride 32")
    nodes = get_graph_node_names(network)[1]
    return (
        {tap_of.pop("stride32"): "last"}
        | {name: tap for tap, name in tap_of.items()}
        | {
            nodes[nodes.index(head) - 1]: "pooled",
            head: "logits",
        }
    )
