"""A zip file whose directory names a version that does not exist is one line wherever zip files are read."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from dspkd import data
from dspkd.data.download import unpack
from dspkd.data.readers import medmnist
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.convert import kept_images
from dspkd.errors import DspkdError
from dspkd.reports import embeddings
from dspkd.runs import answers


@pytest.fixture
def damaged(tmp_path):
    """Return a function that writes a zip file under a name; its directory asks for version 25.5."""

    def write(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, ids=np.arange(3))
        content = path.read_bytes()
        at = content.index(b"PK\x01\x02") + 6
        path.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
        with pytest.raises(NotImplementedError):
            zipfile.ZipFile(path)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("m.dspkd", open_bundle),
        ("m.images.npz", lambda path: kept_images.load(path, SimpleNamespace(digest="0" * 64, path=path))),
        ("a.zip", lambda path: unpack.unpack(path, path.parent / "out", lambda *_: None)),
        ("t/labels.xlsx", lambda path: data.read("auto", path)),
        ("run/artifacts/features.npz", lambda path: embeddings.read(path.parents[1])),
        ("answers.npz", lambda path: answers._as_the_run_began(path, "0", path, (), ())),
    ],
)
def test_it_is_an_error_of_ours(name, read, damaged):
    path = damaged(name)
    with pytest.raises(DspkdError, match=path.name) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_it_is_no_data_set(damaged):
    assert not medmnist._holds_images(damaged("dermamnist.npz"))
