"""A split in which lesions cross sets is refused, or waived by the recipe and reported everywhere."""

import json
import re

import pytest

from command import call, refused
from dspkd.experiments import single_run
from dspkd.runs import train
from tiny_runs import recipe, stage, write_recipe

WHY = "imitates the image-level split of paper X"
WAIVED = ("--set", f'split.waiver="{WHY}"')


@pytest.fixture(scope="module")
def folder(lesions, tmp_path_factory):
    """A folder with the recipe ``r.toml``, which splits by image."""
    folder = tmp_path_factory.mktemp("leaking")
    leaking = {"train": {"batch_size": 32}, "split": {"by": "image"}, "stages": [stage("labels", lr=3e-3)]}
    write_recipe(folder, recipe(lesions, **leaking))
    return folder


@pytest.fixture(scope="module")
def messages(folder):
    """The error of `train` without a waiver, and its output with one, in the same folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_run.reports, "write", lambda out: out / "report.html")
        error = refused("train", folder / "r.toml", "--out", folder / "run")
        assert not (folder / "run" / "split.csv").exists()
        return error, call("train", folder / "r.toml", "--out", folder / "run", *WAIVED)[0]


def test_without_a_waiver_training_and_explaining_are_refused_with_the_leaks_numbers(folder, messages):
    error, _ = messages
    numbers = r"split\.by = 'image': (\d+) lesions .* (\d+) of (\d+) test images"
    groups, known, tested = map(int, re.search(numbers, error).groups())
    leak = json.loads((folder / "run" / "data.json").read_text())["leak"]
    assert (groups, known, tested) == (leak["groups"], leak["known"], leak["tested"])
    assert 0 < known < tested
    assert refused("explain", folder / "r.toml") == error


def test_with_a_waiver_the_leak_is_reported_before_training_and_with_the_result(folder, messages):
    _, out = messages
    assert json.loads((folder / "run" / "data.json").read_text())["leak"]["waiver"] == WHY
    warned, result = [
        out.index(words) for words in ("warning: The split leaks", "plain (leaking split): The split leaks")
    ]
    assert warned < out.index("labels epoch 1") < out.index("│ plain (leaking split) │") < result
    assert out.count(f'Waived by the recipe: "{WHY}"') == 2


def test_the_leak_is_reported_with_every_evaluation(folder, messages, lesions):
    for more in ((), ("--part", "val"), ("--data", lesions)):
        _, err = call("evaluate", folder / "run", *more)
        warned = [line for line in err.splitlines() if line.startswith("warning: ")]
        assert warned[0].startswith("warning: The split leaks, so these results are overstated.")
        assert WHY in err


def test_the_same_split_as_a_file_is_refused_and_waived_too(folder, messages):
    from_file = ("--set", f'split.file="{folder / "run" / "split.csv"}"', "--set", 'split.by="group"')
    error = refused("explain", folder / "r.toml", *from_file)
    assert "split.csv: " in error
    assert error.split(": ", 2)[2] == messages[0].split(": ", 2)[2]
    out, _ = call("explain", folder / "r.toml", *from_file, *WAIVED)
    assert "stage labels: 1 epoch" in out


def test_a_resumed_run_needs_its_waiver_too(folder, messages):
    (folder / "run" / "result.json").rename(folder / "result.json")
    try:
        assert "split.csv: " in refused("train", folder / "r.toml", "--out", folder / "run")
    finally:
        (folder / "result.json").rename(folder / "run" / "result.json")


def test_a_student_may_learn_from_a_teacher_of_the_same_waived_split(folder, messages, monkeypatch):
    monkeypatch.setattr(single_run.reports, "write", lambda out: out / "report.html")
    student = ("--set", "name='student'", "--set", f"teacher='{folder / 'run'}'", *WAIVED)
    distil = ("--set", 'stages.0.terms=[{method="labels"},{method="kd"}]')
    call("train", folder / "r.toml", "--out", folder / "student", *student, *distil)
    assert json.loads((folder / "student" / "data.json").read_text())["leak"]["waiver"] == WHY
    by_lesion = ("--set", "split.by='group'")
    _, err = call("train", folder / "r.toml", "--out", folder / "x", *student, *distil, *by_lesion, code=2)
    assert "split.file" in err


def test_the_waiver_is_no_part_of_the_digest_and_a_split_by_lesion_keeps_none(folder, lesions, monkeypatch):
    plain, waived = (call("recipes", "check", folder / "r.toml", *more)[0] for more in ((), WAIVED))
    assert plain == waived
    monkeypatch.setattr(single_run.reports, "write", lambda out: out / "report.html")
    by_lesion = ("train", folder / "r.toml", "--out", folder / "lesions", "--set", "split.by='group'", *WAIVED)
    out, _ = call(*by_lesion)
    data = json.loads((folder / "lesions" / "data.json").read_text())
    assert data["leak"] is None
    assert "leaks" not in out.replace(str(folder), "")
    assert set(data["card"]["sex"]["parts"]["test"]) == {"male", "female", ""}
    assert sum(data["card"]["age"]["parts"]["train"].values()) == sum(n for n, _ in data["counts"]["train"].values())


def test_logit_adjustment_uses_the_classes_that_balanced_sampling_draws(folder, monkeypatch):
    distillers = []
    build = train.build.distiller

    def spy(*args, **settings):
        distillers.append(build(*args, **settings))
        return distillers[-1]

    monkeypatch.setattr(train.build, "distiller", spy)
    monkeypatch.setattr(single_run.reports, "write", lambda out: out / "report.html")
    even = ("--set", "train.balance=1.0", "--set", "split.by='group'")
    adjusted = ("--set", 'stages.0.terms=[{method="labels",options={logit_adjustment=1.0}}]')
    call("explain", folder / "r.toml", *even, *adjusted)
    call("train", folder / "r.toml", "--out", folder / "even", *even, *adjusted)
    priors = [each.terms["labels"].log_prior.exp() for each in (distillers[0], distillers[-1])]
    for prior in priors:  # an epoch of some 140 images draws 17 or 18 of each of 8 classes
        assert prior.max() / prior.min() < 1.07
