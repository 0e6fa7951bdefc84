"""Folds of the training set: lesions stay together, classes are in proportion, and no other set takes part."""

from pathlib import Path

import numpy as np
import pytest

from dspkd.data import split as splits
from dspkd.data.split import UNUSED, Split
from dspkd.data.table import Table
from dspkd.data.training_folds import training_folds, without_fold
from dspkd.errors import DataError


def table(lesions=60, classes=3, seed=0):
    """Return a table of lesions with one to five images each, and its split: a fifth each to val and test."""
    draw = np.random.default_rng(seed)
    counts = draw.integers(1, 6, lesions)
    lesion = np.repeat(np.arange(lesions), counts)
    label = draw.integers(0, classes, lesions)
    part = np.array(["train", "train", "train", "val", "test"])[np.arange(lesions) % 5]
    N = len(lesion)
    names = tuple(f"i{row}" for row in range(N))
    made = Table(
        tuple("ABCDEFGH"[:classes]), names, tuple(map(Path, names)), label[lesion], tuple(f"l{n}" for n in lesion), {},
        Path("images"),
    )  # fmt: skip
    return made, Split(part[lesion])


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_every_training_lesion_is_in_exactly_one_fold_and_no_other_image_is_in_any(count, seed):
    images, split = table(seed=seed)
    folds = training_folds(images, split, count)
    assert set(np.flatnonzero(folds >= 0)) == set(split.rows("train"))
    assert set(folds[folds >= 0].tolist()) == set(range(count))
    of_lesion = {}
    for group, fold in zip(images.groups, folds.tolist(), strict=True):
        of_lesion.setdefault(group, set()).add(fold)
    assert all(len(each) == 1 for each in of_lesion.values())


def test_each_class_is_in_proportion():
    images, split = table(lesions=600)
    folds = training_folds(images, split, 5)
    for label in range(3):
        sizes = np.bincount(folds[(folds >= 0) & (images.labels == label)])
        assert sizes.max() - sizes.min() <= 5  # the largest lesion


def test_the_order_of_rows_does_not_matter():
    images, split = table()
    order = np.random.default_rng(1).permutation(len(images))
    folds = training_folds(images, split, 4)
    assert np.array_equal(training_folds(images.take(order), Split(split.parts[order]), 4), folds[order])


def test_the_split_without_a_fold_tests_on_it_and_leaves_the_students_test_set_out(tmp_path):
    images, split = table()
    folds = training_folds(images, split, 4)
    without = without_fold(split, folds, 2)
    without.save(tmp_path / "split.csv", images)
    read = splits.load(tmp_path / "split.csv", images)
    assert np.array_equal(read.parts, without.parts)
    assert set(read.places("test")) == set(np.flatnonzero(folds == 2))
    assert set(read.rows("train")) == set(np.flatnonzero((folds >= 0) & (folds != 2)))
    assert set(read.rows("val")) == set(split.rows("val"))
    assert set(read.places(UNUSED)) == set(split.places("test"))
    assert not splits.crossing(images, read)


def test_more_folds_than_lesions_are_refused():
    images, split = table(lesions=5, classes=1)
    with pytest.raises(DataError, match=r"cross_fit = 4: the training set has 3 lesions .* at most as many folds"):
        training_folds(images, split, 4)


def test_a_class_of_one_lesion_is_refused_by_name():
    images, split = table(lesions=60, classes=2)
    alone = images.groups.index("l0")
    labels = np.zeros_like(images.labels)
    labels[[row for row, group in enumerate(images.groups) if group == images.groups[alone]]] = 1
    changed = Table(images.classes, images.ids, images.paths, labels, images.groups, {}, images.root)
    with pytest.raises(DataError, match=r"class 'B' are in one fold.*\(data\.classes = .*leave out"):
        training_folds(changed, split, 3)
