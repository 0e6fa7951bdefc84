"""Fold teachers: who answers about which image."""

import numpy as np
import pytest
import torch
from torch import nn

from dspkd.errors import DataError
from dspkd.training.teachers.cross_fit import CrossFitTeacher
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, NetworkSpec, Output

CLASSES, IMAGES = 4, 12
LABELS = torch.arange(IMAGES) % CLASSES
FOLDS = np.array([0, 1, 2, 2, 1, 0, 0, 1, 2, -1, 0, 1])


class Memory(nn.Module):
    """Certain of the label of an image that it was trained on, whose number is its pixel; ignorant of any other."""

    def __init__(self, trained):
        super().__init__()
        self.certainty = nn.Parameter(torch.tensor(9.0))
        self.trained = set(trained)
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        logits = torch.zeros(len(images), CLASSES)
        for row, number in enumerate(images[:, 0, 0, 0].int().tolist()):
            if number in self.trained:
                logits[row, LABELS[number]] = self.certainty
        return Output(logits, images.mean(dim=(2, 3)), {"last": images})


def memory(trained, prior=()):
    return FrozenTeacher(Memory(trained), NetworkSpec(CLASSES, 3, {"last": 3}, class_prior=prior), name="memory")


def of_folds(folds=FOLDS):
    outside = [np.flatnonzero(folds != fold).tolist() for fold in range(3)]
    return CrossFitTeacher([memory(rows) for rows in outside], folds, memory(range(IMAGES)))


def batch(*rows):
    index = torch.tensor(rows)
    images = index.float()[:, None, None, None].expand(-1, 3, 2, 2)
    return Batch(images, LABELS[index], index, index)


def test_a_teacher_that_memorises_is_certain_of_its_images_and_in_folds_of_none():
    trained = [row for row in range(IMAGES) if FOLDS[row] >= 0]
    assert memory(range(IMAGES)).answer(batch(*trained)).logits.softmax(1).amax(dim=1).min() > 0.99
    certainty = of_folds().answer(batch(*trained)).logits.softmax(1)
    torch.testing.assert_close(certainty, torch.full_like(certainty, 1 / CLASSES))


def test_each_image_is_answered_by_its_own_fold_in_the_order_of_the_batch():
    teacher = CrossFitTeacher([memory([]), memory(range(IMAGES)), memory([])], FOLDS, memory([]))
    rows = [1, 0, 4, 2, 11, 8]
    logits = teacher.answer(batch(*rows)).logits
    expected = torch.zeros(6, CLASSES)
    for place in (0, 2, 4):  # those of fold 1
        expected[place, LABELS[rows[place]]] = 9.0
    assert torch.equal(logits, expected)


def test_renumbering_the_folds_changes_nothing():
    renumbered = np.array([{0: 2, 1: 0, 2: 1, -1: -1}[fold] for fold in FOLDS.tolist()])
    first, second = of_folds(), of_folds(renumbered)
    rows = [0, 1, 2, 3, 5, 8]
    assert torch.equal(first.answer(batch(*rows)).logits, second.answer(batch(*rows)).logits)


def test_maps_and_pooled_vectors_are_those_of_the_teacher_of_all_images():
    teacher = of_folds()
    images = batch(0, 1, 2)
    assert torch.equal(teacher.answer(images).maps["last"], images.images)
    assert teacher.whole.network.sizes == [3]
    slim = teacher.without_features()
    output = slim.answer(images)
    assert (len(output.maps), output.pooled.shape) == (0, (3, 0))
    assert torch.equal(output.logits, teacher.answer(images).logits)
    assert teacher.whole.network.sizes == [3, 3]  # not by the slim one


def test_an_image_costs_one_pass_of_one_fold_teacher():
    teacher = of_folds()
    teacher.answer(batch(0, 1, 2, 3, 4))
    assert [fold.network.sizes for fold in teacher.folds] == [[1], [2], [2]]


def test_an_image_outside_the_folds_is_refused():
    with pytest.raises(DataError, match=r"teacher\.cross_fit: .*only about training images"):
        of_folds().answer(batch(0, 9))


def test_the_digest_depends_on_every_teacher_and_on_the_folds():
    digests = [of_folds().digest()]
    for each in (of_folds().folds[2], of_folds().whole):
        teacher = of_folds()
        changed = teacher.whole if each.network.trained == set(range(IMAGES)) else teacher.folds[2]
        changed.network.certainty.data += 1
        digests.append(teacher.digest())
    other = FOLDS.copy()
    other[[0, 1]] = other[[1, 0]]
    digests.append(CrossFitTeacher(of_folds().folds, other, of_folds().whole).digest())
    assert len(set(digests)) == 4
    assert of_folds().digest() == digests[0]


def test_its_prior_is_the_mean_of_the_folds_and_unknown_where_one_is():
    folds = [memory([], (0.5, 0.5, 0, 0)), memory([], (0.7, 0.3, 0, 0))]
    assert CrossFitTeacher(folds, FOLDS, memory([])).spec.class_prior == pytest.approx((0.6, 0.4, 0, 0))
    assert CrossFitTeacher([*folds, memory([])], FOLDS, memory([])).spec.class_prior == ()


def test_views_reach_every_teacher_and_several_teachers_of_a_fold_are_averaged():
    both = [EnsembleTeacher([memory([]), memory(range(IMAGES))]) for _ in range(3)]
    teacher = CrossFitTeacher(both, FOLDS, memory([])).averaging(8)
    sizes = both[0].members[0].network.sizes
    p = teacher.answer(batch(0)).logits.softmax(1)[0, 0]
    certain = torch.tensor([9.0, 0, 0, 0]).softmax(0)[0]
    assert p.item() == pytest.approx((0.25 + certain.item()) / 2, rel=1e-5)
    assert len(sizes) == 8
    assert teacher.parameters == 6
