"""The command: help, start, user errors, and commands that need no run."""

import re
import subprocess
import sys

import pytest
import typer

from command import call, refused
from dspkd import __version__
from dspkd.cli import app
from dspkd.recipes import catalog


def commands(command, path=()):
    """Yield each command with its path, groups included."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(("dspkd", *path)))
def test_help_describes_a_command_and_each_of_its_arguments(path):
    out, _ = call(*path, "--help")
    assert out == call(*path, "-h")[0]
    words = re.sub(r"[\s│]+", " ", out)
    command = COMMANDS[path]
    assert command.help.split()[0] in words
    for parameter in command.params:
        assert len(parameter.help) > 10, (path, parameter.name)
        assert re.sub(r"\s+", " ", parameter.help) in words, (path, parameter.name)
        assert parameter.name in words or parameter.opts[0] in words


def test_help_shows_an_example_of_a_setting_and_all_commands_exist():
    assert "stages.0.epochs=2" in call("train", "--help")[0]
    assert set(COMMANDS) == {
        (), ("train",), ("demo",), ("evaluate",), ("predict",), ("explain",), ("plan",), ("report",), ("methods",),
        ("models",), ("compare",), ("agreement",), ("referee",), ("pack",), ("check",), ("convert",),
        ("teacher-outputs",),
        ("data", "download"), ("data", "unpack"), ("reproduce",),
        ("claims",), ("recipes",), ("recipes", "ls"), ("recipes", "show"), ("recipes", "check"),
        ("recipes", "keys"), ("data",), ("data", "inspect"),
        ("data", "synthesize"), ("data", "audit"), ("data", "split-inflation"), ("export",), ("verify",), ("doctor",),
        ("serve",), ("web",), ("new",), ("distill",),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["train", "--help"], set()),
        (["--version"], set()),
        (["recipes", "ls"], set()),
        (["recipes", "check", "demo/dsp_kd"], {"numpy"}),
        (["methods"], {"numpy"}),
    ],
)
def test_commands_that_compute_nothing_import_no_slow_package(arguments, allowed):
    slow = {"torch", "torchvision", "timm", "numpy", "matplotlib", "sklearn", "scipy"} - allowed
    program = (
        "import sys; from dspkd.cli import app\n"
        f"try: app({arguments!r})\n"
        f"finally: print(sorted({slow!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_printed():
    assert call("--version") == (f"dspkd {__version__}\n", "")


def test_a_user_error_is_one_line_and_exit_code_2():
    program = "from dspkd.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", program, "recipes", "show", "demo/dsp_kdd"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: no recipe 'demo/dsp_kdd'.*did you mean 'demo/dsp_kd'\?\n", done.stderr)


def test_an_unexpected_error_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(catalog, "find", lambda name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call("recipes", "show", "demo/plain")


def test_recipes_are_listed_shown_and_checked():
    out, _ = call("recipes", "ls")
    assert [line.split()[0] for line in out.splitlines()] == [*catalog.names(), *catalog.grids()]
    assert re.search(r"^demo/plain +Demo plain student: ", out, flags=re.MULTILINE)
    assert call("recipes", "show", "demo/plain")[0] == catalog.find("demo/plain").read_text()
    assert re.fullmatch(
        r"dsp_kd: valid; digest [0-9a-f]{12}, 2 stages, 8 epochs\n",
        call("recipes", "check", "demo/dsp_kd", "--set", "stages.0.epochs=5", "--set", "stages.1.epochs=3")[0],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo/plane"], "did you mean 'demo/plain'?"),
        (["demo/plain", "--set", "stages.0.epoch=2"], "stages.0.epoch: no such key; did you mean 'epochs'?"),
        (["demo/plain", "--set", "stages.3.epochs=2"], "stages.3.epochs=2: "),
        (["demo/plain", "--set", "stages.0.epochs=two"], "--set 'stages.0.epochs=\"two\"'"),
        (["demo/plain", "--set", "stages.0.epochs"], "key=value"),
        (["demo/plain", "--set", "stages.0.epochs=0"], "stages.0.epochs: "),
        (["demo/plain", "--set", "model.name='tinny'"], "did you mean 'tiny'?"),
        (["demo/plain", "--set", "stages.0.terms=[{method='kd'}]"], "teacher = "),
        (["demo/plain", "--set", "stages.0.terms.0.options.smoothing=0.1"], "labels.smoothing: "),
    ],
)
def test_an_error_in_a_recipe_is_one_line_with_place_and_remedy(arguments, message):
    assert message in refused("recipes", "check", *arguments)


def test_several_settings_are_applied_in_order():
    settings = ("--set", "stages.0.epochs=3", "--set", "seed=1", "--set", "stages.0.epochs=5")
    assert "5 epochs" in call("recipes", "check", "demo/plain", *settings)[0]


def test_methods_and_models_are_listed_by_their_names_in_recipes():
    out, _ = call("methods")
    assert re.search(
        r"^kd: .+\n    temperature = 4\.0 .*\n    prior = 0\.0 .*\n    Source: Hinton", out, flags=re.MULTILINE
    )
    out, _ = call("models")
    assert re.search(r"│ shufflenet_v2_x1_0 +│ torchvision +│ +1,261,804 │", out)
    assert "…" not in out


def test_synthetic_lesions_are_written_and_never_overwritten(tmp_path):
    out, _ = call(
        "data", "synthesize", tmp_path / "new", "--images", 20, "--size", 32, "--layout", "folder", "--seed", 5
    )
    assert re.fullmatch(rf"20 synthetic images of \d+ lesions in {re.escape(str(tmp_path / 'new'))}\n", out)
    assert len(list((tmp_path / "new").glob("*/*.jpg"))) == 20
    assert str(tmp_path / "new") in refused("data", "synthesize", tmp_path / "new")
    out, _ = call("data", "synthesize", tmp_path / "twice", "--images", 20, "--size", 32, "--duplicates", 0.1)
    assert "2 planted duplicates" in out
    assert len(list((tmp_path / "twice").rglob("*.jpg"))) == 22
    assert "'folder'" in refused("data", "synthesize", tmp_path / "other", "--classes", "common")
