"""Classes whose names differ in spelling alone are refused, unless the user gives them one name."""

import re
import unicodedata

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.data.inspection import inspect
from dspkd.errors import DataError


def labelled(root, *cells):
    for n in range(len(cells)):
        noise = np.random.default_rng(n).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"{n}.png")
    rows = [f"{n}.png,{cell}" for n, cell in enumerate(cells)]
    (root / "t.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    return root


SAME = [
    ("Melanoma", "melanoma"),
    ("basal cell", "basal_cell"),
    ("basal-cell", "BasalCell"),
    ("1", "01"),
    ("type 1", "Type1"),
    ("nævus", "NÆVUS"),
    ("melanome", "mélanome"),
    ("nv", "nv\u200b"),
    ("mel", "mel."),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_two_spellings_of_a_class_are_refused(first, second, tmp_path):
    labelled(tmp_path, first, second, "other" if first.isalpha() else "7")
    one, other = (re.escape(ascii(name)[1:-1]) if "\u200b" in name else name for name in sorted((first, second)))
    for act in (inspect, data.load_table):
        with pytest.raises(DataError, match=rf"'{one}' \(1 .*'{other}' \(1.*data\.columns\.names.*data\.classes"):
            act(tmp_path)


@pytest.mark.parametrize(("first", "second"), SAME)
def test_one_name_for_both_is_a_way_out(first, second, tmp_path):
    labelled(tmp_path, first, second, "x")
    (tmp_path / "map.toml").write_text(f'[classes]\none = ["{first}", "{second}"]\nx = ["x"]\n')
    assert data.load_table(tmp_path, classes=tmp_path / "map.toml").classes == ("one", "x")
    columns = data.Columns(names={first: "one", second: "one", "x": "x"})
    assert data.load_table(tmp_path, columns=columns).classes == ("one", "x")


@pytest.mark.parametrize(
    "cells", [("1-2", "12"), ("-1", "1"), ("ER+", "ER-"), ("stage 1", "stage 2"), ("1", "10"), ("か", "が")]
)
def test_other_names_are_two_classes(cells, tmp_path):
    assert set(data.load_table(labelled(tmp_path, *cells)).classes) == set(cells)


def test_spellings_in_the_parts_of_a_folder_are_refused(tmp_path):
    for name in ("train/melanoma", "train/naevus", "val/Melanoma", "val/naevus"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / f"{name.replace('/', '_')}.jpg").touch()
    with pytest.raises(DataError, match=r"'Melanoma' .*'melanoma'"):
        inspect(tmp_path)


FORMS = [unicodedata.normalize(form, "Nävus") for form in ("NFC", "NFD")]


@pytest.mark.parametrize("folder", FORMS)
@pytest.mark.parametrize("written", FORMS)
def test_accents_of_another_system_are_those_of_the_class_map(folder, written, tmp_path):
    for name in (folder, "Melanom"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / f"{name[0]}.jpg").touch()
    (tmp_path / "map.toml").write_text(f'[classes]\nA = ["{written}"]\nB = ["Melanom"]\n', encoding="utf-8")
    table = data.load_table(tmp_path / "data", classes=tmp_path / "map.toml", merge_copies=False)
    assert (table.classes, table.labels.tolist()) == (("A", "B"), [1, 0])


def test_accents_of_two_systems_in_two_parts_are_one_class(tmp_path):
    for part, name in zip(("train", "test"), FORMS, strict=True):
        for folder in (name, "Melanom", "other"):
            (tmp_path / part / folder).mkdir(parents=True)
            (tmp_path / part / folder / f"{part}.jpg").touch()
    table = data.read("auto", tmp_path)
    assert table.classes == ("Melanom", FORMS[0], "other")
    assert [table.classes[label] for label in table.labels] == [
        unicodedata.normalize("NFC", path.parent.name) for path in table.paths
    ]


def test_accents_of_another_system_in_cells_have_the_names_given(tmp_path):
    columns = data.Columns(names={FORMS[0]: "nv", "x": "mel"})
    assert data.read("auto", labelled(tmp_path, FORMS[1], "x"), columns=columns).classes == ("nv", "mel")
