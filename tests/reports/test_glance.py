"""The head of a report: teacher, plain student and distilled student side by side."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import tomli_w

from dspkd import reports
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.reports import glance
from dspkd.reports.comparison import ResampledArms, arms
from dspkd.reports.score_plots import pareto
from dspkd.runs import run_folder

SMALL = {"classes": ("MEL", "NV", "BCC"), "images": (30, 60, 20), "short": True}


def spoil(folder, step):
    """Make every `step`-th prediction of the test images another class."""
    path = folder / "predictions/test.csv"
    own = Predictions.load(path)
    own.logits[::step] = own.logits[::step].max(axis=1, keepdims=True) - own.logits[::step]
    own.save(path)


@pytest.fixture
def folder(fabricated, tmp_path):
    """A folder with a teacher, a student that is a bit worse, and a plain one that is worse still."""
    teacher = fabricated("teacher", tmp_path, name="teacher", teacher=None, parameters=4_821_320, model="wide", **SMALL)
    for name, taught_by, step in (("plain", None, 5), ("student", str(teacher), 10)):
        run = fabricated(name, tmp_path, name=name, teacher=taught_by, **SMALL)
        for part in ("val", "test"):
            shutil.copy(teacher / f"predictions/{part}.csv", run / f"predictions/{part}.csv")
        spoil(run, step)
        (run / "model.safetensors").write_bytes(bytes(5_000))
    (tmp_path / "student/latency.json").write_text(json.dumps({"student": 4.0, "teacher": 30.0}))
    return tmp_path


def balanced(folder):
    return summarise(Predictions.load(folder / "predictions/test.csv")).balanced_accuracy


def networks(folder):
    return glance.of_run(run_folder.read(folder / "student"))


def test_a_student_stands_beside_its_teacher_and_the_plain_run(folder):
    teacher, plain, student = networks(folder)
    assert [each.role for each in (teacher, plain, student)] == ["teacher", "plain", "student"]
    for each in (teacher, plain, student):
        assert each.score == pytest.approx(balanced(folder / each.name))
        assert each.low < each.score < each.high
    assert teacher.score > student.score > plain.score
    assert student.kept == pytest.approx(student.score / teacher.score)
    assert plain.kept == pytest.approx(plain.score / teacher.score)
    assert student.smaller == plain.smaller == pytest.approx(4_821_320 / 1_261_804)
    assert student.faster == plain.faster == 7.5  # one network, one time
    assert (student.size.nbytes, teacher.size.nbytes) == (5_000, None)
    assert teacher.kept is teacher.smaller is teacher.faster is None


def test_the_page_states_all_of_it_before_its_first_section(folder, page):
    words = page(reports.write(folder / "student")).words.partition("Metrics On the")[0]
    teacher, plain, student = networks(folder)
    for each in (teacher, plain, student):
        assert f"{each.score:.3f} {each.low:.3f} to {each.high:.3f}" in words
    for each in (plain, student):
        assert f"{100 * each.kept:.1f} %" in words
    for stated in ("4.82 M", "3.8 times smaller", "7.5 times faster", "30 ms", "4 ms", "5 kB"):
        assert stated in words
    assert "dspkd doctor" not in words


def test_a_student_above_its_teacher_is_sent_to_the_doctor(folder, page):
    spoil(folder / "teacher", 2)
    *_, student = networks(folder)
    assert student.above_teacher
    assert not any(each.above_teacher for each in networks(folder)[:2])
    for written in (
        reports.write(folder / "student"),
        reports.compare([folder / "student", folder / "teacher"], folder / "compared.html"),
    ):
        head = page(written).words.partition("Metrics")[0]
        assert f"run dspkd doctor {folder / 'student/recipe.toml'}" in head


@pytest.mark.parametrize("change", [{"split_digest": "beef"}, {"model": "other"}, {"digest_of_data": "cafe"}])
def test_only_a_plain_run_of_the_same_network_and_split_stands_beside(folder, change):
    path, key = folder / "plain", next(iter(change))
    file = path / ("result.json" if key == "model" else "data.json")
    content = json.loads(file.read_text()) | {key.replace("_of_data", ""): change[key]}
    file.write_text(json.dumps(content))
    assert [each.role for each in networks(folder)] == ["teacher", "student"]


CHANGES = [("images", "rotation", 90.0), ("images", "artefacts", ["hair"]), ("model", "weights", "none")]


@pytest.mark.parametrize(("table", "key", "value"), CHANGES)
def test_a_plain_run_with_other_images_or_initial_weights_does_not_stand_beside(folder, table, key, value):
    change_recipe(folder / "plain", lambda recipe: recipe.setdefault(table, {}).update({key: value}))
    assert [each.role for each in networks(folder)] == ["teacher", "student"]


def test_a_plain_run_of_other_epochs_does_not_stand_beside(folder):
    change_recipe(folder / "plain", lambda recipe: recipe["stages"][0].update(epochs=recipe["stages"][0]["epochs"] + 1))
    assert [each.role for each in networks(folder)] == ["teacher", "student"]


def change_recipe(run, change):
    content = tomllib.loads((run / "recipe.toml").read_text())
    change(content)
    (run / "recipe.toml").write_text(tomli_w.dumps(content))


def test_a_folder_beside_that_cannot_be_read_stands_not_beside(folder, monkeypatch):
    is_file = Path.is_file

    def refuse(path):
        if path.parent.name == "plain":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    assert [each.role for each in networks(folder)] == ["teacher", "student"]


def test_in_a_comparison_the_plain_run_of_the_same_seed_stands_beside(fabricated, folder):
    for method in ("plain", "student"):
        shutil.move(folder / method, folder / f"{method}-0")
        (folder / method).mkdir()
        shutil.move(folder / f"{method}-0", folder / method / "seed-0")
    other = fabricated("seed-1", folder / "plain", name="plain", teacher=None, seed=1, **SMALL)
    beside = glance.plain_beside(run_folder.read(folder / "student/seed-0"))
    assert beside.folder.resolve() == (folder / "plain/seed-0").resolve()
    assert other.exists()


def test_without_a_known_teacher_there_is_no_comparison(folder, page):
    assert glance.of_run(run_folder.read(folder / "plain")) == []
    shutil.rmtree(folder / "teacher")
    assert networks(folder) == []
    assert "Share of the teacher's" not in page(reports.write(folder / "student")).words


def test_a_teacher_that_is_gone_leaves_its_kept_predictions(folder):
    shutil.copy(folder / "teacher/predictions/test.csv", folder / "student/predictions/teacher-test.csv")
    shutil.rmtree(folder / "teacher")
    teacher, _, student = networks(folder)
    assert (teacher.size.parameters, teacher.size.milliseconds) == (None, 30.0)
    assert student.smaller is None
    assert student.faster == 7.5


def of_comparison(folder, *names, decide_by="balanced_accuracy"):
    ranked = arms([run_folder.read(folder / name) for name in names], decide_by)
    return glance.of_arms(ranked, ResampledArms.of(ranked).intervals())


def test_a_comparison_has_the_teacher_first_whether_or_not_it_is_one_of_the_methods(folder):
    for names in (("student", "plain", "teacher"), ("student", "plain")):
        teacher, plain, student = of_comparison(folder, *names)
        assert [each.name for each in (teacher, plain, student)] == ["teacher", "plain", "student"]
        assert teacher.score == pytest.approx(balanced(folder / "teacher"))
        assert student.kept == pytest.approx(balanced(folder / "student") / teacher.score)
        assert (plain.smaller, student.faster) == (pytest.approx(4_821_320 / 1_261_804), 7.5)
    assert of_comparison(folder, "plain", "teacher") == []


def test_one_of_several_runs_that_kept_its_teachers_predictions_is_enough(folder, fabricated):
    taught_by = str(folder / "teacher")
    fabricated("other", folder, name="other", teacher=taught_by, seed=4, **SMALL)
    shutil.copy(folder / "teacher/predictions/test.csv", folder / "student/predictions/teacher-test.csv")
    shutil.rmtree(folder / "teacher")
    for names in (("student", "other"), ("other", "student")):
        assert [each.role for each in of_comparison(folder, *names)] == ["teacher", "student", "student"]


def test_of_a_log_loss_no_share_is_kept_and_less_is_better(folder):
    teacher, plain, student = of_comparison(folder, "student", "plain", "teacher", decide_by="log_loss")
    assert student.kept is plain.kept is None
    assert student.score > teacher.score
    assert not student.above_teacher


def test_score_is_drawn_against_size_only_where_sizes_differ(folder):
    from dspkd.reports import style

    with style.style():
        drawn = pareto(networks(folder), "parameters")
        assert re.search(r'aria-label="balanced accuracy against parameters\..*teacher: 4\.82 M', drawn)
        assert pareto(networks(folder)[1:], "parameters") is None
        assert "teacher: 30 ms" in pareto(networks(folder), "milliseconds")
