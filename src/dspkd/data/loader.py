"""Loaders: batches of a table's images for training and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dspkd.data.decode import decode
from dspkd.data.mixup import Mixing, Segment
from dspkd.data.sampling import epoch_order, in_passes
from dspkd.data.table import Table
from dspkd.data.transforms import RGB, Augmentation, CentreCrop, strengthened, to_unit
from dspkd.runtime.distributed import SINGLE, World, require_enough
from dspkd.runtime.seeds import seed_for
from dspkd.types import Batch

Key = tuple[int, int]
"""(row of the table, view): names a transformed image."""

Decode = Callable[[int], RGB]
"""A function that returns the decoded image of a row of the table."""

Item = tuple[RGB, int, int, int, Tensor | None, tuple[RGB, Tensor | None] | None]
"""Image in uint8, label, row, view, the strongly augmented image or None; both larger, or None."""


class Larger(NamedTuple):
    """A second size of the same images, for a teacher.

    Attributes
    ----------
    size
        Side in pixels.
    decoded
        Returns the image of a row at 1.5 times this size; None decodes the file each time.
    """

    size: int
    decoded: Decode | None = None


class ImageDataset(Dataset[Item]):
    """The transformed images of a table, each a pure function of (row, view).

    Parameters
    ----------
    table
        All images.
    transform
        From a decoded image to a network's input.
    seed
        Of the transform's random numbers.
    strong_aug
        Also return a strongly augmented version of each image, see `dspkd.data.transforms.strengthened`.
    decoded
        Returns the image of a row, at the transform's `decode_side` and without its `artefacts`; None decodes the file
        each time.
    larger
        Also return each image at a second size, with an `Augmentation` only.
    """

    def __init__(
        self,
        table: Table,
        transform: Augmentation | CentreCrop,
        *,
        seed: int = 0,
        strong_aug: bool = False,
        decoded: Decode | None = None,
        larger: Larger | None = None,
    ) -> None:
        self.table, self.transform, self.seed, self.strong_aug = table, transform, seed, strong_aug
        self._decoded = decoded or partial(self._decode, transform.decode_side)
        self._larger = larger

    def __getitem__(self, key: Key) -> Item:
        row, view = key
        decoded = self._decoded(row)
        image = self.transform.pixels(decoded, name=self.table.ids[row], view=view, seed=self.seed)
        larger = self._at_larger_size(decoded.shape[:2], row, view) if self._larger else None
        return image, int(self.table.labels[row]), row, view, self._strengthened(image, row, view), larger

    def _at_larger_size(self, drawn_on: tuple[int, ...], row: int, view: int) -> tuple[RGB, Tensor | None]:
        assert self._larger
        assert isinstance(self.transform, Augmentation)
        size, name = self._larger.size, self.table.ids[row]
        decoded = (self._larger.decoded or partial(self._decode, replace(self.transform, size=size).decode_side))(row)
        image = self.transform.pixels_at(size, decoded, drawn_on, name=name, view=view, seed=self.seed)
        return image, self._strengthened(image, row, view)

    def _strengthened(self, image: RGB, row: int, view: int) -> Tensor | None:
        if not self.strong_aug:
            return None
        return strengthened(to_unit(image), name=self.table.ids[row], view=view, seed=self.seed)

    def _decode(self, side: int, row: int) -> RGB:
        return decode(self.table.paths[row], short_side=side, artefacts=self.transform.artefacts)


class TrainBatches:
    """Batches for training, one epoch at a time.

    Parameters
    ----------
    table
        All images.
    rows
        Rows of the training set.
    transform, seed
        See `ImageDataset`; the seed also determines the order.
    views
        Number of views (random transforms) of each image; they then do not depend on `seed`, so that cached teacher
        outputs for them serve runs of every seed. None draws new views in every epoch.
    batch_size
        Images in a batch. Those left over at the end of an epoch are dropped (a batch of one would upset batch
        normalisation), unless there is less than one batch in all.
    balance
        See `dspkd.data.sampling.epoch_order`.
    strong_aug
        Also return `Batch.strong_aug`.
    mixing
        Mixes the images of each batch of an epoch; None does not mix.
    decoded, larger
        See `ImageDataset`.
    workers
        Loader processes; 0 loads in this one. Results do not depend on it.
    pin
        Return batches in page-locked memory, for a GPU.
    world
        Processes that share each batch of an epoch; this one loads its own images only.
    unlabelled
        Rows of images without labels, which are drawn after the labelled ones of each batch. An epoch is one of the
        labelled images.
    ratio
        Unlabelled images of a batch for each labelled one.

    Raises
    ------
    RunError
        A batch has too few images for so many ranks.
    """

    def __init__(
        self,
        table: Table,
        rows: NDArray[np.int64],
        transform: Augmentation,
        *,
        batch_size: int,
        seed: int = 0,
        views: int | None = None,
        balance: float = 0.0,
        strong_aug: bool = False,
        mixing: Mixing | None = None,
        decoded: Decode | None = None,
        larger: Larger | None = None,
        workers: int = 0,
        pin: bool = False,
        world: World = SINGLE,
        unlabelled: NDArray[np.int64] | None = None,
        ratio: float = 1.0,
    ) -> None:
        self._mixing, self._world = mixing, world
        self._soft_labels = None if table.soft_labels is None else torch.from_numpy(table.soft_labels)
        self.rows, self.labels = rows, table.labels[rows]
        self.batch_size, self.seed, self.views, self.balance = min(batch_size, len(rows)), seed, views, balance
        self.unlabelled = np.empty(0, dtype=np.int64) if unlabelled is None else unlabelled
        self._beside = max(1, round(ratio * self.batch_size)) if len(self.unlabelled) else 0
        require_enough(self.batch_size + self._beside, world)
        self._batches: list[list[Key]] = []
        images = ImageDataset(
            table, transform, seed=0 if views else seed, strong_aug=strong_aug, decoded=decoded, larger=larger
        )
        self._loader, self._pin = _loader(images, self._batches, workers, pin), pin

    def __len__(self) -> int:
        return len(self.rows) // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield this rank's share of each batch of epoch `number`, counted over all stages."""
        B, whole = self.batch_size, self.batch_size + self._beside
        mine = self._world.shares(whole)[self._world.rank]
        # An image is mixed with the one before it among those of its kind, which may belong to another rank.
        kinds = [range(B), range(B, whole)] if self._beside else [range(B)]
        segments = [segment for kind in kinds if (segment := Segment.of(kind, mine, mixed=bool(self._mixing)))]
        places = [place for segment in segments for place in segment.loaded]
        batches = self.show([[keys[place] for place in places] for keys in self.batches(number)])
        for step, loaded in enumerate(batches):
            batch = self._mixed(loaded, segments, number, step)
            shared = len(mine) < whole
            yield replace(
                batch,
                first=mine.start if shared else 0,
                whole=whole if shared else None,
                labelled=B if self._beside else None,
            )

    def _mixed(self, batch: Batch, segments: list[Segment], number: int, step: int) -> Batch:
        if self._mixing is None:
            return batch
        parts, first, seed = [], 0, seed_for(self.seed, "mix", number, step)
        for segment in segments:
            last = first + len(segment.loaded)
            parts.append(self._mixing(batch.rows(first, last), seed=seed).rows(segment.before, last - first))
            first = last
        mixed = Batch.joined(parts)
        return mixed.pin_memory() if self._pin else mixed  # the loader pinned the images before mixing

    def batches(self, number: int) -> list[list[Key]]:
        """Return the images of each whole batch of epoch `number`: labelled ones, then unlabelled ones."""
        positions, views = epoch_order(
            self.labels, seed=self.seed, epoch=number, balance=self.balance, views=self.views
        )
        labelled = list(zip(self.rows[positions].tolist(), views.tolist(), strict=True))
        beside = self._unlabelled_keys(number)
        B, U = self.batch_size, self._beside
        return [labelled[i * B : (i + 1) * B] + beside[i * U : (i + 1) * U] for i in range(len(self))]

    def _unlabelled_keys(self, number: int) -> list[Key]:
        if not self._beside:
            return []
        count = len(self) * self._beside
        places, views = in_passes(len(self.unlabelled), count, seed=self.seed, epoch=number, views=self.views)
        return list(zip(self.unlabelled[places].tolist(), views.tolist(), strict=True))

    def keys(self, number: int, *, unlabelled: bool = True) -> list[Key]:
        """Return the images of epoch `number`, batch by batch; without `unlabelled`, the labelled ones alone."""
        last = None if unlabelled else self.batch_size
        return [key for keys in self.batches(number) for key in keys[:last]]

    def show(self, images: Sequence[list[Key]]) -> Iterator[Batch]:
        """Yield batches of these images, without mixing."""
        self._batches[:] = images
        for batch in self._loader:
            yield batch if self._soft_labels is None else replace(batch, soft_labels=self._soft_labels[batch.index])


