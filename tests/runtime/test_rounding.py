"""Nothing of a report reads as certain that is not."""

from dspkd.reports import html
from dspkd.runtime import rounding


def test_scores_and_shares_read_0_or_1_only_where_they_are():
    assert [rounding.score(value) for value in (1, 2499 / 2500, 0.0004, 0, None)] == [
        "1.000", "above 0.999", "below 0.001", "0.000", "\N{EN DASH}",
    ]  # fmt: skip
    assert [rounding.percent(share) for share in (1, 0.9997, 0.0003, 0, None)] == [
        "100.0 %", "more than 99.9 %", "less than 0.1 %", "0.0 %", "\N{EN DASH}",
    ]  # fmt: skip


def test_an_interval_that_excludes_0_does_not_read_as_0():
    assert rounding.percents((0.0004, 0.0036)) == "less than 0.1 to 0.4 %"
    assert rounding.percents((0.0, 0.0036)) == "0.0 to 0.4 %"
    assert rounding.scores((0.0001, 0.9999)) == "below 0.001 to above 0.999"
    assert rounding.percents(None) == rounding.scores(None) == "\N{EN DASH}"


def test_the_filters_of_templates_are_these():
    filters = html._templates().filters
    assert [filters[name] for name in ("score", "interval", "percent", "percents")] == [
        rounding.score, rounding.scores, rounding.percent, rounding.percents,
    ]  # fmt: skip
