from dataclasses import replace

import numpy as np
import pytest

from dspkd.evaluation import teacher_quality
from dspkd.evaluation.calibration import calibration
from dspkd.evaluation.intervals import resample
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.shares import wilson
from dspkd.evaluation.teacher_quality import calibrated, gain, level, margin


def predictions(seed, right, lesions=600, classes=3, sure=4.0):
    """Two images a lesion, with equal predictions; a share `right` of each class is right."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(lesions) % classes, 2)
    shares = np.broadcast_to(right, (classes,))[labels]
    hit = np.repeat(generator.random(lesions), 2) < shares
    answered = np.where(hit, labels, (labels + 1) % classes)
    names = tuple(str(n) for n in range(2 * lesions))
    groups = tuple(str(n // 2) for n in range(2 * lesions))
    logits = (sure * np.eye(classes)[answered]).astype(np.float32)
    return Predictions(tuple("ABC"[:classes]), names, groups, labels, logits)


def test_margins_are_differences_of_scores_over_the_mean_student():
    teacher, students = predictions(0, 0.9), [predictions(1, 0.7), predictions(2, 0.75)]
    result = margin(teacher, students, resamples=500)
    summaries = [summarise(of) for of in (teacher, *students)]
    scores = [of.balanced_accuracy for of in summaries]
    assert result.balanced_accuracy.value == pytest.approx(scores[0] - np.mean(scores[1:]))
    assert result.accuracy.value == pytest.approx(
        summaries[0].accuracy - np.mean([of.accuracy for of in summaries[1:]])
    )
    for k, row in enumerate(result.classes):
        recalls = [of.per_class[k].recall for of in summaries]
        assert (row.teacher, row.student) == pytest.approx((recalls[0], np.mean(recalls[1:])))
        assert row.margin.value == pytest.approx(recalls[0] - np.mean(recalls[1:]))
        assert (row.images, row.lesions) == (400, 200)


def test_a_teacher_that_is_worse_at_one_class_gets_the_word_worse():
    result = margin(predictions(0, [0.9, 0.5, 0.8]), [predictions(1, [0.7, 0.7, 0.8])], resamples=2000)
    assert [row.word for row in result.classes] == ["better", "worse", "inconclusive"]
    assert result.classes[0].margin.low > 0 > result.classes[1].margin.high


def test_the_teacher_borrows_no_variance_over_seeds():
    teacher, students = predictions(0, 0.9), [predictions(seed, 0.6 + 0.1 * seed) for seed in (1, 2, 3)]
    result = margin(teacher, students, resamples=500).balanced_accuracy
    spread = np.std([summarise(of).balanced_accuracy for of in students], ddof=1)
    assert result.seeds == pytest.approx(spread / 3**0.5)
    assert margin(teacher, students[:1], resamples=500).balanced_accuracy.seeds is None


def test_pairing_narrows_and_lesions_are_drawn_whole():
    teacher = predictions(0, 0.8)
    logits = teacher.logits.copy()
    logits[:24] = np.roll(logits[:24], 1, axis=1)
    student = replace(teacher, logits=logits)
    result = margin(teacher, [student], resamples=2000).accuracy
    alone = np.std(resample([teacher], resamples=2000)["accuracy"].drawn[0])
    assert result.error < alone
    twelve = np.where(np.arange(600) < 12, result.value / 0.02, 0)  # what each changed lesion adds, roughly
    assert result.error == pytest.approx(twelve.std() / 600**0.5, rel=0.35)


def test_too_few_lesions_and_classes_without_images():
    few = predictions(0, 0.8, lesions=12)
    words = [row.word for row in margin(few, [predictions(1, 0.8, lesions=12)], resamples=50).classes]
    assert words == ["too few lesions"] * 3
    absent = replace(few, classes=("A", "B", "C", "D"), logits=np.pad(few.logits, ((0, 0), (0, 1)), constant_values=-9))
    row = margin(absent, [absent], resamples=50).classes[3]
    assert (row.images, row.teacher, row.student, row.word) == (0, None, None, "too few images")


def test_a_level_is_a_summary_with_intervals():
    teacher = predictions(0, 0.8)
    result = level(teacher, resamples=500)
    assert result.accuracy[0] == summarise(teacher).accuracy
    assert result.accuracy[1] < result.accuracy[0] < result.accuracy[2]
    assert result.confidence == pytest.approx(np.exp(4) / (np.exp(4) + 2))
    assert result.images == 1200


def test_gain_is_paired_and_signed():
    better, worse = predictions(0, 0.9), predictions(0, 0.7)
    assert gain(better, worse, resamples=500).low > 0
    assert gain(worse, better, resamples=500).value == -gain(better, worse, resamples=500).value


def test_calibration_is_fitted_on_other_lesions_than_it_is_measured_on():
    sure = predictions(0, 0.7, sure=12.0)
    result = calibrated(sure)
    assert result.raw == pytest.approx(calibration(sure).ece)
    assert result.raw > 0.25
    assert result.temperature > 3
    assert result.cooled < 0.1


def test_no_lesion_is_in_both_the_fitted_and_the_measured_half(monkeypatch):
    fitted, measured = [], []
    fit, measure = teacher_quality.temperature, teacher_quality.calibration
    monkeypatch.setattr(teacher_quality, "temperature", lambda of: fitted.append(set(of.groups)) or fit(of))
    monkeypatch.setattr(teacher_quality, "calibration", lambda of: measured.append(set(of.groups)) or measure(of))
    calibrated(predictions(0, 0.7))
    pairs = list(zip(fitted[:2], measured[:2], strict=True))
    assert all(not one & other and len(one | other) == 600 for one, other in pairs)
    assert pairs[0] == pairs[1][::-1]


@pytest.mark.parametrize(("teacher", "student", "word"), [(1, 1, "inconclusive"), (0, 1, "worse"), (1, 0, "better")])
def test_none_wrong_of_few_lesions_is_not_certain(teacher, student, word):
    """Twelve lesions of a class, all right or all wrong by either: no bootstrap resample varies."""
    shares = [[share, 0.7] for share in (teacher, student)]
    runs = [predictions(seed, share, lesions=24, classes=2) for seed, share in enumerate(shares)]
    row = margin(runs[0], [runs[1]], resamples=200).classes[0]
    assert row.margin.value == teacher - student
    assert row.margin.low < row.margin.value - 0.1 < row.margin.value + 0.1 < row.margin.high
    assert row.word == word


def test_a_margin_and_a_gain_of_perfect_networks_are_not_certain():
    runs = [predictions(seed, 1.0, lesions=30) for seed in range(2)]
    result = margin(runs[0], runs[1:], resamples=50)
    for each in (result.accuracy, result.balanced_accuracy, gain(*runs, resamples=50)):
        assert each.value == 0
        assert each.low < -0.03
        assert each.high > 0.03
    assert level(runs[0], resamples=50).accuracy[1] == pytest.approx(wilson(60, [2] * 30)[0])
