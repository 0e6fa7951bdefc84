"""A damaged file of a run is named before it is used, with what can be done; a stopped run goes on."""

import json
import logging
import shutil

import pytest
import torch
from typer.testing import CliRunner

from dspkd import reports
from dspkd.cli import app
from dspkd.errors import DspkdError, RunError
from dspkd.runs import evaluate, integrity, packed, predict
from dspkd.runs import train as run
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from tiny_runs import Killed, Killer, recipe, stage, teacher_recipe, trained, weights

USES = {
    "train": lambda folder, lesions: run.train(recipe(lesions), folder),
    "predict": lambda folder, lesions: next(predict.predict(folder, [])),
    "evaluate": lambda folder, lesions: evaluate.evaluate(folder, part="val"),
    "report": lambda folder, lesions: reports.write(folder),
    "pack": lambda folder, lesions: packed.pack(folder.parent, folder.parent.parent / "packed"),
}


@pytest.fixture(scope="module")
def finished(lesions, tmp_path_factory):
    return trained(recipe(lesions), tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "runs" / "plain")


def exchange_parts(path):
    lines = path.read_text().splitlines(keepends=True)
    first, second = (
        next(n for n, line in enumerate(lines) if line.endswith(f",{part}\n")) for part in ("train", "test")
    )
    for line, old, new in ((first, "train", "test"), (second, "test", "train")):
        lines[line] = lines[line].replace(f",{old}\n", f",{new}\n")
    path.write_text("".join(lines))


def flip_bytes(path, count=3):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + count] = bytes(255 - each for each in content[middle : middle + count])
    path.write_bytes(content)


def change_digit(path):
    head, _, digit = path.read_text().rpartition(".")
    path.write_text(f"{head}.{(int(digit[0]) + 1) % 10}{digit[1:]}")


