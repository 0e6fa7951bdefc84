"""Ranks that would train other things together are refused, by the name of what differs."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dspkd.errors import RankError, RunError
from dspkd.runs import train as run
from tiny_runs import LABELS, recipe, stage
from together import together

IMAGES = 36
KD = stage("kd", LABELS, {"method": "kd"})


def write_images(folder):
    """Write a folder "data" of images, and train a teacher of them."""
    (folder / "data").mkdir(parents=True)
    rows = ["image,lesion_id,diagnosis"]
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"data/{number}.png")
        rows.append(f"{number}.png,L{number},{('BCC', 'MEL', 'NV')[number % 3]}")
    (folder / "data/labels.csv").write_text("\n".join(rows))


def of_here(seed=0, **settings):
    """Return a recipe of the images in the working directory."""
    columns = {"image": "image", "label": "diagnosis", "group": "lesion_id"}
    data = {"path": "data/labels.csv", "columns": columns}
    machine = {"threads": 1, "cache": "cache"}
    return recipe("", **{"data": data, "train": {"batch_size": 8}, "machine": machine, "seed": seed, **settings})


CHANGES = {
    "recipe": lambda: None,
    "content of the images": lambda: shutil.copy("data/1.png", "data/0.png"),
    "teacher": lambda: shutil.copy("other/model.safetensors", "teacher/model.safetensors"),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Return a folder of images, a teacher, and another one."""
    folder = tmp_path_factory.mktemp("ranks") / "here"
    write_images(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for seed, name in enumerate(("teacher", "other")):
            run.train(of_here(seed), folder / name)
    finally:
        os.chdir(before)
    (folder / "teacher/files.json").unlink()  # another file of weights is then no damage
    return folder


@pytest.mark.parametrize("differs", CHANGES)
def test_ranks_that_differ_are_refused_before_the_first_step(here, tmp_path, differs):
    """Two ranks, as if on two machines with folders of their own."""
    for rank in range(2):
        shutil.copytree(here, tmp_path / str(rank))

    def work(world):
        os.chdir(tmp_path / str(world.rank))
        if world.rank == 1:
            CHANGES[differs]()
        lr = 1e-1 if differs == "recipe" and world.rank == 1 else 1e-3
        run.train(of_here(teacher="teacher", stages=[{**KD, "lr": lr}]), Path("run"), world=world)

    first, second = together(2, work, tmp_path, machines=2)
    assert type(first) is RunError
    assert str(first).startswith(f"{differs}: ")
    assert " on rank 1 (" in str(first)
    assert "start all ranks with the same recipe, files and versions" in str(first)
    assert isinstance(second, RankError | SystemExit)  # rank 0 reports it
    assert not list((tmp_path / "0/run").glob("stages/*"))
