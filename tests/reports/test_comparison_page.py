import dataclasses
import re
from statistics import fmean, stdev

import numpy as np
import pytest

from altered import altered
from dspkd import reports
from dspkd.errors import RunError
from dspkd.evaluation import calibration, metrics
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import METRICS
from dspkd.evaluation.significance import verdicts
from dspkd.reports import comparison_markdown, comparison_results, wording
from dspkd.reports.comparison import ResampledArms, agreement, arms, differing, unanimity
from dspkd.runs import run_folder

SMALL = {"classes": ("MEL", "NV", "<b>x</b>"), "images": (20, 30, 10), "short": True}


@pytest.fixture(scope="module")
def runs(fabricated):
    """Two recipes: one with three seeds, one alone."""
    many = [fabricated(f"many{seed}", name="many", seed=seed, **SMALL) for seed in range(3)]
    return [*many, fabricated("lone", name="lone <i>", seed=7, **SMALL)]


@pytest.fixture(scope="module")
def read(runs):
    return [run_folder.read(run) for run in runs]


def scores(folders):
    return [summarise(Predictions.load(folder / "predictions/test.csv")).auc_macro for folder in folders]


def test_the_page_has_mean_and_standard_deviation_over_seeds(runs, page, tmp_path):
    text = page(reports.compare(runs, tmp_path / "deep" / "compare.html")).words
    many = scores(runs[:3])
    assert f"many 3 runs {fmean(many):.3f} ± {stdev(many):.3f} 0." in text  # and its interval
    (lone,) = scores(runs[3:])
    assert f"lone <i> 1 run {lone:.3f} 0." in text
    assert "not a diagnosis" in text


def test_the_log_loss_of_the_table_is_defined_as_the_one_that_is_computed(runs, page, tmp_path):
    """The log loss of the calibration table is another one: the mean over images, not over classes."""
    text = page(reports.compare(runs, tmp_path / "compare.html")).words
    assert f"Class-balanced log loss: {metrics.DEFINITIONS['log_loss']}" in text
    assert calibration.DEFINITIONS["log_loss"] not in text


def test_the_page_is_whole_escaped_and_always_the_same(runs, page, tmp_path):
    one = page(reports.compare(runs, tmp_path / "one.html"))
    two = page(reports.compare(runs, tmp_path / "two.html"))
    assert one.text == two.text
    assert {tag for tag, _ in one.tags} & {"b", "script", "link", "img"} == set()
    assert len(one.all("svg")) == 4  # two curves, differences, recalls
    assert all("scope" in th for th in one.all("th"))
    assert all(a["href"].startswith("#") for a in one.all("a"))
    assert "<b>x</b>" in one.words


def test_the_page_has_each_verdict_with_interval_and_detectable_difference(runs, read, page, tmp_path):
    text = page(reports.compare(runs, tmp_path / "compare.html")).words
    pairs = verdicts({arm.name: [run.predictions("test") for run in arm.runs] for arm in arms(read)})
    assert len(pairs) == len(METRICS)
    for row in pairs:
        value, interval = (
            wording.amount(row.difference.value, row.metric),
            wording.interval_of(row.difference, row.metric),
        )
        assert (
            f"{row.one} against {row.other} {row.word} {value} {interval} "
            f"{' '.join(map(wording.p_value, (row.p, row.p_pooled, row.p_pairwise)))} "
            f"{wording.detectable(row.minimum_detectable_difference, row.metric)}"
        ) in text
    assert {row.word for row in pairs} == {"inconclusive"}  # these recipes differ by nothing but chance
    assert "Significance of differences" not in page(reports.compare(runs[:3], tmp_path / "alone.html")).words


def test_an_interval_is_around_its_mean(read):
    ranked = arms(read)
    for arm, estimates in zip(ranked, ResampledArms.of(ranked).intervals(), strict=True):
        for metric, interval in estimates.items():
            assert interval.value == pytest.approx(arm.spread(metric).mean, rel=1e-6)
            assert interval.low < interval.value < interval.high
            assert (interval.seeds is None) == (len(arm.runs) == 1)


def test_no_interval_of_a_score_leaves_its_scale(fabricated):
    perfect = {"classes": ("MEL", "NV"), "images": (20, 20), "short": True, "name": "kd"}
    folders = [fabricated(f"kd{seed}", seed=seed, **perfect) for seed in (0, 1)]
    path = folders[0] / "predictions/test.csv"
    one = Predictions.load(path)
    dataclasses.replace(one, logits=9 * np.eye(2, dtype=np.float32)[one.labels]).save(path)
    (estimates,) = ResampledArms.of(arms([run_folder.read(folder) for folder in folders])).intervals()
    assert estimates["balanced_accuracy"].high == 1
    assert estimates["log_loss"].low >= 0
    assert estimates["log_loss"].high > 1


def test_runs_of_one_name_with_different_recipes_are_reported(read, runs, page, tmp_path):
    (many,) = arms(read[:3])
    recipe = read[1].recipe
    stages = (dataclasses.replace(recipe.stages[0], lr=0.01), *recipe.stages[1:])
    model = dataclasses.replace(recipe.model, weights="none")
    changed = altered(many.runs[1], recipe=dataclasses.replace(recipe, seed=1, stages=stages, model=model))
    other = dataclasses.replace(many, runs=(many.runs[0], changed))
    assert (differing(many), differing(other)) == ([], ["model.weights", "stages"])
    assert "differ in more than their seed" not in page(reports.compare(runs, tmp_path / "compare.html")).words


