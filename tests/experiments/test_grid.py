"""Grids: their runs, their controls, and invalid ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from dspkd.data import class_map
from dspkd.errors import DspkdError, RecipeError
from dspkd.experiments.compare import grid
from dspkd.experiments.compare.controls import control
from dspkd.recipes import catalog, schema
from dspkd.recipes.teacher import TeacherConfig
from dspkd.runs import validate

OUT = Path("runs/compared")
KD = "methods = ['dermoscopy150/kd']\n"


def loaded(tmp_path, text, seeds="[0]"):
    path = tmp_path / "grid.toml"
    path.write_text(f"seeds = {seeds}\n{text}")
    return grid.load(path)


def comparisons(tmp_path, text, seeds="[0]"):
    return grid.comparisons(loaded(tmp_path, text, seeds), OUT)


@pytest.mark.parametrize("name", catalog.grids())
def test_every_embedded_grid_is_valid_and_has_a_headline(name):
    loaded = grid.load(catalog.find_grid(name))
    (comparison,) = grid.comparisons(loaded, OUT)
    assert bool(comparison.differences) == bool(loaded.unequal)
    assert [comparison.plain, comparison.smoothed] == ["plain", "label_smoothing"]
    for runs in comparison.runs.values():
        validate.check(runs[0].recipe)
    assert catalog.headline(catalog.find_grid(name))
    assert name not in catalog.names()


def test_the_grid_of_dermoscopy_has_the_methods_of_the_paper_and_the_controls():
    (comparison,) = grid.comparisons(grid.load(catalog.find_grid("grids/dermoscopy150")), OUT)
    assert {"kd", "wsld", "fitnets", "mgd", "eml", "ssd_kd", "dsp_kd"} < set(comparison.runs)
    assert {"dsp_kd_no_mask", "dsp_kd_swapped", "dsp_kd_joint", "hierarchical_fusion", "normkd"} < set(comparison.runs)
    assert all(len(runs) >= 3 for runs in comparison.runs.values())


def test_each_run_has_the_name_of_its_method_its_seed_and_the_trained_teacher(tmp_path):
    (comparison,) = comparisons(tmp_path, KD + "teachers = ['dermoscopy150/teacher']", "[4, 2]")
    (teacher,) = comparison.teachers
    assert teacher.folder == OUT / "teachers" / "teacher"
    for run, seed in zip(comparison.runs["kd"], (4, 2), strict=True):
        assert run.folder == OUT / "kd" / f"seed-{seed}"
        assert (run.recipe.name, run.recipe.seed) == ("kd", seed)
        assert run.recipe.teachers == (str(teacher.folder),)
        assert run.waits_for == (teacher.folder,)


def test_plain_and_label_smoothing_are_derived_from_the_first_method(tmp_path):
    two = "methods = [{ recipe = 'dermoscopy150/dsp_kd', set = ['stages.0.terms.0.options.label_smoothing=0.07'] }]"
    (comparison,) = comparisons(tmp_path, two)
    (dsp_kd,) = comparison.runs["dsp_kd"]
    for name, smoothing in (("plain", None), ("label_smoothing", 0.07)):
        (run,) = comparison.runs[name]
        (stage,) = run.recipe.stages
        (term,) = stage.terms
        assert (run.recipe.teacher, run.waits_for) == (None, ())
        assert (term.method, term.weight, term.options.get("label_smoothing")) == ("labels", 1.0, smoothing)
        assert stage.epochs == dsp_kd.recipe.epochs == 15
        assert (stage.lr, stage.warmup) == (1e-3, 1)
        assert run.recipe.images == dsp_kd.recipe.images


def test_a_given_control_is_kept_and_the_other_is_derived_from_it(tmp_path):
    given = (
        "methods = ['dermoscopy150/kd', { recipe = 'dermoscopy150/plain', name = 'mine', set = ['stages.0.lr=7e-4'] }]"
    )
    (comparison,) = comparisons(tmp_path, given)
    assert (comparison.plain, comparison.smoothed) == ("plain", "mine")
    assert comparison.runs["plain"][0].recipe.stages[0].lr == 7e-4
    assert set(comparison.runs) == {"plain", "kd", "mine"}


def test_smoothing_is_a_tenth_if_no_recipe_smooths(tmp_path):
    (comparison,) = comparisons(tmp_path, "methods = ['demo/dsp_kd']\nset = ['stages.0.terms.0.options={}']")
    assert comparison.runs["label_smoothing"][0].recipe.stages[0].terms[0].options == {"label_smoothing": 0.1}


def test_only_a_recipe_of_labels_alone_is_a_control():
    kinds = {name: control(schema.load(catalog.find(f"dermoscopy150/{name}"))) for name in ("plain", "kd", "teacher")}
    assert kinds == {"plain": "label_smoothing", "kd": None, "teacher": "label_smoothing"}
    unsmoothed = schema.load(catalog.find("dermoscopy150/plain"), ["stages.0.terms.0.options.label_smoothing=0.0"])
    assert control(unsmoothed) == "plain"
    assert control(replace(unsmoothed, teacher="runs/teacher")) is None


def test_axes_are_multiplied_and_a_teacher_is_trained_once_for_all_students(tmp_path):
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
    planned = comparisons(tmp_path, KD + axes)
    assert [comparison.name for comparison in planned] == ["a small", "a wide", "b small", "b wide"]
    assert [comparison.folder for comparison in planned] == [OUT / d / s for d in "ab" for s in ("small", "wide")]
    assert {run.folder for comparison in planned for run in comparison.teachers} == {
        OUT / d / "teachers/teacher" for d in "ab"
    }
    for comparison, path, student in zip(planned, "aabb", ("tiny", "tiny_wide") * 2, strict=True):
        assert set(comparison.runs) == {"plain", "label_smoothing", "kd+teacher", "kd+old"}
        for (run,) in comparison.runs.values():
            assert (run.recipe.data.path, run.recipe.model.name) == (path, student)
        assert comparison.teachers[0].recipe.data.path == path
        assert comparison.runs["kd+old"][0].recipe.teachers == ("runs/old",)
        assert comparison.runs["kd+old"][0].waits_for == ()


def test_an_ensemble_recipe_gets_all_teachers_together(tmp_path):
    teachers = "teachers = ['dermoscopy150/teacher', { recipe = 'dermoscopy150/teacher', name = 'two', seed = 1 }]"
    (comparison,) = comparisons(tmp_path, "methods = ['dermoscopy150/dsp_kd_ensemble']\n" + teachers)
    assert len(comparison.runs["dsp_kd_ensemble"][0].recipe.teachers) == 2
    assert [run.recipe.seed for run in comparison.teachers] == [0, 1]
    with pytest.raises(RecipeError, match=r"method dsp_kd_ensemble: .*3 teachers"):
        comparisons(tmp_path, "methods = ['dermoscopy150/dsp_kd_ensemble']\nteachers = ['dermoscopy150/teacher']")


UNEQUAL = [
    ("images.size=64", r"^kd: images.size is 64, but plain has 96; .*unequal = "),
    ("images.randaugment.magnitude=2", r"kd: images.randaugment.magnitude is 2, but plain has 5"),
    ("train.batch_size=16", r"kd: train.batch_size is 16, but plain has 32"),
    ("train.balance=0.0", r"kd: train.balance is 0.0, but plain has 0.5"),
    ("model.weights='none'", r"kd: model.weights is 'none', but plain has '.*coco"),
    ("stages.0.epochs=20", r"kd: the number of epochs is 20, but plain has 15"),
]


def test_what_only_lets_weights_be_loaded_may_differ(tmp_path):
    kd = '{ recipe = "dermoscopy150/kd", set = ["model.partial_weights=false"] }'
    (comparison,) = comparisons(tmp_path, f'methods = ["dermoscopy150/plain", {kd}]\n')
    assert comparison.differences == []


@pytest.mark.parametrize(("setting", "message"), UNEQUAL)
def test_unequal_methods_are_refused_by_name_unless_the_grid_gives_a_reason(tmp_path, setting, message):
    methods = f'methods = ["dermoscopy150/plain", {{ recipe = "dermoscopy150/kd", set = ["{setting}"] }}]\n'
    with pytest.raises(RecipeError, match=message):
        comparisons(tmp_path, methods)
    (comparison,) = comparisons(tmp_path, methods + "unequal = 'that is the question'")
    assert len(comparison.differences) == 1
    assert comparison.differences[0].startswith(
        f"kd: {setting.partition('=')[0] if 'epochs' not in setting else 'the number'}"
    )


def test_teachers_of_an_ensemble_teach_each_method_together(tmp_path):
    teachers = "teachers = ['dermoscopy150/teacher', { run = 'runs/old' }]\nensemble = true"
    (comparison,) = comparisons(tmp_path, KD + teachers)
    assert [name for name in comparison.runs if "kd" in name] == ["kd"]
    trained = str(OUT / "teachers" / "teacher")
    assert all(run.recipe.teachers == (trained, "runs/old") for run in comparison.runs["kd"])
    one = KD.replace("'dermoscopy150/kd'", "{ recipe = 'dermoscopy150/kd', teachers = ['old'] }")
    (comparison,) = comparisons(tmp_path, one + teachers)
    assert all(run.recipe.teachers == ("runs/old",) for run in comparison.runs["kd"])
    with pytest.raises(RecipeError, match=r"method kd: .*'ol'; .*teacher, old"):
        comparisons(tmp_path, one.replace("['old']", "['ol']") + teachers)
    with pytest.raises(RecipeError, match=r"ensemble: .*got 1"):
        comparisons(tmp_path, KD + "teachers = ['dermoscopy150/teacher']\nensemble = true")


def test_what_a_method_learns_from_without_labels_is_its_own(tmp_path):
    with_more = "set = ['data.unlabelled=\"archive\"', 'data.unlabelled_ratio=2.0']"
    (comparison,) = comparisons(
        tmp_path, f"{KD.replace(']', '')}, {{ recipe = 'dermoscopy150/kd', name = 'more', {with_more} }}]"
    )
    assert {name: runs[0].recipe.data.unlabelled for name, runs in comparison.runs.items()} == {
        "plain": None,
        "label_smoothing": None,
        "kd": None,
        "more": "archive",
    }


@pytest.mark.parametrize("setting", ["data.path='other'", "split.seed=1", "split.labelled=0.3"])
@pytest.mark.parametrize("key", ["methods", "teachers"])
def test_no_reason_permits_other_data_or_another_split(tmp_path, key, setting):
    other = f'{{ recipe = "dermoscopy150/kd", name = "other", set = ["{setting}"] }}'
    lists = {"methods": f"methods = ['dermoscopy150/plain', {other}]", "teachers": f"{KD}teachers = [{other}]"}
    with pytest.raises(RecipeError, match=rf"other: {setting.partition('=')[0]} is .*the same data and split"):
        comparisons(tmp_path, f"{lists[key]}\nunequal = 'why not'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (KD + "decide_by = 'auc'", r"decide_by: .*'auc_macro', 'balanced_accuracy', 'log_loss'"),
        ("methods = []", r"grid\.toml: methods: .*at least 1"),
        ("methods = ['demo/kdd']", r"no recipe 'demo/kdd'.*did you mean 'demo/kd'"),
        ("methods = [{ recipe = 'demo/kd', nam = 'x' }]", r"methods\.0\.nam: .*did you mean 'name'"),
        (KD + "teacher = ['demo/teacher']", r"teacher: .*did you mean 'teachers'"),
        (KD + "teachers = [{ name = 'x' }]", r"teachers\.0: .*recipe.*run"),
        (KD + "teachers = [{ run = 'a/x' }, { run = 'b/x' }]", r"teachers: .*'x'"),
        (KD + "unequal = ''", r"unequal: .*at least 1 character"),
        (KD + "data = [{ name = '../x', set = [] }]", r"data\.0\.name: .*pattern"),
        (KD + "students = [{ name = 'x', set = [] }, { name = 'x', set = [] }]", r"students must differ, got x, x"),
        ("methods = ['demo/kd', 'demo/kd']", r"methods: .*'kd'"),
        ("methods = [{ recipe = 'demo/kd', name = 'teachers' }]", r"methods: 'teachers'"),
        ("methods = [{ recipe = 'demo/plain', name = 'plain' }]", r"method 'plain': its labels are smoothed.*rename"),
        (
            "methods = [{ recipe = 'demo/kd', name = 'plain' }]",
            r"method 'plain': it learns from more than labels.*rename",
        ),
        ("methods = [{ recipe = 'demo/kd', set = ['lr'] }]", r"key=value"),
        ("methods = 3", r"methods: .*got 3"),
        ("methods = [", r"grid\.toml: not TOML"),
    ],
)
def test_an_invalid_grid_is_refused_by_place(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        comparisons(tmp_path, text)


def test_the_old_key_of_methods_is_refused_in_one_line_with_the_new_one(tmp_path):
    with pytest.raises(RecipeError, match=r"grid\.toml: arms: renamed; write methods$"):
        loaded(tmp_path, KD.replace("methods", "arms"))


@pytest.mark.parametrize(("seeds", "message"), [("[1, 1]", "seeds must differ"), ("[-1]", r"seeds\.0: .*greater")])
def test_invalid_seeds_are_refused(tmp_path, seeds, message):
    with pytest.raises(RecipeError, match=message):
        loaded(tmp_path, KD, seeds)


def test_an_unknown_grid_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError, match=r"no grid 'grids/demmo'.*did you mean 'grids/demo'"):
        catalog.find_grid("grids/demmo")


def test_the_grid_from_scratch_trains_students_alone_from_random_weights_for_equal_epochs():
    (comparison,) = grid.comparisons(grid.load(catalog.find_grid("grids/dermoscopy150_64_scratch")), OUT)
    recipes = {name: runs[0].recipe for name, runs in comparison.runs.items()}
    assert {recipe.model.weights for recipe in recipes.values()} == {"none"}
    assert comparison.teachers[0].recipe.model.weights != "none"
    assert {recipe.epochs for recipe in recipes.values()} == {30}
    shares = {name: [term.share for term in recipe.stages[0].terms if term.share] for name, recipe in recipes.items()}
    assert {name for name, given in shares.items() if given == [0.4]} == {
        "mgd", "dsp_kd", "dsp_kd_no_mask", "dsp_kd_joint"
    }  # fmt: skip
    for recipe in recipes.values():
        validate.check(recipe)


def test_the_grid_of_teachers_changes_one_setting_of_the_teacher_at_a_time():
    (comparison,) = grid.comparisons(grid.load(catalog.find_grid("grids/dermoscopy150_64_teachers")), OUT)
    recipes = {name: runs[0].recipe for name, runs in comparison.runs.items()}
    of_teacher = {name: recipe.teacher for name, recipe in recipes.items() if recipe.teacher}
    default = TeacherConfig(run=("x",))
    changed = {
        name: [
            key for key in ("cross_fit", "views", "size", "weights") if getattr(config, key) != getattr(default, key)
        ]
        for name, config in of_teacher.items()
    }
    assert changed == {
        "kd": [], "cross_fit": ["cross_fit"], "flipped": ["views"], "flipped_and_rotated": ["views"],
        "trained_larger": [], "larger_images": ["size"], "three": [], "three_by_agreement": ["weights"],
        "three_by_label": ["weights"],
    }  # fmt: skip
    assert {name for name, config in of_teacher.items() if len(config.run) == 3} == {
        "three", "three_by_agreement", "three_by_label"
    }  # fmt: skip
    assert all(Path(run).parent == OUT / grid.TEACHERS for config in of_teacher.values() for run in config.run)
    for recipe in recipes.values():
        validate.check(recipe)
        assert (recipe.images.size, recipe.epochs, recipe.model.weights) == (64, 30, "none")


@pytest.mark.parametrize(
    "line", ["a = " + "[" * 5000 + "]" * 5000, "a = " + "9" * 4301, "a." * 5000 + "b = 1", "a = 0x" + "f" * 5000, "\0"]
)
@pytest.mark.parametrize("load", [schema.load, grid.load, class_map.load])
def test_a_file_that_python_cannot_hold_is_refused_in_one_line(tmp_path, load, line):
    path = tmp_path / "deep.toml"
    path.write_text(line)
    with pytest.raises(DspkdError, match=r"deep\.toml: ") as error:
        load(path)
    assert len(str(error.value).splitlines()) <= 4
    assert all(len(each) < 400 for each in str(error.value).splitlines())
