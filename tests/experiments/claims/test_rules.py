"""Each rule on a table with one fault, and on the same table without it."""

from dataclasses import replace

import pytest

from dspkd.experiments.paper.claims import RULES, Severity, check
from dspkd.experiments.paper.claims.rows import ClaimRow, ClaimTable, Number


def number(text, place=""):
    return Number(float(text), len(text.partition(".")[2]), place)


def row(model, role=None, **figures):
    kept = {key: figures.pop(key) for key in list(figures) if key in ClaimRow.__dataclass_fields__}
    return ClaimRow(model=model, role=role, figures={key: number(text) for key, text in figures.items()}, **kept)


def severities(rule, *rows):
    return [(finding.severity, finding.where) for finding in check(rows) if finding.rule == rule]


def one(rule, *rows):
    """Return the single finding of a rule."""
    (finding,) = [finding for finding in check(rows) if finding.rule == rule]
    return finding


def test_every_rule_has_a_docstring_and_none_has_a_finding_for_an_empty_table():
    assert all(rule.__doc__ for rule in RULES)
    assert check([]) == []


@pytest.mark.parametrize(
    ("size", "severity"), [("1.262", "passed"), ("1.26", "passed"), ("1.25", "impossible"), ("1.09", "impossible")]
)
def test_distillation_cannot_change_parameters_beyond_rounding(size, severity):
    plain = row("plain", "baseline", network="net", parameters="1.262")
    finding = one("same-network", row("kd", "student", network="net", parameters=size), plain)
    assert finding.severity == severity
    assert finding.where.startswith("kd")


def test_another_network_or_another_data_set_may_have_other_parameters():
    plain = row("plain", "baseline", network="net", data="a", parameters="1.262")
    assert severities("same-network", plain, row("kd", network="wide", data="a", parameters="1.8")) == []
    assert severities("same-network", plain, row("kd", network="net", data="b", parameters="1.260")) == []
    unknown = [row("plain", "baseline", network="net"), row("kd", "student", network="net")]
    assert one("same-network", *unknown).severity == "could not be checked"


@pytest.mark.parametrize(
    ("time", "severity"), [("0.046", "passed"), ("0.055", "passed"), ("0.060", "implausible"), ("0.023", "implausible")]
)
def test_one_graph_has_one_speed_but_for_noise(time, severity):
    plain = row("plain", "baseline", network="net", time="0.046")
    finding = next(f for f in check([plain, row("kd", network="net", time=time)]) if f.where.startswith("kd"))
    assert finding.severity == severity


def test_a_student_above_its_teacher_is_compared_with_the_noise_of_images_or_seeds():
    teacher, student = row("big", "teacher", accuracy="90.00"), row("kd", "student", accuracy="91.00")
    assert one("above-teacher", teacher, student).severity == "needs explanation"
    # 2 sqrt(0.9 x 0.1 + 0.91 x 0.09) / sqrt(n) is 0.0262 at 1,000 images and 0.0083 at 10,000.
    for images, severity in ((1_000, "passed"), (10_000, "implausible")):
        finding = one("above-teacher", *(replace(each, images=(1, images)) for each in (teacher, student)))
        assert finding.severity == severity
    assert "noise 0.83" in finding.arithmetic
    # Standard errors 0.3 and 0.4 make 0.5, twice that is 1.0: with a little more spread the gain is within noise.
    for spread, severity in (("0.60", "implausible"), ("0.90", "passed")):
        several = replace(teacher, runs=4, spreads={"accuracy": number("0.60")})
        finding = one("above-teacher", several, replace(student, runs=4, spreads={"accuracy": number(spread)}))
        assert finding.severity == severity
    assert one("above-teacher", teacher, row("kd", "student", accuracy="90.00")).severity == "passed"
    assert one("above-teacher", student).severity == "could not be checked"