DAMAGE = {
    "split.csv": (exchange_parts, "restore it"),
    "recipe.toml": (lambda path: path.write_bytes(path.read_bytes() + b"\n# \xff"), "restore it"),
    "test_evaluations.jsonl": (flip_bytes, "restore it"),
    "model.safetensors": (lambda path: flip_bytes(path, 30), "delete model.safetensors and result.json"),
    "predictions/test.csv": (change_digit, "delete predictions/test.csv and result.json"),
    "result.json": (lambda path: path.write_bytes(path.read_bytes() + b" \xff"), "delete result.json"),
    "data.json": (lambda path: path.write_bytes(b"\xff\xfe"), "delete data.json and result.json"),
    "environment.json": (lambda path: path.write_bytes(b"\xff"), "delete environment.json and result.json"),
    "metrics.jsonl": (lambda path: path.write_bytes(b"\xff\n"), "delete metrics.jsonl and result.json"),
    "artifacts/images.json": (lambda path: path.unlink(), "delete result.json"),
    "artifacts/features.npz": (flip_bytes, "delete artifacts/features.npz and result.json"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named_in_one_line_by_each_use(folder, lesions, name):
    damage, remedy = DAMAGE[name]
    damage(folder / name)
    for use in USES.values():
        with pytest.raises(RunError) as error:
            use(folder, lesions)
        assert str(folder / name) in str(error.value)
        assert remedy in str(error.value)
        assert "\n" not in str(error.value)


def test_check_lists_all_damaged_files_and_exits_with_2(folder):
    checked = CliRunner().invoke(app, ["check", str(folder)])
    assert (checked.exit_code, "files are as training wrote them" in checked.output) == (0, True)
    flip_bytes(folder / "stages/0-labels/last.pt")
    change_digit(folder / "predictions/val.csv")
    checked = CliRunner().invoke(app, ["check", str(folder)])
    assert checked.exit_code == 2
    assert "0-labels/last.pt: is damaged" in checked.output
    assert "predictions/val.csv: is damaged" in checked.output
    (folder / "files.json").write_bytes(b"{\xff")
    checked = CliRunner().invoke(app, ["check", str(folder)])
    assert (checked.exit_code, "files.json: is damaged" in checked.output) == (2, True)


def test_every_file_of_a_run_is_recorded(folder):
    recorded = set(RunFiles(folder).manifest.digests())
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {name for name in there - recorded if not name.startswith(".")} == {"files.json", "recipe.toml"}


def test_a_recipe_may_change_only_in_what_changes_no_training(folder):
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(
        text.replace("[data]\n", "[data]\nmalignant = ['MEL']\n").replace("malignant = []\n", "")
    )
    assert Run(folder).require_finished().recipe.data.malignant == ("MEL",)
    (folder / "recipe.toml").write_text(text.replace("batch_size = 16", "batch_size = 17"))
    with pytest.raises(RunError, match=r"recipe\.toml: is damaged or was changed.*restore it"):
        Run(folder).require_finished()


@pytest.mark.parametrize("name", ["model.safetensors", "predictions/test.csv", "metrics.jsonl"])
def test_what_the_message_says_repairs_the_run(folder, finished, lesions, name):
    flip_bytes(folder / name)
    for path in (folder / name, folder / "result.json"):
        path.unlink()
    run.train(recipe(lesions), folder)
    assert (folder / name).read_bytes() == (finished / name).read_bytes()
    assert integrity.problems(RunFiles(folder)) == []


def test_an_evaluation_of_the_test_set_keeps_the_record_whole(folder):
    evaluate.evaluate(folder)
    assert integrity.problems(RunFiles(folder)) == []
    assert Run(folder).result.test_evaluations == 2


def test_a_damaged_checkpoint_stops_the_resumed_run_until_it_is_deleted(lesions, tmp_path):
    two = teacher_recipe(lesions, stages=[stage("one"), stage("two")])
    whole = trained(two, tmp_path / "whole")
    with pytest.raises(Killed):
        run.train(two, tmp_path / "run", Killer("two", 1))
    last = tmp_path / "run" / "stages" / "0-one" / "last.pt"
    flip_bytes(last)
    with pytest.raises(RunError, match=r"0-one/last\.pt: is damaged.*delete it, and the same"):
        run.train(two, tmp_path / "run")
    last.unlink()
    run.train(two, tmp_path / "run")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name


def test_a_run_without_digests_is_read_and_said_to_be_unchecked_once(folder, lesions, caplog, monkeypatch):
    monkeypatch.setattr(integrity, "_said", [])
    (folder / "files.json").unlink()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            evaluate.evaluate(folder)
    assert len([line for line in caplog.messages if "cannot be checked" in line]) == 1
    assert not (folder / "files.json").exists()
    checked = CliRunner().invoke(app, ["check", str(folder)])
    assert (checked.exit_code, "cannot be checked" in checked.output) == (2, True)


@pytest.mark.parametrize("name", [name for name in DAMAGE if not name.endswith((".safetensors", "npz"))])
def test_bytes_that_are_no_text_are_one_line_also_without_digests(folder, name):
    (folder / "files.json").unlink()
    (folder / name).write_bytes(b"\xff\xfe\x80 \n")
    with pytest.raises(DspkdError) as error:
        [reports.write(folder), evaluate.evaluate(folder)]
    assert str(folder / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_record_of_files_is_named(folder):
    (folder / "files.json").write_text(json.dumps({"sha256": ["recipe.toml"]}))
    with pytest.raises(RunError, match=r"files\.json: is damaged"):
        Run(folder).require_finished()


def test_a_finished_run_without_digests_of_its_files_is_not_called_whole(folder):
    RunFiles(folder).manifest.path.write_text('{"sha256": {}}')
    result = CliRunner().invoke(app, ["check", str(folder)])
    assert result.exit_code == 2
    assert f"{folder / 'model.safetensors'}: has no digest in files.json, so it cannot be checked" in result.output
    assert "are as training wrote them" not in result.output
