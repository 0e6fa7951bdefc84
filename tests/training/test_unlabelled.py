"""Unlabelled images of a batch: labels teach nothing about them, a teacher does."""

from dataclasses import replace

import pytest
import torch

from dspkd.methods import declaration, find, names
from dspkd.models import zoo
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, Output

READING_LABELS = [name for name in names() if declaration(name).labelled_only]


def batch_of(labelled=4, size=7):
    draw = torch.Generator().manual_seed(0)
    images, strong = torch.rand(2, size, 3, 32, 32, generator=draw)
    labels = torch.arange(size) % 4
    labels[labelled:] = -1
    return Batch(images, labels, torch.arange(size), torch.zeros(size, dtype=torch.int64), strong, labelled=labelled)


def distiller_of(name):
    torch.manual_seed(0)
    student, network = zoo.make("tiny", classes=4), zoo.make("tiny_wide", classes=4)
    teacher = FrozenTeacher(network, network.spec)
    spec = replace(student.spec, class_counts=(3, 4, 5, 6))
    term = find(name)(spec, network.spec)
    copy = teacher.trainable_copy().eval() if term.trains_teacher else None
    distiller = Distiller(student, teacher, [(name, 1.0, term)], trainable_copy=copy)
    distiller.student.eval()  # batch normalisation mixes the images of a batch, whatever their labels
    return distiller


def loss_and_gradient_by_image(name, batch):
    images = batch.images.clone().requires_grad_()
    torch.manual_seed(1)
    loss = distiller_of(name)(replace(batch, images=images))["total"]
    loss.backward()
    return loss.item(), images.grad.flatten(1).norm(dim=1)


@pytest.mark.parametrize("name", READING_LABELS)
def test_terms_that_read_labels_learn_from_labelled_images_alone(name):
    batch = batch_of()
    loss, gradient_B = loss_and_gradient_by_image(name, batch)
    assert (gradient_B[4:] == 0).all()
    assert (gradient_B[:4] > 0).all()
    alone, _ = loss_and_gradient_by_image(name, replace(batch.rows(0, 4), labelled=None))
    assert loss == pytest.approx(alone, rel=1e-5)
    poisoned = replace(batch, labels=torch.cat([batch.labels[:4], torch.tensor([3, 99, -7])]))
    assert loss_and_gradient_by_image(name, poisoned)[0] == loss


@pytest.mark.parametrize("name", ["kd", "rkd", "mgd"])
def test_terms_that_read_no_labels_learn_from_all_images(name):
    batch = batch_of()
    loss, gradient_B = loss_and_gradient_by_image(name, batch)
    assert (gradient_B > 0).all()
    assert loss == loss_and_gradient_by_image(name, replace(batch, labelled=None))[0]


def test_views_derived_from_labelled_images_are_those_of_the_same_images():
    numbers = torch.arange(5.0)
    rotated = Output(torch.cat([10 + numbers, 20 + numbers, 30 + numbers])[:, None], torch.zeros(15, 1))
    output = Output(numbers[:, None], torch.zeros(5, 1), {"last": torch.zeros(5, 2, 1, 1)}, rotated, rotated.rows(0, 5))
    first = output.first_images(2)
    assert first.logits.flatten().tolist() == [0, 1]
    assert first.rotated.logits.flatten().tolist() == [10, 11, 20, 21, 30, 31]
    assert first.strong_aug.logits.flatten().tolist() == [10, 11]
    assert first.maps["last"].shape == (2, 2, 1, 1)
    assert output.first_images(5) is output


@pytest.mark.parametrize(("first", "size", "own"), [(0, 3, 3), (3, 3, 1), (4, 3, 0), (5, 2, 0)])
def test_a_share_knows_its_labelled_images(first, size, own):
    share = replace(batch_of(size=8).rows(first, first + size), first=first, whole=8)
    part = share.labelled_part()
    assert (len(part), part.first, part.whole) == (own, first, 4)
    assert (part.labels >= 0).all()
