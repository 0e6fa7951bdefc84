"""What int8 must show before it may be the default."""

from dataclasses import replace

import numpy as np
import pytest

from dspkd.deploy.export import int8_gate
from dspkd.evaluation.predictions import Predictions

KINDS = ("malignant", "benign", "malignant", "unknown")


def predictions(of_class, images_per_lesion=1):
    """As many images of each of four classes, all predicted rightly."""
    labels = np.arange(4).repeat(of_class)
    ids = tuple(map(str, range(len(labels))))
    groups = tuple(str(number // images_per_lesion) for number in range(len(labels)))
    return Predictions(("MEL", "NV", "BCC", "X"), ids, groups, labels, np.eye(4, dtype=np.float32)[labels])


def wrong(before, *rows):
    logits = before.logits.copy()
    logits[list(rows)] = np.roll(logits[list(rows)], 1, axis=1)  # MEL becomes NV
    return replace(before, logits=logits)


def changes(fp32, int8, referred=lambda each: each.predicted != 1):
    return {change.name: change for change in int8_gate.changes(fp32, int8, KINDS, referred)}


def test_it_is_open_where_enough_images_show_no_loss():
    before = predictions([54, 3, 54, 54])
    found = changes(before, before)
    assert list(found) == ["recall of MEL", "recall of BCC", "recall of X", "cancers referred"]
    assert all(change.passes for change in found.values())
    assert (found["cancers referred"].images, found["cancers referred"].before) == (108, 1)


@pytest.mark.parametrize("images_per_lesion", [1, 2])
def test_too_few_lesions_keep_it_shut_even_where_nothing_is_lost(images_per_lesion):
    before = predictions([52 * images_per_lesion] * 4, images_per_lesion)
    found = changes(before, before)
    assert [change.passes for change in found.values()] == [False, False, False, True]
    assert "too few images (" in found["recall of MEL"].reason
    assert found["recall of MEL"].lesions == 52


def test_it_is_shut_by_one_malignant_class_that_loses():
    before = predictions([100, 100, 100, 100])
    found = changes(before, wrong(before, *range(20)))
    mel = found["recall of MEL"]
    assert (mel.before, mel.after) == (1, 0.8)
    assert mel.high < 0
    assert mel.reason.startswith("recall of MEL falls from 1.000 to 0.800")
    assert [change.passes for change in found.values()] == [False, True, True, False]  # the sensitivity falls as well


def test_it_does_not_mind_benign_classes_nor_gains():
    before = predictions([100, 100, 100, 100])
    assert all(change.passes for change in changes(before, wrong(before, *range(100, 130))).values())
    assert all(change.passes for change in changes(wrong(before, *range(20)), before).values())


def test_the_sensitivity_is_of_all_cancers_by_one_rule():
    before = predictions([100, 100, 100, 100])
    mistaken = wrong(before, *range(100, 400))  # BCC for X, X for MEL: all of these are referred still
    assert changes(before, mistaken)["cancers referred"].passes
    assert not changes(before, mistaken, lambda each: each.predicted == 2)["cancers referred"].passes


def test_a_class_without_validation_images_keeps_it_shut():
    before = predictions([100, 100, 100, 0])
    change = changes(before, before)["recall of X"]
    assert not change.passes
    assert str(change) == "recall of X: no image in validation"
    assert change.to_json()["before"] is None


def test_without_a_malignant_class_there_is_nothing_to_show():
    before = predictions([3, 3, 3, 3])
    assert int8_gate.changes(before, before, ("benign",) * 4, lambda each: each.predicted == 0) == []


def test_images_without_an_id_are_no_lesions():
    before = predictions([54, 3, 54, 54])
    before = replace(before, groups=tuple(f"image:{name}" for name in before.ids))
    change = changes(before, before)["recall of MEL"]
    assert (change.images, change.lesions) == (54, 0)
    assert "54 images)" in str(change)
