"""The paper's own tables: typed as printed, with the findings that were worked out by hand."""

import re
from collections import Counter

import pytest

from dspkd.experiments.paper.claims import check
from dspkd.experiments.paper.claims.read import read

ROWS = read("paper")
FINDINGS = check(ROWS)


def of(rule, severity):
    return {finding.where: finding for finding in FINDINGS if (finding.rule, finding.severity) == (rule, severity)}


def test_every_figure_is_printed_in_the_paper(shared):
    (page,) = (shared / "paper").iterdir()
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.count("|") > 2]
    printed = Counter(re.findall(r"(?<![\d.\[])\d+\.\d+", " ".join(lines)))
    typed = [
        number
        for row in ROWS
        for number in (*row.figures.values(), *row.f1_of.values(), *([row.delta] if row.delta else []))
    ]
    ours = Counter(f"{number.value:.{number.digits}f}" for number in typed)
    assert set(ours) == set(printed)
    # Sizes are here twice, once for each data set; accuracies of teacher and student once, not in each heading.
    assert ours["92.83"] == printed["92.83"] == 3
    assert ours["43.174"] == printed["43.174"] + 1


def test_the_sizes_and_times_of_table_6_are_found():
    assert [where[:14] for where in of("same-network", "impossible")] == ["table 6: SSD-K", "table 6: DSP-K"]
    assert len(of("same-network", "implausible")) == 2


def test_the_specificity_of_all_but_efficientnet_b4_is_impossible_on_isic_2019():
    findings = of("specificity", "impossible")
    models = {where.removeprefix("table 1: ").partition(" ")[0] for where in findings}
    assert models == {"Res2Net101", "ConvNeXt", "ShuffleNetV1", "ShuffleNetV2", "EfficientNet-B0", "MobileNetV2"}
    assert [where.split()[2] for where in of("specificity", "passed")] == ["EfficientNet-B4"]
    assert "[96.28, 98.15]" in findings["table 1: ShuffleNetV1 (ISIC2019)"].arithmetic
    assert all("weighted by images fits" in finding.message for finding in findings.values())


def test_no_test_set_below_31_percent_of_isic_2019_gives_all_accuracies():
    (finding,) = of("granularity", "needs explanation").values()
    assert "the smallest that gives all is 7,750, 31 % of all" in finding.arithmetic
    assert "one of 2,533 (10 %) gives 11 of them" in finding.arithmetic


def test_the_f1_of_two_methods_cannot_give_their_accuracies_whatever_the_classes():
    findings = of("f1-of-classes", "impossible")
    always = {where for where, finding in findings.items() if "whatever the sizes" in finding.message}
    assert {where.split(": ")[1].split()[0] for where in always} == {"Vanilla-KD", "FitNets"}
    assert all(any("single runs" in each for each in finding.assumes) for finding in findings.values())
    assert "[71.23, 86.99]; printed 87.39" in next(iter(findings.values())).arithmetic


def test_averages_and_deltas_add_up_as_was_checked_by_hand():
    assert (len(of("macro-mean", "passed")), len(of("macro-mean", "impossible"))) == (8, 0)
    assert (len(of("deltas", "passed")), len(of("deltas", "impossible"))) == (6, 0)


@pytest.mark.parametrize(
    ("rule", "severity", "where"),
    [
        ("accuracy-up", "needs explanation", "table 4: Vanilla-KD of Res2Net101 (ISIC2019)"),
        ("above-teacher", "needs explanation", "table 4: DSP-KD of Res2Net101 (ISIC2019)"),
        ("above-teacher", "passed", "table 2: DSP-KD of Res2Net101 (ISIC2019)"),
    ],
)
def test_findings_that_need_an_explanation(rule, severity, where):
    assert where in of(rule, severity)
