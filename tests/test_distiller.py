import pytest
import torch

from dspkd.distiller import Distiller
from dspkd.methods import find
from dspkd.methods._term import Term
from dspkd.models import zoo
from dspkd.teacher.live import LiveTeacher
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


def made(*parts, **settings):
    torch.manual_seed(0)
    student, teacher = zoo.make("tiny", classes=4), zoo.make("tiny_wide", classes=4)
    taught = LiveTeacher(teacher, teacher.spec)
    terms = [(name, weight, find(name)(student.spec, taught.spec)) for name, weight in parts]
    return Distiller(student, taught, terms, **settings), taught


def test_the_total_is_the_weighted_sum_of_the_terms(batch):
    distiller, _ = made(("labels", 0.3), ("kd", 2.0))
    losses = distiller(batch)
    distiller.eval()
    distiller.train()
    alone = {name: made((name, 1.0))[0](batch)["total"] for name in ("labels", "kd")}
    assert set(losses) == {"total", "labels", "kd"}
    torch.testing.assert_close(losses["labels"], 0.3 * alone["labels"])
    torch.testing.assert_close(losses["kd"], 2.0 * alone["kd"])
    torch.testing.assert_close(losses["total"], losses["labels"] + losses["kd"])


def test_a_ramp_weighs_its_part_by_the_epochs_that_have_passed(batch):
    distiller, _ = made(("labels", 0.3), ("kd", 2.0), ramps={"kd": lambda elapsed: min(elapsed / 4, 1.0)})
    full = distiller(batch)
    for elapsed, share in ((0.0, 0.0), (1.5, 0.375), (9.0, 1.0)):
        losses = distiller(batch, elapsed)
        torch.testing.assert_close(losses["kd"], share * full["kd"])
        torch.testing.assert_close(losses["labels"], full["labels"])
        torch.testing.assert_close(losses["total"], losses["labels"] + losses["kd"])


def test_the_teacher_is_not_trained_not_saved_and_stays_in_evaluation(batch):
    distiller, teacher = made(("labels", 1.0), ("mgd", 7e-5))
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


def learning(*parts):
    """Return a distiller whose teacher learns, and the teacher that it is a copy of."""
    _, taught = made()
    student = zoo.make("tiny", classes=4)
    terms = [(name, weight, find(name)(student.spec, taught.spec)) for name, weight in parts]
    return Distiller(student, taught, terms, peer=taught.apprentice()).train(), taught


def test_a_teacher_that_learns_is_a_copy_that_is_trained_and_saved_by_itself(batch):
    distiller, teacher = learning(("labels", 1.0), ("eml", 1.0))
    before, started = teacher.digest(), {name: value.clone() for name, value in distiller.peer.state_dict().items()}
    assert all(torch.equal(value, started[name]) for name, value in teacher.network.state_dict().items())
    assert distiller.peer.training
    optimizer = torch.optim.SGD([value for _, value in distiller.trainable()], lr=0.1)
    distiller(batch)["total"].backward()
    optimizer.step()
    assert teacher.digest() == before
    assert not any(module.training for module in teacher.network.modules())
    assert not any(value.requires_grad for value in teacher.network.parameters())
    assert all(not torch.equal(value, started[name]) for name, value in distiller.peer.named_parameters())
    statistic = "network.stem.1.running_mean"
    assert not torch.equal(distiller.peer.state_dict()[statistic], started[statistic])
    assert {name.split(".")[0] for name in distiller.state_dict()} == {"student", "terms", "peer"}


def test_terms_that_do_not_train_a_teacher_send_it_no_gradient_even_if_they_forget_to_detach(batch):
    class Forgetful(Term):
        def forward(self, student, teacher, batch):
            return (student.pooled.mean() - teacher.pooled.mean() - teacher.maps["last"].mean()).square()

    _, taught = made()
    student = zoo.make("tiny", classes=4)
    term = Forgetful(student.spec, taught.spec)
    distiller = Distiller(student, taught, [("forgetful", 1.0, term)], peer=taught.apprentice())
    distiller(batch)["total"].backward()
    assert all(value.grad is None for value in distiller.peer.parameters())
    assert any(value.grad.any() for value in distiller.student.parameters() if value.grad is not None)


def test_the_digest_of_a_teacher_sees_a_weight_and_a_statistic():
    _, teacher = made(("labels", 1.0))
    before = teacher.digest()
    statistic = next(value for name, value in teacher.network.named_buffers() if name.endswith("running_mean"))
    statistic[0] += 1e-6
    assert teacher.digest() != before


def test_a_teacher_whom_no_term_asks_is_not_run(batch):
    distiller, teacher = made(("labels", 1.0))
    teacher.answer = None
    assert distiller(batch)["total"].isfinite()


def test_adapters_are_trained_with_the_student(batch):
    distiller, _ = made(("labels", 1.0), ("mgd", 7e-5))
    names = [name for name, _ in distiller.trainable()]
    assert any(name.startswith("terms.mgd.") for name in names)
    assert any(name.startswith("student.network.") for name in names)
