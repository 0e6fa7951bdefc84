import re

import pytest

from dspkd.cli.plan_tables import print_plan
from dspkd.data import read
from dspkd.runs import plan as planning
from dspkd.runs.estimates import AROUND, CacheEstimate
from dspkd.runs.run_folder import Run
from dspkd.runtime.console import terminal
from tiny_runs import LABELS, recipe, stage, trained

IMAGES = {"size": 32, "randaugment": {"num_ops": 0}}
TWO_VIEWS = {**IMAGES, "views": 2}
KD = {"method": "kd"}


def recipe_for(lesions, **settings):
    two_stages = [stage("first", epochs=3), stage("second", LABELS, KD, epochs=2)]
    return recipe(lesions, **{"images": IMAGES, "stages": two_stages, **settings})


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    return str(trained(recipe(lesions, model={"name": "tiny_wide"}, images=IMAGES), out))


def fake_clock(monkeypatch, seconds):
    """Replace the clock by one that only advances in calls of the patched functions, by their `seconds`."""
    now = [0.0]
    monkeypatch.setattr(planning, "_now", lambda device: now[0])

    def spend(owner, name):
        original = getattr(owner, name)

        def slowed(*args, **kwargs):
            now[0] += seconds[name]
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, slowed)

    return spend


def test_each_phase_of_a_step_is_timed_separately(lesions, teacher, monkeypatch):
    spend = fake_clock(monkeypatch, {"__getitem__": 1.0, "answer": 10.0, "forward": 100.0, "update": 1000.0})
    spend(planning.loop, "update")
    spend(planning.Distiller, "forward")
    spend(planning.build.FrozenTeacher, "answer")
    plan = planning.plan(recipe_for(lesions, teacher=teacher))
    first, second = plan.stages
    assert (first.teaching, first.learning, first.updating) == (0, 100, 1000)
    assert (second.teaching, second.learning, second.updating) == (10, 100, 1000)
    assert first.seconds == 3 * first.steps * 1100
    assert plan.teacher_outputs == CacheEstimate()
    trained = first.seconds + second.seconds + 5 * plan.validation
    assert plan.seconds == pytest.approx(plan.images.seconds + trained + plan.evaluation + AROUND)


def test_cached_teacher_outputs_are_timed_once_before_training(lesions, teacher, monkeypatch):
    spend = fake_clock(monkeypatch, {"answer": 10.0})
    spend(planning.build.FrozenTeacher, "answer")
    plan = planning.plan(recipe_for(lesions, teacher=teacher, images=TWO_VIEWS))
    assert [stage.teaching for stage in plan.stages] == [0, 0]
    images = plan.stages[0].steps * 16
    outputs = plan.teacher_outputs
    assert images < outputs.count <= 2 * (images + 16)
    assert outputs.seconds == pytest.approx(outputs.count / 16 * 10)
    assert plan.seconds > outputs.seconds


def test_estimated_bytes_and_images_are_those_that_a_run_caches(lesions, teacher, tmp_path):
    features = {"method": "mgd", "weight": 1e-3, "options": {"hidden": 8}}
    stages = [stage("both", LABELS, features, {"method": "mlld"}, epochs=2)]
    train = {"batch_size": 16, "balance": 1.0}  # images are repeated, and decoded once nevertheless
    machine = {"cache": str(tmp_path / "cache")}
    both = recipe_for(lesions, teacher=teacher, stages=stages, images=TWO_VIEWS, train=train, machine=machine)
    plan = planning.plan(both)
    assert not (tmp_path / "cache").exists()
    trained(both, tmp_path / "run")
    cached = {path: path.stat().st_size for path in (tmp_path / "cache").rglob("arrays.bin")}
    assert sum(size for path, size in cached.items() if path.parts[-3] == "cache") == pytest.approx(plan.images.nbytes)
    assert sum(size for path, size in cached.items() if path.parts[-3] != "cache") == plan.teacher_outputs.nbytes
    assert plan.images.count == len(read("auto", lesions))
    assert plan.images.seconds > 0


def test_without_a_cache_nothing_is_estimated_for_it(lesions, teacher):
    plan = planning.plan(recipe_for(lesions, teacher=teacher, machine={"cache": "none"}))
    assert plan.images == plan.teacher_outputs == CacheEstimate()
    assert plan.stages[0].loading > 0
    split = planning.build.load_data(recipe_for(lesions)).split
    validation, test = (len(split.places(part)) for part in ("val", "test"))
    assert plan.evaluation == pytest.approx(plan.validation * (validation + test) / validation)


def test_a_trainable_teacher_is_timed_as_learning(lesions, teacher):
    mutual = stage("mutual", LABELS, {"method": "eml"}, teacher_lr=1e-4)
    (timed,) = planning.plan(recipe_for(lesions, teacher=teacher, stages=[mutual])).stages
    assert timed.teaching < timed.learning / 10
    assert timed.learning > 0


def test_planning_saves_nothing_but_the_search_for_copies_and_its_figures_are_printed(
    lesions, teacher, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    print_plan(terminal(), planning.plan(recipe_for(lesions, teacher=teacher, images=TWO_VIEWS)))
    assert [path.name for path in (tmp_path / "cache" / "dspkd").iterdir()] == ["copies"]
    printed = capsys.readouterr().out
    assert "0 loader processes" in printed
    assert "milliseconds a step" in printed
    assert re.search(r"decode images\D*[\d,]+\D.*\d+ s, [\d.]+ MB", printed)
    assert re.search(r"teacher\D*[\d,]+\D.*\d+ s, [\d.]+ kB", printed)
    assert "expected in total" in printed


def taught(lesions, teacher, **settings):
    return recipe_for(lesions, teacher={"run": teacher, **settings}, images=TWO_VIEWS)


def test_the_training_of_missing_fold_teachers_is_estimated_from_that_of_the_teacher(lesions, teacher, capsys):
    planned = planning.plan(taught(lesions, teacher, cross_fit=4))
    seconds = Run(teacher).result.seconds
    assert planned.fold_teachers.count == 4
    assert planned.fold_teachers.seconds == pytest.approx(4 * 0.75 * seconds)
    without = planned.images.seconds + planned.teacher_outputs.seconds + sum(stage.seconds for stage in planned.stages)
    assert planned.seconds == pytest.approx(
        without + 3 * seconds + 5 * planned.validation + planned.evaluation + AROUND
    )
    print_plan(terminal(), planned)
    assert re.search(r"once, beside the teacher's run: train 4 fold teachers: \d+ s", capsys.readouterr().out)


def test_views_and_a_larger_size_are_timed_and_counted(lesions, teacher, monkeypatch, capsys):
    spend = fake_clock(monkeypatch, {"_compute": 1.0})
    original = planning.build.FrozenTeacher.averaging

    def averaging(self, views):
        made = original(self, views)
        spend(made, "_compute")
        return made

    monkeypatch.setattr(planning.build.FrozenTeacher, "averaging", averaging)
    planned = planning.plan(taught(lesions, teacher, views=8, size=48))
    assert planned.passes == 8
    assert planned.teacher_outputs.seconds == pytest.approx(planned.teacher_outputs.count / 16 * 8)
    print_plan(terminal(), planned)
    assert "(8 forward passes each)" in capsys.readouterr().out
    plain = planning.plan(taught(lesions, teacher))
    assert planned.images.count == plain.images.count + _training_images(lesions)


def _training_images(lesions):
    return len(planning.build.load_data(recipe_for(lesions)).split.rows("train"))
