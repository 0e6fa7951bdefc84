from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dspkd.data.sampling import class_draws
from dspkd.errors import DataError, RecipeError
from dspkd.methods.labels import Labels
from dspkd.types import Batch, NetworkSpec, Output

COUNTS = np.array([40, 120, 30, 8, 24, 3, 4, 6])
WEIGHTS = {
    "none": np.ones(8),
    "inverse": COUNTS.sum() / (8 * COUNTS),
    "sqrt_inverse": COUNTS**-0.5 * COUNTS.sum() / np.sqrt(COUNTS).sum(),
}
NUMBERS = np.array([sum(0.999**j for j in range(n)) for n in COUNTS])
"""Effective numbers of images as their geometric series."""
WEIGHTS["effective"] = COUNTS.sum() / (COUNTS / NUMBERS).sum() / NUMBERS


def by_hand(s_BK, labels_B, weight_K, gamma, smoothing, tau):
    """Mean over images of w_y times (1 - p_y)^gamma times the cross-entropy with the smoothed label."""
    total = 0.0
    met_K = weight_K * COUNTS
    for s, y in zip(s_BK, labels_B, strict=True):
        adjusted = s + tau * np.log(met_K / met_K.sum())
        log_p = adjusted - np.log(np.exp(adjusted).sum())
        target = (1 - smoothing) * np.eye(8)[y] + smoothing / 8
        total -= weight_K[y] * (1 - np.exp(log_p[y])) ** gamma * (target * log_p).sum()
    return total / len(s_BK)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("tau", [0.0, 1.0, 0.5])
def test_it_is_the_formula(weights, gamma, smoothing, tau, nets):
    student, batch = nets.answer(nets.student, dtype=torch.float64), nets.batch()
    options = {"focal_gamma": gamma, "label_smoothing": smoothing, "logit_adjustment": tau}
    term = Labels(nets.student, None, class_weights=weights, **options)
    want = by_hand(student.logits.numpy(), batch.labels.numpy(), WEIGHTS[weights], gamma, smoothing, tau)
    # Weights and priors are kept in float32.
    assert term(student, None, batch).item() == pytest.approx(want, rel=1e-6)


def test_by_default_it_is_plain_cross_entropy_and_needs_no_counts(nets):
    student, batch = nets.answer(nets.student), nets.batch()
    loss = Labels(replace(nets.student, class_counts=()), None)(student, None, batch)
    assert torch.equal(loss, F.cross_entropy(student.logits, batch.labels))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_are_1_on_average_over_the_training_images(weights, nets):
    weight_K = Labels(nets.student, None, class_weights=weights).class_weight.numpy()
    assert (COUNTS * weight_K).sum() / COUNTS.sum() == pytest.approx(1, rel=1e-6)


def test_inverse_weights_give_classes_equal_totals_and_their_roots_half_way(nets):
    inverse_K, root_K = (
        Labels(nets.student, None, class_weights=kind).class_weight.numpy() for kind in ("inverse", "sqrt_inverse")
    )
    np.testing.assert_allclose(COUNTS * inverse_K, COUNTS.sum() / 8, rtol=1e-6)
    np.testing.assert_allclose((root_K / root_K[0]) ** 2, inverse_K / inverse_K[0], rtol=1e-5)


def test_balanced_training_images_have_equal_weights(nets):
    balanced = replace(nets.student, class_counts=(7,) * 8)
    for weights in WEIGHTS:
        torch.testing.assert_close(Labels(balanced, None, class_weights=weights).class_weight, torch.ones(8))


def weights_of(nets, **options):
    return Labels(nets.student, None, **options).class_weight


def test_effective_numbers_go_from_no_weights_to_inverse_ones(nets):
    at = {beta: weights_of(nets, class_weights="effective", effective_beta=beta) for beta in (0.0, 0.9, 1 - 1e-9)}
    assert torch.equal(at[0.0], torch.ones(8))
    torch.testing.assert_close(at[1 - 1e-9], weights_of(nets, class_weights="inverse"), rtol=1e-6, atol=0)
    # By N = 40 and 120, 0.9^N is 1.5 % and 0.0003 %: past 10 images, more hardly count.
    assert at[0.9][0] / at[0.9][1] == pytest.approx((1 - 0.9**120) / (1 - 0.9**40), rel=1e-6)
    assert at[0.9][0] / at[0.9][1] < 1.02


