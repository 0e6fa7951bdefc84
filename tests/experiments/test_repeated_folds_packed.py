"""Packed runs of repeated cross-validations, of one grid or of two that are put together."""

import shutil

import pytest

from command import call, refused
from dspkd.errors import DataError
from dspkd.experiments.compare import compare, grid, packed_comparison
from dspkd.runs import packed
from dspkd.runs.run_folder import Run
from repeated_runs import METHODS, untrained

pytestmark = pytest.mark.usefixtures("no_comparison_pages")


def test_a_fold_that_fails_leaves_out_its_repetitions(repeated_grids, tmp_path):
    def failing(folders):
        return untrained(folders, failing=["kd/seed-0-split-1/fold-2"])

    (results,) = compare.compare(grid.load(repeated_grids / "both.toml"), tmp_path / "out", failing).results
    assert {arm.name for arm in results.arms} == {"plain", "label_smoothing"}
    (reason,) = results.failed.values()
    assert reason == f"burnt; without this fold there is no result of {tmp_path / 'out/kd/seed-0'}"
    packed.pack(tmp_path / "out", tmp_path / "packed")
    (ours,) = packed_comparison.results([tmp_path / "packed"])
    assert {arm.name for arm in ours.arms} == {"plain", "label_smoothing"}
    assert ours.failed[str(tmp_path / "packed/kd/seed-0-split-1")] == "no fold 2, so no predictions of all images"
    assert ours.failed[str(tmp_path / "packed/kd/seed-0")] == ("left out: kd has no run of seed 0 with split.seed 1")


def test_packed_runs_of_two_grids_are_put_together(repeated_grids, repeated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        compare.compare(grid.load(repeated_grids / f"{name}.toml"), tmp_path / "runs" / name, untrained)
        packed.pack(tmp_path / "runs" / name, tmp_path / name)
    (ours,) = packed_comparison.results([tmp_path / "first", tmp_path / "second"])
    _, expected = repeated
    assert ours.unequal == []
    assert len(ours.teachers) == 2
    for row, wanted in zip(ours.verdicts, expected.verdicts, strict=True):
        assert (row.one, row.other, row.word) == (wanted.one, wanted.other, wanted.word)
        assert row.difference.value == pytest.approx(wanted.difference.value, abs=1e-3)  # packed with four digits
    page = tmp_path / "page.md"
    page.write_text("<!-- first + second begin -->\n<!-- first + second end -->\n")
    output, _ = call("referee", "first", "second/", "--into", page)
    assert "tables of first and second written" in output
    assert "in 2 ways" in page.read_text()
    shutil.rmtree(tmp_path / "second/kd")
    (ours,) = packed_comparison.results([tmp_path / "first", tmp_path / "second"])
    assert ours.failed[str(tmp_path / "first/kd/seed-0")] == "left out: kd has no run of seed 0 with split.seed 1"
    assert "first is given twice" in refused("referee", "first", "first/")
    assert "first is a folder and page.md is not" in refused("referee", "first", "page.md")
    shutil.copytree(tmp_path / "first", tmp_path / "other/scratch")
    with pytest.raises(DataError, match=r"other: has no runs of \., but another folder has"):
        packed_comparison.results([tmp_path / "first", tmp_path / "other"])


def test_repetitions_with_other_settings_are_named(repeated_grids, tmp_path):
    text = (repeated_grids / "second.toml").read_text()
    (tmp_path / "second.toml").write_text(text.replace('["split.seed=1"]', '["split.seed=1", "stages.0.lr=0.5"]'))
    for path in (repeated_grids / "first.toml", tmp_path / "second.toml"):
        compare.compare(grid.load(path), tmp_path / "runs" / path.stem, untrained)
        packed.pack(tmp_path / "runs" / path.stem, tmp_path / "packed" / path.stem)
    (ours,) = packed_comparison.results([tmp_path / "packed/first", tmp_path / "packed/second"])
    differing = [each for each in ours.unequal if "have recipes that differ in more than the seed" in each]
    assert sorted(each.partition(":")[0] for each in differing) == sorted(METHODS)


def test_a_seed_that_fails_in_a_repetition_leaves_the_others(grid_file, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(grid_file.read_text().replace("seeds = [0, 1]", "seeds = [0, 1]\nfolds = 3\nrepeats = 2"))

    def failing(folders):
        return untrained(folders, failing=["plain/seed-1-split-1/fold-2"])

    (results,) = compare.compare(grid.load(path), tmp_path / "out", failing).results
    packed.pack(tmp_path / "out", tmp_path / "packed")
    (ours,) = packed_comparison.results([tmp_path / "packed"])
    for table in (results, ours):
        runs = {arm.name: [(run.seed, run.split_seed) for run in arm.runs] for arm in table.arms}
        assert runs["plain"] == [(0, 0), (0, 1)]
        assert sorted(runs["kd"]) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert (
        ours.failed[str(tmp_path / "packed/plain/seed-1")] == "left out: plain has no run of seed 1 with split.seed 1"
    )


def test_teachers_of_other_recipes_are_named(repeated_grids, tmp_path):
    text = (repeated_grids / "second.toml").read_text()
    (tmp_path / "second.toml").write_text(text.replace('"split.seed=1"', '"split.seed=1", "images.size=16"'))
    for path in (repeated_grids / "first.toml", tmp_path / "second.toml"):
        compare.compare(grid.load(path), tmp_path / "runs" / path.stem, untrained)
        packed.pack(tmp_path / "runs" / path.stem, tmp_path / "packed" / path.stem)
    (ours,) = packed_comparison.results([tmp_path / "packed/first", tmp_path / "packed/second"])
    assert any(each.startswith("kd: the teachers of ") for each in ours.unequal)


def test_teachers_of_another_grid_are_packed_by_fold_and_repetition(repeated_grids, repeated, tmp_path, monkeypatch):
    out, expected = repeated
    monkeypatch.setattr(Run, "model", None)  # no weights are written here
    text = (repeated_grids / "both.toml").read_text().split("teachers =")[0]
    (tmp_path / "grid.toml").write_text(f"{text}teachers = [{{ run = '{out}/teachers/wide' }}]\n")
    compare.compare(grid.load(tmp_path / "grid.toml"), tmp_path / "out", untrained)
    packed.pack(tmp_path / "out", tmp_path / "packed")
    assert (tmp_path / "packed/teachers/wide-split-1/fold-2/recipe.toml").is_file()
    (ours,) = packed_comparison.results([tmp_path / "packed"])
    assert ours.unequal == []
    assert len(ours.teachers) == 2
    assert [row.word for row in ours.verdicts] == [row.word for row in expected.verdicts]


def test_an_ensemble_teaches_in_each_repetition(repeated_grids, tmp_path):
    text = (repeated_grids / "both.toml").read_text()
    wide = text.split("teachers = [")[1].split("]\n")[0]
    second = wide.replace('name = "wide"', 'name = "second", seed = 1')
    path = tmp_path / "grid.toml"
    path.write_text(text.replace(f"teachers = [{wide}]", f"ensemble = true\nteachers = [{wide}, {second}]"))
    compare.compare(grid.load(path), tmp_path / "out", untrained)
    packed.pack(tmp_path / "out", tmp_path / "packed")
    (ours,) = packed_comparison.results([tmp_path / "packed"])
    assert ours.unequal == []
    assert {arm.name: len(arm.runs) for arm in ours.arms} == dict.fromkeys(METHODS, 2)
