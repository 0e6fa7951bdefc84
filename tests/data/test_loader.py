import numpy as np
import pytest
import torch

from dspkd.data import read
from dspkd.data.decode import decode
from dspkd.data.loader import Larger, TrainBatches, in_order
from dspkd.data.mixup import Mixing
from dspkd.data.transforms import Augmentation, CentreCrop, strengthened, to_unit
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


def test_a_second_size_is_the_same_view_and_leaves_the_first_as_it_is(table):
    settings = {"batch_size": 8, "seed": 5, "strong_aug": True}
    augment, seen = Augmentation(size=32, num_ops=1), Augmentation(size=48, num_ops=1)
    plain = next(TrainBatches(table, np.arange(40), augment, **settings).epoch(0))
    batch = next(TrainBatches(table, np.arange(40), augment, **settings, larger=Larger(48)).epoch(0))
    assert torch.equal(batch.images, plain.images)
    assert torch.equal(batch.strong_aug, plain.strong_aug)
    assert plain.larger is None
    assert batch.larger.images.shape == (8, 3, 48, 48)
    for image, strong, row, view in zip(
        batch.larger.images, batch.larger.strong_aug, batch.index.tolist(), batch.views.tolist(), strict=True
    ):
        key = {"name": table.ids[row], "view": view, "seed": 5}
        small, large = (decode(table.paths[row], short_side=each.decode_side) for each in (augment, seen))
        assert torch.equal(image, to_unit(augment.pixels_at(48, large, small.shape[:2], **key)))
        assert torch.equal(strong, strengthened(image, **key))


def test_larger_images_follow_their_batch(table):
    batches = TrainBatches(
        table, np.arange(40), Augmentation(size=32), batch_size=8, strong_aug=True, larger=Larger(48)
    )
    batch = next(batches.epoch(0))
    rotated = batch.with_derived(rotated=True, strong_aug=True)
    assert torch.equal(rotated.larger.images[8:16], torch.rot90(batch.larger.images, 1, dims=(2, 3)))
    assert torch.equal(rotated.larger.images[-8:], batch.larger.strong_aug)
    places = torch.tensor([5, 2])
    assert torch.equal(batch.take(places).larger.images, batch.larger.images[places])
    assert torch.equal(batch.rows(2, 4).larger.images, batch.larger.images[2:4])
    assert batch.to(torch.device("meta")).larger.images.device.type == "meta"
    assert batch.to(torch.device("meta")).larger.index.device.type == "cpu"