@pytest.mark.parametrize(
    ("accuracy", "f1", "severity"),
    [("88.0", "80.0", "needs explanation"), ("88.0", "83.0", "passed"), ("85.0", "80.0", "passed")],
)
def test_accuracy_that_rises_while_macro_f1_falls_is_reported(accuracy, f1, severity):
    plain = row("plain", "baseline", accuracy="86.0", f1="82.0")
    assert one("accuracy-up", plain, row("kd", "student", accuracy=accuracy, f1=f1)).severity == severity
    assert one("accuracy-up", plain, row("kd", "student", accuracy="88.0")).severity == "could not be checked"


@pytest.mark.parametrize(
    ("spread", "severity"), [("0.50", "passed"), ("1.50", "needs explanation"), (None, "could not be checked")]
)
def test_a_gain_is_compared_with_the_larger_spread_over_seeds(spread, severity):
    plain = replace(row("plain", "baseline", accuracy="86.0"), spreads={"accuracy": number("0.20")})
    better = row("kd", "student", accuracy="87.0")
    if spread is None:
        plain = replace(plain, spreads={})
    else:
        better = replace(better, spreads={"accuracy": number(spread)})
    assert one("gain-in-noise", plain, better).severity == severity
    assert severities("gain-in-noise", plain, replace(better, figures={"accuracy": number("85.0")})) == []


@pytest.mark.parametrize(
    ("macro", "severity"), [("60.00", "passed"), ("60.01", "passed"), ("60.02", "impossible"), ("59.98", "impossible")]
)
def test_a_macro_average_is_the_mean_of_its_classes(macro, severity):
    f1_of = {"A": number("50.00"), "B": number("70.00")}
    assert one("macro-mean", row("kd", f1=macro, f1_of=f1_of)).severity == severity


@pytest.mark.parametrize(("delta", "severity"), [("2.33", "passed"), ("2.34", "passed"), ("2.43", "impossible")])
def test_deltas_add_up(delta, severity):
    plain = row("plain", table="table 7", accuracy="86.21")
    better = row("kd", table="table 7", accuracy="88.54", delta=number(delta), delta_from="plain")
    assert one("deltas", plain, better).severity == severity
    assert one("deltas", better).severity == "could not be checked"


def test_a_figure_that_is_printed_twice_is_the_same():
    rows = [row("kd", table=f"table {n}", accuracy=text) for n, text in ((2, "88.54"), (7, "88.5"))]
    assert one("two-values", *rows).severity == "passed"
    rows[1] = row("kd", table="table 7", accuracy="88.45")
    assert one("two-values", *rows).severity == "needs explanation"


def test_specificity_is_checked_against_the_sizes_of_the_classes():
    classes = {"A": 90, "B": 10}
    # 80 of 100 correct: only 10 of the 20 errors can be called A, so 1 - (10 / 10 + 10 / 90) / 2 = 0.444 is the least.
    of_one = "needs explanation"
    for printed, severity in (("44.44", "passed"), ("44.0", of_one), ("88.9", "passed"), ("89.0", of_one)):
        finding = one("specificity", row("kd", classes=classes, accuracy="80.00", specificity=printed))
        assert finding.severity == severity, finding
    # With A as the positive class, all 10 images of B may be wrong.
    finding = one("specificity", row("kd", classes=classes, accuracy="80.00", specificity="0.00"))
    assert "with A as the positive class" in finding.message
    small = {"A": 50, "B": 50}
    assert one("specificity", row("kd", classes=small, accuracy="90.0", specificity="79.0")).severity == "impossible"
    assert one("specificity", row("kd", accuracy="80.00", specificity="44.4")).severity == "could not be checked"
    assert one("specificity", row("kd", classes=classes, specificity="44.4")).severity == "could not be checked"


def test_accuracy_is_checked_against_the_f1_of_the_classes():
    f1_of = {"A": number("90.00"), "B": number("70.00")}
    assert one("f1-of-classes", row("kd", accuracy="90.02", f1_of=f1_of)).severity == "impossible"
    assert one("f1-of-classes", row("kd", accuracy="71.00", f1_of=f1_of)).severity == "passed"
    finding = one("f1-of-classes", row("kd", accuracy="71.00", f1_of=f1_of, classes={"A": 90, "B": 10}))
    assert finding.severity == "impossible"
    assert "with the sizes of the classes" in finding.arithmetic


