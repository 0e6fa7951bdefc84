import json
from dataclasses import replace

import pytest

from altered import altered
from dspkd.reports import comparison_markdown, comparison_results, compute_cost
from dspkd.runs import run_folder

DASH = "\N{EN DASH}"


def run(fabricated, teacher=None, seed=0, **costs):
    folder = fabricated(short=True, classes=("MEL", "NV", "DF"), images=(90, 240, 30), seed=seed)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "seconds": 100.0, "cpu_seconds": 150.0, **costs}))
    recipe = (folder / "recipe.toml").read_text()
    line = "" if teacher is None else f"teacher = {json.dumps([str(each) for each in teacher])}"
    (folder / "recipe.toml").write_text(recipe.replace('teacher = "runs/teacher"', line))
    return folder


def cache(seconds, cpu=None):
    return {"views": 640, "seconds": seconds, "cpu_seconds": cpu}


def test_an_arm_is_charged_with_its_teachers_once_and_the_largest_cache(fabricated):
    grand = run(fabricated, seconds=1000.0, cpu_seconds=1500.0)
    teachers = [
        run(fabricated, [grand], seconds=400.0, teacher_cache=cache(30.0, 40.0)),
        run(fabricated, seconds=500.0),
    ]
    arm = [
        run(fabricated, teachers, seed=0, teacher_cache=cache(60.0, 70.0)),
        run(fabricated, teachers, seed=1, teacher_cache=cache(50.0, 90.0)),
    ]
    results = compute_cost.of([run_folder.read(each) for each in arm])
    assert results.own == compute_cost.Time(200, 300)
    assert results.cache == compute_cost.Time(60, 90)
    assert results.teachers == compute_cost.Time(400 + 30 + 1000 + 500, 150 + 40 + 1500 + 150)
    assert results.all == compute_cost.Time(200 + 60 + 1930, 300 + 90 + 1840)


def test_a_plain_arm_has_no_other_costs_and_unrecorded_time_is_not_zero(fabricated):
    plain = compute_cost.of([run_folder.read(run(fabricated))])
    assert (plain.cache, plain.teachers, plain.all) == (
        compute_cost.Time(0, 0),
        compute_cost.Time(0, 0),
        compute_cost.Time(100, 150),
    )
    lost = compute_cost.of([run_folder.read(run(fabricated, ["nowhere"], cpu_seconds=None, teacher_cache=cache(None)))])
    assert lost.own == compute_cost.Time(100, None)
    assert (lost.cache, lost.teachers, lost.all) == (compute_cost.Time(None, None),) * 3


def test_a_result_without_processor_time(whole):
    assert run_folder.read(whole).result.cpu_seconds is None
    assert compute_cost.of([run_folder.read(whole)]).own.cpu_seconds is None


def test_an_unrecorded_teacher_cache_is_not_free(fabricated):
    teacher = run(fabricated)
    old = run_folder.read(run(fabricated, [teacher], cpu_seconds=None))
    assert compute_cost.of([old]).cache == compute_cost.Time(0, 0)
    cached = altered(old, recipe=replace(old.recipe, images=replace(old.recipe.images, views=64)))
    assert compute_cost.of([cached]).cache == compute_cost.Time(None, None)
    alone = altered(cached, teachers=())
    assert compute_cost.of([alone]).cache == compute_cost.Time(0, 0)


def test_the_tables_have_it(fabricated):
    teacher = run(fabricated, seconds=7380.0, cpu_seconds=None)
    arm = run(fabricated, [teacher])
    (row,) = compute_cost.rows({"kd": compute_cost.of([run_folder.read(arm)])})
    assert row == ["kd", "1 min 40 s (2 min 30 s)", "0 s (0 s)", f"2 h 3 min ({DASH})", f"2 h 4 min ({DASH})"]
    results = comparison_results.tabulate("", [arm], [], controls=(), failed={}, unequal=[])
    page = comparison_markdown.markdown([results])
    assert compute_cost.CAPTION in page
    assert "| dspkd-shufflenet | 1 min 40 s (2 min 30 s) |" in page
    assert results.arms[0].seconds == pytest.approx(100)
