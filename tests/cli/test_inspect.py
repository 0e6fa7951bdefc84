"""`dspkd data inspect`: what a folder is read as, and the lines of a recipe that read it in the same way."""

import tomllib

import pytest
from typer.testing import CliRunner

from dspkd import data
from dspkd.cli import app


def inspect(*arguments):
    result = CliRunner().invoke(app, ["data", "inspect", *map(str, arguments)])
    return result.exit_code, result.output


def recipe(output):
    return tomllib.loads(output.partition("in a recipe:")[2])


@pytest.fixture
def archive(tmp_path):
    rows = [("I1", "CC-0", "Benign", "P1"), ("I2", "CC-BY", "Malignant", "P1"), ("I3", "CC-0", "Benign", "P2")]
    text = "isic_id,copyright_license,diagnosis_1,patient_id\n" + "".join(f"{','.join(row)}\n" for row in rows)
    (tmp_path / "metadata.csv").write_text(text)
    for name, *_ in rows:
        (tmp_path / f"{name}.jpg").touch()
    (tmp_path / "scan.cr2").touch()
    return tmp_path


def test_it_says_layout_groups_licences_and_the_recipe(archive):
    code, output = inspect(archive)
    assert code == 0
    assert "layout isic-archive: metadata.csv with isic_id" in output
    assert "3 images of 2 classes" in output
    assert "column 'patient_id', 2 different ones" in output
    assert "licences: CC-0 2, CC-BY 1" in output
    assert "parts: none published" in output
    assert "1 file is not read as images and left out: 1 .cr2 (scan.cr2)" in output
    lines = recipe(output)
    assert lines["data"] == {"path": str(archive), "layout": "isic-archive"}
    assert lines["split"] == {"val": 0.15, "test": 0.2}


def test_published_parts_and_named_columns_are_in_the_recipe(tmp_path):
    (tmp_path / "t.csv").write_text("image,dx,kind,who,split\n0,a,x,K1,Train\n1,b,y,K1,train\n2,a,x,K2,TEST\n")
    for n in range(3):
        (tmp_path / f"{n}.jpg").touch()
    code, output = inspect(tmp_path, "--label", "kind", "--group", "who")
    assert code == 0
    assert "parts as published, by column 'split': train 2, test 1" in output
    lines = recipe(output)
    assert lines["split"] == {"official": True}
    read = lines["data"]
    table = data.read(read["layout"], tmp_path, group=read["group"], columns=data.Columns(**read["columns"]))
    assert (table.classes, table.groups) == (("x", "y"), ("K1", "K1", "K2"))


def test_what_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/1.jpg").touch()
    code, output = inspect(tmp_path)
    assert code == 2
    assert "no class" in output


def test_the_column_of_images_may_be_named(tmp_path):
    (tmp_path / "t.csv").write_text("Datei,Diagnose\n0,a\n1,b\n")
    for n in range(2):
        (tmp_path / f"{n}.jpg").touch()
    code, output = inspect(tmp_path, "--image", "datei", "--label", "Diagnose")
    assert code == 0
    assert recipe(output)["data"]["columns"] == {"image": "datei", "label": "Diagnose"}
