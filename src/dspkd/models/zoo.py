"""Networks by name: ours, any of timm's, and torchvision's."""

from __future__ import annotations

import difflib
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dspkd.errors import RecipeError, suggest
from dspkd.models.entries import ENTRIES, ZooEntry

if TYPE_CHECKING:
    from torch import nn

    from dspkd.models.macs import Macs
    from dspkd.models.tapped import Tapped


@dataclass(frozen=True)
class NetworkSummary:
    """The description of a network of ours: its entry, parameters and multiply-accumulates.

    Attributes
    ----------
    parameters
        ``{classes: parameters}`` at 1000, 8 and 6 classes.
    macs
        For one image of 224 px.
    stride32, last
        Channels at these taps.
    """

    name: str
    library: str
    key: str
    parameters: dict[int, int]
    macs: Macs
    stride32: int
    last: int
    paper_millions: float | None
    paper_gmacs: float | None
    note: str

    @property
    def paper_classes(self) -> int | None:
        """Return the class count that gives the paper's number of parameters; None where it has none."""
        if self.paper_millions is None:
            return None
        digits = len(str(self.paper_millions).partition(".")[2])
        return next(k for k in (8, 1000) if round(self.parameters[k] / 1e6, digits) == self.paper_millions)


def names() -> list[str]:
    """Return the names of our networks, sorted; `make` also takes any name of timm's."""
    return sorted(ENTRIES)


def has(name: str) -> bool:
    """Return whether `name` is one of `names`, or of timm's or torchvision's networks; `make` may still refuse it."""
    import timm

    from dspkd.models import from_torchvision

    if name.startswith(from_torchvision.PREFIX):
        return name.removeprefix(from_torchvision.PREFIX) in from_torchvision.names()
    known_tag = "." not in name or timm.is_model_pretrained(name)  # is_model takes any tag, as in resnet50.pth
    return name in ENTRIES or (known_tag and timm.is_model(name))


def make(name: str, *, classes: int, weights: str | Path = "none", partial_weights: bool = False) -> Tapped:
    """Return the network called `name`, in training mode, on the default device.

    Layers without loaded weights are initialised with torch's global generator: seed it first.

    Parameters
    ----------
    name
        One of `names`, else a name in ``timm.list_models()``, with or without a tag: ``vit_tiny_patch16_224``; or
        ``torchvision:NAME``, for torchvision's own names of layers.
    classes
        K, at least 2.
    weights
        ``none``, ``imagenet`` or a file; see `dspkd.models.weights.load`. The result is in ``.loaded``.
    partial_weights
        Accept a file that lacks tensors besides the classifier's.

    Raises
    ------
    RecipeError
        No network has this name, it cannot be tapped, or there are fewer than two classes.
    WeightsError
        The weights cannot be loaded, or do not fit.
    """
    if classes < 2:
        raise RecipeError(f"model {name!r}: {classes} classes; at least 2 are needed")
    from dspkd.models.weights import load

    tapped = _build(name, classes)
    tapped.loaded = load(tapped, weights, partial=partial_weights)
    return tapped


def check(name: str, side: int) -> None:
    """Check that `make` has a network called `name` for images of `side` px; torch is needed for timm's names alone.

    Raises
    ------
    RecipeError
        No network has this name, it cannot be tapped or explained by Grad-CAM, or it does not take images of this size.
    """
    entry = ENTRIES.get(name)
    if entry is None:
        import torch

        with torch.device("meta"):
            tapped = make(name, classes=2).eval()
            with torch.enable_grad():
                tapped.explained(torch.empty(1, 3, side, side))  # so that no run ends without its maps
    elif side < entry.least_side:
        raise RecipeError(
            f"model {name!r} takes no images of {side} px: images.size must be {entry.least_side} or more"
        )


def describe() -> list[NetworkSummary]:
    """Return a row per network of ours, in the order of `names`; built on the meta device, so it is fast."""
    return [_row(name, ENTRIES[name]) for name in names()]


def _build(name: str, classes: int) -> Tapped:
    import timm

    from dspkd.models import from_timm, from_torchvision
    from dspkd.models.tapped import Tapped

    if name.startswith(from_torchvision.PREFIX):
        return from_torchvision.traced(name.removeprefix(from_torchvision.PREFIX), name=name, classes=classes)
    entry = ENTRIES.get(name)
    if entry is None and not timm.is_model(name):
        near = difflib.get_close_matches(name, [*names(), *timm.list_models()], n=1)
        beyond = "" if near else ", or any of timm's, or torchvision:NAME"
        raise RecipeError(f"no model is called {name!r}; {suggest(name, near or names())}{beyond}")
    if entry is None or entry.library == "timm":
        return from_timm.tapped(entry.key if entry else name, name=name, classes=classes)
    if entry.library == "torchvision":
        return from_torchvision.tapped(entry.key, name=name, classes=classes)
    return Tapped(_own(entry.key, classes), operator.call, name=name)


def _own(key: str, classes: int) -> nn.Module:
    from dspkd.models.shufflenet_v1 import ShuffleNetV1
    from dspkd.models.tiny import Tiny

    if key in ("tiny", "tiny_wide"):
        return Tiny(classes, width=2) if key == "tiny_wide" else Tiny(classes)
    return ShuffleNetV1(classes, channels=(336, 672, 1344)) if key == "wide_shufflenet" else ShuffleNetV1(classes)


def _row(name: str, entry: ZooEntry) -> NetworkSummary:
    import torch

    from dspkd.models.macs import count

    with torch.device("meta"):
        tapped = _build(name, classes=1000)
    spec = tapped.spec
    without_head = sum(p.numel() for p in tapped.parameters()) - spec.classes * (spec.pooled + 1)
    return NetworkSummary(
        name=name,
        library=entry.library,
        key=entry.key,
        parameters={classes: without_head + classes * (spec.pooled + 1) for classes in (1000, 8, 6)},
        macs=count(tapped),
        stride32=spec.channels["stride32"],
        last=spec.channels["last"],
        paper_millions=entry.paper_millions,
        paper_gmacs=entry.paper_gmacs,
        note=entry.note,
    )
