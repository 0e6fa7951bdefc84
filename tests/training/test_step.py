"""A training step never waits for its device.

Tensors of the device "meta" have no values. Operations that need one raise an error: ``item``, ``tolist``,
``if tensor``, indexing by a mask, a copy to main memory. Steps that pass let a GPU run asynchronously.
"""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from dspkd.methods import find, names
from dspkd.models import zoo
from dspkd.training import loop
from dspkd.training.average import WeightAverage
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.cached import CachedTeacher
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch

META = torch.device("meta")
B = 6


@pytest.fixture(autouse=True)
def _autocast_knows_no_meta(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def batch():
    rows = torch.arange(B)
    return Batch(torch.rand(B, 3, 32, 32), rows % 4, rows, torch.zeros_like(rows), torch.rand(B, 3, 32, 32))


def frozen():
    network = zoo.make("tiny_wide", classes=4)
    return FrozenTeacher(network.to(META), network.spec)


def a_step(teacher, name):
    """Take a step with this method alone, as in `loop._train_epoch` between two checks of the losses."""
    student = zoo.make("tiny", classes=4)
    term = find(name)(replace(student.spec, class_counts=(4, 9, 2, 7)), teacher.spec)
    trainable_copy = teacher.trainable_copy() if term.trains_teacher else None
    distiller = Distiller(student, teacher, [(name, 0.5, term)], trainable_copy=trainable_copy).to(META).train()
    losses = distiller(batch().to(META), 0.5)
    losses["total"].backward()
    values = [value for _, value in distiller.trainable()]
    optimizer = torch.optim.SGD([{"params": values, "scale": 1.0}], lr=0.1)  # the fused ones have no meta form
    loop.update(loop.owners(distiller.trainable()), optimizer, 0.1, 5.0)
    assert all(loss.device == META for loss in losses.values())


@pytest.mark.parametrize("name", names())
def test_every_method_takes_a_step_without_waiting_for_the_device(name):
    a_step(frozen(), name)


def test_an_ensemble_does_not_wait_for_the_device():
    a_step(EnsembleTeacher([frozen(), frozen()]), "kd")


def test_a_cached_teacher_does_not_wait_for_the_device(tmp_path):
    """It finds outputs by index and view, which therefore stay in main memory."""
    live = zoo.make("tiny_wide", classes=4)
    teacher = FrozenTeacher(live, live.spec)
    cache = CachedTeacher(teacher, {"logits", "last"}, [bytes([row]) * 16 for row in range(B)], {}, tmp_path)
    cache.fill(
        [(row, 0) for row in range(B)], lambda _: iter([batch()]), derived=(), batch_size=B, compute=teacher.answer,
        progress=lambda *_: None, log=lambda _: None,
    )  # fmt: skip
    a_step(cache, "kd")
    a_step(cache, "mgd")


def test_reading_a_value_from_the_device_is_detected():
    """The operations that would wait raise an error on this device."""
    there = batch().to(META)
    for waits in (
        there.labels.tolist,
        lambda: bool(there.images.isfinite().all()),
        lambda: there.images.sum().item(),
        lambda: there.images[there.images > 0],
        there.images.cpu,
    ):
        with pytest.raises((NotImplementedError, RuntimeError)):
            waits()


def test_on_a_gpu_losses_are_checked_every_twenty_steps_and_at_the_end(monkeypatch):
    looks = []
    monkeypatch.setattr(loop, "require_finite_losses", lambda unchecked, _, last: looks.append((last, len(unchecked))))
    student = zoo.make("tiny", classes=4)
    distiller = Distiller(student, None, [("labels", 1.0, find("labels")(student.spec, None))])
    optimizer = torch.optim.SGD([{"params": list(student.parameters()), "scale": 1.0}], lr=0.1)
    steps = 2 * loop.STEPS_UNCHECKED + 3

    class Elsewhere:
        """A device that this machine does not have."""

        type = "cuda"

    monkeypatch.setattr(Batch, "to", lambda self, _: self)
    listener = type("NoListener", (), {"step": lambda *_: None})()
    loop._train_epoch(
        "s", 0, distiller, distiller, [batch()] * steps, optimizer, [1e-3] * steps, loop.StepConfig(device=Elsewhere()),
        WeightAverage(student, 0.0), listener,
    )  # fmt: skip
    assert looks == [(19, 20), (39, 20), (42, 3)]
