"""Which table and which columns hold the classes, where several may."""

import pytest

from dspkd import data
from dspkd.errors import DataError

HOT = [f"{n % 2},{1 - n % 2}" for n in range(12)]
THREE = [",".join(str(int(n % 3 == k)) for k in range(3)) for n in range(12)]


def lay(root, **tables):
    """Create 12 images, and tables of a header and the cells of each image."""
    (root / "images").mkdir(exist_ok=True)
    for n in range(12):
        (root / "images" / f"{n}.jpg").touch()
    for name, (header, cells) in tables.items():
        rows = [f"{n}.jpg,{cell}" for n, cell in enumerate(cells)]
        (root / f"{name}.csv").write_text("\n".join([f"image,{header}", *rows]) + "\n")
    return root


def test_a_column_of_parts_is_not_that_of_the_classes_beside_one_for_each(tmp_path):
    cells = [f"{'train' if n < 8 else 'test'},{each}" for n, each in enumerate(HOT)]
    table = data.read("auto", lay(tmp_path, t=("category,MEL,NV", cells)))
    assert table.classes == ("MEL", "NV")
    assert table.parts.count("train") == 8


def test_a_column_of_parts_alone_is_no_column_of_classes(tmp_path):
    cells = ["train", "test"] * 6
    with pytest.raises(DataError, match="no column 'label'"):
        data.read("auto", lay(tmp_path, t=("category", cells)))


@pytest.mark.parametrize("last", ["", ",itch"])
def test_a_column_called_as_classes_beside_one_for_each_class_is_refused(last, tmp_path):
    cells = [f"{'good' if n < 8 else 'poor'},{each}{',1' * bool(last)}" for n, each in enumerate(THREE)]
    root = lay(tmp_path, t=(f"condition,MEL,NV,BCC{last}", cells))
    with pytest.raises(DataError, match=r"'condition' and the columns 'MEL', 'NV', 'BCC'.*could all be the classes"):
        data.read("auto", root)
    assert data.read("auto", root, label="condition").classes == ("good", "poor")


def test_columns_that_put_classes_together_are_no_other_classes(tmp_path):
    cells = [f"{('mel', 'nv', 'bcc', 'df')[n % 4]},{n % 2},{1 - n % 2}" for n in range(12)]
    assert len(data.read("auto", lay(tmp_path, t=("label,benign,malignant", cells))).classes) == 4


PATIENTS = [f"P{n // 2},40" for n in range(12)]


@pytest.mark.parametrize(("header", "cells"), [("MEL,NV", HOT), ("MEL,NV,BCC", THREE), ("MEL,NV", [*HOT[:-1], "0,1"])])
def test_of_several_tables_the_one_with_a_column_for_each_class_is_used_and_others_joined(header, cells, tmp_path):
    root = lay(tmp_path, labels=(header, cells), metadata=("patient_id,age", PATIENTS))
    table = data.read("auto", root)
    assert (table.classes, table.origin.group) == (tuple(header.split(",")), "patient_id")
    flags = [f"{each},1,{n % 2}" for n, each in enumerate(PATIENTS)]
    lay(root, metadata=("patient_id,age,itch,bleed", flags))
    with pytest.raises(DataError, match="exactly one"):
        data.read("auto", root)
    assert data.read("auto", root, columns=data.Columns(label=table.classes)).groups == table.groups
    flag = [f"{each},{n % 2}" for n, each in enumerate(PATIENTS)]
    assert data.read("auto", lay(root, metadata=("patient_id,age,itch", flag))).classes == table.classes


def test_several_tables_with_classes_are_refused(tmp_path):
    with pytest.raises(DataError, match="exactly one"):
        data.read("auto", lay(tmp_path, a=("MEL,NV", HOT), b=("x,y", HOT)))


@pytest.mark.parametrize(("header", "cells"), [("MEL,NV", HOT), ("label", ["a", "b"] * 6)])
def test_patients_beside_a_table_that_is_named_alone_are_doubted(header, cells, tmp_path):
    root = lay(tmp_path, labels=(header, cells), patients=("patient_id,age", PATIENTS))
    (doubt,) = data.read("auto", root / "labels.csv").origin.doubts
    assert "patients.csv has the column 'patient_id'" in doubt
    assert "set data.path to the folder" in doubt
    (root / "patients.csv").write_text("image,patient_id\nother.jpg,P1\n")
    assert data.read("auto", root / "labels.csv").origin.doubts == ()
