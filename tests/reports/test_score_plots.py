"""Plots of scores: long names fit (a layout that does not is a warning), and what is significant is filled."""

import pytest

from dspkd.evaluation.intervals import Estimate
from dspkd.evaluation.significance import Verdict
from dspkd.reports import score_plots, style
from dspkd.reports.glance import Network, Size
from figures import drawn

LONG = [f"a_recipe_with_quite_a_long_name_{number}" for number in range(4)]


@pytest.fixture(autouse=True)
def styled():
    with style.style(), drawn():
        yield


@pytest.mark.parametrize("names", [LONG, ["teacher", "plain", "student"], ["alone"]], ids=len)
def test_long_names_of_networks_and_classes_fit(names):
    classes = ["seborrhoeic keratosis and solar lentigo", "MEL"]
    drawn = score_plots.recalls({name: [0.25, None] for name in names}, classes)
    assert f"{names[0]}: {classes[0]} 0.25" in drawn  # whole where it is read out
    sizes = [Size(100_000 * (place + 1), None, 2.0 + place) for place in range(len(names))]
    networks = [
        Network("student", n, "accuracy", 0.5, 0.4, 0.6, size, ()) for n, size in zip(names, sizes, strict=True)
    ]
    assert (score_plots.pareto(networks, "milliseconds") is None) == (len(names) == 1)


def test_a_class_without_test_images_is_labelled_so_and_one_of_recall_0_is_not():
    without = score_plots.recalls({"a": [0.25, None, 0.0], "b": [0.5, None, 0.0]}, ["NV", "MEL", "DF"])
    assert without.count("(no test images)") == 2  # drawn, and read out
    assert "MEL (no test images)" in without
    assert "(no test images)" not in score_plots.recalls({"a": [0.25, 0.0]}, ["NV", "MEL"])


def test_a_significant_difference_is_filled_and_another_is_hollow():
    def verdict(word, p):
        return Verdict("kd", "plain", "accuracy", Estimate(0.03, 0.01, 0.05, 0.01, 9.0, 0.01), p, p, p, word, 0.04)

    filled, hollow = (score_plots.forest([each]) for each in (verdict("better", 0.01), verdict("inconclusive", 0.2)))
    assert "kd against plain: better." in filled
    assert "kd against plain: inconclusive after correction." in hollow
    assert filled.count("fill: var(--card)") < hollow.count("fill: var(--card)")
