from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.shares import wilson
from dspkd.evaluation.stratified import FEW
from dspkd.evaluation.subgroups import subgroups


def study(seed=0, lesions=400, classes=3, worse=0.0):
    """Predictions of two images a lesion, and the sex of each; fewer predictions for men are right by `worse`."""
    generator = np.random.default_rng(seed)
    lesion = np.repeat(np.arange(lesions), 2)
    labels, sex = lesion % classes, np.where(lesion % 5 < 2, "male", "female")
    right = generator.random(len(lesion)) < np.where(sex == "male", 0.8 - worse, 0.8)
    predicted = np.where(right, labels, (labels + 1) % classes)
    ids = tuple(f"i{n}" for n in range(len(lesion)))
    logits = np.eye(classes, dtype=np.float32)[predicted]
    return Predictions(tuple("ABC"[:classes]), ids, tuple(map(str, lesion)), labels, logits), {"sex": tuple(sex)}


def part(predictions, rows_N):
    rows = np.flatnonzero(rows_N)
    return Predictions(
        predictions.classes,
        tuple(predictions.ids[row] for row in rows),
        tuple(predictions.groups[row] for row in rows),
        predictions.labels[rows],
        predictions.logits[rows],
    )


def by_name(sections, attribute="sex"):
    (section,) = [section for section in sections if section.attribute == attribute]
    return {group.name: group for group in section.groups}


def test_figures_are_those_of_the_subgroups_images_alone():
    predictions, attributes = study()
    got = by_name(subgroups([predictions], attributes, focus=1, resamples=200))
    assert list(got) == ["female", "male"]  # the commonest first
    for name, group in got.items():
        alone = summarise(part(predictions, np.array(attributes["sex"]) == name))
        assert (group.images, group.lesions) == (alone.images, alone.groups)
        assert group.figures["balanced_accuracy"].value == pytest.approx(alone.balanced_accuracy)
        assert group.figures["accuracy"].value == pytest.approx(alone.accuracy)
        assert group.figures["sensitivity"].value == pytest.approx(alone.per_class[1].recall)
        assert group.classes == ("A", "B", "C")


def test_a_gap_is_to_the_largest_subgroup_and_a_real_one_is_significant():
    predictions, attributes = study(worse=0.25)
    got = by_name(subgroups([predictions], attributes, focus=0, resamples=2000))
    assert got["female"].gaps == {}
    gap = got["male"].gaps["accuracy"]
    difference = got["male"].figures["accuracy"].value - got["female"].figures["accuracy"].value
    assert gap.own.value == pytest.approx(difference)
    assert gap.own.low < difference < gap.own.high < 0
    assert gap.p < 0.001
    assert gap.change is None
    none = by_name(subgroups([study(seed=1)[0]], attributes, resamples=2000))["male"].gaps["accuracy"]
    assert none.own.low < 0 < none.own.high
    assert none.p > 0.05


def test_the_reference_has_the_most_lesions_not_the_most_images():
    """Of 200 lesions 120 are of women, with one image each, 80 of men, with three."""
    lesion = np.concatenate([np.arange(120), np.repeat(np.arange(120, 200), 3)])
    labels, ids = lesion % 2, tuple(f"i{n}" for n in range(360))
    predictions = Predictions(("A", "B"), ids, tuple(map(str, lesion)), labels, np.eye(2, dtype=np.float32)[labels])
    sex = tuple("female" if number < 120 else "male" for number in lesion)
    (section,) = subgroups([predictions], {"sex": sex}, resamples=100)
    assert [(group.name, group.images, group.lesions) for group in section.groups] == [
        ("male", 240, 80),
        ("female", 120, 120),
    ]
    assert section.reference == "female"
    assert section.groups[1].gaps == {}


