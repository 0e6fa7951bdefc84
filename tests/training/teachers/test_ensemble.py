import torch

from dspkd.models import zoo
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch


def members(*names):
    made = []
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        network = zoo.make(name, classes=4)
        made.append(FrozenTeacher(network, network.spec, name=name))
    return made


def batch():
    draw = torch.Generator().manual_seed(0)
    zeros = torch.zeros(5, dtype=torch.int64)
    return Batch(torch.rand(5, 3, 32, 32, generator=draw), zeros, torch.arange(5), zeros)


def test_its_softmax_is_the_mean_of_the_members_probabilities():
    made = members("tiny_wide", "tiny", "tiny")
    mean = torch.stack([member.answer(batch()).logits.double().softmax(1) for member in made]).mean(0)
    torch.testing.assert_close(EnsembleTeacher(made).answer(batch()).logits.double().softmax(1), mean)


def test_it_answers_like_its_member_where_there_is_one_but_for_a_shift_of_the_logits():
    (member,) = members("tiny")
    torch.testing.assert_close(
        EnsembleTeacher([member]).answer(batch()).logits, member.answer(batch()).logits.log_softmax(1)
    )


def test_maps_and_pooled_vector_and_spec_are_the_first_members():
    made = members("tiny_wide", "tiny")
    together, first = EnsembleTeacher(made), made[0].answer(batch())
    answered = together.answer(batch())
    assert together.spec == made[0].spec
    assert torch.equal(answered.pooled, first.pooled)
    assert all(torch.equal(answered.maps[tap], first.maps[tap]) for tap in first.maps)


def test_opposite_certainties_stay_finite():
    made = members("tiny", "tiny")
    for member, sign in zip(made, (1.0, -1.0), strict=True):
        member.network.network.fc.weight.data *= 0
        member.network.network.fc.bias.data = torch.tensor([1e4, 0.0, 0.0, -1e4]) * sign
    said = EnsembleTeacher(made).answer(batch()).logits
    assert said.isfinite().all()
    torch.testing.assert_close(said.softmax(1)[0], torch.tensor([0.5, 0.0, 0.0, 0.5]))


def test_its_digest_sees_every_member():
    made = members("tiny", "tiny")
    before = EnsembleTeacher(made).digest()
    next(made[1].network.parameters()).data += 1
    assert EnsembleTeacher(made).digest() != before
    assert EnsembleTeacher(made).parameters == 2 * made[0].parameters
