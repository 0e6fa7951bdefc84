"""Choosing a scale for a budget, and listing its reductions."""

from dataclasses import replace

import pytest

from dspkd.errors import RecipeError
from dspkd.experiments.budget import parse_budget
from dspkd.experiments.paper import scale as scales
from dspkd.experiments.paper.scale import (
    FULL,
    GOOD_EPOCHS,
    LEAST_EPOCHS,
    RUNGS,
    TINY,
    Cost,
    Scale,
    Work,
    choose,
    given_up,
)

WORK = Work(teachers=1, students=10)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), (" 1m5s ", 65)]
)
def test_a_budget_is_parsed(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0m", "-2h", "2h!", "30m2h", "two hours"])
def test_an_invalid_budget_is_refused(text):
    with pytest.raises(RecipeError, match=r"--budget .*2h"):
        parse_budget(text)


def test_seconds_are_those_of_teachers_with_their_cached_outputs_and_of_students():
    scale = Scale(epochs=12, seeds=2)
    cost = Cost(student=3, teacher=5, run=7)
    by_hand = (12 * 5 + 12 * 5 / 3 + 7) + 20 * (12 * scales.METHOD * 3 + 7)
    assert WORK.seconds(cost, scale) == pytest.approx(by_hand)
    long = replace(scale, epochs=scales.VIEWS + 100)  # teacher outputs are cached for `VIEWS` views at most
    assert WORK.seconds(cost, long) - WORK.seconds(cost, replace(long, epochs=scales.VIEWS + 99)) == pytest.approx(
        5 + 20 * scales.METHOD * 3
    )


def chosen(budget, seconds_of=lambda scale: scale.size**2 / 2000, first=("none", "offline")):
    """Choose a scale with epochs in proportion to an image's pixels; return the choice and the timed scales."""
    timed = []

    def measure(scale):
        timed.append((scale.networks.name, scale.size))
        student = seconds_of(scale)
        return Cost(student=student, teacher=3 * student, run=2)

    return choose(budget, lambda networks: WORK, measure, lambda networks: first), timed


@pytest.mark.parametrize("budget", [100, 400, 1_000, 3_000, 10_000, 30_000, 100_000, 10**6])
def test_the_choice_fits_and_nothing_larger_would_have(budget):
    choice, timed = chosen(budget)
    scale = choice.scale
    late = any(line.startswith("the limit itself") for line in choice.given_up)
    assert late == (choice.seconds > budget)
    if late:
        assert (scale.epochs, scale.seeds, scale.size) == (LEAST_EPOCHS, 1, RUNGS[0][1])
        return
    cost = Cost(scale.size**2 / 2000, 3 * scale.size**2 / 2000, 2)
    if scale.epochs < scales.FULL_EPOCHS:
        assert WORK.seconds(cost, replace(scale, epochs=scale.epochs + 1)) > budget
    if scale.seeds < scales.SEEDS:
        assert WORK.seconds(cost, replace(scale, seeds=scale.seeds + 1, epochs=LEAST_EPOCHS)) > budget
    if scale.size > RUNGS[0][1]:
        assert scale.epochs >= GOOD_EPOCHS
    assert timed == [(networks.name, size) for networks, size in RUNGS[: len(timed)]]


def test_a_larger_budget_gives_no_smaller_scale_and_timing_stops_at_the_first_that_does_not_fit():
    sizes = [chosen(budget)[0].scale.size for budget in (1_000, 10_000, 100_000, 10**6)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] == 224
    assert len(chosen(100)[1]) == 1


def test_the_reductions_are_all_differences_from_the_full_scale():
    assert given_up(FULL) == ()
    reductions = given_up(Scale(TINY, 48, 10, 2, "none"), "offline")
    assert [each.partition(":")[0] for each in reductions] == [
        "networks", "teachers", "resolution", "epochs", "seeds", "ImageNet weights",
    ]  # fmt: skip
    assert "tiny_wide for Res2Net101" in reductions[0]
    assert "48 px, not 224" in reductions[2]
    assert reductions[-1].endswith("(offline)")
