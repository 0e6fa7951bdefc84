"""Why a figure of ours does not compare with the paper's, each reason once and numbered."""

from __future__ import annotations

from collections.abc import Iterable

from dspkd.experiments.paper.datasets import PaperImages
from dspkd.experiments.paper.scale import FULL, Scale


class Reasons:
    """Collects reasons, and gives each its number."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def number(self, reasons: Iterable[str]) -> tuple[int, ...]:
        """Return the numbers, from 1, of these reasons."""
        numbers = set()
        for reason in reasons:
            if reason not in self.told:
                self.told.append(reason)
            numbers.add(self.told.index(reason) + 1)
        return tuple(sorted(numbers))


def of_training(scale: Scale, dataset: PaperImages, paper_data: str) -> list[str]:
    """Return what holds for every trained row."""
    said = []
    if paper_data == "PSD":
        said.append(f"data: the paper's PSD-Dataset is private, which nobody can check; ours is {dataset.called}")
    elif not dataset.same:
        said.append(f"data: the paper has ISIC 2019; ours is {dataset.called}")
    said.append(
        "split: ours is by lesion or patient, the paper's is not known; by image, 62.7 % of a 10 % test set of ISIC "
        "2019 shows lesions that were trained on"
    )
    if scale.size != FULL.size:
        said.append(f"resolution: ours is {scale.size} px; the paper prints none, and its FLOPs fit {FULL.size}")
    if scale.weights == "none":
        said.append("first weights: ours are random; the paper's are not known, and ImageNet's are usual")
    said.append(
        f"training: {scale.epochs} epochs, rates, batches, loss weights and augmentation are ours (inferred); the "
        "paper's are not known"
    )
    seeds = "a mean over seeds" if scale.seeds > 1 else "one seed"
    return [*said, f"spread: the paper prints one number and no spread, ours is {seeds}"]


def of_networks(scale: Scale, teacher: str) -> list[str]:
    """Return which networks stand for the paper's under one of its teachers."""
    ours = scale.networks
    said = []
    if ours.student != FULL.networks.student:
        said.append(f"student: {ours.student} stands for ShuffleNetV2")
    if ours.teachers[teacher] != FULL.networks.teachers[teacher]:
        said.append(f"teacher: {ours.teachers[teacher]} stands for {teacher}")
    return said
