"""The Python API: its names, what importing it loads, and that each snippet of its page and of the tutorial runs."""

import ast
import json
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import dspkd
from dspkd.data.synthetic.dataset import synthesize
from dspkd.deploy.bundle.predictor import Predictor
from dspkd.errors import RecipeError, RunError
from dspkd.experiments import api
from dspkd.recipes import catalog, schema
from dspkd.runs.run_folder import Run

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_all_names_what_is_there_and_nothing_else():
    assert sorted(dspkd.__all__) == dspkd.__all__ == sorted(dspkd._HOMES)
    for name in dspkd.__all__:
        value = getattr(dspkd, name)
        assert value.__module__.startswith("dspkd.")
        assert value.__doc__
    assert set(dspkd.__all__) <= set(dir(dspkd))


def test_a_type_checker_sees_the_same_names():
    tree = ast.parse(Path(dspkd.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imported = {alias.asname or alias.name: (node.module, alias.name) for node in block.body for alias in node.names}
    assert imported == dspkd._HOMES


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'distil'"):
        dspkd.distil  # noqa: B018


@pytest.mark.parametrize("call", ["", "dspkd.list_methods(); ", "dspkd.describe('kd'); "])
def test_torch_is_not_loaded_before_it_is_needed(call):
    check = "import sys; print(sorted({'torch', 'timm', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    program = f"import dspkd; {call}{check}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_public_functions_are_typed_and_documented():
    for name in ("train", "distill", "distill_folder", "evaluate", "compare", "export", "load"):
        function = getattr(dspkd, name)
        hints = typing.get_type_hints(function)
        assert "return" in hints
        documented = set(re.findall(r"^    (\w[\w, ]*)$", function.__doc__, re.MULTILINE))
        named = {word for line in documented for word in line.split(", ")}
        assert set(hints) - {"return"} - {"path"} <= named, name


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with images in ``my_images``, 8 classes as in ISIC 2019."""
    synthesize(tmp_path / "my_images", images=120, size=48, seed=0, temper=0.5)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_cells(cells, names):
    """Run code cells one after another in the namespace `names`; return what each shows, as a notebook would."""
    shown = []
    for number, cell in enumerate(cells):
        tree = ast.parse(cell)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names) if last else None
        shown.append(value._repr_html_() if hasattr(value, "_repr_html_") else value)
    return shown


def test_the_snippets_of_the_page_run(folder, no_pages):
    cells = re.findall(r"```python\n(.*?)```", (DOCS / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    shutil.copy(next((folder / "my_images").rglob("*.jpg")), folder / "lesion.jpg")
    names = {}
    run_cells(cells, names)
    assert names["run"].report.is_file()
    assert isinstance(dspkd.load("model.dspkd"), Predictor)
    assert isinstance(dspkd.load("runs/plain"), Run)
    assert len(names["plain"].history) == 2
    assert names["comparison"].failed == 0
    table = names["comparison"]._repr_html_()
    assert all(f"<td>{name}</td>" in table for name in ("plain", "kd", "label_smoothing"))
    assert "inconclusive against plain" in table or "than plain" in table
    assert sum(names["prediction"].probabilities.values()) == pytest.approx(1)


def test_the_tutorial_runs(folder, no_pages):
    notebook = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names = {}
    shown = run_cells(cells, names)
    assert any(isinstance(each, str) and "balanced accuracy" in each for each in shown)
    assert names["prediction"].top in names["run"].classes


def test_errors_and_methods_are_there_without_a_further_import():
    program = "import dspkd; print(dspkd.errors.DspkdError.__name__, dspkd.methods.Term.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "DspkdError Term\n"


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"seeds": [-1]}, {"seeds": [0, 0]}, {"folds": 1}])
def test_a_comparison_of_wrong_seeds_or_folds_is_one_line(tmp_path, wrong):
    with pytest.raises(RecipeError, match=rf"^compare: .*{next(iter(wrong))}[^\n]*$"):
        dspkd.compare(["plain"], out=tmp_path / "out", **wrong)


@pytest.mark.parametrize(
    "given",
    [
        {"seeds": 9},
        {"seeds": [0]},
        {"recipes": "demo"},
        {"data": "d"},
        {"folds": 2},
        {"repeats": 2},
        {"set": {"seed": 1}},
    ],
)
def test_what_a_grid_has_itself_is_refused_beside_it(tmp_path, given):
    with pytest.raises(RecipeError, match=rf"^compare: {next(iter(given))}: .*grids/demo has its own$"):
        dspkd.compare("grids/demo", out=tmp_path / "out", **given)


def test_a_comparison_takes_the_settings_that_train_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(api.comparing, "compare", lambda grid, *_, **__: grid)
    monkeypatch.setattr(api.measure, "best_jobs", lambda *_: 1)
    changes = {"images.randaugment": {"num_ops": 1}, "images.size": np.int64(32), "machine.cache": tmp_path / "c"}
    options = {"data": tmp_path / "no😀imgs", "set": changes, "seeds": np.int64(1)}
    planned = dspkd.compare(["plain"], out=tmp_path / "out", progress=False, **options)
    assert planned.seeds == (0,)
    recipe = schema.load(catalog.find("demo/plain"), planned.set)
    assert recipe == api._recipe("demo/plain", {**changes, "data.path": options["data"]})
    assert (recipe.images.randaugment.num_ops, recipe.images.size) == (1, 32)


def test_loading_nothing_names_the_place(tmp_path):
    with pytest.raises(RunError, match=r"nowhere: there is no such file or folder"):
        dspkd.load(tmp_path / "nowhere")
