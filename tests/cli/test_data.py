import json

import numpy as np
import pytest
from typer.testing import CliRunner

from dspkd import data
from dspkd.cli import app
from dspkd.data.split import Split, split
from dspkd.data.synthetic.dataset import synthesize


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """60 synthetic lesions of 96 pixels, six planted copies."""
    folder = tmp_path_factory.mktemp("synthetic") / "copied"
    synthesize(folder, images=60, size=96, duplicates=0.1, missing_ids=0, seed=5)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_an_audit_that_finds_copies_exits_with_1_and_writes_its_files(copied, tmp_path):
    result = run(
        *("audit", copied, "--json", tmp_path / "a.json", "--out", tmp_path / "a.html"),
        *("--merge", tmp_path / "merged.csv"),
    )
    assert result.exit_code == 1, result.output
    assert "of copies under different lesion or patient ids" in result.output
    report = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    lines = (copied / "planted_duplicates.tsv").read_text(encoding="utf-8").splitlines()[1:]
    planted = {frozenset(line.split("\t")[:2]) for line in lines}
    assert planted <= {frozenset(copy["images"]) for copy in report["copies"]}
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "merged: " in result.output
    assert run("audit", tmp_path / "merged.csv").exit_code == 0


def test_a_split_by_image_exits_with_1_and_one_by_lesion_with_0(lesions, tmp_path):
    table = data.read("auto", lesions)
    for by, code in (("image", 1), ("group", 0)):
        split(table, by=by).save(tmp_path / "split.csv", table)
        result = run("audit", lesions, "--split", tmp_path / "split.csv")
        assert result.exit_code == code, result.output
        assert ("in more than one part of the split" in result.output) == (by == "image")


def test_a_split_of_other_data_is_refused(copied, lesions, tmp_path):
    table = data.read("auto", lesions)
    Split(np.array(["train"] * len(table))).save(tmp_path / "split.csv", table)
    result = run("audit", copied, "--split", tmp_path / "split.csv")
    assert result.exit_code == 2
    assert "is not a split of" in result.output


def test_split_inflation_is_printed_with_its_interval(lesions):
    result = run("split-inflation", lesions, "--seeds", 2)
    assert result.exit_code == 0, result.output
    assert "nearest neighbour" in result.output
    assert "95 % interval" in result.output
    assert "of the test images show a lesion or patient" in result.output


def test_split_inflation_without_groups_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na.png,X\nb.png,Y\n", encoding="utf-8")
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    result = run("split-inflation", tmp_path)
    assert result.exit_code == 2
    assert "group" in result.output
