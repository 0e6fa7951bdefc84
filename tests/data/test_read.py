import subprocess
import sys

import pytest

from dspkd.data import read, recognise
from dspkd.errors import DataError

ISIC = {"X_GroundTruth.csv": "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\na,0,1,0,0,0,0,0,0,0\n", "X_Input/a.jpg": ""}
FOLDER = {"NV/a.jpg": "", "metadata.csv": "file,patient\na,P1\n"}
CSV = {"labels.csv": "path,label,patient\nimages/a.jpg,NV,P1\n", "images/a.jpg": ""}


def lay(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(("layout", "files"), [("isic2019", ISIC), ("folder", FOLDER), ("csv", CSV)])
def test_a_layout_is_recognised_and_read(tmp_path, layout, files):
    lay(tmp_path, files)
    assert recognise(tmp_path) == layout
    found, named = read("auto", tmp_path), read(layout, tmp_path)
    assert found.digest == named.digest
    assert [found.classes[label] for label in found.labels] == ["NV"]


@pytest.mark.parametrize(("layout", "files"), [("folder", FOLDER), ("csv", CSV)])
def test_the_group_column_is_passed_on(tmp_path, layout, files):
    assert read(layout, lay(tmp_path, files), group="patient").groups == ("P1",)


def test_the_label_column_of_a_csv_may_have_another_name(tmp_path):
    lay(tmp_path, CSV | {"labels.csv": "path,dx\nimages/a.jpg,NV\n"})
    assert read("auto", tmp_path, label="dx").classes == ("NV",)
    assert read("auto", tmp_path / "labels.csv", label="dx").classes == ("NV",)
    with pytest.raises(DataError, match=r"layout 'folder' .*leave out label = 'dx'"):
        read("folder", tmp_path, label="dx")


def test_unknown_layouts_and_missing_paths_are_refused(tmp_path):
    with pytest.raises(DataError, match="'isic2021'; did you mean 'isic20"):
        read("isic2021", tmp_path)
    with pytest.raises(DataError, match="no known layout"):
        read("auto", tmp_path)
    with pytest.raises(DataError, match="nowhere: "):
        read("auto", tmp_path / "nowhere")


def test_reading_splitting_and_decoding_do_not_import_torch():
    code = "import sys, dspkd.data.split, dspkd.data.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
