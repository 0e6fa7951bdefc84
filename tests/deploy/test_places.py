"""A run is exported from any folder; where its images are not, the message says whose path that is."""

import shutil

import pytest

from command import refused
from dspkd.deploy.export.export import source
from dspkd.deploy.export.places import located
from dspkd.errors import DataError, RunError
from dspkd.recipes import schema


def recipe(path):
    stages = [{"name": "labels", "epochs": 1, "lr": 1e-3, "terms": [{"method": "labels"}]}]
    return schema.parse({"name": "r", "data": {"path": path}, "model": {"name": "tiny"}, "stages": stages})


def test_a_missing_path_is_named_as_the_recipes_with_the_option_that_gives_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"lesions: .*data\.path in the recipe of run, relative to .*--data"):
        located(tmp_path.relative_to(tmp_path) / "run", recipe("lesions"), None)
    with pytest.raises(DataError, match="elsewhere: there is no such folder"):
        located(tmp_path, recipe("lesions"), tmp_path / "elsewhere")
    (tmp_path / "moved").mkdir()
    assert located(tmp_path, recipe("lesions"), tmp_path / "moved").data.path == str(tmp_path / "moved")
    assert located(tmp_path, recipe(str(tmp_path)), None).data.path == str(tmp_path)


def test_an_unfinished_run_is_not_exported(finished, tmp_path):
    unfinished = shutil.copytree(finished, tmp_path / "run")
    (unfinished / "result.json").unlink()
    with pytest.raises(RunError, match=r"result\.json"):
        source(unfinished)
    assert "run" in refused("export", unfinished, "--out", tmp_path / "m.dspkd")
    assert not (tmp_path / "m.dspkd").exists()
