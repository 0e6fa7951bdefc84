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
    """80 lesions, three photographs of each that differ little; what a lesion looks like says nothing of its class."""
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
    return {premium.probe: premium for premium in measure(table)}


def test_a_probe_that_remembers_lesions_is_flattered_to_the_full(measured):
    nearest = measured["nearest neighbour"]
    assert min(nearest.by_image) > 0.9
    assert np.mean(nearest.by_group) == pytest.approx(0.5, abs=0.12)  # chance: looks say nothing
    assert nearest.interval[0] > 0.3


def test_sizes_and_leaks_are_told_of_each_seed(measured):
    nearest = measured["nearest neighbour"]
    assert set(measured) == set(PROBES)
    assert len(nearest.by_image) == len(nearest.by_group) == len(nearest.leaked) == 5
    assert min(nearest.leaked) > 0.8


def test_the_same_seeds_say_the_same(table, measured):
    again = {premium.probe: premium for premium in measure(table, seeds=2)}
    assert again["nearest neighbour"].by_group == measured["nearest neighbour"].by_group[:2]


def test_images_that_say_their_class_leave_nothing_to_overstate(table, tmp_path):
    for row, path in enumerate(table.paths):
        Image.new("RGB", (32, 32), (90 + 80 * int(table.labels[row]), 100, 100 + row % 7)).save(tmp_path / path.name)
    easy = replace(table, paths=tuple(tmp_path / path.name for path in table.paths))
    for premium in measure(easy, seeds=2):
        assert premium.by_image == premium.by_group == (1, 1)
        assert premium.mean == 0
        assert premium.interval == (0, 0)


def test_the_interval_is_students_over_paired_differences():
    image, group = (0.8, 0.7, 0.9, 0.75), (0.6, 0.65, 0.7, 0.7)
    premium = SplitInflation("any", image, group, ())
    expected = stats.ttest_rel(image, group).confidence_interval(0.95)
    assert premium.interval == pytest.approx((expected.low, expected.high))
    assert premium.mean == pytest.approx(0.125)


def test_without_groups_there_is_nothing_to_measure(table):
    with pytest.raises(DataError, match=r"every image is a lesion or patient of its own.*name the column"):
        measure(replace(table, groups=table.ids))


def test_one_seed_has_no_interval(table):
    with pytest.raises(DataError, match="at least 2 seeds, got 1"):
        measure(table, seeds=1)


def test_progress_is_told(table):
    told = []
    measure(table, seeds=2, progress=lambda *step: told.append(step))
    assert told == [("images read", 100, 240), ("images read", 200, 240), ("seeds tried", 1, 2), ("seeds tried", 2, 2)]


def test_synthetic_lesions_of_a_published_layout_are_read(lesions):
    assert len(measure(data.read("auto", lesions), seeds=2)) == len(PROBES)
