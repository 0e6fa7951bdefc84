import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dspkd.data.sampling import class_draws, epoch_order

labels_of = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda x: np.array(x, dtype=np.int64))


@given(labels=labels_of, seed=st.integers(0, 10**6), epoch=st.integers(0, 50))
def test_without_balance_each_image_is_drawn_once_and_the_view_is_the_epoch(labels, seed, epoch):
    positions, views = epoch_order(labels, seed=seed, epoch=epoch)
    assert sorted(positions) == list(range(len(labels)))
    assert set(views) == {epoch}


@given(labels=labels_of, seed=st.integers(0, 99), balance=st.floats(0, 1))
def test_no_view_is_drawn_twice(labels, seed, balance):
    epochs = [epoch_order(labels, seed=seed, epoch=epoch, balance=balance) for epoch in range(4)]
    images = [image for positions, views in epochs for image in zip(positions, views, strict=True)]
    assert len(set(images)) == len(images) == 4 * len(labels)


def test_full_balance_draws_all_classes_equally_often_and_each_image_before_repeating():
    labels = np.repeat([0, 1, 2], [90, 25, 5])
    positions, _ = epoch_order(labels, seed=1, epoch=0, balance=1.0)
    assert np.bincount(labels[positions]).tolist() == [40, 40, 40]
    times = np.bincount(positions, minlength=120)
    assert times[:90].max() == 1
    assert set(times[90:115]) == {1, 2}
    assert set(times[115:]) == {8}


@given(labels=labels_of, balance=st.floats(0, 1))
def test_class_draws_are_the_counts_of_an_epoch(labels, balance):
    positions, _ = epoch_order(labels, seed=0, epoch=0, balance=balance)
    counts = np.bincount(labels, minlength=7)
    assert class_draws(counts, balance=balance).tolist() == np.bincount(labels[positions], minlength=7).tolist()


def test_half_balance_follows_the_square_root_of_the_counts():
    labels = np.repeat([0, 1], [900, 100])
    positions, _ = epoch_order(labels, seed=1, epoch=0, balance=0.5)
    assert np.bincount(labels[positions]).tolist() == [750, 250]


def test_a_class_of_one_image_among_thousands_is_drawn():
    labels = np.repeat([0, 1], [5000, 1])
    positions, _ = epoch_order(labels, seed=0, epoch=0)
    assert 5000 in positions


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}])
def test_order_depends_on_seed_and_epoch_only(other):
    labels = np.arange(50) % 3
    first, _ = epoch_order(labels, seed=0, epoch=0)
    torch.manual_seed(9)
    again, _ = epoch_order(labels, seed=0, epoch=0)
    assert first.tolist() == again.tolist()
    assert first.tolist() != epoch_order(labels, **{"seed": 0, "epoch": 0, **other})[0].tolist()


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_a_view_is_repeated_only_after_all_others(balance):
    labels = np.repeat([0, 1, 2], [96, 12, 6])
    images = []
    for epoch in range(9):
        positions, views = epoch_order(labels, seed=1, epoch=epoch, balance=balance, views=64)
        assert set(views[labels[positions] == 0]) == {epoch}
        images += zip(positions.tolist(), views.tolist(), strict=True)
    assert len(set(images)) == len(images)  # at most 7 passes an epoch: 63 views
    for epoch in range(60):
        _, views = epoch_order(labels, seed=1, epoch=epoch, balance=balance, views=5)
        assert views.min() >= 0
        assert views.max() < 5
