"""The whole job on synthetic images with tiny networks: recipes, runs, report, bundle; stopped and started again."""

import json
import re
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from command import call, refused
from dspkd.data.audit import duplicates
from dspkd.data.synthetic.dataset import synthesize
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.export import quantise
from dspkd.experiments import single_run
from dspkd.experiments.own_images import distill as job
from dspkd.experiments.own_images import networks, rules
from dspkd.experiments.own_images.new import Options, new
from dspkd.experiments.own_images.screen import SilentScreen
from dspkd.models import zoo
from dspkd.recipes import schema
from dspkd.runs import build, validate
from dspkd.runs.run_folder import Run

RUNS = ("teacher", "plain", "student")


@pytest.fixture(scope="module", autouse=True)
def small():
    """Tiny networks, two epochs, one seed, empty pages of runs, one way to quantise; all else as a user has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_run.reports, "write", lambda out: (out / "report.html").write_text("") and out)
        patch.setattr(quantise, "SETTINGS", quantise.SETTINGS[:1])
        patch.setattr(rules, "STUDENT", "tiny")
        patch.setattr(rules, "TEACHERS", {"cpu": ("tiny_wide",), "cuda": ("tiny_wide",)})
        patch.setattr(rules, "SEEDS", 1)
        patch.setattr(rules, "epochs", lambda *_, **__: 2)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return class folders of 60 synthetic images without ids, one of them a copy of another."""
    path = tmp_path_factory.mktemp("images") / "mine"
    synthesize(path, images=60, size=64, classes="common", layout="folder", seed=2)
    for file in path.iterdir():
        if file.is_file():
            file.unlink()
    one = sorted((path / "ACNE").iterdir())[0]
    shutil.copy(one, one.with_name("copy.png" if one.suffix == ".png" else "copy.jpg"))
    return path


class Stopped(BaseException):
    pass


class StopAt(SilentScreen):
    """Ends the job where a step begins, as a kill would; records the steps."""

    def __init__(self, step=None):
        self.at, self.steps, self.setups = step, [], []

    def planned(self, setup, out):
        self.setups.append(setup)

    def begun(self, step, expected):
        self.steps.append(step)
        if step == self.at:
            raise Stopped

    def ended(self, step, seconds):
        if seconds is None:
            self.steps.append(f"{step}: before")


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    """Run the job, stopped twice; return its result, its folder and the steps of the last call."""
    out = tmp_path_factory.mktemp("job") / "out"
    for step in ("plain", "bundle"):
        with pytest.raises(Stopped):
            job.distill(Options(str(folder)), out, StopAt(step))
    screen = StopAt()
    return job.distill(Options(str(folder)), out, screen), out, screen


def test_a_stopped_job_goes_on_and_skips_what_is_finished(done):
    result, out, screen = done
    assert screen.steps == ["teacher: before", "plain: before", "student: before", "comparison", "bundle"]
    assert [folder.name for folder in result.runs] == list(RUNS)
    assert result.bundle == out / "model.dspkd"
    assert len(open_bundle(result.bundle).spec.classes) == 6


def test_plain_and_distilled_student_have_equal_images_batches_and_epochs(done):
    _, out, _ = done
    plain, student = (Run(out / name).recipe for name in ("plain", "student"))
    assert plain.epochs == student.epochs == Run(out / "teacher").recipe.epochs
    for section in ("data", "split", "model", "images", "train", "seed"):
        assert getattr(plain, section) == getattr(student, section), section
    assert [[term.method for term in stage.terms] for stage in student.stages] == [
        ["labels", "hierarchical_fusion"],
        ["labels", "normkd"],
    ]
    assert student.teachers == (str(out / "teacher"),)


def test_the_cautions_stand_in_the_head_of_the_report_before_any_score(done):
    result, out, _ = done
    page = (out / "report.html").read_text(encoding="utf-8")
    head = page[: page.index('class="verdict"')]
    assert re.search(r"no lesion or patient ids", head)
    for caution in result.cautions:
        assert caution.split(":")[0].replace("'", "&#39;") in head, caution


def test_each_setting_of_a_recipe_has_a_comment_and_the_recipe_is_valid(done):
    _, out, _ = done
    for name in RUNS:
        text = (out / f"{name}.toml").read_text(encoding="utf-8")
        validate.check(schema.load(out / f"{name}.toml"))
        for line in text.splitlines():
            if re.match(r"\w+ = (?!\[$)", line) and not re.match(r'name = "(labels|features|logits)"', line):
                assert "  # " in line, line


