"""The job on a folder where something is finished: what is kept, and what is made again, since it is of another run."""

import json
import shutil
from dataclasses import replace
from os import truncate
from pathlib import Path
from types import SimpleNamespace

import pytest

from bundles import contents, edited
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.bundle.spec import Preprocessing, describe
from dspkd.deploy.bundle.writer import as_json, pack
from dspkd.deploy.export import certificate, export
from dspkd.deploy.serve import web_page
from dspkd.errors import RunError
from dspkd.experiments import single_run
from dspkd.experiments.own_images import distill as job
from dspkd.experiments.own_images.screen import SilentScreen
from dspkd.recipes import schema
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from tiny_runs import LABELS, recipe, stage, trained

SETUP = SimpleNamespace(expected={})


class Steps(SilentScreen):
    """Records the steps."""

    def __init__(self):
        self.steps = []

    def begun(self, step, expected):
        self.steps.append(step)

    def ended(self, step, seconds):
        if seconds is None:
            self.steps.append(f"{step}: before")


@pytest.fixture(scope="module")
def finished(lesions, tmp_path_factory):
    """Return a folder of a trained teacher and student."""
    out = tmp_path_factory.mktemp("job")
    teacher = trained(recipe(lesions), out / "teacher")
    taught = [stage("logits", LABELS, {"method": "normkd"})]
    trained(recipe(lesions, name="student", teacher=str(teacher), stages=taught), out / "student")
    (out / "student" / "report.html").touch()
    return out


def write_bundle(run, path, log=None):
    """Write what matters here of a run's bundle."""
    exported = export.source(run)
    classes = [{"id": name, "name": name, "meaning": name} for name in exported.classes]
    spec = {
        "name": "student",
        "classes": [{**each, "malignancy": kind} for each, kind in zip(classes, exported.kinds, strict=True)],
        "preprocessing": describe(Preprocessing(37, 32, ())),
        "temperature": 1.0,
        "thresholds": {"refer_below": 0.5, "refer_from": None, "refer_from_rule": "always"},
        "models": {"fp32": {"file": "model.fp32.onnx", "bytes": 1}},
        "default": "fp32",
        "not_a_diagnosis": "none",
    }
    origins = certificate.origins(run, exported.recipe, Path(exported.recipe.data.path))
    files = {"spec.json": as_json(spec), "certificate.json": as_json({"origins": origins}), "model.fp32.onnx": b"x"}
    pack(path, files)


@pytest.fixture
def out(finished, tmp_path, monkeypatch):
    """Return a folder with the student and its bundle."""
    shutil.copytree(finished / "student", tmp_path / "student")
    write_bundle(tmp_path / "student", tmp_path / "model.dspkd")
    monkeypatch.setattr(export, "export", write_bundle)
    monkeypatch.setattr(single_run.reports, "write", lambda run: run / "report.html")
    return tmp_path


def bundled(out):
    screen = Steps()
    job._bundle(SETUP, out, screen)
    return screen.steps


def stated(recipe):
    return replace(recipe, data=replace(recipe.data, malignant=("NV",)))


def train_again(out):
    weights = out / "student" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    with RunFiles(out / "student").manifest.recording(weights):
        weights.write_bytes(content)


def make_by_an_older_version(out):
    files = contents(out / "model.dspkd")
    edited(out / "model.dspkd", files, "certificate.json", lambda each: each["origins"].pop("weights digest"))


def state_a_kind(out):
    files = RunFiles(out / "student")
    files.write_recipe(stated(schema.load(files.recipe)))


def damage(out):
    truncate(out / "model.dspkd", 900)


@pytest.mark.parametrize("change", [train_again, make_by_an_older_version, state_a_kind, damage])
def test_a_bundle_of_another_run_is_made_again(out, change):
    assert bundled(out) == ["bundle: before"]
    change(out)
    assert bundled(out) == ["bundle"]
    assert bundled(out) == ["bundle: before"]
    kinds = {each.id: each.malignancy for each in open_bundle(out / "model.dspkd").spec.classes}
    assert kinds["NV"] == ("malignant" if change is state_a_kind else "benign")


@pytest.mark.parametrize("about", [None, "{", "[]", '{"digest": "of another bundle"}'])
def test_a_page_of_another_bundle_is_written_again(out, about, monkeypatch):
    page = out / "page" / "bundle" / "about.json"

    def write(bundle, folder):
        assert not folder.exists()
        page.parent.mkdir(parents=True)
        page.write_text(json.dumps({"digest": bundle.digest}))
        (folder / web_page.SERVICE_WORKER).touch()

    monkeypatch.setattr(web_page, "write", write)
    monkeypatch.setattr(web_page, "runs_on_device", lambda _: "")
    if about:
        page.parent.mkdir(parents=True)
        page.write_text(about)
        (out / "page" / web_page.SERVICE_WORKER).touch()
    for _ in range(2):
        assert job._page(out, Steps()) == out / "page"
        assert json.loads(page.read_text())["digest"] == open_bundle(out / "model.dspkd").digest


def test_no_page_of_another_bundle_stays_where_none_can_be_written(out, monkeypatch):
    (out / "page").mkdir()
    monkeypatch.setattr(web_page, "runs_on_device", lambda _: "not here")
    assert job._page(out, Steps()) is None
    assert not (out / "page").exists()


def test_a_kind_that_the_recipe_states_now_reaches_the_finished_run(out):
    run = out / "student"
    changed = stated(schema.load(run / "recipe.toml"))
    weights = (run / "model.safetensors").read_bytes()
    for steps in (["student"], ["student: before"]):
        screen = Steps()
        job._train(changed, run, "student", SETUP, screen)
        assert screen.steps == steps
        assert Run(run).recipe == changed
    assert (run / "model.safetensors").read_bytes() == weights


def test_a_finished_run_whose_teacher_was_trained_again_is_refused(out):
    files = RunFiles(out / "student")
    recipe = schema.load(files.recipe)
    assert set(json.loads(files.teacher_weights.read_text())) == set(recipe.teachers)
    with files.manifest.recording(files.teacher_weights):
        files.teacher_weights.write_text(json.dumps(dict.fromkeys(recipe.teachers, "0" * 64)))
    with pytest.raises(RunError, match=r"its teacher .*teacher was trained again since; delete .*student"):
        job._train(recipe, files.folder, "student", SETUP, Steps())