def test_the_interval_of_a_gap_is_over_lesions():
    """Every lesion twice the same: as many lesions, so the interval must not shrink by the root of two."""
    predictions, attributes = study(lesions=300)
    once = part(predictions, np.arange(600) % 2 == 0)
    twice = replace(predictions, logits=np.repeat(once.logits, 2, axis=0))
    half = {"sex": attributes["sex"][::2]}
    widths = []
    for of, sexes in ((once, half), (twice, attributes)):
        own = by_name(subgroups([of], sexes, resamples=4000))["male"].gaps["accuracy"].own
        widths.append(own.high - own.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.02)
    shares = [np.mean(np.array(half["sex"]) == name) * 300 for name in ("male", "female")]
    p = [by_name(subgroups([once], half, resamples=10))[name].figures["accuracy"].value for name in ("male", "female")]
    by_hand = 2 * 1.96 * np.sqrt(sum(q * (1 - q) / n for q, n in zip(p, shares, strict=True)))
    assert widths[0] == pytest.approx(by_hand, rel=0.05)


def test_the_change_of_a_gap_is_paired():
    teacher, attributes = study(seed=2)
    same = by_name(subgroups([teacher], attributes, teachers=[teacher], resamples=300))["male"].gaps["accuracy"]
    assert same.change.value == 0
    assert same.change.low < 0 < same.change.high  # no change among so many lesions does not exclude a small one
    assert same.change_p == 1
    men = np.array(attributes["sex"]) == "male"
    lost = men & (np.arange(len(men)) % 40 == 0) & (teacher.predicted == teacher.labels)
    logits = teacher.logits.copy()
    logits[lost] = np.roll(logits[lost], 1, axis=1)
    student = replace(teacher, logits=logits)
    got = by_name(subgroups([student], attributes, teachers=[teacher], resamples=2000))["male"].gaps["accuracy"]
    assert got.change.value == pytest.approx(-lost.sum() / men.sum())
    assert got.change.high < 0
    assert got.change.high - got.change.low < 0.5 * (got.own.high - got.own.low)
    assert got.change_p < 0.01


def test_several_seeds_widen_the_interval_and_the_teacher_lends_and_borrows_nothing():
    teacher, attributes = study(seed=2)
    runs = [study(seed=seed, worse=0.1 * seed)[0] for seed in range(3)]
    alone = by_name(subgroups(runs[1:2], attributes, teachers=[teacher], resamples=500))["male"].gaps["accuracy"]
    several = by_name(subgroups(runs, attributes, teachers=[teacher], resamples=500))["male"].gaps["accuracy"]
    assert alone.own.seeds is None
    gaps = [by_name(subgroups([run], attributes, resamples=2))["male"].gaps["accuracy"].own.value for run in runs]
    assert several.own.value == pytest.approx(np.mean(gaps))
    assert several.own.seeds == pytest.approx(np.std(gaps, ddof=1) / 3**0.5)
    assert several.change.seeds == pytest.approx(several.own.seeds)  # a fixed teacher adds none


def test_too_few_lesions_give_no_estimate():
    predictions, _ = study(lesions=60)
    rare = {"site": tuple("rare" if n < 2 * (FEW - 1) else "common" for n in range(120))}
    got = by_name(subgroups([predictions], rare, focus=0, resamples=50), "site")
    assert got["rare"].lesions == FEW - 1
    assert got["rare"].figures == dict.fromkeys(("balanced_accuracy", "accuracy", "sensitivity"))
    assert got["rare"].gaps == dict.fromkeys(("balanced_accuracy", "accuracy", "sensitivity"))
    assert got["common"].figures["accuracy"] is not None
    enough = {"site": tuple("rare" if n < 2 * FEW else "common" for n in range(120))}
    got = by_name(subgroups([predictions], enough, focus=0, resamples=50), "site")
    assert got["rare"].figures["accuracy"] is not None
    assert got["rare"].figures["balanced_accuracy"] is None  # three or four lesions of each class


