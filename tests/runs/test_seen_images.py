"""Initial weights of a run that was trained on validation or test images are refused, as such a teacher is."""

import shutil

import pytest

from dspkd.data.synthetic.dataset import synthesize
from dspkd.errors import DataError
from dspkd.runs import build
from dspkd.runs import train as run
from dspkd.runs.explain import explain
from tiny_runs import LABELS, Killed, Killer, recipe, stage, teacher_recipe, trained

CPU = build.torch.device("cpu")


@pytest.fixture(scope="module")
def first(lesions, tmp_path_factory):
    """Return the run that others start from."""
    return trained(teacher_recipe(lesions, stages=[stage("labels")]), tmp_path_factory.mktemp("seen") / "first")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Return other lesions of the same classes."""
    folder = tmp_path_factory.mktemp("seen") / "elsewhere"
    synthesize(folder, images=120, size=48, seed=5)
    for table in folder.glob("*.csv"):
        table.write_text(table.read_text().replace("SYN_", "NEW_"))
    for path in folder.rglob("*.jpg"):
        path.rename(path.with_name(path.name.replace("SYN_", "NEW_")))
    return folder


def starting(lesions, weights, **settings):
    return recipe(lesions, **{"model": {"name": "tiny_wide", "weights": str(weights)}, **settings})


@pytest.mark.parametrize("named", ["file", "folder"])
def test_weights_of_a_run_with_another_split_are_refused(lesions, first, tmp_path, named):
    weights = first / "model.safetensors" if named == "file" else first
    leaking = starting(lesions, weights, split={"seed": 7})
    message = rf"^model\.weights = '{weights}': was trained on \d+ .* of this run's validation or test set.*split\."
    with pytest.raises(DataError, match=message) as error:
        run.train(leaking, tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run" / "split.csv").exists()
    with pytest.raises(DataError, match=message):
        explain(leaking)
    with pytest.raises(DataError, match=message):  # used as they are
        run.train(starting(lesions, weights, split={"seed": 7}, stages=[]), tmp_path / "as-it-is")


def test_a_first_stage_on_the_same_split_and_weights_of_no_run_are_taken(lesions, first, tmp_path):
    run.train(starting(lesions, first / "model.safetensors"), tmp_path / "second")
    assert (tmp_path / "second" / "result.json").exists()
    shutil.copy(first / "model.safetensors", tmp_path / "mine.safetensors")
    run.train(starting(lesions, tmp_path / "mine.safetensors", split={"seed": 7}), tmp_path / "other")
    assert (tmp_path / "other" / "result.json").exists()


def test_weights_that_come_from_such_a_run_by_way_of_another_are_refused(lesions, elsewhere, first, tmp_path):
    between = tmp_path / "between"
    run.train(starting(elsewhere, first / "model.safetensors", stages=[stage("labels")]), between)
    message = rf"^model\.weights = '{between}', which started from '{first}.*': was trained on \d+ .* of this run's"
    with pytest.raises(DataError, match=message):
        run.train(starting(lesions, between, split={"seed": 7}), tmp_path / "run")
    run.train(starting(lesions, between, stages=[stage("labels")]), tmp_path / "same-split")


def test_a_resumed_run_is_checked_too(lesions, first, tmp_path):
    weights = tmp_path / "first" / "model.safetensors"
    weights.parent.mkdir()
    shutil.copy(first / "model.safetensors", weights)  # as of no run
    leaking = starting(lesions, weights, split={"seed": 7}, stages=[stage("labels", epochs=2)])
    with pytest.raises(Killed):
        run.train(leaking, tmp_path / "run", Killer("labels", 1, "after"))
    for name in ("recipe.toml", "split.csv"):
        shutil.copy(first / name, weights.parent / name)
    with pytest.raises(DataError, match=r"model\.weights = .*was trained on"):
        run.train(leaking, tmp_path / "run")


def test_lesions_that_cross_sets_by_a_waiver_may_cross_here_too(lesions, tmp_path):
    waived = {"split": {"by": "image", "waiver": "imitates paper X"}}
    weights = trained(teacher_recipe(lesions, stages=[stage("labels")], **waived), tmp_path / "t") / "model.safetensors"
    run.train(starting(lesions, weights, **waived), tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()
    with pytest.raises(DataError, match=r"model\.weights"):
        run.train(starting(lesions, weights), tmp_path / "by-lesion")


def test_the_initial_weights_of_a_teacher_are_followed(lesions, first, tmp_path):
    """The teacher was trained when its weights lay in no run folder, or by a version that did not check them."""
    weights = tmp_path / "first" / "model.safetensors"
    weights.parent.mkdir()
    shutil.copy(first / "model.safetensors", weights)
    teacher = trained(starting(lesions, weights, split={"seed": 7}), tmp_path / "teacher")
    learning = recipe(lesions, teacher=str(teacher), split={"seed": 7}, stages=[stage("kd", LABELS, {"method": "kd"})])
    dataset = build.load_data(learning)
    assert build.evaluated_teacher(learning, dataset.table, dataset.split, CPU)
    for name in ("recipe.toml", "split.csv"):
        shutil.copy(first / name, weights.parent / name)
    with pytest.raises(DataError, match=rf"^teacher {teacher}: its model\.weights = .* of its student's validation or"):
        build.evaluated_teacher(learning, dataset.table, dataset.split, CPU)


def test_the_teacher_of_a_teacher_is_followed(lesions, elsewhere, first, tmp_path):
    """The teacher's own images are others, so that its teacher was none of its test images."""
    kd = [stage("kd", LABELS, {"method": "kd"})]
    teacher = trained(recipe(elsewhere, teacher=str(first), stages=kd), tmp_path / "teacher")
    for seed, leaks in ((0, False), (7, True)):
        learning = recipe(lesions, teacher=str(teacher), split={"seed": seed}, stages=kd)
        dataset = build.load_data(learning)
        if leaks:
            message = (
                rf"^teacher {teacher}: its teacher '{first}': was trained on \d+ .* of its student's validation or"
            )
            with pytest.raises(DataError, match=message):
                build.evaluated_teacher(learning, dataset.table, dataset.split, CPU)
        else:
            assert build.evaluated_teacher(learning, dataset.table, dataset.split, CPU)


@pytest.mark.parametrize(("left_out", "refused"), [("", True), ("copy", False)])
def test_test_images_that_a_teacher_learned_from_without_labels_are_refused(
    lesions, first, tmp_path, left_out, refused
):
    """Such a teacher had another data set, so that its own test set did not have these images."""
    teacher = shutil.copytree(first, tmp_path / "teacher")
    learning = recipe(lesions, teacher=str(teacher), stages=[stage("kd", LABELS, {"method": "kd"})])
    dataset = build.load_data(learning)
    name = dataset.table.ids[dataset.split.places("test")[0]]
    (teacher / "unlabelled.csv").write_text(f"id,left_out\nunlabelled/archive/{name}.jpg,{left_out}\n")
    if refused:
        with pytest.raises(DataError, match=r"^teacher .*: was trained on 1 lesion or patient of its student's"):
            build.evaluated_teacher(learning, dataset.table, dataset.split, CPU)
    else:
        assert build.evaluated_teacher(learning, dataset.table, dataset.split, CPU)
