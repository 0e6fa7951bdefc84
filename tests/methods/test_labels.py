from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dspkd.errors import RecipeError
from dspkd.methods.labels import Labels

COUNTS = np.array([40, 120, 30, 8, 24, 3, 4, 6])
WEIGHTS = {
    "none": np.ones(8),
    "inverse": COUNTS.sum() / (8 * COUNTS),
    "sqrt_inverse": COUNTS**-0.5 * COUNTS.sum() / np.sqrt(COUNTS).sum(),
}


def by_hand(s_BK, labels_B, weight_K, smoothing, tau):
    """Mean over pictures of w_y times the cross-entropy with the smoothed label."""
    total = 0.0
    for s, y in zip(s_BK, labels_B, strict=True):
        adjusted = s + tau * np.log(COUNTS / COUNTS.sum())
        log_p = adjusted - np.log(np.exp(adjusted).sum())
        target = (1 - smoothing) * np.eye(8)[y] + smoothing / 8
        total -= weight_K[y] * (target * log_p).sum()
    return total / len(s_BK)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("tau", [0.0, 1.0, 0.5])
def test_it_is_the_formula(weights, smoothing, tau, made):
    student, batch = made.answer(made.student, dtype=torch.float64), made.batch()
    term = Labels(made.student, None, class_weights=weights, label_smoothing=smoothing, logit_adjustment=tau)
    want = by_hand(student.logits.numpy(), batch.labels.numpy(), WEIGHTS[weights], smoothing, tau)
    # Weights and priors are kept in float32.
    assert term(student, None, batch).item() == pytest.approx(want, rel=1e-6)


def test_by_default_it_is_plain_cross_entropy_and_needs_no_counts(made):
    student, batch = made.answer(made.student), made.batch()
    loss = Labels(replace(made.student, class_counts=()), None)(student, None, batch)
    assert torch.equal(loss, F.cross_entropy(student.logits, batch.labels))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_are_1_on_average_over_the_training_pictures(weights, made):
    weight_K = Labels(made.student, None, class_weights=weights).class_weight.numpy()
    assert (COUNTS * weight_K).sum() / COUNTS.sum() == pytest.approx(1, rel=1e-6)


def test_inverse_weights_give_every_class_the_same_say_and_their_roots_half_way(made):
    inverse_K, root_K = (
        Labels(made.student, None, class_weights=kind).class_weight.numpy() for kind in ("inverse", "sqrt_inverse")
    )
    np.testing.assert_allclose(COUNTS * inverse_K, COUNTS.sum() / 8, rtol=1e-6)
    np.testing.assert_allclose((root_K / root_K[0]) ** 2, inverse_K / inverse_K[0], rtol=1e-5)


def test_balanced_training_pictures_need_no_weights(made):
    balanced = replace(made.student, class_counts=(7,) * 8)
    for weights in WEIGHTS:
        torch.testing.assert_close(Labels(balanced, None, class_weights=weights).class_weight, torch.ones(8))


def test_a_rare_picture_counts_its_weight_in_a_batch_of_one_too(made):
    student, batch = made.answer(made.student, 1), replace(made.batch(1), labels=torch.tensor([5]))
    plain, weighted = (Labels(made.student, None, class_weights=w)(student, None, batch) for w in ("none", "inverse"))
    torch.testing.assert_close(weighted, plain * WEIGHTS["inverse"][5].item())


def test_logits_equal_to_the_negative_log_prior_are_uniform_once_adjusted(made):
    """What balanced classes look like to an adjusted network."""
    prior_K = torch.tensor(COUNTS / COUNTS.sum())
    student = replace(made.answer(made.student), logits=-prior_K.log().expand(5, 8))
    loss = Labels(made.student, None, logit_adjustment=1.0)(student, None, made.batch())
    assert loss.item() == pytest.approx(np.log(8), rel=1e-6)


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ((), {"class_weights": "inverse"}, r"labels\.class_weights = 'inverse': needs the training pictures per class"),
        ((), {"logit_adjustment": 1.0}, r"labels\.logit_adjustment = 1.0: needs the training pictures"),
        (
            (3, 0, 1, 1, 1, 0, 1, 1),
            {"class_weights": "sqrt_inverse"},
            r"labels\.class_weights = 'sqrt_inverse': no training picture is of class 1, 5",
        ),
        ((0, *(1,) * 7), {"logit_adjustment": 1}, r"labels\.logit_adjustment = 1: no training picture is of class 0"),
        (COUNTS, {"label_smoothing": 1.0}, r"labels\.label_smoothing: should be less than 1, got 1.0"),
        (COUNTS, {"logit_adjustment": -1}, r"labels\.logit_adjustment: should be greater than or equal to 0, got -1"),
        (COUNTS, {"class_weights": "balanced"}, r"labels\.class_weights: should be 'none', 'inverse' or 'sqrt_inv"),
    ],
)
def test_what_cannot_be_is_refused(counts, options, message, made):
    with pytest.raises(RecipeError, match=message):
        Labels(replace(made.student, class_counts=tuple(counts)), None, **options)


def test_a_mixed_picture_has_the_cross_entropy_with_both_labels_by_their_shares(made):
    """The same as torch's with soft labels, where classes weigh alike."""
    student, _ = made.pair()
    share_B = torch.tensor([0.0, 0.3, 0.5, 0.9, 1.0])
    batch = replace(made.batch(), other_labels=made.batch().labels.roll(1), own_share=share_B)
    soft_BK = torch.zeros(5, 8)
    for b in range(5):
        soft_BK[b, batch.labels[b]] += share_B[b]
        soft_BK[b, batch.other_labels[b]] += 1 - share_B[b]
    loss = Labels(made.student, None, label_smoothing=0.1)(student, None, batch)
    wanted = torch.nn.functional.cross_entropy(student.logits, soft_BK, label_smoothing=0.1)
    torch.testing.assert_close(loss, wanted)


def test_each_label_of_a_mixed_picture_brings_its_own_class_weight(made):
    student, _ = made.pair()
    term = Labels(made.student, None, class_weights="inverse")
    batch = made.batch()
    other = replace(batch, labels=batch.labels.roll(1))
    mixed = replace(batch, other_labels=other.labels, own_share=torch.full((5,), 0.25))
    wanted = 0.25 * term(student, None, batch) + 0.75 * term(student, None, other)
    torch.testing.assert_close(term(student, None, mixed), wanted)