def gradient(term, logits_BK, labels_B):
    leaf_BK = logits_BK.clone().requires_grad_()
    rows = torch.arange(len(labels_B))
    term(Output(leaf_BK, leaf_BK), None, Batch(rows, labels_B, rows, rows)).backward()
    return leaf_BK.grad


def test_the_focal_gradient_of_two_classes_is_that_of_the_paper(nets):
    """Lin et al., appendix B, with p_t = sigmoid(x_t): dFL/dx = y (1 - p_t)^g (g p_t log p_t + p_t - 1)."""
    x_B, y_B = torch.linspace(-4, 4, 9, dtype=torch.float64), torch.arange(9) % 2
    term = Labels(NetworkSpec(2, 2, {}), None, focal_gamma=2.0)
    grad_BK = gradient(term, torch.stack([torch.zeros_like(x_B), x_B], dim=1), y_B)
    sign_B = 2.0 * y_B - 1
    p_B = torch.sigmoid(sign_B * x_B)
    want_B = sign_B * (1 - p_B) ** 2 * (2 * p_B * p_B.log() + p_B - 1)
    torch.testing.assert_close(9 * grad_BK[:, 1], want_B)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
def test_focal_loss_is_0_for_a_certain_prediction_and_cross_entropy_for_a_wrong_one(gamma, nets):
    """1 - p_y is exactly 0 in float32 here, where its power below 1 has no gradient."""
    student = replace(nets.answer(nets.student), logits=1e4 * torch.eye(8)[:5])
    plain, focal = Labels(nets.student, None), Labels(nets.student, None, focal_gamma=gamma)
    certain, wrong = (replace(nets.batch(), labels=(torch.arange(5) + shift) % 8) for shift in (0, 1))
    assert focal(student, None, certain) == 0
    assert not gradient(focal, student.logits, certain.labels).any()
    assert torch.equal(focal(student, None, wrong), plain(student, None, wrong))


def test_a_gamma_near_0_is_nearly_cross_entropy(nets):
    student, batch = nets.answer(nets.student), nets.batch()
    loss = Labels(nets.student, None, focal_gamma=1e-6)(student, None, batch)
    torch.testing.assert_close(loss, F.cross_entropy(student.logits, batch.labels), rtol=1e-4, atol=0)


def test_the_prior_is_that_of_the_images_drawn(nets):
    drawn = replace(nets.student, class_draws=(50, 86, 43, 22, 39, 13, 15, 19))
    prior_K = Labels(drawn, None, logit_adjustment=1.0).log_prior.exp().numpy()
    np.testing.assert_allclose(prior_K, np.array(drawn.class_draws) / sum(drawn.class_draws), rtol=1e-6)


@pytest.mark.parametrize("even", ["draws", "weights"])
def test_classes_equalised_by_sampling_or_weights_are_not_adjusted(even, nets):
    student, batch = nets.answer(nets.student), nets.batch()
    spec = replace(nets.student, class_draws=(29,) * 8) if even == "draws" else nets.student
    weights = "none" if even == "draws" else "inverse"
    plain, adjusted = (
        Labels(spec, None, class_weights=weights, logit_adjustment=tau)(student, None, batch) for tau in (0.0, 1.0)
    )
    torch.testing.assert_close(adjusted, plain)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_the_best_adjusted_logits_are_those_of_balanced_classes_however_classes_are_drawn_and_weighted(weight, balance):
    """Menon et al., Theorem 1: if classes cannot be distinguished, training gives equal unadjusted logits.

    The gradient over all images of an epoch, each with the same logits 0, must vanish.
    """
    draws_K = class_draws(COUNTS, balance=balance)
    spec = NetworkSpec(8, 8, {}, class_counts=tuple(COUNTS.tolist()), class_draws=tuple(draws_K.tolist()))
    term = Labels(spec, None, class_weights=weight, logit_adjustment=1.0)
    labels_B = torch.from_numpy(np.repeat(np.arange(8), draws_K))
    grad_BK = gradient(term, torch.zeros(len(labels_B), 8, dtype=torch.float64), labels_B)
    torch.testing.assert_close(grad_BK.sum(dim=0), torch.zeros(8, dtype=torch.float64), rtol=0, atol=1e-7)


