"""The thresholds of a bundle, and the sentences on how they were chosen or why there is none."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from dspkd.deploy.bundle.advice import ReferralRule
from dspkd.deploy.bundle.spec import BundleClass
from dspkd.deploy.export import thresholds
from dspkd.errors import BundleError
from dspkd.evaluation.predictions import Predictions

CLASSES, KINDS = ("MEL", "NV", "BCC"), ("malignant", "benign", "malignant")


def validation(cancers=40, others=60, gain=2.0):
    draw = np.random.default_rng(0)
    labels = np.array([0, 2] * (cancers // 2) + [0] * (cancers % 2) + [1] * others)
    ids = tuple(map(str, range(len(labels))))
    logits = (draw.normal(size=(len(labels), 3)) + gain * np.eye(3)[labels]).astype(np.float32)
    return Predictions(CLASSES, ids, ids, labels, logits)


def test_the_threshold_is_of_calibrated_probabilities():
    predictions = validation(gain=1.0)
    fitted = thresholds.fit(predictions, KINDS)
    p = softmax(predictions.logits.astype(np.float64) / fitted.temperature, axis=1)
    cancers = p[predictions.labels != 1][:, [0, 2]].sum(axis=1)
    assert np.mean(cancers >= fitted.refer_from) >= 0.95
    assert np.mean(cancers >= fitted.refer_from + 2.1e-4) < 0.95
    assert fitted.refer_from_rule.startswith(
        "Set so that 95% of the images of cancers in validation reach it: 95.0 % did"
    )
    assert "40 images)" in fitted.refer_from_rule


def test_too_few_cancers_no_malignant_class_and_absent_classes_are_said():
    few = thresholds.fit(validation(cancers=29), KINDS)
    assert few.refer_from is None
    assert few.refer_from_rule == (
        "Its validation set has 29 lesions or patients of malignant classes, and a threshold needs 30."
    )
    assert few.to_json()["refer_from"] is None
    none = thresholds.fit(validation(), ("benign", "benign", "unknown"))
    assert none.refer_from is None
    assert "None of its classes is known to be malignant" in none.refer_from_rule
    predictions = validation()
    absent = Predictions(
        (*CLASSES, "SCC"),
        predictions.ids,
        predictions.groups,
        predictions.labels,
        np.pad(predictions.logits, ((0, 0), (0, 1)), constant_values=-9),
    )
    assert thresholds.fit(absent, (*KINDS, "malignant")).refer_from_rule.endswith("No image of SCC was among them.")


def test_a_validation_set_without_errors_does_not_sharpen_probabilities():
    """Of melanoma 23 %, squamous cell carcinoma 20 % and naevus 40 %, sharpening would leave the naevus."""
    easy = thresholds.fit(validation(gain=12.0), KINDS)
    assert (easy.temperature, easy.refer_from) == (1.0, 0.5)
    assert "and not above 50%: 100.0 % did" in easy.refer_from_rule
    assert thresholds.fit(validation(gain=2.0), KINDS).temperature != 1


def test_a_few_melanomas_do_not_switch_off_the_confidence_threshold():
    predictions = validation(cancers=60, gain=6.0)
    rows = np.r_[np.flatnonzero(predictions.labels == 0)[:1], np.flatnonzero(predictions.labels != 0)]
    few, many = thresholds.fit(predictions.take(rows), KINDS), thresholds.fit(predictions, KINDS)
    assert few.refer_below > 0
    assert few.rule == (
        "By confidence alone, 90% of the validation images are not referred; "
        "1 lesion or patient of MEL in validation: too few to set it."
    )
    assert many.rule == "With it, 95% of the MEL images in validation are found or referred (30 images)."


def test_coverage_sets_the_confidence_threshold():
    predictions = validation()
    fitted = thresholds.fit(predictions, KINDS, coverage=0.5)
    confidence = softmax(predictions.logits.astype(np.float64) / fitted.temperature, axis=1).max(axis=1)
    assert (confidence >= fitted.refer_below - 1e-6).mean() == pytest.approx(0.5, abs=1 / len(predictions))
    assert "50% of the validation images" in fitted.rule
    for coverage in (0.0, 1.5):
        with pytest.raises(BundleError, match=f"coverage: {coverage}; want the share"):
            thresholds.fit(predictions, KINDS, coverage)


def test_a_rule_is_applied_to_calibrated_probabilities():
    predictions = validation()
    classes = tuple(BundleClass(name, name, name, kind) for name, kind in zip(CLASSES, KINDS, strict=True))
    referred = thresholds.referred(ReferralRule(classes, 0.6, 0.3, ""), 2.0, predictions)
    p = softmax(predictions.logits.astype(np.float64) / 2, axis=1)
    expected = (p[:, [0, 2]].sum(axis=1) >= 0.3) | (p.max(axis=1) < 0.6) | (p.argmax(axis=1) != 1)
    assert referred.tolist() == expected.tolist()
    assert 0 < referred.mean() < 1


def test_too_few_cancers_without_ids_are_images_and_not_lesions():
    few = validation(cancers=29)
    groups = tuple(f"image:{name}" for name in few.ids)
    assert thresholds.fit(replace(few, groups=groups), KINDS).refer_from_rule.startswith(
        "Its validation set has 29 images of malignant classes"
    )