def test_balanced_accuracy_of_two_subgroups_is_over_the_classes_that_both_have():
    """Class C occurs in women alone, and is always wrong: men must not look better for lacking it."""
    predictions, attributes = study(lesions=300)
    keep = ~((predictions.labels == 2) & (np.array(attributes["sex"]) == "male"))
    logits = predictions.logits.copy()
    logits[predictions.labels == 2] = [1, 0, 0]
    few = part(replace(predictions, logits=logits), keep)
    sex = tuple(np.array(attributes["sex"])[keep])
    got = by_name(subgroups([few], {"sex": sex}, resamples=200))
    assert got["female"].classes == ("A", "B", "C")
    assert got["male"].classes == ("A", "B")
    gap = got["male"].gaps["balanced_accuracy"]
    assert gap.classes == 2
    women = summarise(part(few, np.array(sex) == "female")).per_class
    assert gap.own.value == pytest.approx(
        got["male"].figures["balanced_accuracy"].value - (women[0].recall + women[1].recall) / 2
    )
    assert got["female"].figures["balanced_accuracy"].value < 0.6  # with C


def test_a_share_of_one_run_has_wilsons_interval_even_where_all_are_right():
    predictions, attributes = study(lesions=100)
    perfect = replace(predictions, logits=np.eye(3, dtype=np.float32)[predictions.labels])
    group = by_name(subgroups([perfect], attributes, resamples=100))["male"]
    assert (group.figures["accuracy"].low, group.figures["accuracy"].high) == wilson(80, [2] * 40)
    assert group.figures["accuracy"].low < 0.95
    assert group.gaps["accuracy"].p == 1
    several = by_name(subgroups([perfect] * 3, attributes, resamples=100))["male"].figures["accuracy"]
    assert (several.low, several.high) == wilson(80, [2] * 40)


def few_and_many(few, many, *, right_of_few, right_of_many):
    """Return predictions of lesions with one image each, and the group of each; the first of a group are right."""
    labels = np.zeros(few + many + 100, dtype=np.int64)
    labels[few + many :] = 1
    right = np.ones(len(labels), dtype=bool)
    right[right_of_few:few] = right[few + right_of_many : few + many] = False
    logits = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    ids = tuple(map(str, range(len(labels))))
    group = tuple("few" if n < few else "many" for n in range(len(labels)))
    return Predictions(("MEL", "NV"), ids, ids, labels, logits), {"site": group}


def test_ten_of_ten_right_is_no_significant_gap():
    """162 of 180 and 10 of 10: Fisher's exact test has p = 0.6, though the bootstrap of the ten has no variance."""
    predictions, attributes = few_and_many(10, 180, right_of_few=10, right_of_many=162)
    gap = by_name(subgroups([predictions], attributes, focus=0, resamples=500), "site")["few"].gaps["sensitivity"]
    assert gap.own.value == pytest.approx(0.1)
    v = [(x + 1) / (n + 2) * (1 - (x + 1) / (n + 2)) / (n + 2) for x, n in ((10, 10), (162, 180))]
    assert gap.own.error == pytest.approx(sum(v) ** 0.5, rel=0.02)  # Agresti and Caffo
    assert gap.p > 0.2


def test_nothing_lost_among_ten_is_no_significant_change():
    """The reference loses 5 % of its lesions and the ten lose none."""
    teacher, attributes = few_and_many(10, 180, right_of_few=10, right_of_many=180)
    student, _ = few_and_many(10, 180, right_of_few=10, right_of_many=171)
    found = by_name(subgroups([student], attributes, focus=0, teachers=[teacher], resamples=500), "site")["few"]
    change = found.gaps["sensitivity"]
    assert change.change.value == pytest.approx(0.05)
    assert change.change_p > 0.2
    lost = [((m + 0.5) / (n + 1), 0.5 / (n + 1), n) for m, n in ((0, 10), (9, 180))]
    by_hand = sum((less + more - (more - less) ** 2) / (n + 1) for less, more, n in lost)
    assert change.change.error == pytest.approx(by_hand**0.5, rel=0.02)


