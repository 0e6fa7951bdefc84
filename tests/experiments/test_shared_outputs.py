"""The methods of a grid compute their teacher's outputs together: one forward pass for each view."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from comparing import RECIPE, nothing
from dspkd.experiments.compare import compare, grid
from dspkd.runs import build, teacher_cache, validate
from dspkd.runs.context import prepare
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.frozen import FrozenTeacher
from tiny_runs import stage, teacher_recipe, trained

pytestmark = pytest.mark.usefixtures("no_pages", "no_comparison_pages")

METHODS = {"kd": "kd", "maps": "fitnets", "rotated": "ssd_kd", "strong": "mlld"}


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    return trained(teacher_recipe(lesions, stages=[stage("labels")]), tmp_path_factory.mktemp("shared") / "teacher")


@pytest.fixture
def write(lesions, teacher, tmp_path):
    """Return a function that writes a grid of these methods, and returns it."""

    def write_grid(*names, seeds="[0]", options=""):
        common = RECIPE.replace("LESIONS", str(lesions)).replace("views = 1", "views = 2")
        common = common.replace("threads = 1", f'threads = 1, cache = "{tmp_path / "cache"}"')
        for name in names:
            own = ", options = { self_supervision = 0 }" if name == "rotated" else options
            terms = f'{{ method = "labels" }}, {{ method = "{METHODS[name]}"{own} }}'
            text = f'teacher = "nowhere"\n{common.replace("NAME", name)}[[stages]]\nname = "all"\nepochs = 1\n'
            (tmp_path / f"{name}.toml").write_text(f"{text}lr = 3e-3\nterms = [{terms}]\n")
        listed = ", ".join(f'"{tmp_path / name}.toml"' for name in names)
        text = f'seeds = {seeds}\nmethods = [{listed}]\nteachers = [{{ run = "{teacher}" }}]\n'
        (tmp_path / "grid.toml").write_text(text)
        return grid.load(tmp_path / "grid.toml")

    return write_grid


def fill(folder):
    """Do all of a run up to the first step of training, if it has a teacher; return its cached teacher."""
    recipe = Run(folder).recipe
    if not recipe.teachers:
        return None
    validate.check(recipe)
    context = prepare(recipe, RunFiles(folder), NullProgress())
    make = partial(
        build.distiller, student=context.student, teacher=context.teacher, class_counts=(9,) * 8, seed=0, balance=0.5
    )
    batches = context.train_batches(for_teacher=False)
    return teacher_cache.cached_teacher(context, context.teacher, make, batches)[0]


def one_by_one(folders):
    for folder in folders:
        fill(folder)
        yield folder, None


def at_once(folders):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, folders))
    yield from ((folder, None) for folder in folders)


@pytest.fixture
def passes(monkeypatch):
    """Return rows and views of all forward passes of the teacher, two images of each trial aside."""
    seen = []
    answer = FrozenTeacher.answer

    def counted(self, batch):
        if len(batch.index.unique()) > 2:
            seen.extend(zip(batch.index.tolist(), batch.views.tolist(), strict=True))
        return answer(self, batch)

    monkeypatch.setattr(FrozenTeacher, "answer", counted)
    return seen


def costs(folder):
    return [json.loads(line)["views"] for path in folder.rglob("spent.jsonl") for line in path.read_text().splitlines()]


def stored(folder):
    """Return the number of upright views in the cache."""
    (logits,) = folder.rglob("logits-float32/arrays.bin")
    return logits.stat().st_size // (4 * 8)  # eight float32 of each view


def test_each_view_is_computed_once_whatever_the_methods_read(write, tmp_path, passes):
    out = tmp_path / "out"
    compare.compare(write("kd", "maps", "rotated", "strong"), out, one_by_one)
    saved = json.loads((out / "kd/seed-0/shared_outputs.json").read_text())
    assert saved == {"fields": ["last", "logits", "pooled"], "rotated": True, "strong_aug": True}
    assert not (out / "plain/seed-0/shared_outputs.json").exists()
    upright = sum(costs(tmp_path / "cache"))
    assert stored(tmp_path / "cache") == 5 * upright  # rotated three times, strongly augmented once
    padded = -(-upright // 32) * 32  # the last batch is filled up
    assert len(passes) == 5 * padded
    assert len(set(passes)) == 5 * upright


def test_runs_that_start_at_once_compute_each_view_once(write, tmp_path):
    compare.compare(write("kd", "maps", seeds="[0, 1]"), tmp_path / "out", at_once)
    assert sum(costs(tmp_path / "cache")) == stored(tmp_path / "cache")


def test_a_run_reads_what_its_own_terms_read(write, tmp_path):
    compare.compare(write("kd", "maps"), tmp_path / "out", one_by_one)
    cached = {name: fill(tmp_path / "out" / name / "seed-0") for name in ("kd", "maps")}
    run = Run(tmp_path / "out/kd/seed-0")
    batch = next(prepare(run.recipe, RunFiles(run.folder), NullProgress()).train_batches(for_teacher=False).epoch(0))
    assert list(cached["kd"].answer(batch).maps) == []
    output = cached["maps"].answer(batch)
    assert list(output.maps) == ["last"]
    assert output.logits.shape == (32, 0)


def test_a_method_that_cannot_be_built_leaves_each_run_to_itself(write, tmp_path):
    started = []

    def none(folders):
        started.extend(folders)
        yield from ()

    wrong = write("kd", "maps")
    path = tmp_path / "maps.toml"
    path.write_text(path.read_text().replace('"fitnets"', '"fitnets", options = { tap = "stride2" }'))
    compare.compare(wrong, tmp_path / "out", none)
    assert {folder.parent.name for folder in started} == {"plain", "label_smoothing", "kd", "maps"}
    assert not list(tmp_path.rglob("shared_outputs.json"))


def test_nothing_is_shared_where_one_method_has_a_teacher(write, tmp_path):
    notes = []
    compare.compare(write("kd"), tmp_path / "out", nothing, log=notes.append)
    assert not list(tmp_path.rglob("shared_outputs.json"))
    assert not any("share" in note for note in notes)
