"""Batches of any loader, checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dspkd.errors import DataError
from dspkd.types import Batch


class LoaderBatches:
    """A loader as `dspkd.training.loop.Batches`.

    Parameters
    ----------
    loader
        Yields ``(images, labels)`` or `Batch`.
    classes
        K, where labels must be in [0, K); None where no term reads them.
    """

    def __init__(self, loader: DataLoader[Any], classes: int | None) -> None:
        self._loader, self._classes = loader, classes

    def __len__(self) -> int:
        return len(self._loader)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; a sampler with ``set_epoch`` receives its number.

        Raises
        ------
        DataError
            The loader yields more or fewer batches than its length says.
        """
        set_epoch = getattr(getattr(self._loader, "sampler", None), "set_epoch", None)
        if set_epoch is not None:
            set_epoch(number)
        yielded = 0
        for batch in batches_of(self._loader, "loader", classes=self._classes, view=number):
            yielded += 1
            if yielded > len(self):
                break
            yield batch
        if yielded != len(self):
            came = "more" if yielded > len(self) else f"{yielded}"
            raise DataError(
                f"loader: has a length of {len(self)} batches and yielded {came}; correct __len__ of its dataset"
            )


def first_batch(loader: DataLoader[Any]) -> Batch:
    """Return one batch of a training loader.

    Raises
    ------
    DataError
        The loader has no length or no batch, or the batch is not ``(images, labels)``.
    """
    try:
        steps = len(loader)
    except TypeError:
        raise DataError("loader: has no length; use a DataLoader of a dataset that has one") from None
    batch = next(batches_of(loader, "loader"), None) if steps else None
    if batch is None:
        raise DataError("loader: yields no batch")
    return batch


def batches_of(loader: Iterable[Any], place: str, *, classes: int | None = None, view: int = 0) -> Iterator[Batch]:
    """Yield what a loader yields as `Batch`, its images numbered in their order.

    Raises
    ------
    DataError
        A batch is not ``(images, labels)``, has no image, or (on a CPU) a value that is not finite; or a label is not
        in [0, `classes`). The message begins with `place`.
    """
    first = 0
    for number, item in enumerate(loader, start=1):
        if isinstance(item, Batch):
            batch = item
        else:
            images, labels = _pair(item, place)
            index = torch.arange(first, first + len(labels))
            first += len(labels)
            batch = Batch(images, labels.long(), index, torch.full_like(index, view))
        if not len(batch.images):
            raise DataError(f"{place}: batch {number} has no image; leave it out")
        if batch.images.device.type == "cpu" and not (finite_B := batch.images.flatten(1).isfinite().all(dim=1)).all():
            raise DataError(
                f"{place}: image {int(finite_B.int().argmin())} (from 0) of batch {number} has values that are not "
                "finite; correct it or leave it out"
            )
        if classes is not None:
            labels = batch.labels[: batch.labelled]
            outside = labels[(labels < 0) | (labels >= classes)]
            if len(outside):
                raise DataError(
                    f"{place}: label {outside[0].item()}, but the student has {classes} classes, 0 to {classes - 1}; "
                    "number the classes from 0, leave out images without a class, or give the student more outputs"
                )
        yield batch


def _pair(item: Any, place: str) -> tuple[Tensor, Tensor]:
    if isinstance(item, list | tuple) and len(item) >= 2:
        images, labels = item[0], item[1]
        if (
            isinstance(images, Tensor)
            and isinstance(labels, Tensor)
            and images.is_floating_point()
            and images.ndim == 4
            and labels.ndim == 1
            and not labels.is_floating_point()
            and len(images) == len(labels)
        ):
            return images, labels
    parts = item if isinstance(item, list | tuple) else [item]
    came = ", ".join(
        f"{str(part.dtype).removeprefix('torch.')} {list(part.shape)}"
        if isinstance(part, Tensor)
        else type(part).__name__
        for part in parts
    )
    raise DataError(f"{place}: a batch is {came}; want (images, labels): float [B, 3, H, W] and integer [B]")
