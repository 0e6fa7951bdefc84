"""Patients that only the names of the images tell."""

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.data import unlabelled


def folders(root, names):
    for n, name in enumerate(names):
        file = root / "ab"[n // 3 % 2] / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return data.read("auto", root)


@pytest.mark.parametrize(
    "name", ["PAT_{0}_{1}.png", "patient{0}-{1}.jpg", "Subject 0{0} ({1}).jpg", "lesion_{0}_{1}.jpg"]
)
def test_images_whose_names_begin_with_a_patient_or_lesion_are_grouped_by_it(name, tmp_path):
    table = folders(tmp_path, [name.format(n // 3, n) for n in range(60)])
    assert len(set(table.groups)) == 20
    assert any("beginnings of the images' names" in note for note in table.origin.notes)


def test_names_in_a_table_are_grouped_too_and_spellings_are_one(tmp_path):
    names = [f"PAT_{n // 3:0{1 + n % 2}}_{n}.png" for n in range(30)]
    for name in names:
        (tmp_path / name).touch()
    rows = "".join(f"{name},{'ab'[n // 3 % 2]}\n" for n, name in enumerate(names))
    (tmp_path / "labels.csv").write_text("image,label\n" + rows)
    assert len(set(data.read("auto", tmp_path).groups)) == 10


@pytest.mark.parametrize(
    "names",
    [
        [f"IMG_{n // 3}_{n}.jpg" for n in range(30)],
        [f"ISIC_{n:07}.jpg" for n in range(30)],
        [f"patient_{n}.jpg" for n in range(30)],
        [f"case_{n // 3 % 2}_{n}.jpg" for n in range(30)],
        [f"visit_{1 + n % 3}_{n}.jpg" for n in range(30)],
        [*(f"PAT_{n // 3}_{n}.jpg" for n in range(27)), "other.jpg"],
    ],
)
def test_other_names_tell_no_patient(names, tmp_path):
    table = folders(tmp_path, names)
    assert len(set(table.groups)) == len(names)
    assert table.origin.doubts == ()


def test_names_that_begin_with_codes_are_doubted(tmp_path):
    table = folders(tmp_path, [f"P{n // 3:03}_{n}.jpg" for n in range(30)])
    assert len(set(table.groups)) == 30
    (doubt,) = table.origin.doubts
    assert "such as P000 (3 images)" in doubt


def test_a_patient_in_the_table_comes_before_the_names(tmp_path):
    folders(tmp_path, [f"PAT_{n // 3}_{n}.jpg" for n in range(12)])
    rows = "".join(f"PAT_{n // 3}_{n},Q{n // 6}\n" for n in range(12))
    (tmp_path / "meta.csv").write_text("image,patient_id\n" + rows)
    assert set(data.read("auto", tmp_path).groups) == {"Q0", "Q1"}


def test_unlabelled_images_have_the_patients_of_their_names(tmp_path):
    for n in range(6):
        noise = np.random.default_rng(n).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"PAT_{n // 2}_{n}.png")
    assert unlabelled.find(tmp_path).groups == ("PAT_0", "PAT_0", "PAT_1", "PAT_1", "PAT_2", "PAT_2")
