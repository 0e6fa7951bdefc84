import numpy as np
import pytest

from dspkd import data
from dspkd.data.split import Split
from dspkd.errors import DataError, RunError
from dspkd.runs.context import prepare
from dspkd.runs.files import RunFiles
from dspkd.runs.integrity import problems
from dspkd.training.progress import NullProgress
from tiny_runs import recipe

BINARY = '[classes]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\nmelanoma = ["MEL"]\n'


def test_the_class_map_is_copied_into_the_run_folder_and_must_not_change_once_an_epoch_is_saved(lesions, tmp_path):
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
    files = RunFiles(out)
    assert prepare(binary, files, NullProgress()).table.classes == ("melanoma", "other")
    (files.stages / "0-labels").mkdir(parents=True)
    (files.stages / "0-labels" / "last.pt").touch()
    class_map.write_text(BINARY)
    with pytest.raises(RunError, match=r"classes\.toml: .*class map has changed.*another folder"):
        prepare(binary, files, NullProgress())


def test_before_the_first_epoch_a_class_may_be_left_out(lesions, tmp_path):
    class_map = tmp_path / "map.toml"
    class_map.write_text(BINARY)
    binary = recipe(lesions, data={"path": str(lesions), "classes": str(class_map)}, machine={"cache": "none"})
    (out := tmp_path / "run").mkdir()
    files = RunFiles(out)
    files.write_recipe(binary)
    before = len(prepare(binary, files, NullProgress()).table)
    class_map.write_text(BINARY.replace('"SCC"]', '"SCC"]\nnevus = ["NV"]').replace('"NV", "BCC"', '"BCC"'))
    context = prepare(binary, files, NullProgress())
    assert context.table.classes == ("other", "nevus", "melanoma")
    assert len(context.split.parts) == len(context.table) <= before
    assert problems(files) == []


def test_a_split_without_test_images_stops_the_run_before_it_trains(lesions, tmp_path):
    dataset = data.load(lesions)
    parts = np.where(dataset.split.parts == "test", "val", dataset.split.parts)
    Split(parts).save(tmp_path / "split.csv", dataset.table)
    without = recipe(lesions, split={"file": str(tmp_path / "split.csv")}, machine={"cache": "none"})
    (out := tmp_path / "run").mkdir()
    with pytest.raises(DataError, match=r"the split leaves test empty: .*name a split\.file"):
        prepare(without, RunFiles(out), NullProgress())
    assert not (out / "split.csv").exists()