def rotated_runs():
    """Means of three runs on three classes of 10 images: in each, another class is predicted as the next one.

    F1 is 0 for it, 2/3 for the next, 1 for the third; accuracy is 20 of 30.
    """
    return {name: number("55.56") for name in "ABC"}


def test_a_bound_of_one_run_is_not_applied_to_means_over_several():
    several = row("kd", accuracy="66.67", f1="55.56", f1_of=rotated_runs(), runs=3)
    assert one("f1-of-classes", several).severity == "could not be checked"
    assert "means over runs" in one("f1-of-classes", several).message
    assert one("macro-mean", several).severity == "passed"
    finding = one("f1-of-classes", replace(several, runs=1))
    assert finding.severity == "impossible"
    assert any("single runs" in each for each in finding.assumes)


def test_rules_on_all_classes_are_not_applied_to_some_of_them():
    some = {"A": number("90.00"), "B": number("70.00")}
    figures = {"accuracy": "95.00", "f1": "85.00", "f1_of": some}
    three = row("kd", classes={"A": 50, "B": 30, "C": 20}, **figures)
    for rule in ("f1-of-classes", "macro-mean"):
        assert one(rule, three).severity == "could not be checked"
        assert "some classes" in one(rule, three).message
        assert one(rule, row("kd", **figures)).severity == "impossible"
        assert "the F1 of every class is printed" in one(rule, row("kd", **figures)).assumes
        stated = one(rule, row("kd", classes={"A": 50, "B": 50}, **figures))
        assert stated.severity == "impossible"
        assert "the F1 of every class is printed" not in stated.assumes


@pytest.mark.parametrize(
    ("balanced", "severity"),
    # 80 of 100 correct: the errors are 20 of A's 90, or all 10 of B and 10 of A.
    [("88.89", "passed"), ("88.91", "impossible"), ("44.44", "passed"), ("44.42", "impossible")],
)
def test_balanced_accuracy_is_checked_against_accuracy_and_the_sizes_of_the_classes(balanced, severity):
    one_run = row("kd", accuracy="80.00", balanced_accuracy=balanced, classes={"A": 90, "B": 10})
    assert one("balanced-accuracy", one_run).severity == severity
    assert one("balanced-accuracy", replace(one_run, runs=3)).severity == severity
    assert one("balanced-accuracy", replace(one_run, classes={})).severity == "could not be checked"
    assumed = replace(one_run, classes_assume="the proportions of the data set")
    assert one("balanced-accuracy", assumed).assumes == (("the proportions of the data set",) * (severity != "passed"))


def test_balanced_accuracy_is_macro_recall():
    def found(recall, accuracy="90.00"):
        findings = check([row("kd", accuracy=accuracy, balanced_accuracy="75.00", recall=recall)])
        (finding,) = [f for f in findings if f.rule == "balanced-accuracy" and "recall" in f.message]
        return finding

    assert found("75.01").severity == "passed"
    assert found("75.02").severity == "impossible"
    assert "weighted by images" not in found("75.02").message
    assert "weighted by images" in found("90.00").message
    assert found("90.00").severity == "needs explanation"
    assert found("80.00").assumes == ("recall is the plain mean over the classes",)


def test_recall_and_specificity_of_one_of_two_classes_have_balanced_accuracy_as_their_mean():
    of_one = row("kd", accuracy="90.0", balanced_accuracy="86.0", recall="80.0", specificity="92.0")
    (finding,) = [f for f in check([of_one]) if f.rule == "balanced-accuracy" and "recall" in f.message]
    assert finding.severity == "passed"
    positive = row("kd", classes={"A": 50, "B": 50}, precision="90.0", f1="92.4", balanced_accuracy="70.0")
    assert severities("f1-of-means", positive) == []


