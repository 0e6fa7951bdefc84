"""Mistakes in a recipe that are refused before any data are read."""

from contextlib import nullcontext

import pytest

from dspkd import data
from dspkd.data.mixup import Mixing
from dspkd.errors import RecipeError
from dspkd.recipes import schema
from dspkd.runs import build, validate
from tiny_runs import LABELS, recipe, stage


def class_map(folder, text):
    (folder / "map.toml").write_text(text)
    return str(folder / "map.toml")


HEAD = {"method": "ssd_kd", "options": {"trains": "teacher_head"}}
SSD_KD = {"method": "ssd_kd", "carry": True}
BINARY = '[classes]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\nmelanoma = ["MEL"]\n'


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "tinny"}}, r"^model\.name: .*'tinny'.*'tiny'"),
        (
            {"stages": [stage("s", LABELS, {"method": "lables"})]},
            r"^stages\.0\.terms\.1: .*'lables'.*'labels'",
        ),
        (
            {"stages": [stage("s", {"method": "labels", "options": {"label_smothing": 0.1}})]},
            r"^stages\.0\.terms\.0: labels\.label_smothing: .*'label_smoothing'",
        ),
        (
            {"teacher": "t", "stages": [stage("s", LABELS, {"method": "kd", "options": {"temperature": -1}})]},
            r"^stages\.0\.terms\.1: kd\.temperature: .*-1",
        ),
        (
            {"stages": [stage("s", LABELS, {"method": "kd"})]},
            r'^stages\.0\.terms\.1: \'kd\' .* teacher = "runs/',
        ),
        (
            {"images": {"size": 32, "artefacts": ["shading", "hairs"]}},
            r"^images\.artefacts: .*'hairs'.*'hair'",
        ),
        ({"data": {"path": "nowhere", "layout": "isic219"}}, r"^data\.layout: .*'isic219'.*'isic2019'"),
        (
            {"teacher": "t", "train": {"cutmix": 1.0}, "stages": [stage("s", LABELS, {"method": "dkd"})]},
            r"^stages\.0\.terms\.1: 'dkd' .* set train\.mixup and train\.cutmix to 0",
        ),
        (
            {"teacher": "t", "train": {"mixup": 0.2}, "images": {"size": 32, "views": 4}},
            r'^images\.views = 4: .*train\.mixup .*mix_teacher_outputs = true.* images\.views = "fresh"',
        ),
        (
            {"teacher": "t", "stages": [stage("s", LABELS, {"method": "ssd_kd"})]},
            r'^stages\.0\.terms\.1: ssd_kd: .* random head .* trains = "teacher_head", and set carry = true',
        ),
        (
            {"teacher": {"run": "t", "views": 8}, "stages": [stage("s", HEAD)]},
            r"^teacher\.views = 8: .*'ssd_kd' .*set it to 2 or 1",
        ),
        (
            {"stages": [stage("s", {"method": "labels", "options": {"effective_beta": 0.9}})]},
            r'^stages\.0\.terms\.0: labels\.effective_beta = 0\.9: .*class_weights = "effective".* leave this out',
        ),
        (
            {"train": {"mix_teacher_outputs": True}},
            r"^train\.mix_teacher_outputs = true: .*train\.mixup or train\.cutmix",
        ),
        (
            {"teacher": {"run": "t", "size": 24}},
            r"^teacher\.size = 24: smaller than images\.size = 32.* leave it out",
        ),
        (
            {"teacher": {"run": "t", "cross_fit": 2}, "train": {"mixup": 0.2}},
            r"^teacher\.cross_fit = 2: train\.mixup .*set both to 0",
        ),
        (
            {
                "teacher": {"run": "t", "views": 2, "size": 64},
                "stages": [stage("s", LABELS, {"method": "eml"}, teacher_lr=1e-4)],
            },
            r"^stages\.0\.teacher_lr: .*leave out teacher\.views and teacher\.size",
        ),
    ],
)
def test_a_mistake_is_refused_at_its_place_with_a_remedy(changes, message):
    with pytest.raises(RecipeError, match=message):
        validate.check(recipe("nowhere", **changes))
    validate.check(recipe("nowhere", teacher="nowhere either", stages=[stage("s", LABELS, {"method": "kd"})]))


def test_mixing_is_allowed_with_methods_without_labels_and_with_fixed_views_without_a_teacher():
    both = {"mixup": 0.2, "cutmix": 1.0}
    validate.check(recipe("nowhere", train=both, teacher="t", stages=[stage("s", LABELS, {"method": "kd"})]))
    validate.check(recipe("nowhere", train=both, images={"size": 32, "views": 4}))
    assert build.mixing(recipe("nowhere").train) is None
    assert build.mixing(recipe("nowhere", train=both).train) == Mixing(**both)


