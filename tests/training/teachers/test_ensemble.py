import hashlib

import torch

from dspkd.models import zoo
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch


def members(*names):
    networks = []
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        network = zoo.make(name, classes=4)
        networks.append(FrozenTeacher(network, network.spec, name=name))
    return networks


def batch():
    draw = torch.Generator().manual_seed(0)
    zeros = torch.zeros(5, dtype=torch.int64)
    return Batch(torch.rand(5, 3, 32, 32, generator=draw), zeros, torch.arange(5), zeros)


def test_its_softmax_is_the_mean_of_the_members_probabilities():
    networks = members("tiny_wide", "tiny", "tiny")
    mean = torch.stack([member.answer(batch()).logits.double().softmax(1) for member in networks]).mean(0)
    torch.testing.assert_close(EnsembleTeacher(networks).answer(batch()).logits.double().softmax(1), mean)


def test_an_ensemble_of_one_is_its_member_up_to_a_shift_of_the_logits():
    (member,) = members("tiny")
    torch.testing.assert_close(
        EnsembleTeacher([member]).answer(batch()).logits, member.answer(batch()).logits.log_softmax(1)
    )


def test_maps_and_pooled_vector_and_spec_are_the_first_members():
    networks = members("tiny_wide", "tiny")
    together, first = EnsembleTeacher(networks), networks[0].answer(batch())
    output = together.answer(batch())
    assert together.spec == networks[0].spec
    assert torch.equal(output.pooled, first.pooled)
    assert all(torch.equal(output.maps[tap], first.maps[tap]) for tap in first.maps)


def test_opposite_certainties_stay_finite():
    networks = members("tiny", "tiny")
    for member, sign in zip(networks, (1.0, -1.0), strict=True):
        member.network.network.fc.weight.data *= 0
        member.network.network.fc.bias.data = torch.tensor([1e4, 0.0, 0.0, -1e4]) * sign
    logits = EnsembleTeacher(networks).answer(batch()).logits
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.softmax(1)[0], torch.tensor([0.5, 0.0, 0.0, 0.5]))


def test_the_digest_depends_on_every_member():
    networks = members("tiny", "tiny")
    before = EnsembleTeacher(networks).digest()
    next(networks[1].network.parameters()).data += 1
    assert EnsembleTeacher(networks).digest() != before
    assert EnsembleTeacher(networks).parameters == 2 * networks[0].parameters


def test_the_digest_depends_on_the_weights_and_that_of_a_mean_is_as_ever():
    networks = members("tiny", "tiny")
    digests = [EnsembleTeacher(networks, weights).digest() for weights in ("mean", "agreement", "label")]
    assert len(set(digests)) == 3
    assert digests[0] == hashlib.sha256("".join(member.digest() for member in networks).encode()).hexdigest()
