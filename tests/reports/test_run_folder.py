import json

import pytest

from dspkd.errors import DataError, RunError
from dspkd.runs import run_folder
from dspkd.runs.run_folder import Run


@pytest.fixture
def run(fabricated):
    return fabricated(classes=("MEL", "NV"), images=(5, 5), short=True)


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_reads_what_training_writes(run):
    read = run_folder.read(run)
    assert read.result.stages[0].name == "features"
    assert [epoch.epoch for epoch in read.epochs_of(read.result.stages[0])] == [1, 2, 3]
    assert list(read.history[0].parts) == ["labels", "hierarchical_fusion"]
    assert sum(read.history[0].parts.values()) == pytest.approx(read.history[0].train["total"])
    assert read.data.counts["test"]["MEL"] == (5, 4)
    assert len(read.predictions("test")) == 10


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("environment.json", "when it starts"),
        ("data.json", "when the images are split"),
        ("metrics.jsonl", "a line for each epoch"),
        ("predictions/val.csv", "after the last stage"),
        ("predictions/test.csv", "after the last stage"),
        ("result.json", "continues where it stopped"),
    ],
)
def test_a_missing_file_is_named_with_what_makes_it(run, name, maker):
    (run / name).unlink()
    with pytest.raises(RunError, match=f"run: {name} is missing; training writes it.*{maker}"):
        run_folder.read(run)


def test_a_folder_that_holds_runs_is_no_run_and_names_them(run):
    for read in (run_folder.read, lambda folder: Run(folder).model):
        with pytest.raises(RunError, match=r"not a run folder, it has no recipe\.toml; runs in it: run$"):
            read(run.parent)
    (run / "recipe.toml").unlink()
    with pytest.raises(RunError, match=r"no recipe\.toml; dspkd train makes one"):
        run_folder.read(run)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunError, match="nowhere: no such run folder"):
        run_folder.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("result.json", {"parameters": "many"}, r"result\.json: parameters: .*integer"),
        ("data.json", {"counts": {"test": {"MEL": [1]}}}, r"data\.json: counts\.test\.MEL\.1: Field required"),
        ("result.json", {"classes": ["NV", "MEL"]}, r"val\.csv has the classes MEL, NV, result\.json NV, MEL"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(run, name, changes, message):
    rewrite(run / name, **changes)
    with pytest.raises(RunError, match=message):
        run_folder.read(run)


@pytest.mark.parametrize(("part", "key"), [("train", "total"), ("val", "balanced_accuracy")])
def test_an_epoch_without_its_main_number_is_refused(run, part, key):
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    del lines[1][part][key]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RunError, match=rf"metrics\.jsonl, line 2: {part}: .*has no '{key}'"):
        run_folder.read(run)


def test_a_cut_line_is_refused_by_its_number(run):
    path = run / "metrics.jsonl"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 4: Invalid JSON"):
        run_folder.read(run)


def test_a_best_epoch_that_was_not_logged_is_refused(run):
    path = run / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(RunError, match=r"metrics\.jsonl lacks epoch 1 of stage 'logits'"):
        run_folder.read(run)


def test_broken_predictions_are_refused_by_their_own_error(run):
    (run / "predictions/val.csv").write_text("nonsense\n")
    with pytest.raises(DataError, match=r"val\.csv: line 1: expected the columns"):
        run_folder.read(run)
