import re

import pytest

from dspkd.cli.tables import print_plan
from dspkd.data import read
from dspkd.recipes import schema
from dspkd.runs import plan as planning
from dspkd.runs import train as run
from dspkd.runtime.console import terminal

LABELS = {"method": "labels"}
KD = {"method": "kd"}


def made(lesions, **changes):
    settings = {
        "name": "planned",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny"},
        "images": {"size": 32, "randaugment": {"num_ops": 0}},
        "train": {"batch_size": 16},
        "stages": [
            {"name": "first", "epochs": 3, "lr": 1e-3, "terms": [LABELS]},
            {"name": "second", "epochs": 2, "lr": 1e-3, "terms": [LABELS, KD]},
        ],
    }
    return schema.parse({**settings, **changes})


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    stages = [{"name": "labels", "epochs": 1, "lr": 1e-3, "terms": [LABELS]}]
    run.train(made(lesions, model={"name": "tiny_wide"}, stages=stages), out)
    return str(out)


def sleeping(monkeypatch, seconds):
    """Let a clock stand still but where a phase of the step moves it."""
    now = [0.0]
    monkeypatch.setattr(planning, "_now", lambda device: now[0])

    def spend(owner, name):
        original = getattr(owner, name)

        def slowed(*args, **kwargs):
            now[0] += seconds[name]
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, slowed)

    return spend


def test_each_phase_of_a_step_is_charged_to_its_own_column(lesions, teacher, monkeypatch):
    spend = sleeping(monkeypatch, {"__getitem__": 1.0, "answer": 10.0, "forward": 100.0, "update": 1000.0})
    spend(planning.loop, "update")
    spend(planning.Distiller, "forward")
    spend(planning.build.FrozenTeacher, "answer")
    found = planning.plan(made(lesions, teacher=teacher))
    first, second = found.stages
    assert (first.teaching, first.learning, first.updating) == (0, 100, 1000)
    assert (second.teaching, second.learning, second.updating) == (10, 100, 1000)
    assert first.seconds == 3 * first.steps * 1100
    assert found.teacher_outputs == planning.CacheEstimate()
    trained = first.seconds + second.seconds + 5 * found.validation
    assert found.seconds == pytest.approx(found.images.seconds + trained)


def test_with_a_bank_the_teacher_is_asked_once_before_training(lesions, teacher, monkeypatch):
    spend = sleeping(monkeypatch, {"answer": 10.0})
    spend(planning.build.FrozenTeacher, "answer")
    images = {"size": 32, "randaugment": {"num_ops": 0}, "views": 2}
    found = planning.plan(made(lesions, teacher=teacher, images=images))
    assert [stage.teaching for stage in found.stages] == [0, 0]
    shown = found.stages[0].steps * 16
    answers = found.teacher_outputs
    assert shown < answers.count <= 2 * (shown + 16)
    assert answers.seconds == pytest.approx(answers.count / 16 * 10)
    assert found.seconds > answers.seconds


def test_it_foresees_the_bytes_and_images_that_a_run_then_keeps(lesions, teacher, tmp_path):
    features = {"method": "mgd", "weight": 1e-3, "options": {"hidden": 8}}
    stages = [{"name": "both", "epochs": 2, "lr": 1e-3, "terms": [LABELS, features, {"method": "mlld"}]}]
    images = {"size": 32, "randaugment": {"num_ops": 0}, "views": 2}
    train = {"batch_size": 16, "balance": 1.0}  # images are repeated, and decoded once all the same
    cache = {"cache": str(tmp_path / "kept")}
    wanted = made(lesions, teacher=teacher, stages=stages, images=images, train=train, machine=cache)
    found = planning.plan(wanted)
    assert not (tmp_path / "kept").exists()
    run.train(wanted, tmp_path / "run")
    kept = {path: path.stat().st_size for path in (tmp_path / "kept").rglob("arrays.bin")}
    assert sum(size for path, size in kept.items() if path.parts[-3] == "kept") == pytest.approx(found.images.nbytes)
    assert sum(size for path, size in kept.items() if path.parts[-3] != "kept") == found.teacher_outputs.nbytes
    assert found.images.count == len(read("auto", lesions))
    assert found.images.seconds > 0


def test_what_is_not_kept_is_not_counted_as_done_once(lesions, teacher):
    found = planning.plan(made(lesions, teacher=teacher, machine={"cache": "none"}))
    assert found.images == found.teacher_outputs == planning.CacheEstimate()
    assert found.stages[0].loading > 0


def test_a_teacher_that_learns_is_part_of_learning(lesions, teacher):
    mutual = {"name": "mutual", "epochs": 1, "lr": 1e-3, "teacher_lr": 1e-4, "terms": [LABELS, {"method": "eml"}]}
    (stage,) = planning.plan(made(lesions, teacher=teacher, stages=[mutual])).stages
    assert stage.teaching < stage.learning / 10
    assert stage.learning > 0


def test_it_keeps_nothing_and_prints_what_it_measured(lesions, teacher, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = {"size": 32, "randaugment": {"num_ops": 0}, "views": 2}
    print_plan(terminal(), planning.plan(made(lesions, teacher=teacher, images=images)))
    assert list(tmp_path.iterdir()) == []
    shown = capsys.readouterr().out
    assert "0 loader processes" in shown
    assert "milliseconds a step" in shown
    assert re.search(r"decode images, [\d,]+ images: \d+ s, [\d.]+ MB", shown)
    assert re.search(r"teacher outputs, [\d,]+ images: \d+ s, [\d.]+ kB", shown)
    assert "expected in total" in shown
