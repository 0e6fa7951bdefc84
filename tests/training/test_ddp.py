"""The step of several ranks is that of one process with the whole batch, for every method."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from dspkd.methods import find, names, options
from dspkd.models import zoo
from dspkd.runtime.distributed import SINGLE
from dspkd.training.ddp import averaged, shared
from dspkd.training.distiller import Distiller
from dspkd.training.global_batch import GlobalBatchNorm
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch
from together import together

B = 7
"""Images in a batch, which three ranks do not divide."""

SMALL = {"width": 8, "hidden": 8, "gate": 0.7, "mask_ratio": 0.4, "regressor": "norm_relu", "compare": "unit"}
"""Options that make a method fast, and use all its parts."""

COUNTS = (4, 9, 2, 7)
"""Training images of each class."""


def whole_batch():
    torch.manual_seed(5)
    images, strong = torch.rand(2, B, 3, 32, 32, dtype=torch.float64)
    return Batch(images, torch.arange(B) % 4, torch.arange(B), torch.zeros(B, dtype=torch.int64), strong)


def share_of(batch, world):
    if world.size == 1:
        return batch
    mine = world.shares(B)[world.rank]
    part = batch.rows(mine.start, mine.stop)
    return Batch(**{**vars(part), "first": mine.start, "whole": B})


def partly_labelled(batch):
    """Return the batch with labels of the first three images only: the third rank has none."""
    labels = batch.labels.where(torch.arange(B) < 3, torch.tensor(-1))
    return replace(batch, labels=labels, labelled=3)


def steps(name, world, batch=None):
    """Return losses, gradients and all state after three steps with this method alone, and the next random numbers."""
    torch.manual_seed(0)
    student, network = zoo.make("tiny", classes=4).double(), zoo.make("tiny_wide", classes=4).double()
    teacher = FrozenTeacher(network, network.spec)
    chosen = {key: value for key, value in SMALL.items() if key in options(name)}
    term = find(name)(replace(student.spec, class_counts=COUNTS), network.spec, **chosen).double()
    trainable_copy = teacher.trainable_copy() if term.trains_teacher else None
    distiller = Distiller(student, teacher, [(name, 0.5, term)], trainable_copy=trainable_copy)
    objective = shared(distiller, world)
    parameters = [value for _, value in distiller.trainable()]
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    torch.manual_seed(1)
    batch = share_of(batch or whole_batch(), world)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=True)
        losses = objective(batch, 0.0)
        losses["total"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
    gradients = {key: value.grad for key, value in distiller.trainable()}
    return averaged(losses, world), gradients, distiller.state_dict(), torch.rand(3)


def test_every_method_gives_the_losses_gradients_and_statistics_of_the_whole_batch(tmp_path):
    """In float64 ranks and one process differ by rounding only."""
    by_rank = together(3, lambda world: {name: steps(name, world) for name in names()}, tmp_path)
    for name in names():
        expected = steps(name, SINGLE)
        assert any(gradient is not None and gradient.any() for gradient in expected[1].values())
        for rank, given in enumerate(by_rank):
            for here, there in zip(given[name][:3], expected[:3], strict=True):
                assert here.keys() == there.keys()
                for key, value in there.items():
                    assert (here[key] is None) == (value is None), (name, key, rank)
                    if value is not None:
                        torch.testing.assert_close(here[key], value, rtol=1e-7, atol=1e-9, msg=f"{name} {key} {rank}")
            assert torch.equal(given[name][3], expected[3]), f"{name} left the generator elsewhere on rank {rank}"


def test_a_batch_with_unlabelled_images_is_shared_too(tmp_path):
    chosen = [name for name in names() if find(name).needs_one_label] + ["labels", "kd", "rkd"]

    def of_each(world):
        return {name: steps(name, world, partly_labelled(whole_batch())) for name in chosen}

    by_rank, expected = together(3, of_each, tmp_path), of_each(SINGLE)
    for name in chosen:
        for given in by_rank:
            for here, there in zip(given[name][:2], expected[name][:2], strict=True):
                for key, value in there.items():
                    if value is not None:
                        torch.testing.assert_close(here[key], value, rtol=1e-7, atol=1e-9, msg=f"{name} {key}")


def test_a_single_process_is_not_wrapped():
    student = zoo.make("tiny", classes=4)
    distiller = Distiller(student, None, [("labels", 1.0, find("labels")(student.spec, None))])
    step = distiller.step
    assert shared(distiller, SINGLE) is distiller
    assert distiller.step is step
    losses = {"total": torch.ones((), requires_grad=True) * 2}
    assert averaged(losses, SINGLE)["total"].item() == 2
    assert not averaged(losses, SINGLE)["total"].requires_grad


def test_dropout_draws_for_the_whole_batch_and_its_derived_views():
    """A rank's rows of [images, derived views] are in two pieces."""
    x_NC = torch.rand(2 * B, 5, dtype=torch.float64)
    torch.manual_seed(3)
    expected = F.dropout(x_NC, 0.4)
    given = torch.empty_like(expected)
    for first, last in [(0, 3), (3, 7)]:
        rows = [*range(first, last), *range(B + first, B + last)]
        share = Batch(**{**vars(whole_batch().rows(first, last)), "first": first, "whole": B})
        torch.manual_seed(3)
        with GlobalBatchNorm(share):
            given[rows] = F.dropout(x_NC[rows], 0.4)
            assert F.dropout(x_NC[rows], 0.4, training=False) is not None
    assert (given == 0).any()
    assert torch.equal(given, expected)


@pytest.mark.parametrize("name", [name for name in names() if find(name).by_image])
def test_a_mean_over_images_is_the_weighted_mean_of_its_shares(name):
    """Checks `Term.by_image` without ranks: in evaluation mode batch normalisation does not depend on the batch."""
    student, network = zoo.make("tiny", classes=4).double().eval(), zoo.make("tiny_wide", classes=4).double().eval()
    chosen = {key: value for key, value in SMALL.items() if key in options(name)}
    term = find(name)(replace(student.spec, class_counts=COUNTS), network.spec, **chosen).double().eval()

    def loss(batch):
        torch.manual_seed(2)
        with torch.no_grad():
            return term(student(batch.images), network(batch.images), batch)

    batch = whole_batch()
    parts = [Batch(**{**vars(batch.rows(first, last)), "first": first, "whole": B}) for first, last in [(0, 2), (2, 7)]]
    torch.testing.assert_close(sum(len(part) / B * loss(part) for part in parts), loss(batch))