def test_a_single_run_has_no_spread_and_no_agreement(runs, page, tmp_path):
    text = page(reports.compare(runs[3:], tmp_path / "compare.html")).words
    assert "lone <i> \N{EN DASH} " in text
    assert not re.search(r"0\.\d{3} ± ", text)


def test_the_better_mean_comes_first(read):
    ranked = arms(read)
    assert [len(arm.runs) for arm in ranked] in ([3, 1], [1, 3])
    assert ranked[0].score.mean > ranked[1].score.mean
    assert ranked == sorted(ranked, key=lambda arm: -arm.score.mean)
    assert arms(read[::-1])[0].name == ranked[0].name


def test_agreement_is_the_mean_over_pairs_and_symmetric(read):
    many, lone = sorted(arms(read), key=lambda arm: -len(arm.runs))
    p = [run.predictions("test").predicted for run in (*many.runs, *lone.runs)]
    assert agreement(many, many) == pytest.approx(
        np.mean([np.mean(p[0] == p[1]), np.mean(p[0] == p[2]), np.mean(p[1] == p[2])])
    )
    assert agreement(many, lone) == pytest.approx(np.mean([np.mean(p[k] == p[3]) for k in range(3)]))
    assert agreement(many, lone) == pytest.approx(agreement(lone, many))
    assert agreement(lone, lone) is None


def test_unanimity_counts_each_image_once(read):
    right = [
        [p == label for p, label in zip(run.predictions("test").predicted, run.predictions("test").labels, strict=True)]
        for run in read
    ]
    hits = [sum(image) for image in zip(*right, strict=True)]
    got = unanimity(read)
    assert got["every"] == pytest.approx(hits.count(len(read)) / len(hits))
    assert got["none"] == pytest.approx(hits.count(0) / len(hits))
    assert sum(got.values()) == pytest.approx(1)
    assert 0 < got["some"] < 1


def test_one_synthetic_run_flags_the_page(runs, fabricated, page, tmp_path):
    drawings = fabricated("drawings", name="drawings", synthetic=True, **SMALL)
    assert "Synthetic data" in page(reports.compare([runs[0], drawings], tmp_path / "compare.html")).words
    assert "Synthetic data" not in page(reports.compare(runs, tmp_path / "compare.html")).words


def test_runs_that_do_not_compare_are_refused(runs, fabricated, tmp_path):
    def refused(message, *others):
        with pytest.raises(RunError, match=message):
            reports.compare([runs[0], *others], tmp_path / "compare.html")

    refused(r"elsewhere: split beef, but .*many0 has 0ddba", fabricated("elsewhere", split_digest="beef", **SMALL))
    others = SMALL | {"classes": ("MEL", "NV", "DF")}
    refused(r"named: classes MEL, NV, DF, but", fabricated("named", **others))
    fewer = SMALL | {"images": (20, 30, 9)}
    refused(r"fewer: predictions/test\.csv lists other images", fabricated("fewer", name="fewer", **fewer))
    refused(r"many0 and .*many0 are both named 'many' with seed 0", runs[0])
    with pytest.raises(RunError, match="no run to compare"):
        reports.compare([], tmp_path / "compare.html")
    assert not list(tmp_path.iterdir())


def test_a_warning_that_is_among_the_cautions_stands_once_in_the_head(runs, fabricated, page, tmp_path):
    warning = "no lesion or patient ids: images of one person may be in both training and test set"
    run = fabricated("warned", name="warned", seed=9, warnings=[warning, "3 files were left out"], **SMALL)
    caution = "There are no lesion or patient ids: images of one person may be in the training set and in the test set."
    for cautions, times in (((), 1), ((caution,), 1), (("Another thing: beware.",), 1)):
        written = reports.compare([runs[0], run], tmp_path / "compare.html", cautions=cautions)
        head = page(written).words.partition("Metrics All on")[0]
        assert head.lower().count("no lesion or patient ids") == times
        assert head.count("3 files were left out") == 1


def test_a_class_of_few_lesions_is_warned_of_on_the_page_and_in_the_tables(runs, fabricated, page, tmp_path):
    warning = "few lesions or patients (3 of <b>x</b>): verdicts by means over classes err more often"
    few = [fabricated(name, name=name, **SMALL | {"images": (20, 30, 4)}) for name in ("one", "two")]
    for folders, times in ((few, 1), (runs, 0)):
        words = page(reports.compare(folders, tmp_path / "compare.html")).words
        assert words.lower().count(warning) == times
        results = comparison_results.tabulate("", folders, [], controls=(), failed={}, unequal=[])
        assert comparison_markdown.markdown([results]).count(f"**{warning}") == times


def test_one_run_each_is_said_to_tell_nothing_on_the_page(runs, fabricated, page, tmp_path):
    other = fabricated("other", name="other", seed=3, **SMALL)
    words = page(reports.compare([runs[0], other], tmp_path / "compare.html")).words
    assert (
        len(re.findall(r"(other against many|many against other) one run each cannot tell [+\N{MINUS SIGN}]", words))
        == 5
    )
    assert "inconclusive [+" not in words


def test_differences_recalls_and_their_numbers_are_drawn(runs, page, tmp_path):
    drawn = [svg["aria-label"] for svg in page(reports.compare(runs, tmp_path / "compare.html")).all("svg")]
    (forest,) = [words for words in drawn if words.startswith("Differences in macro AUROC. ")]
    assert "against" in forest
    (recalls,) = [words for words in drawn if words.startswith("Recall of each class. ")]
    assert "many: MEL 0." in recalls
