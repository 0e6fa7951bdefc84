"""The linear head on embeddings: what it says of an image was not learned from that image's lesion."""

import numpy as np
import pytest

from dspkd.errors import DataError
from dspkd.training.teachers import linear_head


def lesions(count, images, classes, width, *, signal, seed=0):
    """Return embeddings, labels and groups: `images` of each lesion, which resemble each other closely."""
    draw = np.random.default_rng(seed)
    label_L = np.arange(count) % classes
    centre_LD = draw.normal(size=(count, width))
    centre_LD[:, :classes] += signal * np.eye(classes)[label_L]
    rows = np.repeat(np.arange(count), images)
    noise = 0.01 * draw.normal(size=(len(rows), width))
    return (centre_LD[rows] + noise).astype(np.float32), label_L[rows], [f"lesion {n}" for n in rows]


def test_embeddings_without_a_signal_teach_nothing_of_images_that_a_head_could_memorise():
    embeddings, labels, groups = lesions(60, 3, 3, 200, signal=0)
    fit = linear_head.fit(embeddings, labels, groups, np.arange(180), 3)
    assert fit.balanced_accuracy < 0.55  # 1/3 is chance; by image instead of lesion it would be 1
    np.testing.assert_allclose(np.exp(fit.log_p).sum(axis=1), 1, rtol=1e-5)
    assert fit.strength == 0.001


def test_a_signal_is_found_and_figures_are_those_of_the_answers():
    embeddings, labels, groups = lesions(60, 2, 3, 20, signal=4)
    fit = linear_head.fit(embeddings, labels, groups, np.arange(120), 3)
    recalls = [(fit.log_p.argmax(axis=1) == labels)[labels == label].mean() for label in range(3)]
    assert fit.balanced_accuracy == pytest.approx(np.mean(recalls))
    assert fit.balanced_accuracy > 0.8
    assert fit.log_loss == pytest.approx(-fit.log_p[np.arange(120), labels].mean(), rel=1e-6)


def test_other_images_have_the_mean_of_all_heads_and_their_labels_are_not_read():
    embeddings, labels, groups = lesions(60, 2, 3, 20, signal=4)
    fitted = np.arange(100)
    hidden = labels.copy()
    hidden[100:] = -1
    first, second = (linear_head.fit(embeddings, each, groups, fitted, 3) for each in (labels, hidden))
    assert np.array_equal(first.log_p, second.log_p)
    assert (first.log_p[100:].argmax(axis=1) == labels[100:]).mean() > 0.8
    np.testing.assert_allclose(np.exp(first.log_p[100:]).sum(axis=1), 1, rtol=1e-5)


def test_no_label_of_a_lesion_reaches_the_answers_about_it(monkeypatch):
    """Heads record which images they are fitted to and predict."""
    embeddings, labels, groups = lesions(20, 3, 2, 5, signal=1)
    real, pairs = linear_head._head, []

    def recorded(seen_MD, *rest):
        head = real(seen_MD, *rest)

        def predict(of_ND):
            pairs.append((seen_MD, of_ND))
            return head(of_ND)

        return predict

    monkeypatch.setattr(linear_head, "_head", recorded)
    linear_head.fit(embeddings, labels, groups, np.arange(60), 2)
    lesion_of = {row.tobytes(): group for row, group in zip(embeddings, groups, strict=True)}
    for seen, unseen in pairs:
        assert not {lesion_of[row.tobytes()] for row in seen} & {lesion_of[row.tobytes()] for row in unseen}
    assert len(pairs) == linear_head.FOLDS * len(linear_head.STRENGTHS)


def test_classes_of_one_lesion_and_few_lesions_are_answered_for():
    embeddings, labels, groups = lesions(4, 2, 2, 3, signal=1)
    labels = labels.copy()
    labels[:2] = 2  # class 2 has one lesion: the head without it cannot know the class
    fit = linear_head.fit(embeddings, labels, groups, np.arange(8), 4)
    assert np.isfinite(fit.log_p).all()
    assert np.exp(fit.log_p[:2, 2]).max() < 1e-30
    with pytest.raises(DataError, match="two lesions and two classes"):
        linear_head.fit(embeddings[:2], labels[:2], groups[:2], np.arange(2), 4)
