import numpy as np
import pytest

from dspkd import data
from dspkd.data.split import Split
from dspkd.errors import DataError, RunError
from dspkd.runs.context import prepare
from dspkd.runs.files import RunFiles
from dspkd.training.progress import NullProgress
from tiny_runs import recipe

BINARY = '[classes]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\nmelanoma = ["MEL"]\n'


def test_the_class_map_is_copied_into_the_run_folder_and_must_not_change(lesions, tmp_path):
    class_map = tmp_path / "map.toml"
    class_map.write_text(BINARY)
    binary = recipe(lesions, data={"path": str(lesions), "classes": str(class_map)}, machine={"cache": "none"})
    out = tmp_path / "run"
    out.mkdir()
    assert prepare(binary, RunFiles(out), NullProgress()).table.classes == ("other", "melanoma")
    assert (out / "classes.toml").read_text() == BINARY
    prepare(binary, RunFiles(out), NullProgress())
    # Only the order differs: labels and split would still agree, the student's outputs would not.
    class_map.write_text('[classes]\nmelanoma = ["MEL"]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\n')
    with pytest.raises(RunError, match=r"classes\.toml: .*class map has changed.*another folder"):
        prepare(binary, RunFiles(out), NullProgress())


def test_a_split_without_test_images_stops_the_run_before_it_trains(lesions, tmp_path):
    dataset = data.load(lesions)
    parts = np.where(dataset.split.parts == "test", "val", dataset.split.parts)
    Split(parts).save(tmp_path / "split.csv", dataset.table)
    without = recipe(lesions, split={"file": str(tmp_path / "split.csv")}, machine={"cache": "none"})
    (out := tmp_path / "run").mkdir()
    with pytest.raises(DataError, match=r"the split leaves test empty: .*name a split\.file"):
        prepare(without, RunFiles(out), NullProgress())
    assert not (out / "split.csv").exists()
