"""DSP-KD on two classes: its second stage would teach nothing, and is refused before anything is trained."""

from pathlib import Path

import pytest

from dspkd.data import class_map, load_table
from dspkd.errors import RecipeError
from dspkd.runs import build, validate
from dspkd.runs import train as run
from dspkd.runs.explain import explain
from dspkd.runs.plan import plan
from tiny_runs import LABELS, dsp_kd_recipe, recipe, stage

BINARY = '[classes]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\nmelanoma = ["MEL"]\n'
REFUSED = r"^stages\.1\.terms\.1: normkd teaches nothing about 2 classes: .*use kd$"


@pytest.fixture
def binary(tmp_path):
    (tmp_path / "map.toml").write_text(BINARY)
    return str(tmp_path / "map.toml")


def test_a_class_map_of_two_classes_is_enough_to_refuse_it(binary):
    two = dsp_kd_recipe("nowhere", "t", data={"path": "nowhere", "classes": binary})
    with pytest.raises(RecipeError, match=REFUSED):
        validate.check(two)
    names = {"0": "benign", "1": "malignant", "2": "malignant"}
    with pytest.raises(RecipeError, match=REFUSED):
        validate.check(dsp_kd_recipe("nowhere", "t", data={"path": "nowhere", "columns": {"names": names}}))
    validate.check(dsp_kd_recipe("nowhere", "t"))


@pytest.fixture
def two_classes(lesions, binary, monkeypatch):
    """Let every recipe's images have two classes, of which the recipe says nothing."""
    table = class_map.load(Path(binary)).apply(load_table(lesions))
    monkeypatch.setattr(build.data, "load_table", lambda **_: table)
    return lesions


@pytest.mark.parametrize("use", [explain, plan])
def test_it_is_refused_once_the_images_are_read(use, two_classes):
    with pytest.raises(RecipeError, match=REFUSED):
        use(dsp_kd_recipe(two_classes, "no teacher yet"))


def test_a_run_is_refused_before_its_teacher_is_needed(two_classes, tmp_path):
    with pytest.raises(RecipeError, match=REFUSED):
        run.train(dsp_kd_recipe(two_classes, tmp_path / "no teacher yet"), tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()


def test_a_void_part_is_no_reason_to_refuse_a_term(two_classes):
    dist = recipe(two_classes, teacher="t", stages=[stage("s", LABELS, {"method": "dist"})])
    build.load_data(dist)
