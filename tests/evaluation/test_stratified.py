import numpy as np
import pytest

from dspkd.errors import DataError
from dspkd.evaluation.intervals import resample
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.stratified import FEW, cells, less


def by_class(runs, classes, **settings):
    return cells(runs, runs[0].labels, classes, **settings)


def test_cells_that_are_classes_give_balanced_accuracy_and_accuracy_resample_by_resample(drawn):
    runs = [drawn(0), drawn(0, gain=2.0)]
    counts, want = by_class(runs, 4, resamples=300), resample(runs, resamples=300)
    for got, metric in ((counts.mean(range(4)), "balanced_accuracy"), (counts.share(range(4)), "accuracy")):
        np.testing.assert_allclose(got.observed, want[metric].observed)
        np.testing.assert_allclose(got.drawn, want[metric].drawn)


def test_a_cell_alone_is_a_recall(drawn):
    predictions = drawn(3)
    counts = by_class([predictions], 4, resamples=2)
    for k, row in enumerate(summarise(predictions).per_class):
        assert counts.share([k]).observed.tolist() == pytest.approx([row.recall])
        assert (counts.images[0, k], counts.lesions[k]) == (row.images, row.groups)


def test_resamples_draw_whole_lesions(make):
    """Two lesions of 30 images, one all right and one all wrong: a resample can only have 0, half or all."""
    predictions = make([0] * 60, [[1, 0]] * 30 + [[0, 1]] * 30, groups=["a"] * 30 + ["b"] * 30)
    drawn = cells([predictions], np.zeros(60, dtype=np.int64), 1, resamples=400).share([0]).drawn
    assert set(drawn[0]) == {0.0, 0.5, 1.0}
    assert np.mean(drawn == 0.5) == pytest.approx(0.5, abs=0.1)


def test_images_of_no_cell_count_nowhere_and_a_cell_that_a_resample_lacks_is_left_out(make):
    predictions = make([0, 0, 1], [[1, 0], [0, 1], [0, 1]])
    counts = cells([predictions], np.array([0, -1, 1]), 2, resamples=200)
    assert counts.images[0].tolist() == [1, 1]
    mean = counts.mean([0, 1])
    assert mean.observed.tolist() == [1.0]
    lacking = (counts.images[1:] > 0).any(axis=1) & (counts.images[1:] == 0).any(axis=1)
    assert lacking.any()
    assert set(mean.drawn[0][lacking]) == {1.0}


def test_few_is_counted_in_lesions_and_not_in_images(make):
    groups = [f"a{n}" for n in range(FEW)] + ["b"] * 50
    predictions = make([0] * FEW + [1] * 50, np.zeros((FEW + 50, 2)), groups)
    assert by_class([predictions], 2, resamples=1).large_enough([0, 1]) == [0]


def test_a_difference_is_run_by_run(drawn):
    runs = [drawn(0), drawn(0, gain=2.0)]
    counts = by_class(runs, 4, resamples=50)
    gap = less(counts.share([0]), counts.share([1]))
    np.testing.assert_allclose(gap.drawn[1], counts.share([0]).drawn[1] - counts.share([1]).drawn[1])
    assert gap.observed.shape == (2,)


def test_no_run_and_other_images_are_refused(drawn):
    with pytest.raises(DataError, match="nothing to resample"):
        cells([], np.zeros(0, dtype=np.int64), 1)
    with pytest.raises(DataError, match="labels differ"):
        by_class([drawn(0), _relabelled(drawn(0))], 4)


def _relabelled(predictions):
    from dataclasses import replace

    return replace(predictions, labels=(predictions.labels + 1) % 4)
