import pytest

from dspkd.errors import RunError
from dspkd.recipes import schema
from dspkd.runs import context
from dspkd.training.progress import NullProgress

BINARY = '[classes]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\nmelanoma = ["MEL"]\n'


def test_the_folder_keeps_the_class_map_and_refuses_another(lesions, tmp_path):
    said = tmp_path / "map.toml"
    said.write_text(BINARY)
    wanted = schema.parse({
        "name": "binary",
        "data": {"path": str(lesions), "classes": str(said)},
        "model": {"name": "tiny"},
        "images": {"size": 32},
        "machine": {"cache": "none"},
        "stages": [{"name": "s", "epochs": 1, "lr": 1e-3, "terms": [{"method": "labels"}]}],
    })  # fmt: skip
    out = tmp_path / "run"
    out.mkdir()
    assert context.prepare(wanted, out, NullProgress()).table.classes == ("other", "melanoma")
    assert (out / "classes.toml").read_text() == BINARY
    context.prepare(wanted, out, NullProgress())
    # Another order alone: labels and split would still agree, and the student's head would not.
    said.write_text('[classes]\nmelanoma = ["MEL"]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\n')
    with pytest.raises(RunError, match=r"classes\.toml: the class map has changed since this run began"):
        context.prepare(wanted, out, NullProgress())
