"""A resumed run has the data and the initial weights with which it began."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dspkd.errors import RunError
from dspkd.models import zoo
from dspkd.runs import train as run
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
    data, train = {"path": "data/labels.csv", "columns": columns}, {"batch_size": 8}
    learning = recipe("", data=data, train=train, stages=list(stages), **settings)
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
