"""Reasons why a figure of ours is not comparable with the paper's, numbered."""

from __future__ import annotations

from collections.abc import Iterable

from dspkd.experiments.paper.datasets import PaperImages
from dspkd.experiments.paper.scale import FULL, Scale


class Reasons:
    """Collect reasons, and number them."""

    def __init__(self) -> None:
        self.listed: list[str] = []

    def number(self, reasons: Iterable[str]) -> tuple[int, ...]:
        """Return the numbers, from 1, of these reasons."""
        numbers = set()
        for reason in reasons:
            if reason not in self.listed:
                self.listed.append(reason)
            numbers.add(self.listed.index(reason) + 1)
        return tuple(sorted(numbers))


def of_training(scale: Scale, dataset: PaperImages, paper_data: str) -> list[str]:
    """Return the reasons that hold for every trained row."""
    listed = []
    if paper_data == "PSD":
        listed.append(f"data: the paper's PSD-Dataset is private; ours is {dataset.called}")
    elif not dataset.same:
        listed.append(f"data: the paper has ISIC 2019; ours is {dataset.called}")
    listed.append(
        f"split: ours is {dataset.split}, the paper's is not known; by image, 62.7 % of a 10 % test set of ISIC "
        "2019 shows lesions of the training set"
    )
    if scale.size != FULL.size:
        listed.append(f"resolution: ours is {scale.size} px; the paper prints none, and its FLOPs fit {FULL.size}")
    if scale.weights == "none":
        listed.append("initial weights: ours are random; the paper's are not known, and ImageNet's are usual")
    listed.append(
        f"training: {scale.epochs} epochs, rates, batches, loss weights and augmentation are ours (inferred); the "
        "paper's are not known"
    )
    seeds = "a mean over seeds" if scale.seeds > 1 else "one seed"
    return [*listed, f"spread: the paper prints one number and no spread, ours is {seeds}"]


def of_networks(scale: Scale, teacher: str) -> list[str]:
    """Return which networks stand in for the paper's with one of its teachers."""
    ours = scale.networks
    listed = []
    if ours.student != FULL.networks.student:
        listed.append(f"student: {ours.student} stands in for ShuffleNetV2")
    if ours.teachers[teacher] != FULL.networks.teachers[teacher]:
        listed.append(f"teacher: {ours.teachers[teacher]} stands in for {teacher}")
    return listed
