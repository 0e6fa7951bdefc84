import json

from dspkd import reports
from dspkd.reports import comparison_markdown, comparison_results
from dspkd.reports import holdout as holdout_texts
from dspkd.runs import holdout, run_folder


def counted(run, *purposes, model=b"weights", epochs=None):
    (run / "model.safetensors").write_bytes(model)
    for purpose in purposes:
        holdout.record(run, purpose=purpose, images=360)
    return run


def small(fabricated, **changes):
    return fabricated(short=True, classes=("MEL", "NV", "DF"), images=(90, 240, 30), **changes)


def test_a_report_lists_test_set_evaluations(fabricated, page):
    run = counted(small(fabricated), "train", "evaluate")
    reports.write(run)
    words = page(run / "report.html").words
    assert "The test set was evaluated twice: train on 20" in words
    assert "evaluate on 20" in words
    assert "Every change made after" in words
    assert "before its training ended" not in words
    once = run_folder.read(counted(small(fabricated), "train"))
    assert holdout_texts.summary(once).startswith("The test set was evaluated once: train on 20")
    assert "Every change" not in holdout_texts.summary(once)


def test_an_evaluation_before_the_end_of_training_is_a_warning(fabricated, page):
    run = counted(small(fabricated), "evaluate", model=b"half trained")
    run = counted(run, "train")
    assert len(run_folder.read(run).early_evaluations) == 1
    reports.write(run)
    alarms = [line for line in page(run / "report.html").text.splitlines() if 'class="alarm"' in line]
    assert any("was evaluated before its training ended" in line for line in alarms)


def test_a_comparison_names_runs_with_several_evaluations(fabricated, page, tmp_path):
    one = counted(small(fabricated, place="one"), "train", "evaluate", "evaluate")
    two = counted(small(fabricated, seed=1, place="two"), "train")
    words = page(reports.compare([one, two], tmp_path / "both.html")).words
    assert f"except {one} 3 times." in words
    text = holdout_texts.of_several([run_folder.read(two)])
    assert text == "Each of the 1 runs evaluated the test set once, after training."
    results = comparison_results.tabulate("", [one, two], [], controls=(), failed={}, unequal=[])
    assert f"{one} 3 times" in comparison_markdown.markdown([results])
    runs = json.loads(comparison_results.as_json([results]))[0]["arms"][0]["runs"]
    assert sorted((run["test_evaluations"], run["early_test_evaluations"]) for run in runs) == [(1, 0), (3, 0)]
