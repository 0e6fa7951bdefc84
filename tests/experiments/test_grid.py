"""Grids: what runs they mean, which controls they get, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import pytest

from dspkd.errors import RecipeError
from dspkd.experiments.compare import grid
from dspkd.experiments.compare.controls import control
from dspkd.recipes import catalog, schema
from dspkd.runs import validate

OUT = Path("runs/compared")
KD = "arms = ['dermoscopy150/kd']\n"


def loaded(tmp_path, text, seeds="[0]"):
    path = tmp_path / "grid.toml"
    path.write_text(f"seeds = {seeds}\n{text}")
    return grid.load(path)


def blocks(tmp_path, text, seeds="[0]"):
    return grid.blocks(loaded(tmp_path, text, seeds), OUT)


@pytest.mark.parametrize("name", catalog.grids())
def test_every_embedded_grid_is_valid_equal_or_says_why_not_and_has_a_headline(name):
    wanted = grid.load(catalog.find_grid(name))
    (block,) = grid.blocks(wanted, OUT)
    assert bool(block.unlike) == bool(wanted.unequal)
    assert [block.plain, block.smoothed] == ["plain", "label_smoothing"]
    for cells in block.cells.values():
        validate.check(cells[0].recipe)
    assert catalog.headline(catalog.find_grid(name))
    assert name not in catalog.names()


def test_the_grid_of_dermoscopy_has_the_methods_of_the_paper_and_the_controls():
    (block,) = grid.blocks(grid.load(catalog.find_grid("grids/dermoscopy150")), OUT)
    assert {"kd", "wsld", "fitnets", "mgd", "eml", "ssd_kd", "dsp_kd"} < set(block.cells)
    assert {"dsp_kd_no_mask", "dsp_kd_swapped", "dsp_kd_joint", "hierarchical_fusion", "normkd"} < set(block.cells)
    assert all(len(cells) >= 3 for cells in block.cells.values())


def test_each_cell_is_a_run_with_its_arms_name_its_seed_and_the_trained_teacher(tmp_path):
    (block,) = blocks(tmp_path, KD + "teachers = ['dermoscopy150/teacher']", "[4, 2]")
    (teacher,) = block.teachers
    assert teacher.folder == OUT / "teachers" / "teacher"
    for cell, seed in zip(block.cells["kd"], (4, 2), strict=True):
        assert cell.folder == OUT / "kd" / f"seed-{seed}"
        assert (cell.recipe.name, cell.recipe.seed) == ("kd", seed)
        assert cell.recipe.teachers == (str(teacher.folder),)
        assert cell.waits_for == (teacher.folder,)


def test_plain_and_label_smoothing_are_added_from_the_first_arm(tmp_path):
    two = "arms = [{ recipe = 'dermoscopy150/dsp_kd', set = ['stages.0.terms.0.options.label_smoothing=0.07'] }]"
    (block,) = blocks(tmp_path, two)
    (dsp_kd,) = block.cells["dsp_kd"]
    for name, smoothing in (("plain", None), ("label_smoothing", 0.07)):
        (cell,) = block.cells[name]
        (stage,) = cell.recipe.stages
        (term,) = stage.terms
        assert (cell.recipe.teacher, cell.waits_for) == (None, ())
        assert (term.method, term.weight, term.options.get("label_smoothing")) == ("labels", 1.0, smoothing)
        assert stage.epochs == dsp_kd.recipe.epochs == 15
        assert (stage.lr, stage.warmup) == (1e-3, 1)
        assert cell.recipe.images == dsp_kd.recipe.images


def test_a_control_that_is_named_is_kept_and_the_other_is_made_of_it(tmp_path):
    given = "arms = ['dermoscopy150/kd', { recipe = 'dermoscopy150/plain', name = 'mine', set = ['stages.0.lr=7e-4'] }]"
    (block,) = blocks(tmp_path, given)
    assert (block.plain, block.smoothed) == ("plain", "mine")
    assert block.cells["plain"][0].recipe.stages[0].lr == 7e-4
    assert set(block.cells) == {"plain", "kd", "mine"}


def test_smoothing_is_a_tenth_where_no_recipe_smooths(tmp_path):
    (block,) = blocks(tmp_path, "arms = ['demo/dsp_kd']\nset = ['stages.0.terms.0.options={}']")
    assert block.cells["label_smoothing"][0].recipe.stages[0].terms[0].options == {"label_smoothing": 0.1}


def test_only_a_recipe_of_labels_alone_is_a_control():
    found = {name: control(schema.load(catalog.find(f"dermoscopy150/{name}"))) for name in ("plain", "kd", "teacher")}
    assert found == {"plain": "label_smoothing", "kd": None, "teacher": "label_smoothing"}
    unsmoothed = schema.load(catalog.find("dermoscopy150/plain"), ["stages.0.terms.0.options.label_smoothing=0.0"])
    assert control(unsmoothed) == "plain"
    assert control(replace(unsmoothed, teacher="runs/teacher")) is None


def test_the_axes_are_multiplied_and_a_teacher_is_trained_once_for_all_students(tmp_path):
    axes = """
        teachers = ['dermoscopy150/teacher', { run = 'runs/old' }]
        data = [{ name = 'a', set = ["data.path='a'"] }, { name = 'b', set = ["data.path='b'"] }]
        [[students]]
        name = 'small'
        set = ["model.name='tiny'"]
        [[students]]
        name = 'wide'
        set = ["model.name='tiny_wide'"]
    """
    found = blocks(tmp_path, KD + axes)
    assert [block.name for block in found] == ["a small", "a wide", "b small", "b wide"]
    assert [block.folder for block in found] == [OUT / d / s for d in "ab" for s in ("small", "wide")]
    assert {cell.folder for block in found for cell in block.teachers} == {OUT / d / "teachers/teacher" for d in "ab"}
    for block, path, student in zip(found, "aabb", ("tiny", "tiny_wide") * 2, strict=True):
        assert set(block.cells) == {"plain", "label_smoothing", "kd+teacher", "kd+old"}
        for (cell,) in block.cells.values():
            assert (cell.recipe.data.path, cell.recipe.model.name) == (path, student)
        assert block.teachers[0].recipe.data.path == path
        assert block.cells["kd+old"][0].recipe.teachers == ("runs/old",)
        assert block.cells["kd+old"][0].waits_for == ()


def test_an_ensemble_has_all_teachers_at_once(tmp_path):
    teachers = "teachers = ['dermoscopy150/teacher', { recipe = 'dermoscopy150/teacher', name = 'two', seed = 1 }]"
    (block,) = blocks(tmp_path, "arms = ['dermoscopy150/dsp_kd_ensemble']\n" + teachers)
    assert len(block.cells["dsp_kd_ensemble"][0].recipe.teachers) == 2
    assert [cell.recipe.seed for cell in block.teachers] == [0, 1]
    with pytest.raises(RecipeError, match="learns from 3 teachers together, but the grid has one"):
        blocks(tmp_path, "arms = ['dermoscopy150/dsp_kd_ensemble']\nteachers = ['dermoscopy150/teacher']")


UNEQUAL = [
    ("images.size=64", r"^kd: images.size is 64, but plain has 96; make them equal, or say why they differ"),
    ("images.randaugment.magnitude=2", r"kd: images.randaugment.magnitude is 2, but plain has 5"),
    ("train.batch_size=16", r"kd: train.batch_size is 16, but plain has 32"),
    ("train.balance=0.0", r"kd: train.balance is 0.0, but plain has 0.5"),
    ("model.weights='none'", r"kd: model.weights is 'none', but plain has '.*coco"),
    ("stages.0.epochs=20", r"kd: the number of epochs is 20, but plain has 15"),
]


@pytest.mark.parametrize(("setting", "message"), UNEQUAL)
def test_unequal_arms_are_refused_by_name_unless_the_grid_says_why(tmp_path, setting, message):
    arms = f'arms = ["dermoscopy150/plain", {{ recipe = "dermoscopy150/kd", set = ["{setting}"] }}]\n'
    with pytest.raises(RecipeError, match=message):
        blocks(tmp_path, arms)
    (block,) = blocks(tmp_path, arms + "unequal = 'that is the question'")
    assert len(block.unlike) == 1
    assert block.unlike[0].startswith(f"kd: {setting.partition('=')[0] if 'epochs' not in setting else 'the number'}")


def test_teachers_of_an_ensemble_teach_each_arm_together(tmp_path):
    teachers = "teachers = ['dermoscopy150/teacher', { run = 'runs/old' }]\nensemble = true"
    (block,) = blocks(tmp_path, KD + teachers)
    assert [name for name in block.cells if "kd" in name] == ["kd"]
    trained = str(OUT / "teachers" / "teacher")
    assert all(cell.recipe.teachers == (trained, "runs/old") for cell in block.cells["kd"])
    one = KD.replace("'dermoscopy150/kd'", "{ recipe = 'dermoscopy150/kd', teachers = ['old'] }")
    (block,) = blocks(tmp_path, one + teachers)
    assert all(cell.recipe.teachers == ("runs/old",) for cell in block.cells["kd"])
    with pytest.raises(RecipeError, match="arm kd: the grid has no teacher 'ol'; it has teacher, old"):
        blocks(tmp_path, one.replace("['old']", "['ol']") + teachers)
    with pytest.raises(RecipeError, match="ensemble: needs two teachers or more, got 1"):
        blocks(tmp_path, KD + "teachers = ['dermoscopy150/teacher']\nensemble = true")


@pytest.mark.parametrize("setting", ["data.path='other'", "split.seed=1", "split.val=0.3"])
@pytest.mark.parametrize("key", ["arms", "teachers"])
def test_no_reason_excuses_other_data_or_another_split(tmp_path, key, setting):
    other = f'{{ recipe = "dermoscopy150/kd", name = "other", set = ["{setting}"] }}'
    lists = {"arms": f"arms = ['dermoscopy150/plain', {other}]", "teachers": f"{KD}teachers = [{other}]"}
    with pytest.raises(RecipeError, match=rf"other: {setting.partition('=')[0]} is .* must have the same data and spl"):
        blocks(tmp_path, f"{lists[key]}\nunequal = 'why not'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms = []", r"grid\.toml: arms: .*at least 1"),
        ("arms = ['demo/kdd']", r"no recipe 'demo/kdd'.*did you mean 'demo/kd'"),
        ("arms = [{ recipe = 'demo/kd', nam = 'x' }]", r"arms\.0\.nam: no such key; did you mean 'name'"),
        (KD + "teacher = ['demo/teacher']", r"teacher: no such key; did you mean 'teachers'"),
        (KD + "teachers = [{ name = 'x' }]", r"teachers\.0: give a recipe to train, or the run"),
        (KD + "teachers = [{ run = 'a/x' }, { run = 'b/x' }]", r"teachers: two are called 'x'"),
        (KD + "unequal = ''", r"unequal: .*at least 1 character"),
        (KD + "data = [{ name = '../x', set = [] }]", r"data\.0\.name: .*pattern"),
        (KD + "students = [{ name = 'x', set = [] }, { name = 'x', set = [] }]", r"students must differ, got x, x"),
        ("arms = ['demo/kd', 'demo/kd']", r"arms: two are called 'kd'"),
        ("arms = [{ recipe = 'demo/kd', name = 'teachers' }]", r"none can be called 'teachers'"),
        ("arms = [{ recipe = 'demo/plain', name = 'plain' }]", r"arm 'plain': its labels are smoothed, so it is not"),
        ("arms = [{ recipe = 'demo/kd', name = 'plain' }]", r"arm 'plain': it learns from more than labels"),
        ("arms = [{ recipe = 'demo/kd', set = ['lr'] }]", r"written key=value"),
        ("arms = 3", r"arms: .*valid array, got 3"),
        ("arms = [", r"grid\.toml: not TOML"),
    ],
)
def test_a_bad_grid_is_refused_by_place(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        blocks(tmp_path, text)


@pytest.mark.parametrize(("seeds", "message"), [("[1, 1]", "seeds must differ"), ("[-1]", r"seeds\.0: .*greater")])
def test_bad_seeds_are_refused(tmp_path, seeds, message):
    with pytest.raises(RecipeError, match=message):
        loaded(tmp_path, KD, seeds)


def test_an_unknown_grid_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError, match=r"no grid 'grids/demmo'.*did you mean 'grids/demo'"):
        catalog.find_grid("grids/demmo")
