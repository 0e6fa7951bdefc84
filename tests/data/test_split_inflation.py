from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from dspkd import data
from dspkd.data.audit.split_inflation import PROBES, SplitInflation, measure
from dspkd.data.table import Table
from dspkd.errors import DataError


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """80 lesions, three photographs of each that differ little; the look of a lesion does not depend on its class."""
    folder = tmp_path_factory.mktemp("lesions")
    draw = np.random.default_rng(0)
    ids, labels, groups = [], [], []
    for lesion in range(80):
        look = draw.integers(40, 210, (8, 8, 3))
        for photo in range(3):
            ids.append(f"{lesion}-{photo}")
            pixels = (look + draw.normal(0, 4, look.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(folder / f"{ids[-1]}.png")
            labels.append(lesion % 2)
            groups.append(f"L{lesion}")
    paths = tuple(folder / f"{name}.png" for name in ids)
    return Table(("X", "Y"), tuple(ids), paths, np.array(labels), tuple(groups), {}, folder)


@pytest.fixture(scope="module")
def measured(table):
    return {inflation.probe: inflation for inflation in measure(table)}


def test_the_nearest_neighbour_gains_in_full_from_a_leak(measured):
    nearest = measured["nearest neighbour"]
    assert min(nearest.by_image) > 0.9
    assert np.mean(nearest.by_group) == pytest.approx(0.5, abs=0.12)  # chance
    assert nearest.interval[0] > 0.3


def test_scores_and_leaks_are_returned_for_each_seed(measured):
    nearest = measured["nearest neighbour"]
    assert set(measured) == set(PROBES)
    assert len(nearest.by_image) == len(nearest.by_group) == len(nearest.leaked) == 5
    assert min(nearest.leaked) > 0.8


def test_the_same_seeds_give_the_same_scores(table, measured):
    again = {inflation.probe: inflation for inflation in measure(table, seeds=2)}
    assert again["nearest neighbour"].by_group == measured["nearest neighbour"].by_group[:2]


def test_a_perfect_score_is_not_overstated(table, tmp_path):
    for row, path in enumerate(table.paths):
        Image.new("RGB", (32, 32), (90 + 80 * int(table.labels[row]), 100, 100 + row % 7)).save(tmp_path / path.name)
    easy = replace(table, paths=tuple(tmp_path / path.name for path in table.paths))
    for inflation in measure(easy, seeds=2):
        assert inflation.by_image == inflation.by_group == (1, 1)
        assert inflation.mean == 0
        assert inflation.interval == (0, 0)


def test_the_interval_is_students_t_over_paired_differences():
    image, group = (0.8, 0.7, 0.9, 0.75), (0.6, 0.65, 0.7, 0.7)
    inflation = SplitInflation("any", image, group, ())
    expected = stats.ttest_rel(image, group).confidence_interval(0.95)
    assert inflation.interval == pytest.approx((expected.low, expected.high))
    assert inflation.mean == pytest.approx(0.125)


def test_without_groups_there_is_nothing_to_measure(table):
    with pytest.raises(DataError, match=r"every image is a lesion.*name the column"):
        measure(replace(table, groups=table.ids))


def test_one_seed_has_no_interval(table):
    with pytest.raises(DataError, match="at least 2 seeds, got 1"):
        measure(table, seeds=1)


def test_progress_is_reported(table):
    steps = []
    measure(table, seeds=2, progress=lambda *step: steps.append(step))
    assert steps == [("images read", 100, 240), ("images read", 200, 240), ("seeds done", 1, 2), ("seeds done", 2, 2)]


def test_synthetic_lesions_can_be_measured(lesions):
    assert len(measure(data.read("auto", lesions), seeds=2)) == len(PROBES)
