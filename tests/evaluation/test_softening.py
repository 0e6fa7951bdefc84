import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dspkd.evaluation.softening import confidence, entropy, softened, temperature_for


def confident(classes, gap=10.0):
    """One logit above equal others: the few-class case, of which NormKD's top probability has a closed form."""
    return np.array([[gap] + [0.0] * (classes - 1)], dtype=np.float32)


@pytest.mark.parametrize(
    ("classes", "scale", "top"),
    [(6, 0.75, 0.840), (8, 1.0, 0.707), (8, 2.0, 0.370), (6, 1.2, 0.606), (100, 2.0, 0.600)],
)
@pytest.mark.parametrize("gap", [0.5, 40.0])
def test_softening_of_a_confident_teacher_depends_on_classes_and_scale_alone(classes, scale, top, gap):
    """The gap in units of the deviation is the root of K, so the top is 1 / (1 + (K - 1) exp(-sqrt(K) / T))."""
    p = softened(confident(classes, gap), scale, spread=True)
    assert confidence(p) == pytest.approx(top, abs=6e-4)
    assert confidence(p) == pytest.approx(1 / (1 + (classes - 1) * np.exp(-(classes**0.5) / scale)), rel=1e-6)


def test_equals_torch_and_equal_logits_give_no_nan():
    logits = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    z = torch.tensor(logits).double()
    np.testing.assert_allclose(softened(logits, 3.0), torch.softmax(z / 3, dim=1).numpy())
    spread = torch.softmax(z / (1.5 * z.std(dim=1, keepdim=True)), dim=1).numpy()
    np.testing.assert_allclose(softened(logits, 1.5, spread=True), spread)
    np.testing.assert_allclose(softened(np.zeros((1, 4), np.float32), 1.0, spread=True), 0.25)


def test_entropy_is_a_share_of_that_of_uniform_outputs():
    assert entropy(np.full((3, 7), 1 / 7)) == pytest.approx(1)
    assert entropy(np.eye(4)) == 0
    p = softened(np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32), 1.0)
    assert entropy(p) == pytest.approx(np.mean(stats.entropy(p, axis=1)) / np.log(6))


@given(true=st.floats(0.3, 8.0), spread=st.booleans())
def test_the_temperature_of_a_confidence_is_found(true, spread):
    logits = (3 * np.random.default_rng(2).normal(size=(200, 8))).astype(np.float32)
    target = confidence(softened(logits, true, spread=spread))
    assert temperature_for(logits, target, spread=spread) == pytest.approx(true, rel=1e-3)


def test_a_confidence_that_no_temperature_gives_has_none():
    logits = confident(8)
    assert temperature_for(logits, 0.1) is None  # below chance
    assert temperature_for(np.zeros((2, 8), np.float32), 0.9) is None


def test_confidence_is_the_mean_over_images_of_the_largest():
    assert confidence(np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])) == pytest.approx(2 / 3)
