"""A finished run and its bundle."""

from pathlib import Path

import pytest

from dspkd.recipes import schema
from dspkd.runs import train as run


@pytest.fixture(scope="session")
def finished(lesions, tmp_path_factory):
    """The folder of a run of a tiny network on synthetic lesions."""
    out = tmp_path_factory.mktemp("runs") / "student"
    recipe = {
        "name": "tiny student",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny"},
        "images": {"size": 32},
        "train": {"batch_size": 16},
        "stages": [{"name": "labels", "epochs": 8, "lr": 3e-3, "terms": [{"method": "labels"}]}],
    }
    run.train(schema.parse(recipe), out)
    return out


@pytest.fixture(scope="session")
def made(finished, tmp_path_factory):
    """The run's bundle, and the lines that `export` logged."""
    from dspkd.deploy.export.export import export

    logged = []
    return export(finished, tmp_path_factory.mktemp("bundles") / "model.dspkd", log=logged.append), logged


@pytest.fixture(scope="session")
def bundle(made) -> Path:
    """The bundle's file."""
    return made[0].path


@pytest.fixture(scope="session")
def photographs(lesions):
    return sorted((lesions / "ISIC_2019_Training_Input").glob("*.jpg"))
