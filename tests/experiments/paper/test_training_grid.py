"""What tables train: grids that are valid, equal, and shared between tables."""

from pathlib import Path

import pytest

from dspkd.experiments.compare import grid as grids
from dspkd.experiments.paper import training_grid
from dspkd.experiments.paper.claims.read import read
from dspkd.experiments.paper.scale import FULL, SMALL, TINY, Scale
from dspkd.runs import validate

OUT = Path("runs/paper")
SCALES = [Scale(TINY, 48, 4, 1, "none"), Scale(SMALL, 96, 15, 3, "none"), FULL]


def block(table, scale=SCALES[0]):
    (made,) = grids.blocks(training_grid.grid(table, scale, Path("my lesions")), OUT)
    return made


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.networks.name)
@pytest.mark.parametrize("table", training_grid.STEPS)
def test_every_grid_is_valid_and_its_arms_are_equal(table, scale):
    made = block(table, scale)
    assert made.unlike == []
    assert (made.plain, made.smoothed) == ("plain", "label_smoothing")
    work = training_grid.work(table, scale.networks)
    assert (len(made.teachers), len(made.cells)) == (work.teachers, work.students)
    for cells in made.cells.values():
        assert len(cells) == scale.seeds
        validate.check(cells[0].recipe)
        recipe = cells[0].recipe
        assert (recipe.epochs, recipe.images.size, recipe.data.path) == (scale.epochs, scale.size, "my lesions")
        assert (recipe.model.name, recipe.model.weights) == (scale.networks.student, scale.weights)


def test_no_label_is_smoothed_but_those_of_the_control():
    for name, (cell, *_) in block(7).cells.items():
        smoothing = {t.options.get("label_smoothing", 0) for stage in cell.recipe.stages for t in stage.terms}
        assert smoothing == ({0.1} if name == "label_smoothing" else {0})


def test_the_ablation_has_the_steps_of_the_paper_and_the_controls():
    cells = block(7).cells
    methods = {
        name.partition("+")[0]: [[t.method for t in stage.terms] for stage in cell[0].recipe.stages]
        for name, cell in cells.items()
    }
    fused, normed = ["labels", "hierarchical_fusion"], ["labels", "normkd"]
    assert methods == {
        "plain": [["labels"]], "label_smoothing": [["labels"]],
        "mgd": [["labels", "mgd"]], "hierarchical_fusion": [fused], "kd": [["labels", "kd"]], "normkd": [normed],
        "fusion_then_kd": [fused, ["labels", "kd"]], "dsp_kd": [fused, normed], "dsp_kd_no_mask": [fused, normed],
        "dsp_kd_swapped": [normed, fused], "dsp_kd_joint": [[*fused, "normkd"]],
    }  # fmt: skip
    no_mask = cells["dsp_kd_no_mask+tiny_wide"][0].recipe.stages[0].terms[1]
    assert no_mask.options["mask_ratio"] == 0


def test_tables_share_teachers_and_runs():
    two, four, seven = (block(table, SCALES[1]) for table in (2, 4, 7))
    for name in ("plain", "kd+resnet18", "dsp_kd+resnet18"):
        cells = [made.cells[name][0] for made in (two, four, seven)]
        assert len({(cell.folder, cell.recipe.digest) for cell in cells}) == 1
    assert {cell.folder for cell in four.teachers} < {cell.folder for cell in two.teachers}


def test_each_step_of_the_paper_is_in_its_table():
    for table, steps in training_grid.STEPS.items():
        printed = {row.model for row in read("paper") if row.table == f"table {table}"}
        assert {step.paper for step in steps if step.paper} <= printed


@pytest.mark.parametrize("table", [2, 7])
def test_a_written_grid_is_the_grid(tmp_path, table):
    wanted = training_grid.grid(table, SCALES[1], Path("my lesions"))
    training_grid.write(wanted, tmp_path / "new" / "grid.toml")
    assert grids.load(tmp_path / "new" / "grid.toml") == wanted
