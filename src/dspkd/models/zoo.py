"""Networks by name: ours, and any of timm's."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import timm
import torch
from torch import nn

from dspkd.errors import RecipeError, suggest
from dspkd.models import from_timm, from_torchvision
from dspkd.models.macs import Macs, count
from dspkd.models.shufflenet_v1 import ShuffleNetV1
from dspkd.models.tapped import Tapped
from dspkd.models.tiny import Tiny
from dspkd.models.weights import load


@dataclass(frozen=True)
class ZooEntry:
    """A network of ours.

    Attributes
    ----------
    library
        Library that it comes from.
    key
        Its name there. For timm with the tag of its ImageNet-1k weights, so that ``imagenet`` means the same weights
        and the same normalisation whatever timm's default becomes.
    paper_millions
        Parameters in millions, as the DSP-KD paper prints them (some with 8 classes, some with 1000).
    paper_gmacs
        Multiply-accumulates at 224 px in billions, as the DSP-KD paper prints them: `Macs.backbone`.
    note
        What a user should know to choose it.
    """

    library: Literal["timm", "torchvision", "dspkd"]
    key: str
    paper_millions: float | None = None
    paper_gmacs: float | None = None
    note: str = ""


ENTRIES = {
    "res2net101": ZooEntry("timm", "res2net101_26w_4s.in1k", 43.174, 8.102, "a teacher in the paper"),
    "convnext_base": ZooEntry("timm", "convnext_base.fb_in1k", 87.575, 15.383, "a teacher in the paper"),
    "efficientnet_b4": ZooEntry("timm", "efficientnet_b4.ra2_in1k", 19.342, 1.543, "a teacher in the paper"),
    "efficientnet_b0": ZooEntry("timm", "efficientnet_b0.ra_in1k", 5.289, 0.4),
    "efficientnet_lite0": ZooEntry("timm", "tf_efficientnet_lite0.in1k", note="no squeeze-and-excite: quantises well"),
    "efficientnet_lite2": ZooEntry("timm", "tf_efficientnet_lite2.in1k", note="no squeeze-and-excite: quantises well"),
    "mobilenetv2": ZooEntry("timm", "mobilenetv2_100.ra_in1k", 3.505, 0.313),
    "shufflenet_v2_x1_0": ZooEntry("torchvision", "shufflenet_v2_x1_0", 1.262, 0.148, "the student in the paper"),
    "shufflenet_v1_x1_0": ZooEntry("dspkd", "shufflenet_v1_x1_0", 0.912, 0.143, "no ImageNet weights"),
    "wide_shufflenet": ZooEntry(
        "dspkd",
        "wide_shufflenet",
        1.8,
        note="a stand-in (inferred): ShuffleNetV1 1.4 times as wide, for a network whose architecture is not published",
    ),
    "resnet18": ZooEntry("timm", "resnet18.a1_in1k"),
    "resnet50": ZooEntry("timm", "resnet50.a1_in1k", note="SSD-KD's teacher"),
    "tiny": ZooEntry("dspkd", "tiny", note="for tests and demonstrations only"),
    "tiny_wide": ZooEntry("dspkd", "tiny_wide", note="for tests and demonstrations only"),
}

OWN: dict[str, Callable[[int], nn.Module]] = {
    "shufflenet_v1_x1_0": ShuffleNetV1,
    "wide_shufflenet": partial(ShuffleNetV1, channels=(336, 672, 1344)),
    "tiny": Tiny,
    "tiny_wide": partial(Tiny, width=2),
}


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


def make(name: str, *, classes: int, weights: str | Path = "none") -> Tapped:
    """Return the network called `name`, in training mode, on the default device.

    Layers without loaded weights are initialised with torch's global generator: seed it first.

    Parameters
    ----------
    name
        One of `names`, else a name in ``timm.list_models()``, with or without a tag: ``vit_tiny_patch16_224``.
    classes
        K, at least 2.
    weights
        ``none``, ``imagenet`` or a file; see `dspkd.models.weights.load`. The result is in ``.loaded``.

    Raises
    ------
    RecipeError
        No network has this name, it cannot be tapped, or there are fewer than two classes.
    WeightsError
        The weights cannot be loaded, or do not fit.
    """
    if classes < 2:
        raise RecipeError(f"model {name!r}: {classes} classes; at least 2 are needed")
    tapped = _build(name, classes)
    tapped.loaded = load(tapped, weights)
    return tapped


def describe() -> list[NetworkSummary]:
    """Return a row per network of ours, in the order of `names`; built on the meta device, so it is fast."""
    return [_row(name, ENTRIES[name]) for name in names()]


def _build(name: str, classes: int) -> Tapped:
    entry = ENTRIES.get(name)
    if entry is None and not timm.is_model(name):
        near = difflib.get_close_matches(name, [*names(), *timm.list_models()], n=1)
        beyond = "" if near else ", or any of timm's"
        raise RecipeError(f"no model is called {name!r}; {suggest(name, near or names())}{beyond}")
    if entry is None or entry.library == "timm":
        return from_timm.tapped(entry.key if entry else name, name=name, classes=classes)
    if entry.library == "torchvision":
        return from_torchvision.tapped(entry.key, name=name, classes=classes)
    return Tapped(OWN[entry.key](classes), operator.call, name=name)


def _row(name: str, entry: ZooEntry) -> NetworkSummary:
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
