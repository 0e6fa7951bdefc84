"""The interface of every network: pixels in; logits, pooled vector and feature maps out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dspkd.errors import RecipeError
from dspkd.types import NetworkSpec, Output

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Walk = Callable[[Any, Tensor], Output]
"""Runs a library's network on normalised images, stage by stage, and returns its feature maps too."""

Download = Callable[[], Mapping[str, Tensor]]
"""Fetches the library's own ImageNet weights: ``{name: tensor}`` with the library's names, 1000 classes."""


@dataclass(frozen=True)
class Loaded:
    """The result of loading weights.

    Attributes
    ----------
    source
        ``none``, ``imagenet``, or the path of the file or folder.
    count
        Tensors taken from the source.
    fresh
        Names of the tensors that the source lacks: they keep their random initial values.
    other_classes
        Number of classes of the source's classifier, where it is not the network's and was left out; else None.
    inside
        Where in the file they are, such as ``state_dict``; "" where the file holds nothing else.
    """

    source: str
    count: int
    fresh: tuple[str, ...]
    other_classes: int | None = None
    inside: str = ""

    @property
    def place(self) -> str:
        """Return the source, with the place inside it."""
        return f"{self.source} ({self.inside})" if self.inside else self.source

    def __str__(self) -> str:
        if self.source == "none":
            return "weights: random"
        new = f"; random: {', '.join(self.fresh[:4])}{' and more' * (len(self.fresh) > 4)}" if self.fresh else ""
        head = f" (its classifier is for {self.other_classes:,} classes)" if self.other_classes else ""
        return f"weights: {self.count} of {self.count + len(self.fresh)} tensors from {self.place}{head}{new}"


@dataclass(frozen=True)
class Explained:
    """Logits, and the features whose gradients explain them.

    Attributes
    ----------
    logits
        ``[B, K]``.
    features
        A tensor from which the logits are computed, in the network's own shape.
    as_map
        Returns a tensor of that shape as a map ``[B, C, H, W]``.
    """

    logits: Tensor
    features: Tensor
    as_map: Callable[[Tensor], Tensor]


def grid_of(features: Tensor, height: int, width: int) -> Tensor:
    """Return features as ``[B, C, H, W]``, from a map, a map with channels last, or tokens.

    Tokens before those of the grid, such as the class token, are dropped.
    """
    if features.ndim == 3:
        tokens_BNC = features[:, -height * width :]
        # Without naming the batch size, which an export leaves open.
        return torch.unflatten(tokens_BNC.transpose(1, 2), 2, (height, width))
    channels_come_last = features.shape[1:3] == (height, width) and features.shape[2:] != (height, width)
    return features.permute(0, 3, 1, 2) if channels_come_last else features


class Tapped(nn.Module):
    """A library's network with its input normalisation and access to its feature maps.

    Taps are references to tensors that the network computes anyway: they cost no time, and memory only as long
    as the caller keeps them. There are no hooks, so the module can be exported, compiled, copied and wrapped.

    Parameters
    ----------
    network
        The library's network, its classifier ending in `classes` logits.
    walk
        Runs `network` on normalised images; see `Walk`.
    name
        Its name in the zoo and in recipes.
    mean, std
        Of R, G, B in [0, 1], as the library's weights expect them.
    head
        Name of the classifier inside `network`, such as ``fc``: the one layer whose shape depends on the class count.
    size
        Height and width of the image for the dry run; the size that the library's weights expect.
    download
        Fetches the library's ImageNet weights; None where there are none.

    Attributes
    ----------
    spec
        Classes, pooled width and channels per tap, from a dry run on the meta device (no arithmetic, no memory).
    loaded
        Source of the weights, and tensors not loaded; set by `dspkd.models.zoo.make`.

    Notes
    -----
    Images ``[B, 3, H, W]`` float in [0, 1] -> `Output`. Mean and std are buffers that are not saved: `state_dict`
    holds ``network.<the library's name>`` and nothing else, and `library_state` the library's own names, which can be
    loaded into the plain torchvision or timm network.
    A batch of one works in evaluation; batch normalisation refuses it in training where a map is 1 x 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        walk: Walk,
        *,
        name: str,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        head: str = "fc",
        size: tuple[int, int] = (224, 224),
        download: Download | None = None,
    ) -> None:
        super().__init__()
        self.name, self.head = name, head
        self.network, self._walk, self.download = network, walk, download
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.spec = self._dry_run(size)
        self.loaded: Loaded | None = None

    def forward(self, images_B3HW: Tensor) -> Output:
        """Return logits, pooled vector and maps of images in [0, 1]."""
        return self._walk(self.network, (images_B3HW - self.mean) / self.std)

    def explained(self, images_B3HW: Tensor) -> Explained:
        """Return the logits of images, and the last features from which they are computed; with gradients enabled.

        These are the map `last`. Where that is only a copy of tokens, or of a map with channels last, they are the
        input of the module that the walk names as `explained`.

        Raises
        ------
        RecipeError
            The network has neither.
        """
        place: str = getattr(self._walk, "explained", "")
        seen: list[Tensor] = []
        keep = lambda _module, inputs: seen.append(inputs[0])  # noqa: E731
        hook = self.network.get_submodule(place).register_forward_pre_hook(keep) if place else None
        output = self(images_B3HW)
        if hook:
            hook.remove()
        last = output.maps["last"]
        (slopes,) = torch.autograd.grad(output.logits.sum(), last, retain_graph=True, allow_unused=True)
        if slopes is not None:
            return Explained(output.logits, last, partial(grid_of, height=last.shape[2], width=last.shape[3]))
        if not seen:
            raise RecipeError(
                f"model {self.name!r}: its logits are computed from no feature map, so Grad-CAM cannot explain them; "
                "choose another (see `dspkd models`)"
            )
        return Explained(output.logits, seen[-1], partial(grid_of, height=last.shape[2], width=last.shape[3]))

    def library_state(self) -> dict[str, Tensor]:
        """Return the weights under the library's own names, as ``model.safetensors`` holds them."""
        return self.network.state_dict()

    def _dry_run(self, size: tuple[int, int]) -> NetworkSpec:
        ghosts = {name: t.to("meta") for name, t in chain(self.named_parameters(), self.named_buffers())}
        self.eval()
        with torch.no_grad():
            output = functional_call(self, ghosts, (torch.empty(1, 3, *size, device="meta"),))
        self.train()
        return NetworkSpec(
            classes=output.logits.shape[1],
            pooled=output.pooled.shape[1],
            channels={tap: m_BCHW.shape[1] for tap, m_BCHW in output.maps.items()},
        )
