"""A resumed run has the data and the initial weights with which it began."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dspkd.errors import RunError
from dspkd.models import zoo
from dspkd.runs import train as run
from dspkd.runs.files import RunFiles
from dspkd.runs.integrity import problems
from dspkd.runs.run_folder import Run
from tiny_runs import Killed, Killer, recipe, stage

CLASSES = ("BCC", "MEL", "NV")
IMAGES = 36


def write_table(folder, largest=0.7, order=1):
    """Write the CSV of the images, each with this weight of its first class."""
    rest = round((1 - largest) / 2, 3)
    weights = [[largest if k == number % 3 else rest for k in range(3)] for number in range(IMAGES)]
    rows = [f"{number}.png,L{number}," + ",".join(map(str, of)) for number, of in enumerate(weights)]
    (folder / "labels.csv").write_text("\n".join(["image,lesion_id,BCC,MEL,NV", *rows[::order]]) + "\n")


def invert(path):
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder of images; it holds "data", and is the working directory."""
    (tmp_path / "here/data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(f"data/{number}.png")
    write_table(tmp_path / "here/data")
    return tmp_path / "here"


def begun(out, *stages, when="after", **settings):
    """Return a recipe whose run was stopped in the first epoch, or after it."""
    columns = {"image": "image", "label": list(CLASSES), "group": "lesion_id"}
    data = {"path": "data/labels.csv", "columns": columns, **settings.pop("data", {})}
    learning = recipe("", data=data, train={"batch_size": 8}, stages=list(stages), **settings)
    with pytest.raises(Killed):
        run.train(learning, out, Killer(stages[0]["name"], 1, when))
    return learning


SOFT = stage("soft", {"method": "labels", "options": {"soft_labels": True}}, epochs=2)
CHANGES = {
    "soft labels": lambda data: write_table(data, largest=0.5),
    "order": lambda data: write_table(data, order=-1),
    "content": lambda data: [invert(data / f"{number}.png") for number in range(0, IMAGES, 4)],
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_data_are_refused_and_the_first_go_on(folder, change):
    out = folder / "run"
    learning = begun(out, SOFT)
    shutil.copytree("data", "before")
    CHANGES[change](folder / "data")
    with pytest.raises(RunError, match=rf"{change}.* changed since .*run began; restore the data, or train") as error:
        run.train(learning, out)
    assert "\n" not in str(error.value)
    shutil.rmtree("data")
    shutil.copytree("before", "data", copy_function=shutil.copy)  # with other times
    run.train(learning, out)
    assert Run(out).finished
    assert problems(Run(out).files) == []


@pytest.mark.parametrize("change", CHANGES)
def test_before_the_first_epoch_data_may_change(folder, change):
    learning = begun(folder / "run", SOFT, when="within")
    CHANGES[change](folder / "data")
    run.train(learning, folder / "run")
    assert Run(folder / "run").finished


def test_the_folder_of_the_data_may_move(folder, monkeypatch):
    learning = begun(folder / "run", SOFT)
    (folder.parent / "there").mkdir()
    (folder / "data").rename(folder.parent / "there/data")
    monkeypatch.chdir(folder.parent / "there")
    run.train(learning, folder / "run")
    assert Run(folder / "run").finished


def rewritten(file, change):
    """Change a JSON file of a run folder, and its record, as an older version would have written it."""
    manifest = file.parent / "files.json"
    recorded = json.loads(manifest.read_text())
    del recorded["sha256"][file.name]
    manifest.write_text(json.dumps(recorded))
    content = json.loads(file.read_text())
    file.unlink()
    if left := change(content):
        file.write_text(json.dumps(left))


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_of_an_older_version_goes_on_with_the_data_of_today(folder, change):
    learning = begun(folder / "run", SOFT)
    older = ("content", "split_how", "notes", "warnings")
    rewritten(folder / "run/data.json", lambda data: {name: value for name, value in data.items() if name not in older})
    CHANGES[change](folder / "data")
    run.train(learning, folder / "run")
    assert Run(folder / "run").finished


def write_weights(path, seed):
    torch.manual_seed(seed)
    state = zoo.make("tiny", classes=3, weights="none").library_state()
    path.parent.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in state.items()}, path)


FILE = "w/model.safetensors"
TWO = (stage("one"), stage("two", start="initial"))


