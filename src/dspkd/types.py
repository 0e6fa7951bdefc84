"""The data that all packages share: a batch of images, a network's output for it, and a network's shape.

Axis suffixes used throughout: B images in a batch, K classes, D pooled channels, C map channels, H W rows and
columns of a map, N images in a table, L levels of a hierarchy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from dspkd.errors import DataError

V = TypeVar("V", int, Tensor)

ROTATED, STRONG = (1, 2, 3), (4,)
"""Numbers of the views derived from an image: rotated by so many quarter turns, and strongly augmented."""

TAPS = ("stride4", "stride8", "stride16", "stride32", "last")
"""Names of the feature maps that a network may offer, shallow to deep; `last` is the map that the classifier pools."""


@dataclass(frozen=True)
class Batch:
    """A batch of images, as every network and every term receives it.

    Attributes
    ----------
    images
        ``[B, 3, H, W]`` float, RGB in [0, 1]; each network normalises them itself.
    labels
        ``[B]`` int64, class numbers; -1 for an unlabelled image.
    index
        ``[B]`` int64, rows of the table that the images come from. Always in main memory, like `views`, even if the
        images are on a GPU.
    views
        ``[B]`` int64, the number of the augmented view. (index, view) identifies the pixels. A view derived from view v
        (rotated, strongly augmented) has a number of its own, see `derived_view`.
    strong_aug
        ``[B, 3, H, W]``, the same images, strongly augmented; None where no term needs them.
    other_labels, own_share
        ``[B]`` int64 and ``[B]`` float32 in [0, 1]: with MixUp, the class of the second image, and the share of the
        first, whose class is in `labels`. None where images are not mixed.
    other_index, other_views
        ``[B]`` int64, with MixUp: row and view of the second image, in main memory. None where images are not mixed.
    larger
        The same images at the teacher's size, where that is not the student's: the same crop of each, with its own
        `strong_aug`. None where both networks see the same.
    first, whole
        If several processes share each batch: the position of this share's first image in the whole batch, and the
        size of the whole batch. None if this is the whole batch.
    labelled
        Number of labelled images of the whole batch, which come first. None if all are labelled.
    soft_labels
        ``[B, K]`` float32, the weights of the classes, which sum to 1; with MixUp, those of both images, mixed. None
        where the data set gives an image one label; zeros for an unlabelled image.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    views: Tensor
    strong_aug: Tensor | None = None
    other_labels: Tensor | None = None
    own_share: Tensor | None = None
    other_index: Tensor | None = None
    other_views: Tensor | None = None
    larger: Batch | None = None
    first: int = 0
    whole: int | None = None
    labelled: int | None = None
    soft_labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Batch:
        """Return several batches as one; their tensors are joined, and the first has all else."""
        if len(parts) == 1:
            return parts[0]
        present = {item.name: [getattr(part, item.name) for part in parts] for item in fields(cls)}
        tensors: dict[str, Any] = {k: torch.cat(each) for k, each in present.items() if isinstance(each[0], Tensor)}
        larger = [part.larger for part in parts if part.larger]
        return replace(parts[0], **tensors, larger=cls.joined(larger) if larger else None)

    def labelled_part(self) -> Batch:
        """Return the labelled images of this share, as a share of the labelled images of the whole batch."""
        if self.labelled is None:
            return self
        own = max(0, min(self.labelled - self.first, len(self)))
        whole = self.whole and self.labelled
        return replace(self.rows(0, own), whole=whole, labelled=None)

    def draw(self, make: Callable[[int], Tensor]) -> Tensor:
        """Return random numbers for these images, ``[B, ...]``: their rows of what `make(N)` draws for N images.

        They are drawn for the whole batch, so that they do not depend on the number of processes.
        """
        return make(self.whole or len(self))[self.first : self.first + len(self)]

    def rows(self, first: int, last: int) -> Batch:
        """Return the images from `first` up to, but not including, `last`."""
        return self._each(lambda values: values[first:last])

    def take(self, places: Tensor) -> Batch:
        """Return the images at these places of the batch, in this order."""
        return self._each(lambda values: values[places])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`; the copy overlaps with computation when memory is pinned.

        Rows and views stay in main memory: the program reads them, and reading from a GPU would make it wait.
        """
        moved = self._each(lambda values: values.to(device, non_blocking=True))
        larger = self.larger.to(device) if self.larger else None
        read = {name: getattr(self, name) for name in ("index", "views", "other_index", "other_views")}
        return replace(moved, **read, larger=larger)

    def of_second_images(self) -> Batch:
        """Return a mixed batch with rows and views of the second image of each mixture; the images stay mixed."""
        assert self.other_index is not None, "the images are mixed"
        assert self.other_views is not None, "the images are mixed"
        return replace(self, index=self.other_index, views=self.other_views)

    def with_derived(self, *, rotated: bool, strong_aug: bool) -> Batch:
        """Return the batch followed by views derived from it: rotated by 90, 180 and 270 degrees, strongly augmented.

        Raises
        ------
        DataError
            `strong_aug` is true, and the batch has no strongly augmented images; or `rotated` is true, and the images
            are not square.
        """
        height, width = self.images.shape[-2:]
        if rotated and height != width:
            raise DataError(
                f"a term needs images rotated by quarter turns, and these are {height} x {width}; crop them to squares"
            )
        numbers = derived_views(rotated=rotated, strong_aug=strong_aug)
        derived = [torch.rot90(self.images, quarters, dims=(2, 3)) for quarters in (ROTATED if rotated else ())]
        if strong_aug:
            if self.strong_aug is None:
                raise DataError(
                    "a term needs strongly augmented images, which this loader does not yield: train by a recipe, or "
                    "yield dspkd.types.Batch with strong_aug"
                )
            derived.append(self.strong_aug)
        if not derived:
            return self
        copies = 1 + len(derived)

        def numbered(views: Tensor) -> Tensor:
            return torch.cat([views, *[derived_view(views, number) for number in numbers]])

        mixed = self.other_index is not None and self.other_views is not None
        return Batch(
            torch.cat([self.images, *derived]),
            self.labels.repeat(copies),
            self.index.repeat(copies),
            numbered(self.views),
            other_labels=None if self.other_labels is None else self.other_labels.repeat(copies),
            own_share=None if self.own_share is None else self.own_share.repeat(copies),
            other_index=self.other_index.repeat(copies) if mixed else None,  # type: ignore[union-attr]
            other_views=numbered(self.other_views) if mixed else None,  # type: ignore[arg-type]
            larger=self.larger.with_derived(rotated=rotated, strong_aug=strong_aug) if self.larger else None,
        )

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; called by a DataLoader that pins."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        present = {item.name: getattr(self, item.name) for item in fields(self)}
        changed: dict[str, Any] = {k: change(values) for k, values in present.items() if isinstance(values, Tensor)}
        return replace(self, **changed, larger=self.larger._each(change) if self.larger else None)


def derived_views(*, rotated: bool, strong_aug: bool) -> tuple[int, ...]:
    """Return the numbers of the views derived from each image."""
    return (ROTATED if rotated else ()) + (STRONG if strong_aug else ())


def derived_view(view: V, number: int) -> V:
    """Return the view number of derived view `number` of `view`: -(5v + n), unique."""
    return -(5 * view + number)


@dataclass(frozen=True)
class Output:
    """A network's output for a batch.

    Attributes
    ----------
    logits
        ``[B, K]``, before any softmax.
    pooled
        ``[B, D]``, the vector that the classifier reads.
    maps
        ``{tap: [B, C, H, W]}``, names out of `TAPS`.
    rotated
        The output for the batch's images rotated by 90 degrees, then by 180, then by 270: 3B rows. None where no term
        needs it.
    strong_aug
        The output for the strongly augmented images. None where no term needs it.
    """

    logits: Tensor
    pooled: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    rotated: Output | None = None
    strong_aug: Output | None = None

    def detach(self) -> Output:
        """Return the same output, detached from the computation graph."""
        return Output(
            self.logits.detach(),
            self.pooled.detach(),
            {tap: x.detach() for tap, x in self.maps.items()},
            self.rotated.detach() if self.rotated else None,
            self.strong_aug.detach() if self.strong_aug else None,
        )

    def rows(self, first: int, last: int) -> Output:
        """Return the output for the images from `first` up to, but not including, `last`."""
        maps = {tap: x[first:last] for tap, x in self.maps.items()}
        return Output(self.logits[first:last], self.pooled[first:last], maps)

    def first_images(self, count: int) -> Output:
        """Return the output for the first images of the batch, and for the views derived from them."""
        if count == len(self.logits):
            return self
        B, rotated = len(self.logits), self.rotated
        return replace(
            self.rows(0, count),
            rotated=rotated and rotated._each(lambda x: x.view(3, B, *x.shape[1:])[:, :count].flatten(0, 1)),
            strong_aug=self.strong_aug and self.strong_aug.rows(0, count),
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Output:
        return Output(change(self.logits), change(self.pooled), {tap: change(x) for tap, x in self.maps.items()})


@dataclass(frozen=True)
class NetworkSpec:
    """A network's shape: what a term may depend on when it is built.

    Attributes
    ----------
    classes
        K, the number of logits.
    pooled
        D, the width of the pooled vector.
    channels
        ``{tap: C}`` for each tap that the network offers.
    class_counts
        Training images per class, in class order; empty where there is no training set.
    class_draws
        Images of each class in an epoch. They differ from `class_counts` where classes are sampled more evenly than
        they occur; empty means that each image occurs once in an epoch.
    class_prior
        Of a teacher: the class shares that its logits reflect, from its own training; empty where they are unknown.
    """

    classes: int
    pooled: int
    channels: Mapping[str, int]
    class_counts: tuple[int, ...] = ()
    class_draws: tuple[int, ...] = ()
    class_prior: tuple[float, ...] = ()
