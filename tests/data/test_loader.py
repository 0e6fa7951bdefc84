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


def test_worker_processes_do_not_change_a_single_bit(table):
    rows = np.arange(0, len(table), 3)
    made = [
        TrainBatches(
            table, rows, Augmentation(size=32), batch_size=16, seed=5, balance=0.5, strong_aug=True, workers=workers
        )
        for workers in (0, 2)
    ]
    for epoch in (0, 1, 0):
        alone, shared = (gathered(batches.epoch(epoch)) for batches in made)
        assert set(alone) == {"images", "labels", "index", "views", "strong_aug"}
        for name in alone:
            assert torch.equal(alone[name], shared[name]), (epoch, name)


def test_a_batch_says_truly_which_image_is_which(table):
    augment = Augmentation(size=32)
    batches = TrainBatches(table, np.arange(40), augment, batch_size=8, seed=5, balance=1.0)
    for batch in batches.epoch(2):
        for image, label, row, view in zip(batch.images, batch.labels, batch.index, batch.views, strict=True):
            decoded = decode(table.paths[row], short_side=augment.decode_side)
            assert torch.equal(image, augment(decoded, name=table.ids[row], view=int(view), seed=5))
            assert label == table.labels[row]


def test_a_batch_lies_in_memory_as_the_networks_want_it(table):
    """Turning it would cost as much as making some of its images."""
    batch = next(TrainBatches(table, np.arange(40), Augmentation(size=32), batch_size=8).epoch(0))
    assert batch.images.shape == (8, 3, 32, 32)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_strong_images_are_made_from_the_others_and_only_if_asked_for(table):
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


def test_only_the_rows_asked_for_are_shown_and_what_is_left_of_an_epoch_is_not_a_small_batch(table):
    rows = np.arange(10, 47)
    batches = TrainBatches(table, rows, Augmentation(size=32), batch_size=8, seed=5)
    sizes = [len(batch) for batch in batches.epoch(0)]
    assert sizes == [8] * 4
    assert len(batches) == 4
    assert set(gathered(batches.epoch(0))["index"].tolist()) < set(rows.tolist())


def test_fewer_images_than_a_batch_make_one_batch(table):
    batches = TrainBatches(table, np.arange(5), Augmentation(size=32), batch_size=64)
    assert [len(batch) for batch in batches.epoch(0)] == [5]


def test_images_that_judge_come_in_order_all_of_them(table):
    rows = np.array([7, 3, 11, 2, 9])
    shown = gathered(in_order(table, rows, CentreCrop(size=32), batch_size=2))
    assert shown["index"].tolist() == rows.tolist()
    assert shown["labels"].tolist() == table.labels[rows].tolist()


@pytest.mark.parametrize("pinned", [False, True])
def test_mixed_images_are_pinned_as_single_ones_are(table, pinned, monkeypatch):
    """What a loader pins is what it was given to mix."""
    made = []
    monkeypatch.setattr(Batch, "pin_memory", lambda self: made.append(self) or self)
    batches = TrainBatches(table, np.arange(40), Augmentation(size=32), batch_size=8, mixing=Mixing(mixup=0.5))
    batches._pin = pinned
    given = list(batches.epoch(0))
    assert made == (given if pinned else [])