@pytest.mark.parametrize("source", [FILE, "w"])
def test_other_initial_weights_are_refused_and_the_first_go_on(folder, source):
    write_weights(folder / FILE, 1)
    learning = begun(folder / "run", *TWO, model={"name": "tiny", "weights": source})
    write_weights(folder / FILE, 2)
    with pytest.raises(RunError, match=rf"^model\.weights {source}: its weights have changed since .*run began; rest"):
        run.train(learning, folder / "run")
    write_weights(folder / FILE, 1)
    run.train(learning, folder / "run")
    assert Run(folder / "run").finished
    assert problems(Run(folder / "run").files) == []


@pytest.mark.parametrize("case", ["no later stage starts from them", "before the first epoch", "older version"])
def test_other_initial_weights_go_on(folder, case):
    write_weights(folder / FILE, 1)
    stages = TWO if case != "no later stage starts from them" else (stage("one"), stage("two"))
    when = "within" if case == "before the first epoch" else "after"
    learning = begun(folder / "run", *stages, when=when, model={"name": "tiny", "weights": FILE})
    if case == "older version":
        rewritten(folder / "run/initial_weights.json", lambda _: None)
    write_weights(folder / FILE, 2)
    run.train(learning, folder / "run")
    assert Run(folder / "run").finished


KD = stage("kd", {"method": "labels"}, {"method": "kd"})


def write_embeddings():
    """Write a file of embeddings that tell something of the classes."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(IMAGES, 4)) + np.arange(IMAGES)[:, None] % 3
    rows = [f"{number}.png,{','.join(map(str, vector))}" for number, vector in enumerate(vectors)]
    Path("embeddings.csv").write_text("\n".join(["id,embedding_0,embedding_1,embedding_2,embedding_3", *rows]))
    return {"answers": "embeddings.csv"}


def kept_logits(out):
    with np.load(out / "teacher_answers.npz") as kept:
        return kept["logits"]


def test_a_corrected_recipe_has_no_answers_of_the_earlier_one(folder):
    """A head that was fitted on the training set of another split has seen test images of this one."""
    learning = begun(folder / "run", KD, when="within", teacher=write_embeddings())
    before = kept_logits(folder / "run")
    corrected = replace(learning, split=replace(learning.split, seed=1))
    for out in ("run", "fresh"):
        run.train(corrected, folder / out)
    assert not np.array_equal(kept_logits(folder / "run"), before)
    np.testing.assert_array_equal(kept_logits(folder / "run"), kept_logits(folder / "fresh"))
    assert problems(Run(folder / "run").files) == []


def test_before_the_first_epoch_answers_are_those_for_the_labels_of_today(folder):
    learning = begun(folder / "run", KD, when="within", teacher=write_embeddings())
    before = kept_logits(folder / "run")
    text = Path("data/labels.csv").read_text()
    Path("data/labels.csv").write_text(text.replace("BCC,MEL,NV", "NV,BCC,MEL"))
    for out in ("run", "fresh"):
        run.train(learning, folder / out)
    assert not np.array_equal(kept_logits(folder / "run"), before)
    np.testing.assert_array_equal(kept_logits(folder / "run"), kept_logits(folder / "fresh"))
    assert problems(Run(folder / "run").files) == []


def test_nothing_of_an_earlier_recipe_stays_in_the_folder(folder):
    shutil.copytree("data", "unlabelled")
    for number in range(IMAGES):
        invert(folder / f"unlabelled/{number}.png")
        Path(f"unlabelled/{number}.png").rename(f"unlabelled/other-{number}.png")
    Path("unlabelled/labels.csv").unlink()
    kd, data = stage("kd", {"method": "kd"}), {"unlabelled": "unlabelled"}
    run.train(begun(folder / "teacher", stage("labels")), folder / "teacher")
    begun(folder / "run", kd, when="within", teacher="teacher", data=data)
    (folder / "run/stages/0-kd").mkdir(parents=True)  # as a first checkpoint leaves it that could not be saved
    files = RunFiles(folder / "run")
    assert files.unlabelled.exists()
    files.shared_outputs.write_text("{}")
    files.require_recipe("another")
    left = {path.name for path in (folder / "run").iterdir() if not path.name.startswith(".")}
    assert left <= {"metrics.jsonl", "stages"}


def test_a_finished_student_whose_file_of_answers_has_changed_is_refused(folder):
    learning = begun(folder / "run", KD, teacher=write_embeddings())
    run.train(learning, folder / "run")
    run.train(learning, folder / "run")
    Path("embeddings.csv").write_text(Path("embeddings.csv").read_text() + "\n")
    with pytest.raises(RunError, match=r"^.*run: its teacher embeddings\.csv has changed since; delete .*run, and"):
        run.train(learning, folder / "run")
