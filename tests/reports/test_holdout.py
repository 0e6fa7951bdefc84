import json

from dspkd import reports
from dspkd.reports import comparison_markdown, comparison_results
from dspkd.reports import holdout as openings
from dspkd.runs import holdout, run_folder


def counted(run, *purposes, model=b"weights", epochs=None):
    (run / "model.safetensors").write_bytes(model)
    for purpose in purposes:
        holdout.count(run, purpose=purpose, images=360)
    return run


def small(fabricated, **changes):
    run = fabricated(short=True, classes=("MEL", "NV", "DF"), images=(90, 240, 30), **changes)
    (run / "result.json").rename(run / "kept.json")  # else the first count adds that of training
    return run


def finished(run):
    (run / "kept.json").rename(run / "result.json")
    return run


def test_a_report_says_how_often_when_and_for_what(fabricated, page):
    run = finished(counted(small(fabricated), "train", "evaluate"))
    reports.write(run)
    words = page(run / "report.html").words
    assert "The test images have been opened twice: train on 20" in words
    assert "evaluate on 20" in words
    assert "Each look that led to a change" in words
    assert "before its training ended" not in words
    once = run_folder.read(finished(counted(small(fabricated), "train")))
    assert openings.told(once).startswith("The test images have been opened once: train on 20")
    assert "Each look" not in openings.told(once)


def test_an_opening_before_the_end_is_an_alarm(fabricated, page):
    run = counted(small(fabricated), "evaluate", model=b"half trained")
    run = finished(counted(run, "train"))
    assert len(run_folder.read(run).early) == 1
    reports.write(run)
    alarms = [line for line in page(run / "report.html").text.splitlines() if 'class="alarm"' in line]
    assert any("were opened before its training ended" in line for line in alarms)


def test_a_run_from_before_says_that_nobody_counted(whole):
    assert "at least once; this run was made before openings were counted" in openings.told(run_folder.read(whole))


def test_a_comparison_names_the_runs_that_were_opened_again(fabricated, page, tmp_path):
    one = finished(counted(small(fabricated, place="one"), "train", "evaluate", "evaluate"))
    two = finished(counted(small(fabricated, seed=1, place="two"), "train"))
    words = page(reports.compare([one, two], tmp_path / "both.html")).words
    assert f"but for {one} 3 times." in words
    said = openings.of_several([run_folder.read(two)])
    assert said == "Test images were opened once by each of the 1 runs, when its training had ended."
    found = comparison_results.tabulate("", [one, two], [], controls=(), failed={}, unequal=[])
    assert f"{one} 3 times" in comparison_markdown.markdown([found])
    runs = json.loads(comparison_results.as_json([found]))[0]["arms"][0]["runs"]
    assert sorted((run["test_evaluations"], run["early_openings"]) for run in runs) == [(1, 0), (3, 0)]