@pytest.mark.parametrize("recall", ["recall", "balanced_accuracy"])
@pytest.mark.parametrize(("f1", "severity"), [("70.01", "passed"), ("70.02", "impossible"), ("50.00", "passed")])
def test_macro_f1_is_at_most_the_mean_of_precision_and_recall(recall, f1, severity):
    finding = one("f1-of-means", row("kd", precision="80.00", f1=f1, **{recall: "60.00"}))
    assert finding.severity == severity
    assert bool(finding.assumes) == (severity == "impossible")
    # Rounding leaves 0.005 of F1, and of the mean half of 0.05 and of 0.005: 0.0325 together.
    for coarse, expected in (("70.03", "passed"), ("70.04", "impossible")):
        assert one("f1-of-means", row("kd", precision="80.0", f1=coarse, **{recall: "60.00"})).severity == expected
    assert severities("f1-of-means", row("kd", precision="80.00", f1="90.00")) == []


@pytest.mark.parametrize(
    ("delta", "severity", "words"),
    # 88.54 is 2.33 points above 86.21, which is 2.7027 % of it; rounding of both leaves 0.0118 beside that of the gain.
    [
        ("2.70", "passed", "in percent of"),
        ("2.714", "passed", "in percent of"),
        ("2.716", "impossible", "add up"),
        ("2.73", "impossible", "add up"),
        ("2.33", "passed", "adds up"),
    ],
)
def test_a_gain_in_percent_of_the_baseline_adds_up_too(delta, severity, words):
    plain = row("plain", accuracy="86.21")
    finding = one("deltas", plain, row("kd", accuracy="88.54", delta=number(delta), delta_from="plain"))
    assert finding.severity == severity
    assert words in finding.message
    assert ("percent" in finding.message) == (words == "in percent of")


def test_accuracies_are_whole_numbers_of_images():
    exact = row("kd", accuracy="66.67", images=(3, 3))
    assert one("granularity", exact).severity == "passed"
    wrong = replace(exact, figures={"accuracy": number("60.00")})
    assert one("granularity", wrong).severity == "impossible"
    assert any("single runs" in each for each in one("granularity", wrong).assumes)
    assert one("granularity", replace(wrong, runs=5)).severity == "passed"
    assert one("granularity", row("kd", accuracy="60.00")).severity == "could not be checked"
    ranged = [row(f"kd{n}", accuracy=text, images=(1, 100)) for n, text in enumerate(("51.00", "53.00", "57.00"))]
    assert one("granularity", *ranged).severity == "needs explanation"  # only 100 images give all three
    assert "the smallest that gives all is 100" in one("granularity", *ranged).arithmetic
    assert one("granularity", *(replace(each, images=(1, 600)) for each in ranged)).severity == "passed"
    assert one("granularity", *(replace(each, images=(1, 99)) for each in ranged)).severity == "impossible"


def test_rows_of_several_tables_are_merged_and_unique_roles_filled_in():
    table = ClaimTable(
        [
            row("big", "teacher", accuracy="90.0", data="d"),
            row("plain", "baseline", accuracy="80.0", data="d"),
            row("kd", "student", table="table 2", accuracy="85.0", data="d"),
            row("kd", "student", table="table 4", f1="70.0", data="d"),
        ]
    )
    (student,) = [each for each in table.joined if each.role == "student"]
    assert set(student.figures) == {"accuracy", "f1"}
    assert (table.teacher(student).model, table.baseline(student).model) == ("big", "plain")


def test_checks_impossible_for_one_reason_are_merged_and_findings_come_most_severe_first():
    rows = [row(f"kd{n}", accuracy="80.0", specificity="90.0") for n in range(5)]
    findings = check([*rows, row("kd", f1="60.0", f1_of={"A": number("50"), "B": number("50")})])
    assert [f.where for f in findings if f.rule == "specificity"] == ["5 rows: kd0, kd1, kd2, ..."]
    order = [list(Severity).index(finding.severity) for finding in findings]
    assert order == sorted(order)