def test_a_rare_image_counts_its_weight_in_a_batch_of_one_too(nets):
    student, batch = nets.answer(nets.student, 1), replace(nets.batch(1), labels=torch.tensor([5]))
    plain, weighted = (Labels(nets.student, None, class_weights=w)(student, None, batch) for w in ("none", "inverse"))
    torch.testing.assert_close(weighted, plain * WEIGHTS["inverse"][5].item())


def test_logits_equal_to_the_negative_log_prior_are_uniform_once_adjusted(nets):
    """The logits of an adjusted network for balanced classes."""
    prior_K = torch.tensor(COUNTS / COUNTS.sum())
    student = replace(nets.answer(nets.student), logits=-prior_K.log().expand(5, 8))
    loss = Labels(nets.student, None, logit_adjustment=1.0)(student, None, nets.batch())
    assert loss.item() == pytest.approx(np.log(8), rel=1e-6)


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ((), {"class_weights": "inverse"}, r"labels\.class_weights = 'inverse': needs the training images per class"),
        ((), {"logit_adjustment": 1.0}, r"labels\.logit_adjustment = 1.0: needs the training images"),
        (
            (3, 0, 1, 1, 1, 0, 1, 1),
            {"class_weights": "sqrt_inverse"},
            r"labels\.class_weights = 'sqrt_inverse': no training image is of class 1, 5",
        ),
        ((0, *(1,) * 7), {"logit_adjustment": 1}, r"labels\.logit_adjustment = 1: no training image is of class 0"),
        (COUNTS, {"label_smoothing": 1.0}, r"labels\.label_smoothing: should be less than 1, got 1.0"),
        (COUNTS, {"logit_adjustment": -1}, r"labels\.logit_adjustment: should be greater than or equal to 0, got -1"),
        (COUNTS, {"focal_gamma": -0.5}, r"labels\.focal_gamma: should be greater than or equal to 0, got -0.5"),
        (COUNTS, {"effective_beta": 1.0}, r"labels\.effective_beta: should be less than 1, got 1.0"),
        ((), {"class_weights": "effective"}, r"labels\.class_weights = 'effective': needs the training images"),
        (COUNTS, {"class_weights": "balanced"}, r"labels\.class_weights: should be 'none', 'inverse', 'sqrt_"),
    ],
)
def test_an_invalid_stage_is_refused(counts, options, message, nets):
    with pytest.raises(RecipeError, match=message):
        Labels(replace(nets.student, class_counts=tuple(counts)), None, **options)


def test_a_mixed_image_has_the_cross_entropy_with_both_labels_by_their_shares(nets):
    """The same as torch's with soft labels, where classes have equal weights."""
    student, _ = nets.pair()
    share_B = torch.tensor([0.0, 0.3, 0.5, 0.9, 1.0])
    batch = replace(nets.batch(), other_labels=nets.batch().labels.roll(1), own_share=share_B)
    soft_BK = torch.zeros(5, 8)
    for b in range(5):
        soft_BK[b, batch.labels[b]] += share_B[b]
        soft_BK[b, batch.other_labels[b]] += 1 - share_B[b]
    loss = Labels(nets.student, None, label_smoothing=0.1)(student, None, batch)
    expected = torch.nn.functional.cross_entropy(student.logits, soft_BK, label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)


