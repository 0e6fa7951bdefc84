import numpy as np
import pytest
import torch

from dspkd.data import read
from dspkd.data.decode import decode
from dspkd.data.loader import TrainBatches, in_order
from dspkd.data.mixup import Mixing
from dspkd.data.transforms import Augmentation, CentreCrop, strengthened
from dspkd.types import Batch


@pytest.fixture(scope="module")
def table(lesions):
    return read("isic2019", lesions)


def gathered(batches):
    batches = list(batches)
    names = [name for name, value in vars(batches[0]).items() if isinstance(value, torch.Tensor)]
    return {name: torch.cat([getattr(b, name) for b in batches]) for name in names}


def test_batches_do_not_depend_on_worker_processes(table):
    rows = np.arange(0, len(table), 3)
    loaders = [
        TrainBatches(
            table, rows, Augmentation(size=32), batch_size=16, seed=5, balance=0.5, strong_aug=True, workers=workers
        )
        for workers in (0, 2)
    ]
    for epoch in (0, 1, 0):
        alone, shared = (gathered(batches.epoch(epoch)) for batches in loaders)
        assert set(alone) == {"images", "labels", "index", "views", "strong_aug"}
        for name in alone:
            assert torch.equal(alone[name], shared[name]), (epoch, name)


def test_images_match_their_row_and_view(table):
    augment = Augmentation(size=32)
    batches = TrainBatches(table, np.arange(40), augment, batch_size=8, seed=5, balance=1.0)
    for batch in batches.epoch(2):
        for image, label, row, view in zip(batch.images, batch.labels, batch.index, batch.views, strict=True):
            decoded = decode(table.paths[row], short_side=augment.decode_side)
            assert torch.equal(image, augment(decoded, name=table.ids[row], view=int(view), seed=5))
            assert label == table.labels[row]


def test_a_batch_is_channels_last(table):
    """Converting it would cost as much as augmenting some of its images."""
    batch = next(TrainBatches(table, np.arange(40), Augmentation(size=32), batch_size=8).epoch(0))
    assert batch.images.shape == (8, 3, 32, 32)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_strongly_augmented_images_are_optional_and_made_from_the_others(table):
    plain, strong = (
        next(
            TrainBatches(
                table, np.arange(40), Augmentation(size=32), batch_size=8, seed=5, strong_aug=strong_aug
            ).epoch(2)
        )
        for strong_aug in (False, True)
    )
    assert plain.strong_aug is None
    assert torch.equal(plain.images, strong.images)
    for image, stronger, row, view in zip(strong.images, strong.strong_aug, strong.index, strong.views, strict=True):
        again = strengthened(image, name=table.ids[row], view=int(view), seed=5)
        assert torch.equal(stronger, again)


def test_an_epoch_has_only_the_given_rows_in_full_batches(table):
    rows = np.arange(10, 47)
    batches = TrainBatches(table, rows, Augmentation(size=32), batch_size=8, seed=5)
    sizes = [len(batch) for batch in batches.epoch(0)]
    assert sizes == [8] * 4
    assert len(batches) == 4
    assert set(gathered(batches.epoch(0))["index"].tolist()) < set(rows.tolist())


def test_fewer_images_than_a_batch_make_one_batch(table):
    batches = TrainBatches(table, np.arange(5), Augmentation(size=32), batch_size=64)
    assert [len(batch) for batch in batches.epoch(0)] == [5]


def test_evaluation_images_are_complete_and_in_order(table):
    rows = np.array([7, 3, 11, 2, 9])
    batches = gathered(in_order(table, rows, CentreCrop(size=32), batch_size=2))
    assert batches["index"].tolist() == rows.tolist()
    assert batches["labels"].tolist() == table.labels[rows].tolist()


@pytest.mark.parametrize("pinned", [False, True])
def test_mixed_images_are_pinned(table, pinned, monkeypatch):
    """The loader pins images before mixing, so mixed ones are pinned again."""
    pinned_batches = []
    monkeypatch.setattr(Batch, "pin_memory", lambda self: pinned_batches.append(self) or self)
    batches = TrainBatches(table, np.arange(40), Augmentation(size=32), batch_size=8, mixing=Mixing(mixup=0.5))
    batches._pin = pinned
    given = list(batches.epoch(0))
    assert pinned_batches == (given if pinned else [])
