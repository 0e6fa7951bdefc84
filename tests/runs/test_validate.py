"""What a recipe can get wrong, refused before any data are read."""

import pytest

from distilled import LABELS, settings, stages
from dspkd import data
from dspkd.data.mixup import Mixing
from dspkd.errors import RecipeError
from dspkd.recipes import schema
from dspkd.runs import build, validate


def class_map(folder, text):
    (folder / "map.toml").write_text(text)
    return str(folder / "map.toml")


BINARY = '[classes]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\nmelanoma = ["MEL"]\n'


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "tinny"}}, r"'tinny'; did you mean 'tiny'\?"),
        ({"stages": stages(LABELS, {"method": "lables"})}, r"^stages\.0\.terms\.1: .*'lables'; did you mean 'labels'"),
        (
            {"stages": stages({"method": "labels", "options": {"label_smothing": 0.1}})},
            r"^stages\.0\.terms\.0: labels\.label_smothing: no such option; did you mean 'label_smoothing'",
        ),
        (
            {"teacher": "t", "stages": stages(LABELS, {"method": "kd", "options": {"temperature": -1}})},
            r"^stages\.0\.terms\.1: kd\.temperature: .*greater than 0, got -1",
        ),
        ({"stages": stages(LABELS, {"method": "kd"})}, r'^stages\.0\.terms\.1: \'kd\' learns .* teacher = "runs/'),
        (
            {"images": {"size": 32, "artefacts": ["shading", "hairs"]}},
            r"^images\.artefacts: no artefact is called 'hairs'; did you mean 'hair'\?",
        ),
        ({"data": {"path": "nowhere", "layout": "isic2018"}}, r"^data\.layout: .*'isic2018'; did you mean 'isic2019'"),
        (
            {"teacher": "t", "train": {"cutmix": 1.0}, "stages": stages(LABELS, {"method": "dkd"})},
            r"^stages\.0\.terms\.1: 'dkd' reads one label for each image, .* set train\.mixup and train\.cutmix to 0",
        ),
        (
            {"teacher": "t", "train": {"mixup": 0.2}, "images": {"size": 32, "views": 4}},
            r'^images\.views = 4: .* cached for single images, .* set images\.views = "fresh"',
        ),
    ],
)
def test_what_a_recipe_can_get_wrong_is_refused_before_any_data_are_read(changes, message):
    with pytest.raises(RecipeError, match=message):
        validate.check(settings("nowhere", **changes))
    validate.check(settings("nowhere", teacher="nowhere either", stages=stages(LABELS, {"method": "kd"})))


def test_mixing_goes_with_methods_that_read_no_label_and_without_a_teacher_with_fixed_views():
    both = {"mixup": 0.2, "cutmix": 1.0}
    validate.check(settings("nowhere", train=both, teacher="t", stages=stages(LABELS, {"method": "kd"})))
    validate.check(settings("nowhere", train=both, images={"size": 32, "views": 4}))
    assert build.mixing(settings("nowhere").train) is None
    assert build.mixing(settings("nowhere", train=both).train) == Mixing(**both)


@pytest.mark.parametrize("layout", ["auto", *data.LAYOUTS])
def test_every_layout_that_is_read_may_be_named(layout):
    validate.check(settings("nowhere", data={"path": "nowhere", "layout": layout}))


def test_the_second_stage_is_checked_as_the_first():
    two = [*stages(LABELS), {**stages(LABELS, {"method": "kdd"})[0], "name": "second"}]
    with pytest.raises(RecipeError, match=r"^stages\.1\.terms\.1: "):
        validate.check(settings("nowhere", stages=two))


def test_a_class_map_is_checked_before_any_data_are_read(tmp_path):
    with pytest.raises(RecipeError, match=r"^data\.classes: .*map\.toml: names no class"):
        validate.check(settings("nowhere", data={"path": "nowhere", "classes": class_map(tmp_path, "")}))
    validate.check(settings("nowhere", data={"path": "nowhere", "classes": class_map(tmp_path, BINARY)}))


@pytest.mark.parametrize("shown", [(), ("shading",), ("colour_constancy", "shading")])
def test_a_teacher_of_other_artefacts_is_refused_by_name(lesions, tmp_path, shown):
    taught = settings(lesions, images={"size": 32, "artefacts": ["shading", "colour_constancy"]})
    (tmp_path / "recipe.toml").write_text(schema.dump(taught))
    wanted = settings(lesions, images={"size": 32, "artefacts": list(shown)}, teacher=str(tmp_path))
    with pytest.raises(RecipeError, match=r"images\.artefacts: teacher .* with artefacts = \['shading', 'colour_const"):
        validate.check(wanted)


def test_a_teacher_of_the_same_artefacts_and_one_still_to_be_trained_are_taken(lesions, tmp_path):
    images = {"size": 32, "artefacts": ["shading"]}
    (tmp_path / "recipe.toml").write_text(schema.dump(settings(lesions, images=images)))
    for teacher in (tmp_path, tmp_path / "later"):
        validate.check(settings(lesions, images=images, teacher=str(teacher)))
