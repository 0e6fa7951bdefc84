import dataclasses
import re

import numpy as np
import pytest

from altered import altered
from dspkd.evaluation.intervals import Estimate
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import Verdict, verdicts
from dspkd.reports import limitations, wording
from dspkd.reports.comparison import arms
from dspkd.runs import run_folder


def one_hot(pairs, groups=None):
    """Predictions for (true, predicted) pairs of classes out of A, B, C."""
    ids = tuple(str(n) for n in range(len(pairs)))
    return Predictions(
        classes=("A", "B", "C"),
        ids=ids,
        groups=tuple(groups or ids),
        labels=np.array([true for true, _ in pairs]),
        logits=np.eye(3, dtype=np.float32)[[answer for _, answer in pairs]],
    )


@pytest.fixture(scope="module")
def run(fabricated):
    return run_folder.read(fabricated(classes=("A", "B", "C"), images=(4, 4, 4), short=True))


def test_the_verdict_has_score_chance_best_and_worst(run):
    test = summarise(one_hot([(0, 0), (0, 0), (1, 1), (1, 0)], groups=["x", "x", "y", "z"]))
    assert wording.verdict(run, test) == (
        "shufflenet_v2_x1_0 (1.26 M parameters), distilled from a teacher, reaches balanced accuracy 0.750 on 4 test "
        "images of 3 lesions or patients in 2 classes; chance is 0.500. Recall is highest for A (1.000), "
        "lowest for B (0.500)."
    )


def test_the_verdict_names_no_best_where_there_is_none_and_no_teacher_where_there_is_none(run):
    alone = altered(run, result=dataclasses.replace(run.result, teacher=None))
    text = wording.verdict(alone, summarise(one_hot([(0, 0), (1, 1)])))
    assert "distilled" not in text
    assert text.endswith("the same for every class.")


def notes(run, test, val=None, **changes):
    changed = altered(run, test=test, val=val, result=dataclasses.replace(run.result, **changes))
    return " ".join(limitations.notes(changed, changed.val, changed.test))


def test_notes_warn_of_few_images_ties_and_empty_classes(run):
    tied = one_hot([(0, 0), (1, 1)])
    tied.logits[1] = 1
    text = notes(run, tied)
    assert "changes the recall of A by 1.000, B by 1.000" in text
    assert "1 test image with several largest logits" in text
    assert "balanced accuracy is 0.500" in text
    assert "left out of every mean: C." in text


def test_without_limitations_there_is_one_note(run):
    plenty = one_hot([(n % 3, n % 3) for n in range(150)])
    text = notes(run, plenty)
    assert text.startswith("The epochs were chosen on 9 validation images")
    assert len(limitations.notes(altered(run, test=plenty), run.val, summarise(plenty))) == 1


def test_of_a_network_trained_elsewhere_no_epoch_was_chosen_and_its_images_are_not_known(run):
    text = notes(run, one_hot([(n % 3, n % 3) for n in range(150)]), stages=())
    assert text.startswith("This run trained nothing. Whether its network saw these images where it was trained")
    assert "epochs" not in text


def test_the_verdict_names_no_recall_as_certain(run):
    nearly = one_hot([(0, 0)] * 2499 + [(0, 1), (1, 1)])
    assert "lowest for A (above 0.999)" in wording.verdict(run, summarise(nearly))


def test_notes_warn_of_lesions_in_two_parts(run):
    test, val = one_hot([(0, 0), (1, 1)], groups=["x", "y"]), one_hot([(0, 0), (1, 1)], groups=["y", "z"])
    assert "1 lesion of the test images also occur" in notes(run, test, val)


def arms_of(run, rights):
    """Arms by the numbers of right predictions of their runs, of 200 images."""
    runs = [
        altered(
            run,
            result=dataclasses.replace(run.result, name=name, seed=seed),
            test=one_hot([(0, 0 if n < right else 1) for n in range(200)]),
        )
        for name, several in rights.items()
        for seed, right in enumerate(several)
    ]
    ranked = arms(runs)
    return ranked, verdicts({arm.name: [of.predictions("test") for of in arm.runs] for arm in ranked}, resamples=300)


@pytest.mark.parametrize(
    ("rights", "pattern"),
    [
        (
            {"good": [160, 162], "poor": [100, 102]},
            r"good is significantly better than poor: \+30\.0 percentage points .*, p < 0\.001",
        ),
        (
            {"good": [160, 164], "poor": [158, 162]},
            r"good differs from poor is inconclusive: \+1\.0 percentage points \(95 % interval .\d.* to \+\d.*\)\. "
            r"The minimum detectable difference \(80% power\) is \d+\.\d percentage points\.$",
        ),
        (
            {"good": [160], "poor": [100]},
            r"One run each cannot tell whether good is better than poor: these two runs differ by \+30\.0 ",
        ),
        ({"good": [160, 162]}, r"^good has balanced accuracy 0\.805 ± 0\.007 over 2 runs\.$"),
    ],
)
def test_a_lead_is_called_better_only_where_it_is_significant(run, rights, pattern):
    assert re.search(pattern, wording.comparison(*arms_of(run, rights)))


def test_p_values_and_differences_are_rounded():
    assert [wording.p_value(p) for p in (0.0312, 1e-9, 1.0, None)] == ["0.031", "< 0.001", "1.000", "\N{EN DASH}"]
    assert [wording.points(share) for share in (0.0164, -0.2, 0.0)] == ["+1.6", "\N{MINUS SIGN}20.0", "+0.0"]


def verdict_of(low, high, p):
    difference = Estimate(value=(low + high) / 2, low=low, high=high, error=0.01, freedom=9, seeds=0.01)
    word = "inconclusive" if p is None or p >= 0.05 else "better"
    return Verdict("kd", "plain", "accuracy", difference, p, p, p, word, None if p is None else 0.05)


@pytest.mark.parametrize(
    ("low", "high", "p", "words"),
    [
        (0.033, 0.115, None, "one run each cannot tell"),
        (-0.01, 0.02, None, "one run each cannot tell"),
        (0.002, 0.008, 0.3, "inconclusive after correction"),
        (-0.008, -0.002, 0.3, "inconclusive after correction"),
        (-0.01, 0.02, 0.3, "inconclusive"),
        (0.01, 0.02, 0.001, "better"),
    ],
)
def test_a_result_in_words_is_no_contradiction_of_its_interval(low, high, p, words):
    verdict = verdict_of(low, high, p)
    assert wording.result(verdict) == words
    assert ("correction" in wording.significance(verdict)) == ("correction" in words or words == "better")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_nothing_varied_nothing_is_said_to_be_detectable(value):
    difference = Estimate(value=value, low=value, high=value, error=0.0, freedom=9, seeds=0.0)
    of_nothing = Verdict("a", "b", "accuracy", difference, 1.0, 1.0, 1.0, "inconclusive", None)
    assert wording.result(of_nothing) == "inconclusive"
    assert wording.interval_of(difference, "accuracy") == "\N{EN DASH}"
    text = wording.significance(of_nothing)
    assert "minimum detectable difference (80% power) is not known, as nothing varied" in text
    assert "One run each" not in text
    assert "correction" not in text


def test_sizes_and_times_are_rounded():
    assert [wording.size(n) for n in (5_062_144, 83_100, 512)] == ["5.1 MB", "83 kB", "512 bytes"]
    assert [wording.times(ratio, "smaller", "larger") for ratio in (3.84, 0.5, 1.0, 213.4)] == [
        "3.8 times smaller", "2.0 times larger", "the same", "213 times smaller",
    ]  # fmt: skip
