from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from dspkd.data import read
from dspkd.data.loader import TrainBatches
from dspkd.data.mixup import Mixing
from dspkd.data.transforms import Augmentation
from dspkd.types import Batch

UP, CUT, BOTH = Mixing(mixup=0.4), Mixing(cutmix=1.0), Mixing(mixup=0.4, cutmix=1.0)


def batch_of(size=6, *, strong_aug=False, side=16):
    """Return images of one value each, so that a mixture can be decomposed."""
    rows = torch.arange(size)
    images = ((rows + 1.0) / 10)[:, None, None, None].expand(size, 3, side, side).clone()
    return Batch(images, rows * 2, rows, rows + 5, images / 2 if strong_aug else None)


@pytest.mark.parametrize("mixing", [UP, CUT, BOTH])
def test_own_share_and_other_labels_describe_each_mixture(mixing):
    for seed in range(30):
        batch = batch_of()
        mixed = mixing(batch, seed=seed)
        torch.testing.assert_close(mixed.other_labels, torch.tensor([10, 0, 2, 4, 6, 8]))
        own, other = batch.images[:, 0, 0, 0], batch.images.roll(1, 0)[:, 0, 0, 0]
        expected = mixed.own_share * own + (1 - mixed.own_share) * other
        torch.testing.assert_close(mixed.images.mean(dim=(1, 2, 3)), expected)
        assert 0 <= mixed.own_share.min() <= mixed.own_share.max() <= 1
        assert (mixed.labels, mixed.index, mixed.views) == (batch.labels, batch.index, batch.views)


def test_mixing_is_a_function_of_batch_and_seed():
    batch = batch_of()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = BOTH(batch, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(batch.images, batch_of().images)
    assert torch.equal(first.images, BOTH(batch, seed=1).images)
    assert not torch.equal(first.images, BOTH(batch, seed=2).images)


def test_mixup_blends_whole_images_and_cutmix_pastes_a_rectangle():
    for seed in range(10):
        assert all(len(image.unique()) == 1 for image in UP(batch_of(), seed=seed).images)
        pasted = CUT(batch_of(), seed=seed)
        foreign = pasted.images[1, 0] == batch_of().images[0, 0]
        rows, columns = foreign.any(dim=1), foreign.any(dim=0)
        assert torch.equal(foreign, rows[:, None] & columns)
        assert foreign.float().mean().item() == pytest.approx(1 - pasted.own_share[1].item(), abs=1e-6)


def test_each_batch_has_either_mixup_or_cutmix():
    # A rectangle that covers nothing or everything counts as blended, too, which happens now and then.
    blended = [len(BOTH(batch_of(), seed=seed).images[0].unique()) == 1 for seed in range(200)]
    assert 80 < sum(blended) < 140


def test_shares_follow_the_beta_distribution():
    shares = np.array([Mixing(mixup=0.2)(batch_of(2, side=1), seed=seed).own_share[0] for seed in range(600)])
    assert shares.mean() == pytest.approx(0.5, abs=0.06)
    assert shares.var() == pytest.approx(0.25 / 1.4, abs=0.02)  # alpha^2 / ((2 alpha)^2 (2 alpha + 1))


@pytest.mark.parametrize(("mixing", "way"), [(Mixing(mixup=0.3), v2.MixUp), (Mixing(cutmix=0.7), v2.CutMix)])
def test_images_and_labels_are_those_of_torchvision(mixing, way):
    batch = batch_of()
    mixed = mixing(batch, seed=11)
    torch.manual_seed(11)
    torch.randint(1, ())
    images, soft_BK = way(alpha=mixing.mixup or mixing.cutmix, num_classes=11)(batch.images, batch.labels)
    assert torch.equal(mixed.images, images)
    own_BK, other_BK = (torch.eye(11)[labels] for labels in (mixed.labels, mixed.other_labels))
    share_B1 = mixed.own_share[:, None]
    torch.testing.assert_close(share_B1 * own_BK + (1 - share_B1) * other_BK, soft_BK)


def test_strong_images_are_mixed_in_the_same_way():
    mixed = CUT(batch_of(strong_aug=True), seed=3)
    torch.testing.assert_close(mixed.strong_aug, mixed.images / 2)


def test_a_batch_of_one_is_mixed_with_itself():
    mixed = BOTH(batch_of(1), seed=0)
    torch.testing.assert_close(mixed.images, batch_of(1).images)
    assert torch.equal(mixed.other_labels, mixed.labels)


def test_a_mixed_batch_moves_as_a_whole():
    moved = UP(batch_of(), seed=0).to(torch.device("meta"))
    assert {moved.images.device.type, moved.other_labels.device.type, moved.own_share.device.type} == {"meta"}


def test_mixing_is_reproducible_and_differs_by_step_epoch_and_seed(lesions):
    table = read("isic2019", lesions)
    rows = np.arange(24)

    def epoch(number, mixing, seed=0):
        batches = TrainBatches(table, rows, Augmentation(size=16), batch_size=8, seed=seed, views=1, mixing=mixing)
        return list(batches.epoch(number))

    first, again, single = epoch(0, UP), epoch(0, UP), epoch(0, None)
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a.index, b.index) for a, b in zip(first, single, strict=True))
    assert single[0].other_labels is None
    shares = [batch.own_share[0].item() for batch in first + epoch(1, UP) + epoch(0, UP, seed=1)]
    assert len(set(shares)) == 9
    for mixed, batch in zip(first, single, strict=True):
        share = mixed.own_share[0]
        torch.testing.assert_close(mixed.images, share * batch.images + (1 - share) * batch.images.roll(1, 0))


@pytest.mark.parametrize("mixing", [UP, CUT])
def test_larger_images_are_mixed_with_the_same_share_and_rectangle(mixing):
    for seed in range(10):
        larger = batch_of(strong_aug=True, side=48)
        mixed = mixing(replace(batch_of(strong_aug=True), larger=larger), seed=seed)
        for small, large in ((mixed.images, mixed.larger.images), (mixed.strong_aug, mixed.larger.strong_aug)):
            assert torch.equal(large, small.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3))