def in_order(
    table: Table,
    rows: Sequence[int] | NDArray[np.int64],
    transform: CentreCrop,
    *,
    batch_size: int,
    decoded: Decode | None = None,
    workers: int = 0,
    pin: bool = False,
    world: World = SINGLE,
) -> DataLoader[Batch]:
    """Return a loader for evaluation: batches of the images in `rows`, in that order.

    Ranks take whole batches in turn, so that the composition of a batch does not depend on their number.
    """
    keys = [(int(row), 0) for row in rows]
    images = ImageDataset(table, transform, decoded=decoded)
    batches = [keys[i : i + batch_size] for i in range(0, len(keys), batch_size)]
    return _loader(images, batches[world.rank :: world.size], workers, pin)


def _loader(images: ImageDataset, batches: list[list[Key]], workers: int, pin: bool) -> DataLoader[Batch]:
    """Return a loader of `batches`; the list is read here at the start of each epoch, so it may change in between."""
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=cast("Any", batches),  # torch's annotations allow integers only
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin,
        collate_fn=_collate,
    )
    return loader


def _collate(items: list[Item]) -> Batch:
    images, labels, index, views, strong_aug, larger = zip(*items, strict=True)
    numbers = torch.tensor(labels), torch.tensor(index), torch.tensor(views)
    batch = Batch(to_unit(np.stack(images)), *numbers, _stacked(strong_aug))
    if larger[0] is None:
        return batch
    larger_images, larger_strong_aug = zip(*larger, strict=True)
    return replace(batch, larger=Batch(to_unit(np.stack(larger_images)), *numbers, _stacked(larger_strong_aug)))


def _stacked(images: Sequence[Tensor | None]) -> Tensor | None:
    return None if images[0] is None else torch.stack([image for image in images if image is not None])
