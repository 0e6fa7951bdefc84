"""File names of a run folder: one module names them, and folders of older versions are refused."""

import ast
from pathlib import Path

import pytest

import dspkd
from dspkd.errors import RunError
from dspkd.runs import evaluate, predict
from dspkd.runs import train as run
from dspkd.runs.files import RunFiles
from tiny_runs import recipe

SOURCE = Path(dspkd.__file__).parent
NAMES = {
    "data.json", "environment.json", "metrics.jsonl", "model.safetensors", "recipe.toml", "result.json", "split.csv",
    "test_evaluations.jsonl",
}  # fmt: skip
ALSO_NAMED_IN = {
    "deploy/export/huggingface.py": {"model.safetensors"},  # of a Hugging Face folder, which has the same name
    "models/hub_folder.py": {"model.safetensors"},  # of a Hugging Face folder
    "models/weights.py": {"model.safetensors"},  # of a Hugging Face folder
    "models/from_timm.py": {"model.safetensors"},  # on a hub
    "deploy/bundle/reader.py": {"recipe.toml"},  # a bundle is read without what knows runs
    "experiments/teacher_check/students.py": {"recipe.toml"},  # a pattern that looks for run folders
    "training/loggers/jsonl.py": {"metrics.jsonl"},  # a logger knows its own file
}
"""Modules that name such a file themselves, and why."""


def named_files(module):
    """Return the names of run files in the module's string literals, docstrings and messages left out."""
    literals = [node.value for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
    return {name for text in literals if " " not in text for name in NAMES if text.endswith(name)}


def test_no_other_module_names_files_of_a_run_folder():
    named = {
        path.relative_to(SOURCE).as_posix(): names
        for path in SOURCE.rglob("*.py")
        if (names := named_files(path)) and path != SOURCE / "runs" / "files.py"
    }
    beyond = {module: names - ALSO_NAMED_IN.get(module, set()) for module, names in named.items()}
    assert not {module: names for module, names in beyond.items() if names}, "use dspkd.runs.files.RunFiles"


def test_all_names_are_those_of_run_files():
    files = RunFiles(Path("run"))
    paths = [files.data, files.environment, files.metrics, files.weights, files.recipe, files.result, files.split]
    assert {path.name for path in [*paths, files.test_evaluations]} == NAMES
    assert all(path.parent == Path("run") for path in paths)


@pytest.mark.parametrize(("old", "new"), [("test_openings.jsonl", "test_evaluations.jsonl"), ("evidence", "artifacts")])
def test_a_folder_of_an_older_version_is_refused_with_the_new_name(old, new, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    (folder / old).mkdir() if old == "evidence" else (folder / old).touch()
    uses = [
        lambda: run.train(recipe("nowhere"), folder),
        lambda: evaluate.evaluate(folder),
        lambda: next(predict.predict(folder, [])),
    ]
    for use in uses:
        with pytest.raises(RunError, match=rf"^.*run: .*{old} is now {new}.*$") as error:
            use()
        assert "\n" not in str(error.value)
