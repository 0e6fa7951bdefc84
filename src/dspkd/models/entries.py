"""The networks of ours: their names, where each comes from, and what the paper prints of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
    least_side: int = 1
    """Smallest image in pixels."""


ENTRIES = {
    "res2net101": ZooEntry("timm", "res2net101_26w_4s.in1k", 43.174, 8.102, "a teacher in the paper"),
    "convnext_base": ZooEntry("timm", "convnext_base.fb_in1k", 87.575, 15.383, "a teacher in the paper", 32),
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