def test_copies_share_a_group_and_a_part(done):
    _, out, _ = done
    split = (out / "plain" / "split.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in split if "copy." in line or "copies:" in line]
    assert len(rows) >= 2
    assert len({(group, part) for _, group, _, part in rows}) == 1


def test_an_edited_recipe_is_used_as_it_is_and_reported(done, folder):
    result, out, _ = done
    assert not any("changed" in caution for caution in result.cautions)
    student = out / "student.toml"
    before = student.read_text(encoding="utf-8")
    try:
        student.write_text(before.replace("t_norm = 1.0", "t_norm = 2.0"), encoding="utf-8")
        with pytest.raises(Exception, match="holds a run of recipe"):
            job.distill(Options(str(folder)), out, StopAt())
    finally:
        student.write_text(before, encoding="utf-8")


def test_other_options_are_refused_with_both(done, folder):
    _, out, _ = done
    message = refused("distill", folder, "--out", out, "--budget", "2h")
    assert "budget 7200 s" in message
    assert "--out" in message


def test_a_folder_with_something_else_is_refused(folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "holds thesis.txt" in refused("new", folder, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_record_holds_what_was_found_and_expected(done):
    _, out, screen = done
    record = json.loads((out / "new.json").read_text(encoding="utf-8"))
    assert record["facts"]["images"] == 61
    assert record["facts"]["unnamed"] == 61
    assert record["facts"]["copies"] >= 1
    assert list(record["expected"]) == ["data and plan", *RUNS, "comparison", "bundle"]
    assert all(seconds >= 0 for seconds in record["expected"].values())
    assert screen.setups[0].cautions == (*record["facts"]["cautions"], *record["about_training"])


@pytest.fixture
def damaged(folder, tmp_path):
    path = tmp_path / "damaged"
    shutil.copytree(folder, path)
    (path / "ACNE" / "broken.jpg").write_bytes(b"no image")
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "soon"], "--budget 'soon'"),
        (["--teacher", "resnet81"], "--teacher resnet81: no model is called"),
        (["--teacher", __file__], "no file of weights; name a run"),
        (["--student", "nowhere.safetensors"], "--student nowhere.safetensors: there is no such file"),
        (["--group", "patient"], "patient"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(arguments, message, folder, tmp_path):
    assert message in refused_quietly("new", folder, "--out", tmp_path / "out", *arguments)


def test_unreadable_images_are_named_before_anything_is_chosen(damaged, tmp_path):
    assert "1 of 62 images cannot be read" in refused_quietly("new", damaged, "--out", tmp_path / "out")


def test_data_that_do_not_exist_are_one_line(tmp_path):
    assert "nowhere: there is no such file or folder" in refused_quietly("new", "nowhere", "--out", tmp_path / "out")


def refused_quietly(*arguments):
    """Return the error message of a command that may have printed notes before."""
    _, err = call(*arguments, code=2)
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_finished_run_teaches_with_its_own_split_and_size(done, folder, tmp_path):
    _, first, _ = done
    made = new(
        Options(str(folder), teacher=str(first / "teacher")),
        tmp_path / "out",
        progress=None,
        log=lambda _: None,
    )
    assert not (tmp_path / "out" / "teacher.toml").exists()
    student = tomllib.loads((tmp_path / "out" / "student.toml").read_text(encoding="utf-8"))
    assert student["teacher"] == str(first / "teacher")
    assert student["split"] == {"file": str(first / "teacher" / "split.csv")}
    assert student["images"]["size"] == Run(first / "teacher").recipe.images.size
    assert "teacher" not in made.expected


def test_a_file_of_weights_is_recognised(done, folder, tmp_path):
    _, first, _ = done
    weights = first / "plain" / "model.safetensors"
    made = new(Options(str(folder), student=str(weights)), tmp_path / "out", progress=None, log=lambda _: None)
    assert (made.settings.student.name, made.settings.student.weights) == ("tiny", str(weights))


def test_the_page_has_the_rules_as_they_are_in_the_code():
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "your-own-images.md"
    table = rules.__doc__[rules.__doc__.index("====") : rules.__doc__.rindex("====")]
    assert table in page.read_text(encoding="utf-8")


def test_a_teacher_whose_classifier_fits_is_used_as_it_is(done, folder, tmp_path):
    _, first, _ = done
    weights, lines = first / "teacher" / "model.safetensors", []
    made = new(
        Options(str(folder), teacher=str(weights), budget=3600), tmp_path / "out", progress=None, log=lines.append
    )
    recipe = schema.load(tmp_path / "out" / "teacher.toml")
    assert (recipe.stages, recipe.model.name, recipe.model.weights) == ((), "tiny_wide", str(weights))
    assert any("a classifier for 6 classes: used as it is" in line for line in lines)
    assert any("trained elsewhere and is used as it is" in caution for caution in made.cautions)


def test_a_teacher_with_another_classifier_is_trained_further(folder, tmp_path):
    weights, lines = tmp_path / "four.pth", []
    torch.save(zoo.make("tiny_wide", classes=4).library_state(), weights)
    new(Options(str(folder), teacher=f"tiny_wide={weights}"), tmp_path / "out", progress=None, log=lines.append)
    assert schema.load(tmp_path / "out" / "teacher.toml").epochs > 0
    assert any("its classifier is not for 6 classes, so it is trained further" in line for line in lines)


def test_a_hub_folder_names_its_network(done, folder, tmp_path):
    _, first, _ = done
    hub = tmp_path / "hub"
    hub.mkdir()
    shutil.copy(first / "plain" / "model.safetensors", hub / "model.safetensors")
    (hub / "config.json").write_text('{"architecture": "tiny"}')
    network = networks.named(str(hub), 6, option="--student")
    assert (network.name, network.weights, network.as_it_is) == ("tiny", str(hub), True)


def test_the_copies_are_searched_once(folder, tmp_path, monkeypatch):
    searches = []
    find = duplicates.find
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(duplicates, "find", lambda *args, **how: searches.append(1) or find(*args, **how))
    setup = new(Options(str(folder)), tmp_path / "out", progress=None, log=lambda _: None)
    assert setup.facts.copies >= 1
    build.load_data(schema.load(tmp_path / "out" / "plain.toml"))
    assert len(searches) == 1


@pytest.mark.parametrize(("plain", "distilled", "said"), [(0.5, 0.5, True), (0.6, 0.4, True), (0.4, 0.5, False)])
def test_a_distilled_student_that_is_no_better_than_the_plain_one_is_said(plain, distilled, said, monkeypatch):
    scores = {"plain": plain, "student": distilled}
    monkeypatch.setattr(
        job, "Run", lambda run: SimpleNamespace(test=SimpleNamespace(balanced_accuracy=scores[Path(run).name]))
    )
    doubt = job._about_gain([Path("out/plain")], [Path("out/student")])
    assert ("dspkd export out/plain" in doubt) is said
