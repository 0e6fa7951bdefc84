from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from dspkd import reports
from dspkd.evaluation.predictions import Predictions
from dspkd.reports import critical_difference
from figures import drawn

SMALL = {"classes": ("MEL", "NV", "DF"), "images": (20, 30, 10), "short": True}


def arm(name, *strengths):
    """An arm with a run for each strength, seeds 0, 1, ...: the stronger, the more often right."""
    labels = np.repeat(np.arange(3), 20)
    ids = tuple(map(str, range(60)))

    def run(seed, strength):
        right = np.arange(60) % 10 < strength
        logits = np.eye(3, dtype=np.float32)[np.where(right, labels, (labels + 1) % 3)]
        test = Predictions(("a", "b", "c"), ids, ids, labels, logits)
        own = {"recipe": SimpleNamespace(split=SimpleNamespace(seed=0)), "parts": [None]}
        return SimpleNamespace(predictions=lambda _: test, result=SimpleNamespace(seed=seed), **own)

    return SimpleNamespace(
        name=name, metric="balanced_accuracy", runs=[run(seed, strength) for seed, strength in enumerate(strengths)]
    )


def verdicts(*pairs, metric="balanced_accuracy"):
    return [SimpleNamespace(one=one, other=other, metric=metric, word=word) for one, other, word in pairs]


def test_the_best_has_rank_1_and_ties_share_their_rank():
    ranks = critical_difference.mean_ranks([arm("low", 1, 1), arm("high", 9, 9), arm("also low", 1, 1)])
    assert list(ranks) == ["high", "low", "also low"]
    assert list(ranks.values()) == pytest.approx([1, 2.5, 2.5])


def test_each_seed_ranks_by_itself_and_only_seeds_that_all_have_count():
    ranks = critical_difference.mean_ranks([arm("even", 5, 5, 0), arm("odd", 1, 9)])
    assert ranks == pytest.approx({"even": 1.5, "odd": 1.5}, abs=0.02)  # one wins with seed 0, the other with seed 1
    only = arm("elsewhere", 5)
    only.runs[0].result.seed = 8
    assert critical_difference.mean_ranks([only, arm("even", 5)]) == {}


def test_bars_join_the_longest_stretches_without_a_significant_difference():
    names = ["a", "b", "c", "d"]

    def indistinguishable(names, results):
        return critical_difference.indistinguishable(names, results, "balanced_accuracy")

    assert indistinguishable(names, verdicts(("d", "a", "worse"))) == [(0, 2), (1, 3)]
    assert indistinguishable(names, verdicts(("a", "b", "better"), ("a", "c", "better"), ("a", "d", "better"))) == [
        (1, 3)
    ]
    assert indistinguishable(names, verdicts(("a", "d", "inconclusive"))) == [(0, 3)]
    assert indistinguishable(names, verdicts(("a", "d", "better"), metric="accuracy")) == [(0, 3)]
    assert indistinguishable(names[:2], verdicts(("a", "b", "better"))) == []


def test_it_draws_each_arm_at_its_rank_and_a_bar_for_each_stretch():
    axes = Figure().subplots()
    critical_difference.draw(axes, {"best": 1.2, "mid": 1.9, "last": 2.9}, [(0, 1), (1, 2)])
    assert {text.get_text() for text in axes.texts} >= {"best  1.20", "mid  1.90", "2.90  last"}
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [1.2, 1.9, 2.9]
    bars = [path.get_paths()[0].vertices for path in axes.collections if path.get_linewidth()[0] == 3]
    assert [(bar[0][0], bar[1][0]) for bar in bars] == [(1.2, 1.9), (1.9, 2.9)]


def test_the_page_has_it_for_three_recipes_with_seeds_and_not_for_two(fabricated, page, tmp_path):
    runs = [fabricated(f"{n}{s}", name=n, seed=s + 9 * i, **SMALL) for i, n in enumerate("xy") for s in (0, 1)]
    assert "Critical-difference" not in page(reports.compare(runs, tmp_path / "two.html")).words
    third = [fabricated(f"z{s}", name="z", seed=s, **SMALL) for s in (0, 1)]
    apart = page(reports.compare(runs + third, tmp_path / "apart.html"))
    assert "Critical-difference" not in apart.words  # no seed is common to all
    same = [fabricated(f"s{n}{s}", name=n, seed=s, **SMALL) for n in "xyz" for s in (0, 1)]
    with drawn():
        read = page(reports.compare(same, tmp_path / "three.html"))
    assert "Critical-difference diagram" in read.words
    assert any("Mean ranks, best first: " in a.get("aria-label", "") for a in read.all("svg"))
