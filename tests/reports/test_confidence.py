import numpy as np
import pytest

from dspkd import reports
from dspkd.evaluation.by_lesion import by_lesion
from dspkd.evaluation.calibration import calibration, scaled, temperature
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.selective import refer, threshold_for
from dspkd.evaluation.shares import wilson
from dspkd.reports.confidence import of_run
from dspkd.runs import run_folder


@pytest.fixture(scope="module")
def few(fabricated):
    """A run whose third class has no test images and of whose groups one has images of two classes."""
    folder = fabricated(short=True, classes=("MEL", "NV", "DF"), images=(21, 15, 0))
    reports.write(folder)
    return folder


def test_temperature_and_thresholds_are_chosen_on_validation_and_evaluated_on_test(whole):
    run = run_folder.read(whole)
    summary = of_run(run)
    assert summary.temperature == temperature(run.predictions("val"))
    assert summary.raw == calibration(run.predictions("test"))
    assert summary.scaled == calibration(scaled(run.predictions("test"), summary.temperature))
    assert summary.referrals == {
        k: refer(run.predictions("test"), k, threshold_for(run.predictions("val"), k)) for k in range(3)
    }


def test_intervals_contain_their_scores(whole):
    run = run_folder.read(whole)
    summary, test = of_run(run), summarise(run.predictions("test"))
    for metric, (low, high) in summary.intervals.items():
        assert low < getattr(test, metric) < high
    for row, (low, high) in zip(test.per_class, summary.recalls, strict=True):
        assert low < row.recall < high
    widths = np.subtract(*np.transpose(summary.recalls)[::-1])
    assert widths[2] > widths[0] > widths[1]  # the fewer images, the wider


def test_the_page_has_metrics_by_lesion_and_by_image(whole, page):
    read = page(whole / "report.html")
    run = run_folder.read(whole)
    test, lesions = summarise(run.predictions("test")), summarise(by_lesion(run.predictions("test")))
    summary = of_run(run)
    low, high = summary.intervals["f1_macro"]
    lesions_low, lesions_high = summary.lesion_intervals["f1_macro"]
    assert f"{lesions.images} lesions" in read.words
    assert (
        f"Macro F1 {test.f1_macro:.3f} {low:.3f} to {high:.3f} "
        f"{lesions.f1_macro:.3f} {lesions_low:.3f} to {lesions_high:.3f}"
    ) in read.words
    assert f"ECE {summary.raw.ece:.3f} {summary.scaled.ece:.3f}" in read.words
    assert f"Logits divided by {summary.temperature:.2f}" in read.words
    mel = summary.referrals[0]
    missed = 1 - mel.found - mel.referred
    assert f"MEL {mel.threshold:.3f} {mel.answered:.3f} {mel.found:.3f} {mel.referred:.3f} {missed:.3f}" in read.words
    row = summary.ranking[0]
    assert f"{row.auc_above_80:.3f} {row.average_precision:.3f} {row.sensitivity_at_90:.3f}" in read.words


def test_groups_of_several_classes_have_no_metrics_by_lesion(few, page):
    assert of_run(run_folder.read(few)).lesions is None
    assert "No metrics by lesion" in page(few / "report.html").words


def test_a_class_without_test_images_has_no_interval_and_no_threshold(few):
    summary = of_run(run_folder.read(few))
    assert summary.recalls[2] is None
    assert set(summary.referrals) == {0, 1}


def test_a_threshold_needs_ten_lesions_and_what_is_missed_has_its_count_and_interval(fabricated, page):
    """In validation NV has ten images of eight lesions, DF two images, VASC seven."""
    folder = fabricated(short=True, classes=("MEL", "NV", "DF", "VASC"), images=(21, 12, 2, 9))
    summary = of_run(run_folder.read(folder))
    assert summary.images == {0: (17, 21), 1: (10, 12), 2: (2, 2), 3: (7, 9)}
    assert set(summary.referrals) == set(summary.missed) == {0}
    missed, (low, high) = summary.missed[0]
    test = run_folder.read(folder).predictions("test")
    sure_N = test.probabilities.max(axis=1) >= summary.referrals[0].threshold
    assert missed == int(((test.labels == 0) & (test.predicted != 0) & sure_N).sum())
    _, sizes = np.unique(np.array(test.groups)[test.labels == 0], return_counts=True)
    assert (low, high) == wilson(missed, sizes)
    words = page(reports.write(folder)).words
    assert f"{missed} of 21, {low:.3f} to {high:.3f} 17" in words
    for name, images in (("NV", 10), ("DF", 2), ("VASC", 7)):
        assert f"{name} too few lesions in validation {images}" in words
