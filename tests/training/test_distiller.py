from dataclasses import replace

import pytest
import torch

from dspkd.errors import DataError
from dspkd.methods import Term, find
from dspkd.models import zoo
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    return Batch(
        torch.rand(6, 3, 32, 32, generator=draw),
        torch.randint(4, (6,), generator=draw),
        torch.arange(6),
        torch.zeros(6, dtype=torch.int64),
    )


def distiller_of(*parts, **settings):
    torch.manual_seed(0)
    student, teacher = zoo.make("tiny", classes=4), zoo.make("tiny_wide", classes=4)
    teacher = FrozenTeacher(teacher, teacher.spec)
    terms = [(name, weight, find(name)(student.spec, teacher.spec)) for name, weight in parts]
    return Distiller(student, teacher, terms, **settings), teacher


def test_the_total_is_the_weighted_sum_of_the_terms(batch):
    distiller, _ = distiller_of(("labels", 0.3), ("kd", 2.0))
    losses = distiller(batch)
    distiller.eval()
    distiller.train()
    alone = {name: distiller_of((name, 1.0))[0](batch)["total"] for name in ("labels", "kd")}
    assert set(losses) == {"total", "labels", "kd"}
    torch.testing.assert_close(losses["labels"], 0.3 * alone["labels"])
    torch.testing.assert_close(losses["kd"], 2.0 * alone["kd"])
    torch.testing.assert_close(losses["total"], losses["labels"] + losses["kd"])


def test_a_ramp_weights_its_part_by_the_elapsed_epochs(batch):
    distiller, _ = distiller_of(("labels", 0.3), ("kd", 2.0), ramps={"kd": lambda elapsed: min(elapsed / 4, 1.0)})
    full = distiller(batch)
    for elapsed, share in ((0.0, 0.0), (1.5, 0.375), (9.0, 1.0)):
        losses = distiller(batch, elapsed)
        torch.testing.assert_close(losses["kd"], share * full["kd"])
        torch.testing.assert_close(losses["labels"], full["labels"])
        torch.testing.assert_close(losses["total"], losses["labels"] + losses["kd"])


def test_the_teacher_is_not_trained_not_saved_and_stays_in_evaluation(batch):
    distiller, teacher = distiller_of(("labels", 1.0), ("mgd", 7e-5))
    before = teacher.digest()
    optimizer = torch.optim.SGD([value for _, value in distiller.trainable()], lr=0.1)
    for _ in range(3):
        distiller.train()
        assert not any(module.training for module in teacher.network.modules())
        optimizer.zero_grad()
        distiller(batch)["total"].backward()
        optimizer.step()
    assert teacher.digest() == before
    mine = {name.split(".")[0] for name in distiller.state_dict()}
    assert mine == {"student", "terms"}
    assert all(value.grad is None for value in teacher.network.parameters())


class Seeing(Term):
    """Keeps the outputs that it receives."""

    def forward(self, student, teacher, batch):
        self.seen = student, teacher
        return student.logits.sum()


class SeeingRotated(Seeing):
    wants_rotated = True


class SeeingStrongAug(Seeing):
    wants_strong_aug = True


def seen(batch, *kinds, trainable_copy=False):
    """Return the outputs that the first of several terms receives in evaluation, and the networks."""
    _, teacher = distiller_of()
    student = zoo.make("tiny", classes=4)
    terms = [(kind.__name__, 1.0, kind(student.spec, teacher.spec)) for kind in kinds]
    distiller = Distiller(
        student, teacher, terms, trainable_copy=teacher.trainable_copy() if trainable_copy else None
    ).eval()
    distiller(batch)
    return terms[0][2].seen, (student, teacher.network)


def assert_output_of(output, network, images):
    expected = network(images)
    for got, want in (
        (output.logits, expected.logits),
        (output.pooled, expected.pooled),
        (output.maps["last"], expected.maps["last"]),
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trainable_copy", [False, True])
@pytest.mark.parametrize(
    ("kinds", "rotated", "strong_aug"),
    [
        ([Seeing], False, False),
        ([SeeingRotated], True, False),
        ([SeeingStrongAug], False, True),
        ([Seeing, SeeingStrongAug, SeeingRotated], True, True),
    ],
)
def test_terms_get_outputs_for_the_views_that_any_of_them_needs(batch, kinds, rotated, strong_aug, trainable_copy):
    batch = replace(batch, strong_aug=1 - batch.images)
    answers, networks = seen(batch, *kinds, trainable_copy=trainable_copy)
    for output, network in zip(answers, networks, strict=True):
        assert_output_of(output, network, batch.images)
        assert (output.rotated is not None, output.strong_aug is not None) == (rotated, strong_aug)
        if rotated:
            quarters = [
                batch.images.transpose(2, 3).flip(2),
                batch.images.flip(2, 3),
                batch.images.transpose(2, 3).flip(3),
            ]
            assert_output_of(output.rotated, network, torch.cat(quarters))
        if strong_aug:
            assert_output_of(output.strong_aug, network, batch.strong_aug)


@pytest.mark.parametrize(
    ("kinds", "times"), [([Seeing], 1), ([SeeingRotated], 4), ([SeeingRotated, SeeingStrongAug], 5)]
)
def test_derived_views_are_computed_only_if_needed_and_in_one_pass(batch, kinds, times, monkeypatch):
    calls = []
    forward, answer = type(zoo.make("tiny", classes=4)).forward, FrozenTeacher.answer
    monkeypatch.setattr(
        type(zoo.make("tiny", classes=4)), "forward", lambda self, x: calls.append(len(x)) or forward(self, x)
    )
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, x: calls.append(x) or answer(self, x))
    seen(replace(batch, strong_aug=batch.images), *kinds)
    batches = [x for x in calls if isinstance(x, Batch)]
    passes = [x for x in calls if isinstance(x, int) and x > 1]  # a new network tries one image to learn its shape
    assert passes == [6 * times] * 2
    assert [len(each.images) for each in batches] == [6 * times]
    derived = [set(part.tolist()) for part in batches[0].views.split(6)][1:]
    assert all(view < 0 for views in derived for view in views)  # which original views are not
    assert len(set().union(*derived)) == sum(map(len, derived))  # no view has the number of another
    assert torch.equal(batches[0].index, batch.index.repeat(times))


