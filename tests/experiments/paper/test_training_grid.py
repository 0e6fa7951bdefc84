"""The grids of the tables: valid, with equal settings, shared between tables."""

from pathlib import Path

import pytest

from dspkd.experiments.compare import grid as grids
from dspkd.experiments.paper import training_grid
from dspkd.experiments.paper.claims.read import read
from dspkd.experiments.paper.scale import FULL, SMALL, TINY, Scale
from dspkd.runs import validate

OUT = Path("runs/paper")
SCALES = [Scale(TINY, 48, 4, 1, "none"), Scale(SMALL, 96, 15, 3, "none"), FULL]


def comparison_of(table, scale=SCALES[0]):
    (comparison,) = grids.comparisons(training_grid.grid(table, scale, Path("my lesions")), OUT)
    return comparison


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.networks.name)
@pytest.mark.parametrize("table", training_grid.STEPS)
def test_every_grid_is_valid_and_its_methods_have_equal_settings(table, scale):
    comparison = comparison_of(table, scale)
    assert comparison.differences == []
    assert (comparison.plain, comparison.smoothed) == ("plain", "label_smoothing")
    work = training_grid.work(table, scale.networks)
    assert (len(comparison.teachers), len(comparison.runs)) == (work.teachers, work.students)
    for runs in comparison.runs.values():
        assert len(runs) == scale.seeds
        validate.check(runs[0].recipe)
        recipe = runs[0].recipe
        assert (recipe.epochs, recipe.images.size, recipe.data.path) == (scale.epochs, scale.size, "my lesions")
        assert (recipe.model.name, recipe.model.weights) == (scale.networks.student, scale.weights)


def test_only_the_control_smooths_its_labels():
    for name, (run, *_) in comparison_of(7).runs.items():
        smoothing = {t.options.get("label_smoothing", 0) for stage in run.recipe.stages for t in stage.terms}
        assert smoothing == ({0.1} if name == "label_smoothing" else {0})


def test_the_ablation_has_the_steps_of_the_paper_and_the_controls():
    runs = comparison_of(7).runs
    methods = {
        name.partition("+")[0]: [[t.method for t in stage.terms] for stage in run.recipe.stages]
        for name, (run, *_) in runs.items()
    }
    fused, normed = ["labels", "hierarchical_fusion"], ["labels", "normkd"]
    assert methods == {
        "plain": [["labels"]], "label_smoothing": [["labels"]],
        "mgd": [["labels", "mgd"]], "hierarchical_fusion": [fused], "kd": [["labels", "kd"]], "normkd": [normed],
        "fusion_then_kd": [fused, ["labels", "kd"]], "dsp_kd": [fused, normed], "dsp_kd_no_mask": [fused, normed],
        "dsp_kd_swapped": [normed, fused], "dsp_kd_joint": [[*fused, "normkd"]],
    }  # fmt: skip
    no_mask = runs["dsp_kd_no_mask+tiny_wide"][0].recipe.stages[0].terms[1]
    assert no_mask.options["mask_ratio"] == 0


def test_tables_share_teachers_and_runs():
    two, four, seven = (comparison_of(table, SCALES[1]) for table in (2, 4, 7))
    for name in ("plain", "kd+resnet18", "dsp_kd+resnet18"):
        runs = [comparison.runs[name][0] for comparison in (two, four, seven)]
        assert len({(run.folder, run.recipe.digest) for run in runs}) == 1
    assert {run.folder for run in four.teachers} < {run.folder for run in two.teachers}


def test_each_step_of_the_paper_is_in_its_table():
    for table, steps in training_grid.STEPS.items():
        printed = {row.model for row in read("paper") if row.table == f"table {table}"}
        assert {step.paper for step in steps if step.paper} <= printed


@pytest.mark.parametrize("table", [2, 7])
def test_a_written_grid_reads_back_as_the_same(tmp_path, table):
    grid = training_grid.grid(table, SCALES[1], Path("my lesions"))
    training_grid.write(grid, tmp_path / "new" / "grid.toml")
    assert grids.load(tmp_path / "new" / "grid.toml") == grid
