import hashlib
import json
import re
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
UNSEALED = {
    "data/split.py": "counts images per class and part",
    "runs/holdout.py": "opens the test part",
    "data/leakage.py": "counts test images whose lesion is in training",
    "data/data_card.py": "counts whom the images show",
    "data/audit/split_inflation.py": "makes throw-away splits of its own",
    "runs/context.py": "decodes images beforehand, without labels",
    "runs/build.py": "refuses a teacher that was trained on the lesions of the test part",
    "runs/plan.py": "counts images that will be decoded",
    "runs/evaluate.py": "evaluates train and val; test goes through evaluate_test",
}
"""Files that may name rows of any part, and what for; none of them but `sealed` judges a network by the test part."""


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


def test_rows_of_the_test_part_are_refused_to_all_but_one():
    assert PARTS.rows("train").tolist() == [0, 1, 2, 3]
    assert PARTS.rows("val").tolist() == [4, 5]
    with pytest.raises(DataError, match=r"held out; .*evaluate_test"):
        PARTS.rows("test")


def test_no_other_file_names_rows_of_the_test_part():
    """`places` gives rows of any part: whoever calls it stands in the list above, with a reason."""
    calling = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if re.search(r"\.places\(|\.parts == |holdout\.record\(", path.read_text(encoding="utf-8"))
    }
    assert calling == set(UNSEALED)
    opening = {
        str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8").count("evaluate_test(")
        for path in SOURCE.rglob("*.py")
        if "evaluate_test(" in path.read_text(encoding="utf-8")
    }
    assert opening == {"runs/holdout.py": 1, "runs/train.py": 1, "runs/evaluate.py": 1}


def test_an_opening_is_written_before_the_rows_are_given(run):
    assert holdout.evaluations(run) == []
    assert holdout.evaluate_test(PARTS, run, purpose="evaluate").tolist() == [6, 7]
    (opening,) = holdout.evaluations(run)
    assert (opening.purpose, opening.epochs, opening.images) == ("evaluate", 2, 2)
    assert opening.model == hashlib.sha256(b"weights").hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", opening.date)


def test_each_evaluation_counts_but_training_that_is_resumed_counts_once(run):
    for _ in range(2):
        holdout.evaluate_test(PARTS, run, purpose=holdout.TRAINING)
    assert len(holdout.evaluations(run)) == 1
    for _ in range(2):
        holdout.evaluate_test(PARTS, run, purpose="evaluate")
    assert [opening.purpose for opening in holdout.evaluations(run)] == ["train", "evaluate", "evaluate"]
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


def test_what_cannot_be_counted_is_not_opened(run, tmp_path):
    RunFiles(run).test_evaluations.mkdir()
    with pytest.raises(RunError, match=r"test_evaluations\.jsonl: cannot be written to: .*it does not take place"):
        holdout.record(run, purpose="evaluate", images=2)
    (run / "model.safetensors").unlink()
    with pytest.raises(RunError, match="no trained weights"):
        holdout.evaluate_test(PARTS, run, purpose="evaluate")


def test_a_broken_line_is_named(run):
    holdout.evaluate_test(PARTS, run, purpose="evaluate")
    with RunFiles(run).test_evaluations.open("a") as file:
        file.write('{"date": "to')
    with pytest.raises(RunError, match=r"test_evaluations\.jsonl, line 2: not a test-set evaluation"):
        holdout.evaluations(run)


def test_test_images_are_known_again_in_another_table(run):
    assert holdout.tested(run, table()) == 2
    assert holdout.tested(run, table().take([0, 1, 6])) == 1
    other = table()
    assert (
        holdout.tested(run, Table(other.classes, other.ids, other.paths, 1 - other.labels, other.groups, {}, Path()))
        == 0
    )
    assert holdout.tested(run, Table(other.classes, other.ids, other.paths, other.labels, other.ids, {}, Path())) == 0


def test_the_file_is_one_json_object_a_line(run):
    holdout.evaluate_test(PARTS, run, purpose="evaluate")
    (line,) = RunFiles(run).test_evaluations.read_text().splitlines()
    assert set(json.loads(line)) == {"date", "purpose", "model", "epochs", "images"}
