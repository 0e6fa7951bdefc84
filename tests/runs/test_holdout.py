import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dspkd
from dspkd.data import split
from dspkd.data.table import Table
from dspkd.errors import DataError, RunError
from dspkd.runs import holdout
from dspkd.runs.files import RunFiles

SOURCE = Path(dspkd.__file__).parent
ALLOWED = {
    "data/split.py": "counts images per class and part",
    "runs/holdout.py": "returns the rows of the test set",
    "data/leakage.py": "counts test images whose lesion is in training",
    "data/data_card.py": "counts patients per set",
    "data/audit/split_inflation.py": "makes temporary splits of its own",
    "runs/context.py": "decodes images into the cache, without labels",
    "runs/seen_images.py": "refuses teachers and initial weights that were trained on lesions of the test set",
    "runs/plan.py": "counts images that will be decoded",
    "runs/evaluate.py": "evaluates train and val; test goes through evaluate_test",
    "data/assumptions.py": "counts copies and classes per set",
    "data/official_split.py": "takes a missing set out of the training set",
    "data/training_folds.py": "leaves the test set out of the folds",
    "data/unlabelled.py": "leaves out unlabelled images that are copies of held-out ones",
    "experiments/own_images/facts.py": "counts lesions of the test set",
    "runs/answers.py": "counts images per set that a file of answers lacks",
    "runs/teacher_outputs.py": "writes a teacher's outputs, which no label enters",
}
"""Files that may read rows of any set, and why; none of them but `holdout` gives test rows for an evaluation."""


def table():
    ids = tuple(f"I{n}" for n in range(8))
    groups = tuple(f"lesion {n // 2}" for n in range(8))
    paths = tuple(Path(name) for name in ids)
    return Table(("A", "B"), ids, paths, np.array([0, 0, 1, 1, 0, 0, 1, 1]), groups, {}, Path("here"))


PARTS = split.Split(np.array(["train"] * 4 + ["val"] * 2 + ["test"] * 2))


@pytest.fixture
def run(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "metrics.jsonl").write_text("{}\n{}\n")
    PARTS.save(tmp_path / "split.csv", table())
    return tmp_path


def test_split_rows_refuses_the_test_set():
    assert PARTS.rows("train").tolist() == [0, 1, 2, 3]
    assert PARTS.rows("val").tolist() == [4, 5]
    with pytest.raises(DataError, match=r"held out; .*evaluate_test"):
        PARTS.rows("test")


def test_only_listed_files_read_rows_of_the_test_set():
    """`places` returns rows of any set: each file that calls it is listed above, with a reason."""
    callers = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if re.search(r"\.places\(|\.parts == |holdout\.record\(", path.read_text(encoding="utf-8"))
    }
    assert callers == set(ALLOWED)
    evaluating = {
        str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8").count("evaluate_test(")
        for path in SOURCE.rglob("*.py")
        if "evaluate_test(" in path.read_text(encoding="utf-8")
    }
    assert evaluating == {"runs/holdout.py": 1, "runs/train.py": 1, "runs/evaluate.py": 1}


def test_an_evaluation_is_recorded_and_the_test_rows_are_returned(run):
    assert holdout.evaluations(run) == []
    assert holdout.evaluate_test(PARTS, run, purpose="evaluate").tolist() == [6, 7]
    (evaluation,) = holdout.evaluations(run)
    assert (evaluation.purpose, evaluation.epochs, evaluation.images) == ("evaluate", 2, 2)
    assert evaluation.model == hashlib.sha256(b"weights").hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", evaluation.date)


def test_each_evaluation_counts_and_a_resumed_training_counts_once(run):
    for _ in range(2):
        holdout.evaluate_test(PARTS, run, purpose=holdout.TRAINING)
    assert len(holdout.evaluations(run)) == 1
    for _ in range(2):
        holdout.evaluate_test(PARTS, run, purpose="evaluate")
    assert [evaluation.purpose for evaluation in holdout.evaluations(run)] == ["train", "evaluate", "evaluate"]
    (run / "model.safetensors").write_bytes(b"other weights")
    holdout.evaluate_test(PARTS, run, purpose=holdout.TRAINING)
    assert len(holdout.evaluations(run)) == 4


def test_evaluations_before_the_last_epoch_or_of_other_weights_are_early(run):
    holdout.evaluate_test(PARTS, run, purpose="evaluate")
    assert holdout.early(run, holdout.evaluations(run)) == []
    (run / "metrics.jsonl").write_text("{}\n{}\n{}\n")
    holdout.evaluate_test(PARTS, run, purpose="evaluate")
    first, last = holdout.evaluations(run)
    assert holdout.early(run, [first, last]) == [first]
    (run / "model.safetensors").write_bytes(b"trained on")
    assert holdout.early(run, [first, last]) == [first, last]


def test_an_evaluation_that_cannot_be_recorded_is_refused(run, tmp_path):
    RunFiles(run).test_evaluations.mkdir()
    with pytest.raises(RunError, match=r"test_evaluations\.jsonl: .*writable folder"):
        holdout.record(run, purpose="evaluate", images=2)
    (run / "model.safetensors").unlink()
    with pytest.raises(RunError, match="no trained weights"):
        holdout.evaluate_test(PARTS, run, purpose="evaluate")


def test_a_damaged_line_is_named(run):
    holdout.evaluate_test(PARTS, run, purpose="evaluate")
    with RunFiles(run).test_evaluations.open("a") as file:
        file.write('{"date": "to')
    with pytest.raises(RunError, match=r"test_evaluations\.jsonl, line 2: "):
        holdout.evaluations(run)


def test_test_images_are_counted_in_another_table(run):
    assert holdout.count_test_images(run, table()) == 2
    assert holdout.count_test_images(run, table().take([0, 1, 6])) == 1
    images = table()
    assert holdout.count_test_images(run, replace(images, labels=1 - images.labels)) == 0
    assert holdout.count_test_images(run, replace(images, groups=images.ids)) == 2  # another column of lesions


def test_test_images_under_other_names_are_counted_by_content(run):
    images = replace(table(), ids=tuple(f"new {n}" for n in range(8)), labels=1 - table().labels)
    assert holdout.count_test_images(run, images) == 0
    same = [frozenset({name}) for name in table().ids]
    assert holdout.count_test_images(run, images, same) == 2
    assert holdout.count_test_images(run, images, [frozenset()] * 7 + [frozenset({"I0", "I6"})]) == 1


def test_the_file_is_one_json_object_a_line(run):
    holdout.evaluate_test(PARTS, run, purpose="evaluate")
    (line,) = RunFiles(run).test_evaluations.read_text().splitlines()
    assert set(json.loads(line)) == {"date", "purpose", "model", "epochs", "images"}
