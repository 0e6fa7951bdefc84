"""Folds of a cross-validation over lesions: disjoint, complete, stratified, repeatable."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dspkd.data import SplitOptions
from dspkd.data.dataset import Dataset
from dspkd.data.folds import fold_split
from dspkd.data.table import Table
from dspkd.errors import DataError


def table(groups_of):
    """Return a table of pure groups: for each class, the number of images of each of its groups."""
    rows = [(k, f"L{k}.{g}") for k, sizes in enumerate(groups_of) for g, size in enumerate(sizes) for _ in range(size)]
    labels, groups = zip(*rows, strict=True)
    ids = tuple(f"I{n}" for n in range(len(rows)))
    classes = tuple(f"C{k}" for k in range(len(groups_of)))
    return Table(classes, ids, tuple(map(Path, ids)), np.array(labels), groups, {}, Path("somewhere"))


@given(
    groups_of=st.lists(st.lists(st.integers(1, 4), min_size=8, max_size=25), min_size=1, max_size=4),
    folds=st.integers(2, 5),
    seed=st.integers(0, 1000),
    val=st.sampled_from([0.1, 0.15, 0.3]),
)
def test_each_lesion_is_in_one_test_set_and_in_one_part_of_each_fold(groups_of, folds, seed, val):
    of = table(groups_of)
    try:
        splits = [fold_split(of, folds=folds, fold=k, val=val, seed=seed) for k in range(folds)]
    except DataError as error:
        assume("has no training image" not in str(error))
        raise
    tested = np.concatenate([split.places("test") for split in splits])
    assert sorted(tested.tolist()) == list(range(len(of)))
    for split in splits:
        parts_of = defaultdict(set)
        for group, part in zip(of.groups, split.parts.tolist(), strict=True):
            parts_of[group].add(part)
        assert all(len(parts) == 1 for parts in parts_of.values())
        for k, sizes in enumerate(groups_of):
            mine = of.labels == k
            test, valid = ((split.parts[mine] == part).sum() for part in ("test", "val"))
            assert abs(test - sum(sizes) / folds) <= max(sizes)  # `split` has the bound: (1 - 1/K) of a group
            rest, share = sum(sizes) - test, val / (1 - 1 / folds)
            assert abs(valid - rest * share) <= max(sizes) / 2


def test_folds_do_not_depend_on_the_order_of_rows_and_do_on_the_seed():
    of = table([[2] * 20, [1] * 30])
    order = np.random.default_rng(0).permutation(len(of))
    for k in range(3):
        there = fold_split(of.take(order), folds=3, fold=k)
        assert fold_split(of, folds=3, fold=k).parts[order].tolist() == there.parts.tolist()
    assert fold_split(of, folds=3, fold=0).digest != fold_split(of, folds=3, fold=0, seed=1).digest


def test_test_sets_do_not_depend_on_val_and_validation_sets_differ_from_fold_to_fold():
    of = table([[1] * 200])
    one, other = (fold_split(of, folds=4, fold=2, val=val) for val in (0.1, 0.3))
    assert one.places("test").tolist() == other.places("test").tolist()
    valid = [set(fold_split(of, folds=4, fold=k, val=0.25).places("val").tolist()) for k in range(4)]
    rest = [set(fold_split(of, folds=4, fold=k, val=0.25).places("test").tolist()) for k in range(4)]
    # A third of what is neither fold's test set is expected in both, 0.25 / 0.75 squared of 100 images: 11.
    assert all(len(valid[a] & valid[b]) < 25 for a in range(4) for b in range(a))
    assert all(not valid[k] & rest[k] for k in range(4))


def test_images_may_be_divided_one_by_one():
    of = table([[10] * 10])
    splits = [fold_split(of, folds=5, fold=k, by="image") for k in range(5)]
    assert [len(split.places("test")) for split in splits] == [20] * 5
    assert sorted(np.concatenate([split.places("test") for split in splits]).tolist()) == list(range(100))
    with pytest.raises(DataError, match="waiver"):
        Dataset.of(of, SplitOptions(folds=5, fold=0, by="image"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1, "fold": 0}, "got fold 0 of 1"),
        ({"folds": 5, "fold": 5}, "fold in 0 to folds - 1, got fold 5 of 5"),
        ({"folds": 5, "fold": -1}, "got fold -1 of 5"),
        ({"folds": 5, "fold": 0, "val": 0.8}, r"5 folds, val must be above 0 and below 0\.8, got 0\.8"),
        ({"folds": 5, "fold": 0, "val": 0.0}, "above 0"),
        (
            {"folds": 9, "fold": 0},
            r"somewhere: 9 folds leave fold 8 empty: its 8 lesions .* 3, 3, 3, 3, \.\.\. images; .*fewer",
        ),
        ({"folds": 2, "fold": 0, "by": "lesion"}, "by = 'lesion'; known: group, image"),
    ],
)
def test_wrong_numbers_and_too_few_lesions_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        fold_split(table([[3] * 8]), **options)


def test_a_class_of_one_lesion_is_refused_in_the_fold_that_tests_it():
    of = table([[1] * 20, [4]])
    refusals = []
    for k in range(4):
        try:
            fold_split(of, folds=4, fold=k)
        except DataError as error:
            refusals.append(str(error))
    (refusal,) = refusals
    assert "class 'C1' has no training image: its 4 images are 1 group" in refusal


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 5}, "folds and fold belong together"),
        ({"fold": 0}, "folds and fold belong together"),
        ({"folds": 5, "fold": 0, "file": "split.csv"}, "file and folds both"),
        ({"folds": 5, "fold": 0, "column": "part"}, "column and folds both"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        SplitOptions(**options)