@pytest.mark.parametrize("layout", ["auto", *data.LAYOUTS])
def test_every_layout_of_a_reader_is_valid(layout):
    validate.check(recipe("nowhere", data={"path": "nowhere", "layout": layout}))


@pytest.mark.parametrize(
    ("stages", "refused"),
    [
        ([[HEAD], [LABELS, SSD_KD]], ""),
        ([[HEAD], [LABELS, SSD_KD], [SSD_KD]], ""),
        ([[LABELS, {"method": "ssd_kd", "options": {"self_supervision": 0}}]], ""),
        ([[HEAD], [LABELS, {"method": "ssd_kd"}]], r"^stages\.1\.terms\.1: ssd_kd: "),
        ([[{"method": "ssd_kd", "options": {"self_supervision": 0.0}}], [SSD_KD]], r"^stages\.1\.terms\.0: ssd_kd: "),
        ([[HEAD], [LABELS], [{"method": "ssd_kd"}]], r"^stages\.2\.terms\.0: ssd_kd: "),
    ],
)
def test_ssd_kd_needs_a_head_that_an_earlier_stage_has_trained(stages, refused):
    two = recipe("nowhere", teacher="t", stages=[stage(f"s{s}", *terms) for s, terms in enumerate(stages)])
    with pytest.raises(RecipeError, match=refused) if refused else nullcontext():
        validate.check(two)


def test_later_stages_are_checked():
    two = [stage("first"), stage("second", LABELS, {"method": "kdd"})]
    with pytest.raises(RecipeError, match=r"^stages\.1\.terms\.1: "):
        validate.check(recipe("nowhere", stages=two))


def test_a_class_map_is_checked_before_any_data_are_read(tmp_path):
    with pytest.raises(RecipeError, match=r"^data\.classes: .*map\.toml: "):
        validate.check(recipe("nowhere", data={"path": "nowhere", "classes": class_map(tmp_path, "")}))
    validate.check(recipe("nowhere", data={"path": "nowhere", "classes": class_map(tmp_path, BINARY)}))


@pytest.mark.parametrize("removed", [(), ("shading",), ("colour_constancy", "shading")])
def test_a_teacher_of_other_removed_artefacts_is_refused(lesions, tmp_path, removed):
    of_teacher = recipe(lesions, images={"size": 32, "artefacts": ["shading", "colour_constancy"]})
    (tmp_path / "recipe.toml").write_text(schema.dump(of_teacher))
    of_student = recipe(lesions, images={"size": 32, "artefacts": list(removed)}, teacher=str(tmp_path))
    with pytest.raises(RecipeError, match=r"^images\.artefacts: teacher .*\['shading', 'colour_constancy'\]"):
        validate.check(of_student)


def test_a_teacher_of_the_same_removed_artefacts_and_one_not_trained_yet_are_accepted(lesions, tmp_path):
    images = {"size": 32, "artefacts": ["shading"]}
    (tmp_path / "recipe.toml").write_text(schema.dump(recipe(lesions, images=images)))
    for teacher in (tmp_path, tmp_path / "later"):
        validate.check(recipe(lesions, images=images, teacher=str(teacher)))


def taught(run, **teacher):
    return recipe("nowhere", teacher={"run": str(run), **teacher}, stages=[stage("s", LABELS, {"method": "kd"})])


def test_a_trained_teacher_must_take_images_of_its_size_and_in_folds_have_no_teacher_of_its_own(tmp_path):
    own = recipe("nowhere", model={"name": "swin_tiny_patch4_window7_224"}, images={"size": 224}, teacher="other")
    (tmp_path / "recipe.toml").write_text(schema.dump(own))
    with pytest.raises(RecipeError, match=r"^teacher\.size: model 'swin_tiny.* takes no images of 64 x 64"):
        validate.check(taught(tmp_path, size=64))
    validate.check(taught(tmp_path, size=224))
    with pytest.raises(RecipeError, match=r"^teacher\.cross_fit: .* has a teacher of its own, other.* labels alone"):
        validate.check(taught(tmp_path, cross_fit=2))


def test_every_setting_of_the_teacher_works_with_mixing_but_folds():
    mixed = {"mixup": 0.2, "cutmix": 1.0}
    settings = {"run": ["a", "b"], "views": 8, "size": 64, "weights": "label"}
    validate.check(recipe("nowhere", train=mixed, teacher=settings, stages=[stage("s", LABELS, {"method": "kd"})]))
