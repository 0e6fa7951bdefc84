"""A name is a network, also where a file or folder is called so; ``./NAME`` and a `Path` are the file or folder."""

from pathlib import Path

import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.experiments.own_images import api, networks, new
from dspkd.experiments.own_images.new import Options
from dspkd.models import zoo
from dspkd.runs.files import RunFiles

NAMES = ("tiny", "resnet18", "timm:resnet18", "resnet18.a1_in1k", "torchvision:resnet18")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_empty_folder(path):
    path.mkdir()


def make_run(path):
    path.mkdir()
    RunFiles(path).recipe.touch()


def make_weights(path):
    path.mkdir()
    torch.save(zoo.make("tiny_wide", classes=3).library_state(), path / "pytorch_model.bin")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [make_empty_folder, make_run, make_weights, Path.touch])
def test_a_name_is_the_network_whatever_lies_there(name, make, here):
    make(here / name)
    network = networks.named(name, 3, option="--teacher")
    assert (network.name, network.weights, network.run) == (name.removeprefix("timm:"), "none", "")
    assert networks.run_of(name) is None
    assert f"./{name}" in networks.unused_path(name)


def test_the_default_networks_too_and_a_line_says_so(here, monkeypatch):
    monkeypatch.setattr(new.rules, "TEACHERS", {"cpu": ("tiny_wide",), "cuda": ("tiny_wide",)})
    monkeypatch.setattr(new.networks, "with_pretrained_weights", lambda network, _: (network, ""))
    make_empty_folder(here / "tiny_wide")
    lines = []
    found = type("Found", (), {"classes": ("a", "b")})
    student, teachers = new._networks(Options("x", student="tiny"), found, new._machine(), lines.append)
    assert (student.name, [each.name for each in teachers]) == ("tiny", ["tiny_wide"])
    assert lines == ["--teacher: tiny_wide is the network of this name, not the folder here; the folder is ./tiny_wide"]


def test_a_path_is_what_lies_there(here):
    make_weights(here / "tiny")
    network = networks.named("./tiny", 3, option="--student")
    assert (network.name, network.weights, network.as_it_is) == ("tiny_wide", "./tiny", True)
    assert networks.unused_path("./tiny") == ""
    make_run(here / "resnet18")
    assert networks.run_of("./resnet18") == Path("resnet18")
    with pytest.raises(RecipeError, match="is a run"):
        networks.named("./resnet18", 3, option="--student")


@pytest.mark.parametrize("keyword", ["imagenet", "none"])
def test_a_path_of_weights_is_no_keyword(keyword, here):
    make_weights(here / keyword)
    network = networks.named(f"./{keyword}", 3, option="--student")
    assert (network.name, network.as_it_is) == ("tiny_wide", True)
    assert zoo.make("tiny_wide", classes=3, weights=network.weights).loaded.fresh == ()
    assert zoo.make("tiny_wide", classes=3, weights=Path(keyword)).loaded.fresh == ()


def test_a_file_whose_name_begins_as_a_network_is_weights(here):
    torch.save(zoo.make("tiny", classes=3).library_state(), "resnet18.pth")
    assert networks.named("resnet18.pth", 3, option="--student").name == "tiny"


def test_from_python_a_path_is_never_a_name(here, monkeypatch):
    given = []
    monkeypatch.setattr(api.job, "distill", lambda options, *_: given.append(options))
    api.distill_folder("x", "out", student="tiny", teacher=Path("resnet18"), progress=False)
    api.distill_folder("x", "out", student=Path("a/tiny"), teacher=here / "tiny", progress=False)
    assert [(each.student, each.teacher) for each in given] == [
        ("tiny", "./resnet18"),
        (str(Path("a/tiny")), str(here / "tiny")),
    ]
