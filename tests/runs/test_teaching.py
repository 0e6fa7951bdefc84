"""A resumed run learns from the teachers with which it began."""

import json
import shutil

import pytest

from dspkd.errors import RunError
from dspkd.runs import resume
from dspkd.runs import train as run
from dspkd.runs.integrity import problems
from dspkd.runs.run_folder import Run
from tiny_runs import LABELS, Killed, Killer, recipe, stage, teacher_recipe, trained


@pytest.fixture(scope="module")
def teachers(lesions, tmp_path_factory):
    home = tmp_path_factory.mktemp("teachers")
    one = [stage("labels")]
    return [trained(teacher_recipe(lesions, seed=seed, stages=one), home / f"t{seed}") for seed in (0, 1)]


@pytest.fixture
def begun(lesions, teachers, tmp_path):
    """Return a recipe, its teacher's folder, which may be changed, and its run, stopped after an epoch."""

    def begin(when="after", **teacher):
        shutil.copytree(teachers[0], tmp_path / "teacher")
        kd = stage("kd", LABELS, {"method": "kd"}, epochs=2)
        learning = recipe(lesions, teacher={"run": str(tmp_path / "teacher"), **teacher}, stages=[kd])
        with pytest.raises(Killed):
            run.train(learning, tmp_path / "run", Killer("kd", 1, when))
        return learning, tmp_path / "teacher", tmp_path / "run"

    return begin


def replaced(folder, other):
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def test_another_teacher_in_the_same_folder_is_refused_and_the_first_goes_on(begun, teachers):
    learning, teacher, out = begun()
    replaced(teacher, teachers[1])
    with pytest.raises(RunError, match=rf"^teacher {teacher}: its weights have changed since {out} began") as error:
        run.train(learning, out)
    assert "restore them, or train into another folder" in str(error.value)
    assert "\n" not in str(error.value)
    replaced(teacher, teachers[0])
    run.train(learning, out)
    assert Run(out).finished
    assert list(json.loads((out / "teacher_weights.json").read_text())) == [str(teacher)]
    assert problems(Run(out).files) == []


def test_before_the_first_epoch_the_teacher_may_change(begun, teachers):
    learning, teacher, out = begun("within")
    replaced(teacher, teachers[1])
    run.train(learning, out)
    assert Run(out).finished


def test_a_run_of_an_older_version_goes_on_with_what_is_there(begun, teachers):
    learning, teacher, out = begun()
    (out / "teacher_weights.json").unlink()
    manifest = json.loads((out / "files.json").read_text())
    del manifest["sha256"]["teacher_weights.json"]
    (out / "files.json").write_text(json.dumps(manifest))
    replaced(teacher, teachers[1])
    run.train(learning, out)
    assert Run(out).finished


def test_another_fold_teacher_is_refused(begun, teachers, tmp_path):
    learning, _, out = begun(cross_fit=2)
    (fold,) = tmp_path.glob("teacher-cross-fit/*/fold-1")
    replaced(fold, teachers[0])
    with pytest.raises(RunError, match=rf"^teacher {fold}: its weights have changed since"):
        run.train(learning, out)


def test_a_finished_student_whose_teacher_was_trained_again_is_refused(begun, teachers):
    learning, teacher, out = begun()
    run.train(learning, out)
    run.train(learning, out)
    replaced(teacher, teachers[1])
    with pytest.raises(
        RunError, match=rf"^{out}: its teacher {teacher} was trained again since; delete {out}"
    ) as error:
        run.train(learning, out)
    assert "\n" not in str(error.value)
    shutil.rmtree(teacher)
    resume.require_taught_by_the_same(Run(out).files, learning)  # nothing to compare with
    replaced_by_first = shutil.copytree(teachers[0], teacher)
    assert replaced_by_first.exists()
    (out / "teacher_weights.json").unlink()  # as in a run of an older version
    resume.require_taught_by_the_same(Run(out).files, learning)
