"""A command that gets a thing of another kind names the command for it, in one line with exit code 2."""

import zipfile

import pytest

from command import call, refused
from dspkd.recipes import catalog


@pytest.fixture
def run(tmp_path):
    """A run folder before its first epoch."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.toml").write_text(catalog.find("demo/plain").read_text())
    return folder


@pytest.fixture
def bundle(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.dspkd", "w") as archive:
        archive.writestr("manifest.json", "{}")
    return tmp_path / "model.dspkd"


@pytest.mark.parametrize("name", ["grids/demo", "file"])
@pytest.mark.parametrize("command", [["recipes", "check"], ["train", "--out", "DIR"], ["explain"]])
def test_a_grid_is_not_a_recipe(command, name, tmp_path):
    grid = catalog.find_grid("grids/demo") if name == "file" else name
    line = refused(*[part.replace("DIR", str(tmp_path / "out")) for part in command], grid)
    assert f"dspkd compare {grid}" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["recipes", "check"], ["doctor"], ["compare", "--out", "out"]])
def test_a_run_folder_is_not_a_recipe(command, run):
    line = refused(*command, run)
    assert f"{run}: a folder, not a " in line
    assert line.endswith(f": {run / 'recipe.toml'}")


@pytest.mark.parametrize("recipe", ["demo/plain", catalog.find("demo/plain")])
def test_a_recipe_is_not_a_grid(recipe, tmp_path):
    assert f"dspkd train {recipe}" in refused("compare", recipe, "--out", tmp_path / "out")


@pytest.mark.parametrize("command", ["verify", "serve", "web --out page"])
def test_a_run_folder_is_not_a_bundle(command, run):
    name, *options = command.split()
    assert f"dspkd export {run}" in refused(name, run, *options)


@pytest.mark.parametrize("command", ["evaluate", "export", "report", "agreement"])
def test_a_bundle_is_not_a_run_folder(command, bundle):
    assert f"{bundle}: a bundle, not a run folder; dspkd predict" in refused(command, bundle)


def test_a_bundle_cannot_teach(bundle, lesions, tmp_path):
    settings = ("--set", f"data.path={str(lesions)!r}", "--set", f"teacher={str(bundle)!r}")
    out, err = call("train", "demo/dsp_kd", "--out", tmp_path / "out", *settings, code=2)
    assert "decoding" not in out
    assert err.startswith(f"error: {bundle}: a bundle, not a run folder")


@pytest.mark.parametrize("command", ["train demo/plain", "demo"])
def test_an_out_that_cannot_be_created_is_one_line(command, tmp_path):
    (tmp_path / "file").touch()
    line = refused(*command.split(), "--out", tmp_path / "file" / "out")
    assert str(tmp_path / "file") in line
    assert "Not a directory" in line


def test_a_run_that_failed_before_its_first_epoch_does_not_keep_its_folder(lesions, tmp_path):
    wrong = ("--set", "data.path='nowhere'")
    assert "nowhere" in refused("train", "demo/plain", "--out", tmp_path / "out", *wrong)
    right = ("--set", f"data.path={str(lesions)!r}", "--set", "stages.0.epochs=1", "--set", "images.size=32")
    call("train", "demo/plain", "--out", tmp_path / "out", *right)
    other = refused("train", "demo/plain", "--out", tmp_path / "out", *right, "--set", "seed=1")
    assert "holds a run of recipe" in other
    assert "choose another folder (--out)" in other
