"""A share of the labels: whole lesions, every class, the same validation and test set; the rest can be unlabelled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.test_folds import table

from dspkd.data import SplitOptions, unlabelled
from dspkd.data.dataset import Dataset
from dspkd.data.label_share import keep_labelled
from dspkd.data.readers import read
from dspkd.data.split import UNUSED
from dspkd.data.split import split as split_of
from dspkd.errors import DataError


@given(
    groups_of=st.lists(st.lists(st.integers(1, 4), min_size=30, max_size=50), min_size=1, max_size=4),
    share=st.sampled_from([0.2, 0.5, 0.8]),
    seed=st.integers(0, 1000),
)
def test_whole_lesions_of_every_class_are_kept_and_the_evaluated_sets_stay(groups_of, share, seed):
    of = table(groups_of)
    before = split_of(of, seed=seed)
    after = keep_labelled(of, before, share, seed=seed)
    for part in ("val", "test"):
        assert after.places(part).tolist() == before.places(part).tolist()
    assert sorted([*after.places("train"), *after.places(UNUSED)]) == before.places("train").tolist()
    groups = np.array(of.groups)
    assert not set(groups[after.places("train")]) & set(groups[after.places(UNUSED)])
    for k, sizes in enumerate(groups_of):
        kept, all_of_it = ((of.labels[split.places("train")] == k).sum() for split in (after, before))
        assert abs(kept - share * all_of_it) <= max(sizes) / 2 + 1e-9


def test_the_lesions_kept_depend_on_the_seed_and_not_on_the_order_of_rows():
    of = table([[2] * 40, [1] * 60])
    split = split_of(of)
    kept = keep_labelled(of, split, 0.3)
    order = np.random.default_rng(0).permutation(len(of))
    there = keep_labelled(of.take(order), type(split)(split.parts[order]), 0.3)
    assert there.parts.tolist() == kept.parts[order].tolist()
    assert keep_labelled(of, split, 0.3, seed=1).parts.tolist() != kept.parts.tolist()


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    of = table([[1] * 20])
    with pytest.raises(DataError, match="labelled must be above 0 and below 1"):
        keep_labelled(of, split_of(of), share)


def test_a_class_that_keeps_no_training_image_is_named():
    of = table([[1] * 200, [1] * 8])
    with pytest.raises(DataError, match="'C1' has no training image"):
        Dataset.of(of, SplitOptions(labelled=0.02))


def test_the_printed_line_says_how_many_labels_are_used():
    dataset = Dataset.of(table([[1] * 100]), SplitOptions(labelled=0.2))
    assert "13 of 65 training images are used, as split.labelled says" in dataset.how


def test_images_whose_labels_are_not_used_can_be_unlabelled_and_no_others(lesions):
    of = read("isic2019", lesions)
    split = Dataset.of(of, SplitOptions(labelled=0.4, val=0.2, test=0.2)).split
    images = unlabelled.screened(unlabelled.find(lesions), of, split, lambda *_: None)
    assert sorted(images.paths) == sorted(of.paths[row] for row in split.places(UNUSED))