def test_a_batch_without_strong_images_is_refused_if_a_term_needs_them(batch):
    with pytest.raises(DataError, match=r"strongly augmented images, .* by a recipe, or yield dspkd"):
        seen(batch, SeeingStrongAug)


def test_a_batch_moves_to_a_device_but_index_and_views_stay(batch):
    whole = replace(batch, strong_aug=batch.images, other_labels=batch.labels, own_share=batch.images[:, 0, 0, 0])
    whole_tensors = {name for name, value in vars(whole).items() if isinstance(value, torch.Tensor)} - {
        "index",
        "views",
    }
    moved = whole.to(torch.device("meta"))
    devices = {name: value.device.type for name, value in vars(moved).items() if isinstance(value, torch.Tensor)}
    moves = dict.fromkeys(whole_tensors, "meta")
    assert devices == {**moves, "index": "cpu", "views": "cpu"}
    assert batch.to(torch.device("meta")).strong_aug is None


def learning(*parts):
    """Return a distiller with a trainable copy of a teacher, and the teacher."""
    _, teacher = distiller_of()
    student = zoo.make("tiny", classes=4)
    terms = [(name, weight, find(name)(student.spec, teacher.spec)) for name, weight in parts]
    return Distiller(student, teacher, terms, trainable_copy=teacher.trainable_copy()).train(), teacher


def test_a_trainable_teacher_is_a_copy_that_is_trained_and_saved(batch):
    distiller, teacher = learning(("labels", 1.0), ("eml", 1.0))
    before, started = (
        teacher.digest(),
        {name: value.clone() for name, value in distiller.trainable_copy.state_dict().items()},
    )
    assert all(torch.equal(value, started[name]) for name, value in teacher.network.state_dict().items())
    assert distiller.trainable_copy.training
    optimizer = torch.optim.SGD([value for _, value in distiller.trainable()], lr=0.1)
    distiller(batch)["total"].backward()
    optimizer.step()
    assert teacher.digest() == before
    assert not any(module.training for module in teacher.network.modules())
    assert not any(value.requires_grad for value in teacher.network.parameters())
    assert all(not torch.equal(value, started[name]) for name, value in distiller.trainable_copy.named_parameters())
    statistic = "network.stem.1.running_mean"
    assert not torch.equal(distiller.trainable_copy.state_dict()[statistic], started[statistic])
    assert {name.split(".")[0] for name in distiller.state_dict()} == {"student", "terms", "trainable_copy"}


def test_only_terms_that_train_a_teacher_send_it_gradients(batch):
    class Forgetful(Term):
        def forward(self, student, teacher, batch):
            return (student.pooled.mean() - teacher.pooled.mean() - teacher.maps["last"].mean()).square()

    _, teacher = distiller_of()
    student = zoo.make("tiny", classes=4)
    term = Forgetful(student.spec, teacher.spec)
    distiller = Distiller(student, teacher, [("forgetful", 1.0, term)], trainable_copy=teacher.trainable_copy())
    distiller(batch)["total"].backward()
    assert all(value.grad is None for value in distiller.trainable_copy.parameters())
    assert any(value.grad.any() for value in distiller.student.parameters() if value.grad is not None)


@pytest.mark.parametrize("name", ["running_mean", "mean", "std", "weight"])
def test_the_digest_depends_on_weights_and_statistics_and_the_normalisation_of_images(name):
    _, teacher = distiller_of(("labels", 1.0))
    before = teacher.digest()
    values = {**dict(teacher.network.named_parameters()), **dict(teacher.network.named_buffers())}
    value = next(value for key, value in values.items() if key.rpartition(".")[2] == name)
    value.data.view(-1)[0] += 1e-6
    assert teacher.digest() != before


def test_a_teacher_that_no_term_needs_is_not_run(batch):
    distiller, teacher = distiller_of(("labels", 1.0))
    teacher.answer = None
    assert distiller(batch)["total"].isfinite()


def test_adapters_are_trained_with_the_student(batch):
    distiller, _ = distiller_of(("labels", 1.0), ("mgd", 7e-5))
    names = [name for name, _ in distiller.trainable()]
    assert any(name.startswith("terms.mgd.") for name in names)
    assert any(name.startswith("student.network.") for name in names)
