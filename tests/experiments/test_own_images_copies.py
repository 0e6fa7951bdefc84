"""Copies under ids that differ are in one group of the written table, whatever other ids the data set has."""

import csv

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.experiments.own_images.facts import look


@pytest.mark.parametrize("header", ["patient_id,mrn", "lesion_id,case_id"])
def test_copies_of_two_people_are_read_back_as_one(header, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images, rows = tmp_path / "images", []
    images.mkdir()
    for n in range(24):
        seed = 0 if n == 1 else n
        pixels = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).save(images / f"{n}.png")
        rows.append(f"{n}.png,{'ab'[n // 2 % 2]},P{n},M{n}")
    (images / "t.csv").write_text("\n".join([f"image,label,{header}", *rows]) + "\n")
    (tmp_path / "out").mkdir()
    facts = look(images, tmp_path / "out")
    assert (facts.layout, facts.group, facts.copies, facts.groups) == ("csv", "group", 2, 23)
    with (tmp_path / "out" / "images.csv").open(encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["path", "label", "group"]
    table = data.load_table(tmp_path / "out" / "images.csv", layout=facts.layout, group=facts.group)
    assert table.groups[0] == table.groups[1]
