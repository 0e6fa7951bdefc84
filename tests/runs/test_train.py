"""A run end to end on synthetic lesions: its folder, and what one stage passes to the next."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from dspkd.data.loader import TrainBatches
from dspkd.errors import DataError, RecipeError, RunError, TrainingError
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments import single_run
from dspkd.recipes import schema
from dspkd.runs import holdout
from dspkd.runs import train as run
from dspkd.runs.run_folder import Run
from dspkd.training.distiller import Distiller
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.frozen import FrozenTeacher
from tiny_runs import LABELS, dsp_kd_recipe, stage, teacher_recipe, trained, weights, write_recipe


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    return trained(teacher_recipe(lesions), tmp_path_factory.mktemp("runs") / "teacher")


@pytest.fixture(scope="module")
def finished(lesions, teacher, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "dsp_kd"
    single_run.train(dsp_kd_recipe(lesions, teacher), out)
    return out


def test_a_finished_run_folder_describes_itself(finished):
    result = json.loads((finished / "result.json").read_text())
    data = json.loads((finished / "data.json").read_text())
    assert [stage["name"] for stage in result["stages"]] == ["features", "logits"]
    (evaluation,) = holdout.evaluations(finished)
    assert result["test_evaluations"] == 1
    assert (evaluation.purpose, evaluation.epochs) == ("train", 4)
    assert holdout.early(finished, [evaluation]) == []
    assert result["teacher_cache"] is None
    assert result["cpu_seconds"] == pytest.approx(sum(stage["cpu_seconds"] for stage in result["stages"]), abs=0.2)
    assert result["cpu_seconds"] > 0
    assert data["synthetic"] is True
    assert schema.load(finished / "recipe.toml").digest == result["digest"]
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"]) for line in lines] == [
        ("features", 1), ("features", 2), ("logits", 1), ("logits", 2)
    ]  # fmt: skip
    assert set(lines[0]["train"]) == {"total", "labels", "hierarchical_fusion"}
    kept, val = lines[1 + result["stages"][1]["best_epoch"]]["val"], Run(finished).val  # of the weights that were kept
    for name, metric in (("auc_macro", "auc_macro"), ("log_loss", "log_loss"), ("macro_f1", "f1_macro")):
        assert kept[name] == pytest.approx(getattr(val, metric))
    assert "synthetic" in (finished / "report.html").read_text()


def test_saved_weights_are_of_the_student_without_terms(finished):
    network = Run(finished).model
    assert set(weights(finished)) == set(network.network.state_dict())
    assert not any("term" in name or "generate" in name for name in weights(finished))
    result = json.loads((finished / "result.json").read_text())
    assert result["parameters"] == sum(value.numel() for value in network.parameters())


def test_each_part_is_predicted_once_and_completely(finished):
    parts = {row.split(",")[0]: row.rsplit(",", 1)[1] for row in (finished / "split.csv").read_text().splitlines()[1:]}
    for part in ("val", "test"):
        predictions = Predictions.load(finished / "predictions" / f"{part}.csv")
        assert set(predictions.ids) == {name for name, where in parts.items() if where == part}


def test_stage_two_starts_from_the_best_student_of_stage_one(lesions, teacher, tmp_path, monkeypatch):
    started, left = [], []
    fit = run.loop.fit

    def spy(stage, distiller, *rest, **settings):
        started.append({name: value.clone() for name, value in distiller.student.state_dict().items()})
        progress = fit(stage, distiller, *rest, **settings)
        left.append(progress.best_student)
        return progress

    monkeypatch.setattr(run.loop, "fit", spy)
    run.train(dsp_kd_recipe(lesions, teacher), tmp_path / "run")
    for name, value in left[0].items():
        assert torch.equal(started[1][name], value), name
    for name, value in left[1].items():
        assert torch.equal(weights(tmp_path / "run")[name.removeprefix("network.")], value), name


def test_a_stage_may_start_from_initial_weights(lesions, teacher, tmp_path, monkeypatch):
    started = []
    fit = run.loop.fit

    def spy(stage, distiller, *rest, **settings):
        started.append({name: value.clone() for name, value in distiller.student.state_dict().items()})
        return fit(stage, distiller, *rest, **settings)

    monkeypatch.setattr(run.loop, "fit", spy)
    from_initial = schema.load(write_recipe(tmp_path, dsp_kd_recipe(lesions, teacher)), ["stages.1.start='initial'"])
    run.train(from_initial, tmp_path / "run")
    for name, value in started[0].items():
        assert torch.equal(started[1][name], value), name


def test_a_finished_run_is_not_trained_again(lesions, finished, teacher):
    before = (finished / "model.safetensors").stat().st_mtime_ns
    page = single_run.train(dsp_kd_recipe(lesions, teacher), finished)
    assert page.exists()
    assert (finished / "model.safetensors").stat().st_mtime_ns == before


def test_a_folder_of_another_recipe_or_of_something_else_is_refused(lesions, finished, teacher, tmp_path):
    with pytest.raises(RunError, match=r"dsp_kd: .* \(dsp_kd\).*another folder"):
        run.train(dsp_kd_recipe(lesions, teacher, seed=1), finished)
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(RunError, match=r"not a run folder.*another folder"):
        run.train(teacher_recipe(lesions), tmp_path)
    with pytest.raises(RunError, match=r"thesis\.doc: is a file.*--out"):
        run.train(teacher_recipe(lesions), tmp_path / "thesis.doc")


def test_a_last_stage_that_cannot_be_built_stops_the_run_before_the_first(lesions, teacher, tmp_path):
    stages = [stage("labels"), stage("mgd", {"method": "mgd", "options": {"target": "stride64"}})]
    with pytest.raises(RecipeError, match="stride64"):
        run.train(dsp_kd_recipe(lesions, teacher, stages=stages), tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()


def test_a_damaged_image_is_named_before_training(lesions, tmp_path):
    copy = tmp_path / "lesions"
    shutil.copytree(lesions, copy)
    victim = sorted((copy / "ISIC_2019_Training_Input").glob("*.jpg"))[5]
    victim.write_bytes(victim.read_bytes()[:300])
    with pytest.raises(DataError, match=victim.name):
        run.train(teacher_recipe(copy), tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()


def test_a_teacher_trained_on_held_out_lesions_is_refused(lesions, teacher, tmp_path):
    with pytest.raises(DataError, match=r"teacher .* \d+ lesions.*split\.file"):
        run.train(dsp_kd_recipe(lesions, teacher, split={"seed": 5}), tmp_path / "run")


def test_plain_and_distilled_students_have_the_same_initial_weights_and_images(lesions, teacher, tmp_path, monkeypatch):
    seen, started = [], []
    epoch = TrainBatches.epoch
    fit = run.loop.fit

    def spy_epoch(self, number):
        for batch in epoch(self, number):
            seen[-1].append(batch.images.clone())
            yield batch

    def spy_fit(stage, distiller, *rest, **settings):
        started[-1].append({name: value.clone() for name, value in distiller.student.state_dict().items()})
        return fit(stage, distiller, *rest, **settings)

    monkeypatch.setattr(TrainBatches, "epoch", spy_epoch)
    monkeypatch.setattr(run.loop, "fit", spy_fit)
    labels = [stage("labels", epochs=4, lr=3e-3)]
    plain = teacher_recipe(lesions, name="plain", model={"name": "tiny"}, stages=labels)
    for recipe in (dsp_kd_recipe(lesions, teacher), plain):
        seen.append([])
        started.append([])
        run.train(recipe, tmp_path / recipe.name)
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
    for name, value in started[0][0].items():
        assert torch.equal(started[1][0][name], value), name


def test_teacher_and_student_get_the_same_mixed_images_also_in_resumed_runs(lesions, teacher, tmp_path):
    mixed = dsp_kd_recipe(lesions, teacher, train={"batch_size": 16, "balance": 0.5, "mixup": 0.3, "cutmix": 1.0})
    seen = {"teacher": [], "student": []}
    with pytest.MonkeyPatch.context() as patch:
        answer, forward = FrozenTeacher.answer, Distiller.forward
        patch.setattr(
            FrozenTeacher, "answer", lambda self, batch: seen["teacher"].append(batch.images) or answer(self, batch)
        )

        def train_step(self, batch, *rest):
            assert batch.other_labels is not None
            seen["student"].append(batch.images)
            return forward(self, batch, *rest)

        patch.setattr(Distiller, "forward", train_step)
        run.train(mixed, tmp_path / "uninterrupted")
    assert len(seen["student"]) > 10
    in_training = seen["teacher"][: len(seen["student"])]  # afterwards it predicts on validation and test set
    assert all(torch.equal(*both) for both in zip(in_training, seen["student"], strict=True))

    class Interrupted(NullProgress):
        def epoch(self, record):
            if (record["stage"], record["epoch"]) == ("logits", 1):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(mixed, tmp_path / "resumed", Interrupted())
    run.train(mixed, tmp_path / "resumed")
    expected = weights(tmp_path / "uninterrupted")
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path / "resumed").items())


def test_processor_time_of_a_run_is_unknown_where_that_of_an_epoch_is():
    assert run._total([1.25, 2.0]) == 3.2
    assert run._total([1.25, None]) is None


def test_a_run_whose_last_step_diverges_saves_no_student(lesions, tmp_path):
    """One step: its loss is finite, and what it makes of the weights is seen by no other."""
    wild = stage("labels", LABELS | {"weight": 1e6}, optimizer="sgd") | {"lr": 1e38}
    once = teacher_recipe(lesions, stages=[wild], train={"batch_size": 150, "clip": 1e9})
    with pytest.raises(TrainingError, match=r"stage 'labels', epoch 1: weights not finite after its last step: "):
        run.train(once, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_run_leaves_torch_the_threads_that_it_had(lesions, tmp_path):
    before = torch.get_num_threads()
    recipe = replace(teacher_recipe(lesions), machine=replace(teacher_recipe(lesions).machine, threads=before + 1))
    trained(recipe, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["threads"] == before + 1
    assert torch.get_num_threads() == before
