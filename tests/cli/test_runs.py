"""The commands on runs: train, resume, explain, evaluate, predict, report."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from command import call, refused
from dspkd.data.table import is_named
from dspkd.evaluation import isic2019
from dspkd.evaluation.by_lesion import by_lesion
from dspkd.evaluation.fidelity import agreement, listed, tally
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.out_of_distribution import energy
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments import demo, single_run
from dspkd.runs import evaluate as evaluation
from dspkd.runtime import console

FEATURES = '{ method = "hierarchical_fusion", weight = 1e-3, options = { width = 8, hidden = 8 } }'
TEACHER = """# A tiny teacher
name = "teacher"
data = { path = "LESIONS" }
model = { name = "tiny_wide" }
images = { size = 32 }
train = { batch_size = 32 }
stages = [{ name = "labels", epochs = 1, lr = 3e-3, terms = [{ method = "labels" }] }]
"""
DSP_KD = f"""# A tiny DSP-KD student
name = "dsp_kd"
data = {{ path = "LESIONS" }}
model = {{ name = "tiny" }}
images = {{ size = 32 }}
train = {{ batch_size = 32 }}
stages = [
  {{ name = "features", epochs = 1, lr = 3e-3, terms = [{{ method = "labels" }}, {FEATURES}] }},
  {{ name = "logits", epochs = 2, lr = 1e-3, terms = [{{ method = "labels" }}, {{ method = "normkd" }}] }},
]
"""


@pytest.fixture(scope="module")
def folder(lesions, tmp_path_factory):
    """A folder with recipes for a teacher and a student."""
    folder = tmp_path_factory.mktemp("[cli]")
    for name, text in (("teacher", TEACHER), ("dsp_kd", DSP_KD)):
        (folder / f"{name}.toml").write_text(text.replace("LESIONS", str(lesions)))
    return folder


@pytest.fixture(scope="module")
def outputs(folder):
    """Output of `train` for the teacher and the student, whose runs are in `folder`."""
    teacher = call("train", folder / "teacher.toml", "--out", folder / "teacher")
    setting = f"teacher={str(folder / 'teacher')!r}"
    return teacher, call("train", folder / "dsp_kd.toml", "--out", folder / "student", "--set", setting)


@pytest.fixture(scope="module")
def student(folder, outputs):
    return folder / "student"


def test_training_prints_counts_epochs_results_and_the_path_of_the_report(folder, outputs):
    (teacher, _), (out, err) = outputs
    lines = out.splitlines()
    with (folder / "student" / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = [sum(row["part"] == part for row in rows) for part in ("train", "val", "test")]
    total = next(line for line in lines if line.startswith("│ all"))
    assert [int(number) for number in re.findall(r"\d+", total)] == counts
    mel = next(line for line in lines if line.startswith("│ MEL"))
    of_mel = [row for row in rows if row["label"] == "MEL" and row["part"] == "train"]
    assert f"{len(of_mel)} ({len({row['group'] for row in of_mel})})" in mel
    epochs = [line for line in lines if re.match(r"\w+ epoch \d", line)]
    assert [line.split("  loss ")[0] for line in epochs] == ["features epoch 1", "logits epoch 1", "logits epoch 2"]
    assert re.search(r"\(labels \S+  hierarchical_fusion \S+\)  val balanced accuracy 0\.\d{3}", epochs[0])
    assert epochs[0].endswith("  * kept")
    result = next(line for line in lines if line.startswith("│ dsp_kd"))
    assert "58,772" in result
    assert lines[-1] == f"report: {folder / 'student' / 'report.html'}"
    assert (folder / "student" / "report.html").is_file()
    assert err == ""
    assert "labels epoch 1" in teacher


def test_a_finished_run_is_reported_again_without_training(folder, student, monkeypatch):
    monkeypatch.setattr(single_run.reports, "write", lambda out: out / "report.html")
    out, _ = call("train", student / "recipe.toml", "--out", student)
    assert "epoch" not in out
    assert "58,772" in out
    assert out.endswith(f"report: {student / 'report.html'}\n")


def test_a_folder_of_another_recipe_is_refused(folder, student):
    assert str(student) in refused("train", folder / "teacher.toml", "--out", student)


def test_a_stopped_run_is_resumed_by_the_same_command(folder, outputs, tmp_path, monkeypatch):
    monkeypatch.setattr(single_run.reports, "write", lambda out: out / "report.html")
    again = ("train", folder / "teacher.toml", "--out", tmp_path / "run", "--set", "stages.0.epochs=2")
    with monkeypatch.context() as patch:
        patch.setattr(console.ConsoleProgress, "epoch", lambda self, record: (_ for _ in ()).throw(KeyboardInterrupt))
        _, err = call(*again, code=130)
    assert err.startswith("stopped; run the same command again")
    assert not (tmp_path / "run" / "result.json").exists()
    trained = []
    monkeypatch.setattr(console.ConsoleProgress, "step", lambda self, stage, epoch, done, steps: trained.append(epoch))
    call(*again)
    assert set(trained) == {2}
    records = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in records] == [1, 2]


def test_ctrl_c_in_a_command_that_cannot_be_resumed_promises_nothing(student, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "evaluate", interrupted)
    assert call("evaluate", student, code=130) == ("", "stopped\n")


def test_explain_shows_both_stages_and_trains_nothing(folder, outputs):
    before = sorted(folder.rglob("*"))
    out, _ = call("explain", folder / "dsp_kd.toml", "--set", f"teacher={str(folder / 'teacher')!r}")
    assert "student tiny: 58,772 parameters" in out
    assert "teacher tiny_wide: 231,776 parameters" in out
    assert "stage features: 1 epoch, " in out
    assert "stage logits: 2 epochs, 58,772 parameters trained" in out
    assert re.search(r"│ hierarchical_fusion +│ +0\.001 │", out)
    assert sorted(folder.rglob("*")) == before
    assert "no such run folder" in refused("explain", folder / "dsp_kd.toml", "--set", "teacher='nowhere'")


def test_evaluating_a_part_prints_each_class_and_writes_the_predictions(student, tmp_path):
    out, err = call("evaluate", student, "--part", "test", "--out", tmp_path / "new" / "test.csv")
    assert (tmp_path / "new" / "test.csv").read_bytes() == (student / "predictions" / "test.csv").read_bytes()
    own = Predictions.load(student / "predictions" / "test.csv")
    assert f"{len(own)} images of {len(set(filter(is_named, own.groups)))} lesions or patients" in out
    for label, name in enumerate(own.classes):
        assert re.search(rf"│ {name} +│ +{(own.labels == label).sum()} │", out), name
    accuracy = (own.predicted == own.labels).mean()
    assert f"accuracy {accuracy:.3f}  AUC 0." in out
    lesions = summarise(by_lesion(own))
    assert 1 < lesions.images < len(own)
    assert (
        f"by lesion: balanced accuracy {lesions.balanced_accuracy:.3f}  macro F1 {lesions.f1_macro:.3f}  "
        f"accuracy {lesions.accuracy:.3f}  AUC {lesions.auc_macro:.3f}\n  {lesions.groups} lesions or patients, each"
    ) in out
    assert re.fullmatch(rf"test-set evaluations of {re.escape(str(student))} so far: \d+\n", err)
    assert "did you mean 'test'?" in refused("evaluate", student, "--part", "tset")


def test_a_submission_to_the_challenge_is_written_and_scored(student, tmp_path):
    out, _ = call("evaluate", student, "--isic-csv", tmp_path / "submission.csv")
    own = Predictions.load(student / "predictions" / "test.csv")
    with (tmp_path / "submission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == list(own.ids)
    assert [float(row["VASC"]) for row in rows] == own.probabilities[:, own.classes.index("VASC")].tolist()
    assert f"by the rules of ISIC 2019: balanced accuracy {isic2019.score(own).balanced_accuracy:.3f}  AUC 0." in out


def as_folders(lesions, target, rows):
    """Copy these images into a folder a class, with a table of their lesions."""
    for row in rows:
        (target / row["label"]).mkdir(parents=True, exist_ok=True)
        shutil.copy(lesions / "ISIC_2019_Training_Input" / f"{row['id']}.jpg", target / row["label"])
    lines = ["image,lesion_id,patient_id", *(f"{row['id']},{row['group']},p{i}" for i, row in enumerate(rows))]
    (target / "metadata.csv").write_text("\n".join(lines) + "\n")
    return target


def test_other_images_are_evaluated_with_a_warning_for_training_lesions(lesions, student, tmp_path):
    with (student / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in ("MEL", "SCC")]
    other = as_folders(lesions, tmp_path / "other", rows)
    known = sum(row["part"] == "train" for row in rows)
    out, err = call("evaluate", student, "--data", other, "--group", "lesion_id")
    warning = f"\nwarning: {known} of these {len(rows)} images"
    assert warning in err  # after the line that the test set was evaluated: these are the run's own files
    assert "no image of NV, BCC, AK, BKL, DF, VASC: left out of the means" in out
    assert warning in call("evaluate", student, "--data", other)[1]  # by content, whatever column groups them
    damaged = sorted((other / "MEL").glob("*.jpg"))[:4]
    for path in damaged:
        path.write_bytes(b"no image")
    _, err = call("evaluate", student, "--data", other, code=2)
    assert f"4 of {len(rows)} images do not decode" in err
    assert "--skip-damaged" in err
    assert all(str(path) in err for path in damaged)
    out, err = call("evaluate", student, "--data", other, "--skip-damaged")
    assert f"\n{len(rows) - 4} images of " in out
    assert all(str(path) in err for path in damaged)
    (other / "SCC").rename(other / "Squamous")
    assert "Squamous" in call("evaluate", student, "--data", other, code=2)[1]


def test_unknown_classes_are_separated_from_the_evaluated_images(lesions, student, tmp_path):
    with (student / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in ("MEL", "SCC")]
    other = as_folders(lesions, tmp_path / "other", rows)
    (other / "SCC").rename(other / "squamous")
    before = (student / "test_evaluations.jsonl").read_text()
    assert "no column 'lesion'" in refused("evaluate", student, "--unknown", other, "--group", "lesion")
    assert (student / "test_evaluations.jsonl").read_text() == before
    out, err = call("evaluate", student, "--unknown", other, "--group", "lesion_id", "--part", "val")
    assert err == ""
    strange = [row for row in rows if row["label"] == "SCC"]
    own = Predictions.load(student / "predictions" / "val.csv")
    lesions = len({row["group"] for row in strange if is_named(row["group"])})
    assert (
        f"{len(strange)} images of unknown classes (squamous {len(strange)}) of {lesions} lesions or patients; " in out
    )
    assert f"; {len(own)} images of known classes\n" in out
    assert f"left out: {len(rows) - len(strange)} images" in out
    ood = evaluation.evaluate_ood(student, other, group="lesion_id")
    both = [energy(own.logits), energy(ood.logits)]
    auc = roc_auc_score(np.repeat([0, 1], [len(own), len(strange)]), np.concatenate(both))
    assert re.search(rf"│ energy +│ +{auc:.3f} │", out)


def test_probabilities_are_printed_ranked_or_as_json(lesions, student, tmp_path):
    images = sorted((lesions / "ISIC_2019_Training_Input").glob("*.jpg"))[:2]
    out, _ = call("predict", student, *images, "--json")
    predictions = [json.loads(line) for line in out.splitlines()]
    assert [each["image"] for each in predictions] == [str(image) for image in images]
    for each in predictions:
        assert sum(each["probabilities"].values()) == pytest.approx(1)
        assert len(each["probabilities"]) == 8
    out, _ = call("predict", student, *images)
    lines = out.splitlines()
    for advice, ranked, each in zip(lines[::2], lines[1::2], predictions, strict=True):
        assert advice.startswith(f"{each['image']}: Refer")
        printed = dict(pair.replace("*", "").split() for pair in ranked.strip().split("  "))
        assert list(printed) == sorted(each["probabilities"], key=lambda name: -each["probabilities"][name])
        assert {name: float(value) for name, value in printed.items()} == pytest.approx(
            each["probabilities"], abs=5.1e-4
        )
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    assert "bad.jpg" in refused("predict", student, tmp_path / "bad.jpg")
    out, err = call("predict", student, tmp_path / "bad.jpg", *images, code=1)
    assert len(out.splitlines()) == 2 * len(images)
    assert "error: " in err
    assert err.splitlines()[-1] == "3 images. 2: Refer to a dermatologist; 1 could not be read."
    assert "not a run folder, it has no recipe.toml" in refused("predict", tmp_path, images[0])


def test_runs_are_compared_on_one_page(folder, student, tmp_path):
    out, _ = call("report", folder / "teacher", student, "--out", tmp_path / "both.html")
    assert out == f"report: {tmp_path / 'both.html'}\n"
    page = (tmp_path / "both.html").read_text()
    assert "teacher" in page
    assert "dsp_kd" in page
    assert "nowhere" in refused("report", student, tmp_path / "nowhere")


def test_agreement_lists_what_the_student_forgot_of_its_teachers_predictions(folder, student):
    compared = agreement(*(Predictions.load(student / f"predictions/{name}test.csv") for name in ("", "teacher-")))
    out, err = call("agreement", student)
    whole = tally(compared)
    assert f"{whole.forgotten} of {whole.teacher_right}" in next(
        line for line in out.splitlines() if line.startswith("│ all")
    )
    assert err == ""
    lines = [line for line in out.splitlines() if "  teacher " in line]
    first = [compared.student.ids[row] for row in listed(compared, "forgotten")][:20]
    assert [line.split("  ")[1] for line in lines] == first
    of_class = [line for line in call("agreement", student, "--class", "NV")[0].splitlines() if "  teacher " in line]
    assert all(line.startswith("NV  ") for line in of_class)
    assert "did you mean 'MEL'" in refused("agreement", student, "--class", "MELL")
    assert "--teacher" in refused("agreement", folder / "teacher")
    rotated, _ = call("agreement", folder / "teacher", "--teacher", student, "--also", student / "predictions/test.csv")
    back = tally(agreement(compared.teacher, compared.student))
    assert f"{back.forgotten} of {back.teacher_right}" in next(
        line for line in rotated.splitlines() if line.startswith("│ all")
    )


def test_demo_prints_the_results_of_its_four_runs(student, tmp_path, monkeypatch):
    def quick(out, listener):
        for step in demo.EPOCHS:
            shutil.copytree(student, out / step)
        return out / "report.html"

    monkeypatch.setattr(demo, "demo", quick)
    out, _ = call("demo", "--out", tmp_path / "demo")
    assert out.count("58,772") == 4
    assert out.endswith(f"report: {tmp_path / 'demo' / 'report.html'}\n")
