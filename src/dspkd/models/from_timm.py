"""Any timm network that shows its intermediate maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import huggingface_hub
import timm
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor, nn

from dspkd.errors import RecipeError
from dspkd.models.tapped import Tapped
from dspkd.types import TAPS, Output

ANY_SIZE = ("timm.models.vision_transformer", "timm.models.deit", "timm.models.eva")
"""Families that timm builds for one image size unless it is asked to stretch their position embedding."""


@dataclass(frozen=True)
class TimmWalk:
    """Runs a timm network on a normalised image.

    Attributes
    ----------
    name, side
        What recipes call the network, and the rows of the images that it was built for: for messages.
    taps
        ``{tap: place in the network's feature_info}``.
    deepest
        The last place in ``feature_info``, whose map tells the grid of tokens.
    """

    name: str
    side: int
    taps: dict[str, int]
    deepest: int

    def __call__(self, network: Any, x_B3HW: Tensor) -> Output:
        """Return the answer; `last` is what the network hands to its head, before a norm that belongs to the head.

        Raises
        ------
        RecipeError
            The network takes no images of this size.
        """
        places = sorted({*self.taps.values(), self.deepest})
        try:
            features, found = network.forward_intermediates(x_B3HW, indices=places)
        except AssertionError as error:  # so timm refuses a size
            came = " x ".join(str(side) for side in x_B3HW.shape[2:])
            raise RecipeError(
                f"model {self.name!r} takes no images of {came} px: {error} "
                f"It was made for {self.side} px: images.size = {self.side}"
            ) from None
        maps = {tap: found[places.index(place)] for tap, place in self.taps.items()}
        height, width = found[-1].shape[2:]
        maps["last"] = _as_map(features, height, width)
        pooled_BD = network.forward_head(features, pre_logits=True)
        return Output(network.get_classifier()(pooled_BD), pooled_BD, maps)


def _as_map(features: Tensor, height: int, width: int) -> Tensor:
    """Return features as ``[B, C, H, W]``, be they a map, a map with channels last, or tokens.

    Tokens before the grid's, such as the class token, are dropped.
    """
    if features.ndim == 3:
        tokens_BNC = features[:, -height * width :]
        return tokens_BNC.transpose(1, 2).reshape(len(features), -1, height, width)
    channels_come_last = features.shape[1:3] == (height, width) and features.shape[2:] != (height, width)
    return features.permute(0, 3, 1, 2) if channels_come_last else features


def tapped(key: str, *, name: str, classes: int) -> Tapped:
    """Return timm's network `key` (``NAME`` or ``NAME.TAG``) with fresh weights.

    Taps are the deepest map of each reduction 4, 8, 16, 32 in ``feature_info``, and `last`. A vision transformer
    offers ``stride16`` (its last block) and ``last`` (the same after the final norm, as a grid, without class token).
    Plain vision transformers take other sizes than their own, in whole patches: the position embedding is then
    interpolated, as timm does it. Other networks that timm builds for one size, such as Swin, take that size alone.

    Raises
    ------
    RecipeError
        An unknown tag, or a network without what the taps need.
    """
    family = timm.model_entrypoint(key.partition(".")[0]).__module__
    stretched: dict[str, Any] = {"dynamic_img_size": True} if family in ANY_SIZE else {}
    try:
        network: Any = timm.create_model(key, num_classes=classes, **stretched)
    except RuntimeError as error:
        known = timm.list_pretrained(f"{key.partition('.')[0]}.*")
        raise RecipeError(f"model {name!r}: timm says {error} Known: {', '.join(known) or 'no tags'}.") from None
    if not hasattr(network, "forward_intermediates"):
        raise _refusal(name, "timm offers no forward_intermediates for it")
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise _refusal(name, f"its classifier is a {type(classifier).__name__}, not one linear layer")
    if getattr(network, "aux_head", None) is not None:
        raise _refusal(name, "an auxiliary head adds to its logits, so its pooled vector does not tell them")
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
            ),
            name=name,
            mean=config["mean"],
            std=config["std"],
            head=next(path for path, module in network.named_modules() if module is classifier),
            size=config["input_size"][1:],
            download=partial(_download, key),
        )
    except Exception as error:  # over a thousand networks of other people: whatever breaks, the name is to blame
        raise _refusal(name, f"its dry run failed: {error}") from error


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
    """Ask for the weights once: the download itself goes on trying for the better part of a minute.

    Raises
    ------
    OSError
        Nobody answers.
    """
    url = huggingface_hub.hf_hub_url(repository, "model.safetensors")
    try:
        huggingface_hub.get_hf_file_metadata(url)
    except HfHubHTTPError:
        return  # an answer, if only that this file is not there: timm knows others
    except Exception as error:  # of whichever HTTP library this version of the hub uses
        raise OSError(f"{url}: {error}") from error
