"""The recipes for published data sets: three steps of each stage on synthetic images; what they share; missing data."""

from dataclasses import replace

import pytest
import torch

from command import refused
from dspkd.data.synthetic.dataset import synthesize
from dspkd.experiments.compare import grid as grids
from dspkd.models import zoo
from dspkd.recipes import catalog, schema
from dspkd.runs.plan import plan
from dspkd.training.teachers.frozen import FrozenTeacher

HAM = [name for name in catalog.names() if name.startswith("ham10000/")]
ISIC = [name for name in catalog.names() if name.startswith("isic2019/")]
PARTS = {"isic2019/hierarchical_fusion", "isic2019/normkd", "isic2019/fusion_then_kd"}
"""Recipes whose stages are those of others."""
STUDENTS = [name for name in HAM + ISIC if "teacher" not in name and name != "ham10000/plain_128"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "isic2019"
    synthesize(folder, images=40, size=64, seed=6)
    return folder


@pytest.fixture(scope="module")
def stand_in():
    """A teacher of the same taps as the recipes' and a tenth of their work: the recipes' own take minutes here."""
    torch.manual_seed(0)
    network = zoo.make("resnet18", classes=8)
    return FrozenTeacher(network, network.spec, name="resnet18")


@pytest.mark.parametrize("name", [name for name in HAM + ISIC if name not in PARTS])
def test_three_steps_of_each_stage_run(name, images, stand_in):
    settings = [f"data.path='{images}'", "model.weights='none'", "images.size=40", "train.batch_size=4"]
    recipe = schema.load(catalog.find(name), [*settings, "machine.cache='none'", "images.views='fresh'"])
    if "convnext" in name or "res2net" in name:
        recipe = replace(recipe, images=replace(recipe.images, size=32))
    timed = plan(recipe, steps=1, stand_in=stand_in if recipe.teachers else None)
    assert [stage.epochs for stage in timed.stages] == [stage.epochs for stage in recipe.stages]
    assert all(stage.steps > 2 for stage in timed.stages)


@pytest.mark.parametrize("name", STUDENTS)
def test_students_of_one_data_set_share_all_but_their_stages(name):
    recipe, plain = (schema.load(catalog.find(each)) for each in (name, f"{name.partition('/')[0]}/plain"))
    assert recipe.epochs == plain.epochs
    for section in ("data", "split", "model", "images", "train", "seed"):
        assert getattr(recipe, section) == getattr(plain, section), section


@pytest.mark.parametrize("name", HAM + ISIC)
def test_a_recipe_looks_for_its_images_where_the_download_puts_them(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data_set = name.partition("/")[0]
    recipe = schema.load(catalog.find(name))
    assert recipe.data.path == data_set
    assert recipe.model.weights == "imagenet"
    if not recipe.teachers:
        assert f"dspkd data download {data_set}" in refused("train", name, "--out", "run")


def test_a_missing_folder_elsewhere_is_named_in_the_command(tmp_path):
    missing = tmp_path / "ham10000"
    message = refused("train", "ham10000/plain", "--out", tmp_path / "run", "--set", f"data.path='{missing}'")
    assert message.endswith(f"dspkd data download ham10000 --to {missing}")
    message = refused("train", "ham10000/plain", "--out", tmp_path / "other", "--set", "data.path='mine'")
    assert "download" not in message


def test_students_learn_from_the_runs_that_the_headers_of_the_teachers_name():
    for name in STUDENTS:
        for run in schema.load(catalog.find(name)).teachers:
            headers = [catalog.find(each).read_text() for each in HAM + ISIC if "teacher" in each]
            assert any(f"Train it into {run}" in header for header in headers), run


def test_the_grid_has_the_papers_methods_and_teachers(tmp_path):
    (comparison,) = grids.comparisons(grids.load(catalog.find_grid("grids/isic2019")), tmp_path)
    assert {run.recipe.model.name for run in comparison.teachers} == {"res2net101", "convnext_base", "efficientnet_b4"}
    methods = {name.partition("+")[0] for name in comparison.runs}
    assert methods == {
        "plain", "label_smoothing", "kd", "wsld", "fitnets", "mgd", "eml", "ssd_kd", "dsp_kd"
    }  # fmt: skip
    assert len(comparison.runs) == 2 + 7 * 3
