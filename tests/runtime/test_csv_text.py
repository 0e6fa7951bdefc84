"""Cells that a spreadsheet would compute, in every CSV file that is written."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dspkd
from dspkd.data import answer_files, split
from dspkd.data.csv_rows import read_rows
from dspkd.data.table import Table
from dspkd.deploy.batch.listing import ImageList
from dspkd.deploy.batch.output import PredictionBatch, ShardedOutput
from dspkd.evaluation.predictions import Predictions
from dspkd.runtime import csv_text

ATTACKS = [
    "=HYPERLINK(1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''-x",
    "\uff1d1",
    "it's",
    "'",
]
NAMES = [name for name in ATTACKS if name == name.strip()]
SOURCE = Path(dspkd.__file__).parent


def starts_a_formula(cell):
    return cell[:1] in tuple("=+-@\t\r\n\uff1d\uff0b") and not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell)


def raw(text):
    """Return all cells as another program reads them."""
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


@given(st.lists(st.text(st.sampled_from("=+-@'\t\r\n a1,\"\uff0b")), min_size=1))
def test_no_cell_is_a_formula_and_all_are_read_back(cells):
    file = io.StringIO(newline="")
    csv_text.Writer(file).writerow(cells)
    assert not any(map(starts_a_formula, raw(file.getvalue())))
    assert next(csv_text.Reader(io.StringIO(file.getvalue(), newline=""))) == cells


@pytest.mark.parametrize("number", ["-1", "+1.5", "-.5", "-1e-07", "-3.25E+10", "0"])
def test_numbers_stay_numbers(number):
    assert csv_text.as_written(number) == number


def test_every_csv_file_is_written_and_read_so():
    used = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(r"csv\.(writer|DictWriter|reader|DictReader)\(", path.read_text(encoding="utf-8"))
    }
    # The others read tables of any origin, and take the apostrophe away themselves or write none.
    tables = {"data/csv_rows.py", "data/csv_header.py", "experiments/paper/claims/text_tables.py"}
    assert used == {"runtime/csv_text.py", *tables}


def test_predictions_are_read_back(tmp_path):
    count = len(ATTACKS)
    saved = Predictions(
        ("=a", "b"), tuple(ATTACKS), tuple(ATTACKS), np.arange(count) % 2, -np.ones((count, 2), np.float32)
    )
    saved.save(tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_bytes().decode()
    assert not any(map(starts_a_formula, raw(text)))
    loaded = Predictions.load(tmp_path / "a.csv")
    assert (loaded.ids, loaded.groups, loaded.classes) == (saved.ids, saved.groups, saved.classes)


def test_a_split_and_answers_are_read_back(tmp_path):
    count = len(NAMES)
    paths = tuple(tmp_path / str(n) for n in range(count))
    table = Table(("=a", "-b"), tuple(NAMES), paths, np.arange(count) % 2, tuple(NAMES), {}, tmp_path)
    made = split.Split(np.array(["train"] * count))
    made.save(tmp_path / "split.csv", table)
    assert split.load(tmp_path / "split.csv", table).digest == made.digest
    values = np.full((count, 2), -1, np.float32)
    answer_files.write(tmp_path / "a.csv", "logits", NAMES, table.classes, values)
    assert answer_files.read(tmp_path / "a.csv", table.classes).ids == tuple(NAMES)
    for name in ("split.csv", "a.csv"):
        assert not any(map(starts_a_formula, raw((tmp_path / name).read_bytes().decode())))
    assert read_rows(tmp_path / "split.csv").column("id") == tuple(NAMES)


def test_predictions_of_many_images_are_read_back(tmp_path):
    output = ShardedOutput(tmp_path / "a.csv", ("=a", "b"), "key")
    output.folder.mkdir()
    errors = ["" if n % 2 else f"={name}" for n, name in enumerate(NAMES)]
    output.write(PredictionBatch(NAMES, np.full((len(NAMES), 2), 0.5), errors))
    assert output.join([NAMES]) == (len(NAMES), sum(map(bool, errors)))
    assert not any(map(starts_a_formula, raw((tmp_path / "a.csv").read_bytes().decode())))
    assert list(ImageList(tmp_path / "a.csv", "image").names()) == NAMES
