"""Every method learns from a teacher that sees more pixels than the student, and so has maps of another grid."""

from dataclasses import replace

import pytest
import torch

from dspkd import methods
from dspkd.models import zoo
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch

LEARNING = [name for name in methods.names() if methods.declaration(name).needs_teacher]


def images(side):
    draw = torch.Generator().manual_seed(side)
    numbers = torch.arange(4)
    pixels = torch.rand(4, 3, side, side, generator=draw)
    return Batch(pixels, numbers, numbers, numbers, strong_aug=pixels.flip(3))


@pytest.mark.parametrize("side", [96, 128])
@pytest.mark.parametrize("name", LEARNING)
def test_its_loss_is_finite_and_trains_the_student(name, side):
    torch.manual_seed(0)
    student, network = zoo.make("tiny", classes=8), zoo.make("tiny_wide", classes=8)
    teacher = FrozenTeacher(network, network.spec)
    counts = {"class_counts": (9,) * 8, "class_draws": (9,) * 8}
    term = methods.find(name)(replace(student.spec, **counts), teacher.spec)
    batch = Batch(**{**vars(images(64)), "larger": images(side)})
    loss = Distiller(student, teacher, [(name, 1.0, term)])(batch)["total"]
    loss.backward()
    assert loss.isfinite()
    assert any(value.grad is not None and value.grad.any() for value in student.parameters())
