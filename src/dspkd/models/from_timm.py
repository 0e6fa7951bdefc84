"""Any timm network with intermediate feature maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import huggingface_hub
import timm
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor, nn

from dspkd.errors import RecipeError
from dspkd.models.tapped import Tapped, grid_of
from dspkd.types import TAPS, Output

ANY_SIZE = ("timm.models.vision_transformer", "timm.models.deit", "timm.models.eva")
"""Families that timm builds for one image size unless it interpolates their position embedding."""


@dataclass(frozen=True)
class TimmWalk:
    """Runs a timm network on a normalised image.

    Attributes
    ----------
    name, side
        The network's name in recipes, and the image height that it was built for: for messages.
    taps
        ``{tap: place in the network's feature_info}``.
    deepest
        The last place in ``feature_info``; its map has the grid of tokens.
    explained
        The module whose input explains the logits where the map `last` is a copy: a vision transformer's last block, as
        its class token reads the others there for the last time; or the head, which pools a map with channels last.
    """

    name: str
    side: int
    taps: dict[str, int]
    deepest: int
    explained: str = ""

    def __call__(self, network: Any, x_B3HW: Tensor) -> Output:
        """Return the output; `last` is the input of the network's head, before a norm that belongs to the head.

        Raises
        ------
        RecipeError
            The network does not accept images of this size.
        """
        places = sorted({*self.taps.values(), self.deepest})
        try:
            features, intermediates = network.forward_intermediates(x_B3HW, indices=places)
        except AssertionError as error:  # raised by timm for a size
            size = " x ".join(str(side) for side in x_B3HW.shape[2:])
            raise RecipeError(
                f"model {self.name!r} takes no images of {size} px: {error} "
                f"It was built for {self.side} px: set images.size = {self.side}"
            ) from None
        maps = {tap: intermediates[places.index(place)] for tap, place in self.taps.items()}
        height, width = intermediates[-1].shape[2:]
        maps["last"] = grid_of(features, height, width)
        pooled_BD = network.forward_head(features, pre_logits=True)
        return Output(network.get_classifier()(pooled_BD), pooled_BD, maps)


def tapped(key: str, *, name: str, classes: int) -> Tapped:
    """Return timm's network `key` (``NAME`` or ``NAME.TAG``) with random weights.

    Taps are the deepest map of each reduction 4, 8, 16, 32 in ``feature_info``, and `last`. A vision transformer
    offers ``stride16`` (its last block) and ``last`` (the same after the final norm, as a grid, without class token).
    Plain vision transformers accept other sizes than their own, in whole patches: timm then interpolates the position
    embedding. Other networks that timm builds for one size, such as Swin, accept only that size.

    Raises
    ------
    RecipeError
        An unknown tag, or a network that cannot be tapped.
    """
    family = timm.model_entrypoint(key.partition(".")[0]).__module__
    stretched: dict[str, Any] = {"dynamic_img_size": True} if family in ANY_SIZE else {}
    try:
        network: Any = timm.create_model(key, num_classes=classes, **stretched)
    except RuntimeError as error:
        tags = timm.list_pretrained(f"{key.partition('.')[0]}.*")
        raise RecipeError(f"model {name!r}: timm: {error} Known: {', '.join(tags) or 'no tags'}.") from None
    if not hasattr(network, "forward_intermediates"):
        raise _refusal(name, "timm offers no forward_intermediates for it")
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise _refusal(name, f"its classifier is a {type(classifier).__name__}, not one linear layer")
    if getattr(network, "aux_head", None) is not None:
        raise _refusal(name, "an auxiliary head adds to its logits, so they do not follow from its pooled vector")
    reductions = [level["reduction"] for level in network.feature_info]
    taps = {tap: _last_place(reductions, stride) for tap, stride in zip(TAPS, (4, 8, 16, 32), strict=False)}
    config = network.pretrained_cfg
    try:
        return Tapped(
            network,
            TimmWalk(
                name=name,
                side=config["input_size"][1],
                taps={tap: place for tap, place in taps.items() if place is not None},
                deepest=len(reductions) - 1,
                explained=_explained(network),
            ),
            name=name,
            mean=config["mean"],
            std=config["std"],
            head=next(path for path, module in network.named_modules() if module is classifier),
            size=config["input_size"][1:],
            download=partial(_download, key),
        )
    except Exception as error:  # timm has over a thousand networks, which fail in many ways
        raise _refusal(name, f"its dry run failed: {error}") from error


def pretrained(architecture: str) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return ``{NAME.TAG: (mean, std)}`` of timm's weights for a network."""
    configs = {name: timm.get_pretrained_cfg(name) for name in timm.list_pretrained(f"{architecture}.*")}
    return {name: (config.mean, config.std) for name, config in configs.items() if config}


def _explained(network: Any) -> str:
    """Return the module whose input explains the logits where the map `last` is a copy; "" where there is none."""
    blocks = getattr(network, "blocks", None)
    if isinstance(blocks, nn.ModuleList | nn.Sequential) and len(blocks):
        return f"blocks.{len(blocks) - 1}"
    return "head" if isinstance(getattr(network, "head", None), nn.Module) else ""


def _last_place(reductions: list[int], stride: int) -> int | None:
    return max((place for place, reduction in enumerate(reductions) if reduction == stride), default=None)


def _refusal(name: str, reason: str) -> RecipeError:
    return RecipeError(f"model {name!r} cannot be tapped: {reason}; choose another (see `dspkd models`)")


def _download(key: str) -> dict[str, Tensor]:
    repository = timm.get_pretrained_cfg_value(key, "hf_hub_id")
    if repository is not None and not _is_cached(repository):
        _reach(repository)
    return timm.create_model(key, pretrained=True).state_dict()


def _is_cached(repository: str) -> bool:
    try:
        huggingface_hub.snapshot_download(repository, local_files_only=True)
    except (OSError, ValueError):
        return False
    return True


def _reach(repository: str) -> None:
    """Request the weights' metadata once, to fail fast: the download itself retries for most of a minute.

    Raises
    ------
    OSError
        The hub cannot be reached.
    """
    url = huggingface_hub.hf_hub_url(repository, "model.safetensors")
    try:
        huggingface_hub.get_hf_file_metadata(url)
    except HfHubHTTPError:
        return  # the hub can be reached; timm also looks for other file names
    except Exception as error:  # the HTTP library depends on the version of huggingface_hub
        raise OSError(f"{url}: {error}") from error