def test_gaps_of_out_of_fold_predictions_vary_from_fold_to_fold():
    """In each fold another share of one group is right, as its network is another: lesions alone know nothing of it."""
    lesions = 500
    fold, other = np.arange(lesions) % 5, np.arange(lesions) // 5 % 2 == 0
    right = ~other | (np.arange(lesions) // 10 % 10 < 5 + fold)
    labels = np.arange(lesions) % 2
    logits = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    ids = tuple(map(str, range(lesions)))
    attributes = {"site": tuple("other" if each else "clinic" for each in other)}
    whole = Predictions(("MEL", "NV"), ids, ids, labels, logits)
    one, folded = (
        by_name(subgroups([run], attributes, resamples=500), "site")["other"].gaps["accuracy"].own
        for run in (whole, replace(whole, folds=fold))
    )
    assert folded.value == one.value
    assert folded.freedom == 4
    by_fold = [right[other & (fold == f)].mean() - 1 for f in range(5)]
    assert folded.error == pytest.approx(np.std(by_fold, ddof=1) * (1 / 5 + 1 / 4) ** 0.5)
    assert folded.error > one.error


def test_p_values_are_corrected_over_all_gaps_of_a_metric():
    predictions, attributes = study(worse=0.1)
    alone = by_name(subgroups([predictions], attributes, resamples=500))["male"].gaps["accuracy"]
    halves = {"half": tuple("b" if n % 400 < 190 else "a" for n in range(800))}
    both = subgroups([predictions], attributes | halves, resamples=500)
    pairs = [by_name(both)["male"].gaps["accuracy"], by_name(both, "half")["b"].gaps["accuracy"]]
    assert pairs[0].own == alone.own
    assert pairs[0].p == pytest.approx(min(1, 2 * alone.p))
    raw = 2 * stats.norm.sf(abs(alone.own.value) / alone.own.error)
    assert alone.p == pytest.approx(raw)


def test_missing_values_are_counted_and_an_attribute_with_one_value_is_left_out():
    predictions, attributes = study(lesions=100)
    some = tuple("" if n < 20 else value for n, value in enumerate(attributes["sex"]))
    (section,) = subgroups([predictions], {"sex": some, "source": ("HAM",) * 200}, resamples=20)
    assert (section.attribute, section.unknown) == ("sex", 20)
    assert sum(group.images for group in section.groups) == 180


def test_ordered_attributes_keep_their_order_and_a_dozen_subgroups_are_reported():
    predictions, _ = study(lesions=300)
    ages = tuple(("60 to 79", "20 to 39", "20 to 39")[n // 2 % 3] for n in range(600))
    sites = tuple(f"site {min(n // 2 % 20, n // 2 % 15)}" for n in range(600))
    sections = subgroups([predictions], {"age": ages, "body site": sites}, ordered=frozenset({"age"}), resamples=20)
    assert [group.name for group in sections[0].groups] == ["20 to 39", "60 to 79"]
    assert sections[0].reference == "20 to 39"
    assert len(sections[1].groups) == 12


@pytest.mark.parametrize(("rare", "last"), [(1, "rare 0"), (2, "2 rarer values"), (49, "49 rarer values")])
def test_no_image_vanishes_where_an_attribute_has_more_than_a_dozen_values(rare, last):
    """Beside eleven sites of twelve lesions there are rare ones of five, where every prediction is wrong."""
    lesions = 11 * 12 + 5 * rare
    predictions, _ = study(lesions=lesions)
    site = [f"common {n % 11}" if n < 132 else f"rare {(n - 132) // 5}" for n in np.arange(2 * lesions) // 2]
    wrong = np.char.startswith(site, "rare")
    logits = predictions.logits.copy()
    logits[wrong] = np.eye(3)[(predictions.labels[wrong] + 1) % 3]
    (section,) = subgroups([replace(predictions, logits=logits)], {"body site": tuple(site)}, resamples=100)
    assert len(section.groups) == 12
    assert sum(group.images for group in section.groups) == 2 * lesions
    assert section.groups[-1].name == last
    assert section.reference.startswith("common")  # though 49 rare sites have most lesions together
    if rare > 1:
        assert section.groups[-1].figures["accuracy"].value == 0
        assert section.groups[-1].gaps["accuracy"].p < 0.05
