"""Means over views and over teachers, against NumPy in float64 and the reference's vectors."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, softmax
from torch import nn

from dspkd.models import zoo
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.training.teachers.means import agreement, log_mean, turned, weights_by_agreement, weights_by_label
from dspkd.types import Batch

EVERY_TURN = [(quarters, flip) for quarters in range(4) for flip in (False, True)]


def batch(side=32, **changes):
    draw = torch.Generator().manual_seed(0)
    numbers = torch.arange(5)
    return Batch(torch.rand(5, 3, side, side, generator=draw), numbers % 4, numbers, numbers, **changes)


def teacher(views=1, seed=0):
    torch.manual_seed(seed)
    network = zoo.make("tiny", classes=4)
    return FrozenTeacher(network, network.spec, views=views)


def of_turned(images, turn):
    return Batch(turned(images.images, turn), images.labels, images.index, images.views)


def test_a_turn_is_a_flip_and_then_quarter_turns():
    image = np.arange(16.0).reshape(1, 1, 4, 4)
    for quarters, flip in EVERY_TURN:
        expected = np.rot90(image[0, 0, :, ::-1] if flip else image[0, 0], quarters)
        assert np.array_equal(turned(torch.from_numpy(image), (quarters, flip))[0, 0], expected)


@pytest.mark.parametrize("views", [2, 8])
def test_probabilities_and_pooled_vectors_are_the_means_over_the_views_and_maps_those_of_the_image(views):
    turns = EVERY_TURN if views == 8 else [(0, False), (0, True)]
    single = [teacher().answer(of_turned(batch(), turn)) for turn in turns]
    output, plain = teacher(views).answer(batch()), teacher().answer(batch())
    expected = np.mean([softmax(each.logits.double().numpy(), axis=1) for each in single], axis=0)
    np.testing.assert_allclose(softmax(output.logits.double().numpy(), axis=1), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(output.logits.double().numpy()), expected, rtol=1e-5)
    pooled = np.mean([each.pooled.double().numpy() for each in single], axis=0)
    np.testing.assert_allclose(output.pooled.numpy(), pooled, atol=1e-6)
    assert all(torch.equal(output.maps[tap], values) for tap, values in plain.maps.items())
    assert not torch.allclose(output.logits.softmax(1), plain.logits.softmax(1), atol=1e-4)


@pytest.mark.parametrize(("views", "turns"), [(2, [(0, True)]), (8, EVERY_TURN)])
def test_the_mean_does_not_change_when_the_image_is_turned(views, turns):
    averaging = teacher(views)
    for turn in turns:
        # Sums of eight numbers in another order.
        torch.testing.assert_close(
            averaging.answer(of_turned(batch(), turn)).logits, averaging.answer(batch()).logits, rtol=0, atol=1e-5
        )


def test_one_view_is_the_network_bit_for_bit():
    output, direct = teacher(1).answer(batch()), teacher().network(batch().images)
    assert torch.equal(output.logits, direct.logits)


class Counting(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network, self.sizes = network, []

    def forward(self, images):
        self.sizes.append(images.shape[2])
        return self.network(images)


def test_each_view_costs_a_forward_pass_and_larger_images_are_the_ones_that_are_seen():
    counted = Counting(teacher().network)
    FrozenTeacher(counted, teacher().spec, views=8).answer(batch(larger=batch(48)))
    assert counted.sizes == [48] * 8


def ensemble(weights, count=3, views=1):
    return EnsembleTeacher([teacher(views, seed) for seed in range(count)], weights)


def test_views_and_members_are_averaged_together():
    members = [teacher(8, seed).answer(batch()).logits.double().numpy() for seed in range(3)]
    expected = np.mean([softmax(each, axis=1) for each in members], axis=0)
    got = ensemble("mean").averaging(8).answer(batch()).logits.double().numpy()
    np.testing.assert_allclose(np.exp(got), expected, rtol=1e-5)


# Agreement of teachers with each other.


def logits(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_agreement_is_one_less_the_mean_jensen_shannon_divergence_from_the_others():
    z = logits(4, 6, 8)
    q = softmax(z.numpy(), axis=2)
    expected = [
        [np.mean([1 - jensenshannon(q[m, b], q[n, b]) ** 2 / np.log(2) for n in range(4) if n != m]) for b in range(6)]
        for m in range(4)
    ]
    np.testing.assert_allclose(agreement(z), expected, atol=1e-6)


@pytest.mark.parametrize("case", ["agreement_sharp5.0_power0.0_T2.0"])
def test_weights_and_targets_equal_the_reference(shared, case):
    golden = np.load(shared / "golden" / "losses2.npz")
    z = torch.from_numpy(golden["teachers_logits"]) / 2.0
    np.testing.assert_allclose(agreement(z), golden[f"{case}__agreement"], atol=1e-6)
    weights = weights_by_agreement(z)
    np.testing.assert_allclose(weights, golden[f"{case}__weights"], atol=1e-6)
    np.testing.assert_allclose(log_mean(z, weights).exp(), golden[f"{case}__targets"], atol=1e-6)


@pytest.mark.parametrize("weigh", [weights_by_agreement, lambda z: weights_by_label(z, batch())])
def test_weights_sum_to_one_and_follow_their_teacher(weigh):
    z = logits(3, 5, 4)
    torch.testing.assert_close(weigh(z).sum(dim=0), torch.ones(5))
    order = [2, 0, 1]
    torch.testing.assert_close(weigh(z[order]), weigh(z)[order])
    torch.testing.assert_close(weigh(z[:1].expand(3, -1, -1)), torch.full((3, 5), 1 / 3))


def test_teachers_certain_of_different_classes_agree_in_nothing_and_stay_finite():
    z = torch.diag(torch.full((3,), 1e4))[:, None]
    assert torch.equal(agreement(z), torch.zeros(3, 1))
    assert log_mean(z, weights_by_agreement(z)).isfinite().all()


def test_the_teacher_that_disagrees_with_two_others_weighs_least():
    z = torch.tensor([[[4.0, 0, 0]], [[3.5, 0, 0]], [[0, 0, 4.0]]])
    weights = weights_by_agreement(z)[:, 0]
    assert weights[2] < weights[:2].min() / 5


# Agreement with the label.


def test_weights_by_label_follow_the_formula():
    z = logits(3, 5, 4)
    entropy = -np.take_along_axis(log_softmax(z.numpy(), axis=2), batch().labels.numpy()[None, :, None], axis=2)[..., 0]
    expected = (1 - np.exp(entropy) / np.exp(entropy).sum(axis=0)) / 2
    np.testing.assert_allclose(weights_by_label(z, batch()), expected, atol=1e-6)


def test_the_teacher_nearest_the_label_weighs_most_and_extreme_logits_stay_finite():
    z = torch.zeros(3, 5, 4)
    z[0].scatter_(1, batch().labels[:, None], 1e4)
    z[1].scatter_(1, batch().labels[:, None], -1e4)
    weights = weights_by_label(z, batch())
    assert weights.isfinite().all()
    assert (weights[0] >= weights[2]).all()
    assert (weights[1] < 1e-6).all()


def test_a_mixed_image_has_the_entropy_of_its_mixed_label():
    z, share = logits(3, 5, 4), torch.full((5,), 0.3)
    mixed = batch(other_labels=batch().labels.roll(1), own_share=share)
    log_p = log_softmax(z.numpy(), axis=2)
    own, other = (
        -np.take_along_axis(log_p, labels.numpy()[None, :, None], axis=2)[..., 0]
        for labels in (mixed.labels, mixed.other_labels)
    )
    entropy = 0.3 * own + 0.7 * other
    expected = (1 - softmax(entropy, axis=0)) / 2
    np.testing.assert_allclose(weights_by_label(z, mixed), expected, atol=1e-6)


@pytest.mark.parametrize(("weights", "weigh"), [("agreement", weights_by_agreement), ("label", weights_by_label)])
def test_an_ensemble_uses_its_weights(weights, weigh):
    single = torch.stack([member.answer(batch()).logits for member in ensemble("mean").members])
    w = weigh(single, batch()) if weights == "label" else weigh(single)
    expected = (w[:, :, None].double() * single.double().softmax(2)).sum(dim=0)
    torch.testing.assert_close(ensemble(weights).answer(batch()).logits.double().exp(), expected, rtol=1e-5, atol=0)
    assert ensemble(weights).averaging(8).weights == weights