def test_each_label_of_a_mixed_image_brings_its_own_class_weight(nets):
    student, _ = nets.pair()
    term = Labels(nets.student, None, class_weights="inverse")
    batch = nets.batch()
    other = replace(batch, labels=batch.labels.roll(1))
    mixed = replace(batch, other_labels=other.labels, own_share=torch.full((5,), 0.25))
    expected = 0.25 * term(student, None, batch) + 0.75 * term(student, None, other)
    torch.testing.assert_close(term(student, None, mixed), expected)


SOFT_BK = torch.rand(5, 8, generator=torch.manual_seed(1)).softmax(dim=1)
SOFT_BK[:, 3] = 0
SOFT_BK /= SOFT_BK.sum(dim=1, keepdim=True)


def test_soft_labels_have_the_cross_entropy_with_their_weights(nets):
    student, batch = nets.answer(nets.student), replace(nets.batch(), soft_labels=SOFT_BK)
    loss = Labels(nets.student, None, soft_labels=True, label_smoothing=0.1)(student, None, batch)
    torch.testing.assert_close(loss, F.cross_entropy(student.logits, SOFT_BK, label_smoothing=0.1))
    assert Labels(nets.student, None)(student, None, batch) == F.cross_entropy(student.logits, batch.labels)


def test_each_class_of_a_soft_label_has_its_own_loss(nets):
    student, batch = nets.answer(nets.student), replace(nets.batch(), soft_labels=SOFT_BK)
    options = {"class_weights": "inverse", "focal_gamma": 2.0}
    hard, soft = (Labels(nets.student, None, soft_labels=soft, **options) for soft in (False, True))
    expected = sum(
        SOFT_BK[b, k] * hard(student.rows(b, b + 1), None, replace(batch.rows(b, b + 1), labels=torch.tensor([k])))
        for b in range(5)
        for k in range(8)
    )
    torch.testing.assert_close(soft(student, None, batch), expected / 5)


def test_the_prior_that_soft_labels_teach_is_not_that_of_the_largest_classes(nets):
    """80 images that are NV by 0.6 and MEL by 0.4 count as 80 of NV and none of MEL; the student learns the means."""
    assert Labels(nets.student, None).prior
    assert Labels(nets.student, None, soft_labels=True).prior == ()
    with pytest.raises(RecipeError, match=r"labels\.logit_adjustment = 0\.5: not with soft_labels = true.*leave one"):
        Labels(nets.student, None, soft_labels=True, logit_adjustment=0.5)


def test_with_balanced_draws_the_mean_weight_of_an_epochs_images_is_above_1(nets):
    """By Cauchy-Schwarz, for weights that fall as draws of a class rise above its images."""
    counts = np.array(nets.student.class_counts)
    for balance, mean in ((0.0, 1.0), (1.0, counts.sum() * (1 / counts).mean() / len(counts))):
        draws = counts ** (1 - balance)
        spec = replace(nets.student, class_draws=tuple((draws / draws.sum() * counts.sum()).tolist()))
        weight_K = Labels(spec, None, class_weights="inverse").class_weight.numpy()
        assert (weight_K * draws).sum() / draws.sum() == pytest.approx(mean)
    assert mean > 1


def test_a_soft_label_of_one_class_is_that_class_even_mixed(nets):
    student, batch = nets.answer(nets.student), nets.batch()
    mixed = replace(batch, other_labels=batch.labels.roll(1), own_share=torch.full((5,), 0.3))
    certain_BK = F.one_hot(batch.labels, 8).float()
    soft = replace(mixed, soft_labels=0.3 * certain_BK + 0.7 * certain_BK.roll(1, dims=0))
    terms = [Labels(nets.student, None, soft_labels=soft, class_weights="inverse") for soft in (False, True)]
    torch.testing.assert_close(terms[0](student, None, mixed), terms[1](student, None, soft))


def test_soft_labels_of_data_with_one_class_an_image_are_refused(nets):
    with pytest.raises(DataError, match=r"labels\.soft_labels = true: .*leave it out"):
        Labels(nets.student, None, soft_labels=True)(nets.answer(nets.student), None, nets.batch())
