import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from dspkd import data
from dspkd.data import Dataset, SplitOptions
from dspkd.data.transforms import Augmentation, CentreCrop
from dspkd.errors import DataError, RunError
from dspkd.methods import Term
from dspkd.recipes import schema
from dspkd.runs import build, hardware
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.types import Batch
from tiny_runs import LABELS, recipe, stage, trained

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finished(lesions, tmp_path_factory):
    """The folder of a finished run."""
    wide = recipe(lesions, model={"name": "tiny_wide"}, train={"batch_size": 64})
    return trained(wide, tmp_path_factory.mktemp("runs") / "teacher")


@pytest.fixture(scope="module")
def images(lesions):
    return data.load_table(lesions)


@pytest.fixture(scope="module")
def parts(lesions, images):
    return Dataset.of(images).split


@pytest.fixture(scope="module")
def teacher(finished, images, parts):
    return build.teacher([str(finished)], images, parts, CPU)


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(8, (6,), generator=draw)
    return Batch(torch.rand(6, 3, 32, 32, generator=draw), labels, torch.arange(6), torch.zeros(6, dtype=torch.int64))


def test_image_settings_of_the_recipe_reach_both_transforms():
    images = recipe("nowhere", images={"size": 32, "erasing": 0.25, "artefacts": ["shading", "dark_corner"]}).images
    assert build.augmentation(images) == Augmentation(size=32, erasing=0.25, artefacts=("shading", "dark_corner"))
    assert build.centre_crop(images) == CentreCrop(size=32, artefacts=("shading", "dark_corner"))


def test_a_split_follows_its_options_or_is_read_from_a_file(images, parts, tmp_path):
    other = Dataset.of(images, SplitOptions(seed=7, val=0.3, test=0.1)).split
    assert len(other.rows("val")) > 1.5 * len(other.places("test"))
    assert other.digest != parts.digest
    other.save(tmp_path / "split.csv", images)
    assert Dataset.of(images, SplitOptions(file=str(tmp_path / "split.csv"))).split.digest == other.digest
    by_image = Dataset.of(images, SplitOptions(by="image", waiver="a test")).split
    groups = [{images.groups[row] for row in by_image.places(part)} for part in ("train", "test")]
    assert groups[0] & groups[1]


def class_map(folder, text):
    (folder / "map.toml").write_text(text)
    return str(folder / "map.toml")


BINARY = '[classes]\nother = ["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]\nmelanoma = ["MEL"]\n'


def test_classes_are_those_of_the_class_map(lesions, images, tmp_path):
    mapped = data.load_table(lesions, classes=class_map(tmp_path, BINARY))
    assert mapped.classes == ("other", "melanoma")
    assert mapped.ids == images.ids
    assert mapped.labels.tolist() == (images.labels == images.classes.index("MEL")).tolist()


def test_a_teacher_of_unmapped_classes_is_refused_with_data_classes_as_the_remedy(lesions, finished, tmp_path):
    mapped = data.load_table(lesions, classes=class_map(tmp_path, BINARY))
    with pytest.raises(DataError, match=r"MEL, .* other, melanoma; data\.classes ="):
        build.teacher([str(finished)], mapped, Dataset.of(mapped).split, CPU)


def test_a_split_column_is_kept_under_a_class_map(lesions, images, parts, tmp_path):
    rows = [f"{path},{images.classes[label]},{part}" for path, label, part in zip(
        images.paths, images.labels, parts.parts, strict=True)]  # fmt: skip
    (tmp_path / "images.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    drop = 'drop = ["NV"]\n' + BINARY.replace('"NV", ', "")
    mapped = data.load_table(tmp_path / "images.csv", classes=class_map(tmp_path, drop))
    kept = images.labels != images.classes.index("NV")
    assert Dataset.of(mapped, SplitOptions(column="split")).split.parts.tolist() == parts.parts[kept].tolist()


def test_every_setting_of_images_reaches_the_augmentation():
    images = schema.ImagesConfig(
        size=40, min_area=0.7, rotation=5.0, flips=False, randaugment=schema.RandAugmentConfig(num_ops=1, magnitude=3)
    )
    augmentation = build.augmentation(images)
    for name in ("size", "min_area", "rotation", "flips"):
        assert getattr(augmentation, name) == getattr(images, name), name
    assert (augmentation.num_ops, augmentation.magnitude) == (1, 3)


def test_initial_weights_of_the_student_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = build.student(schema.ModelConfig(name="tiny"), 8, seed=3).state_dict()
    torch.manual_seed(2)
    torch.rand(5)
    again = build.student(schema.ModelConfig(name="tiny"), 8, seed=3).state_dict()
    other = build.student(schema.ModelConfig(name="tiny"), 8, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["network.fc.weight"], other["network.fc.weight"])


def test_trained_returns_the_network_recipe_and_classes_of_a_run(finished, images):
    made_by = Run(finished)
    network, of_run, classes = made_by.model, made_by.recipe, made_by.classes
    saved = load_file(finished / "model.safetensors")
    assert {name: value.shape for name, value in network.library_state().items()} == {
        name: value.shape for name, value in saved.items()
    }
    assert all(torch.equal(value, saved[name]) for name, value in network.library_state().items())
    assert (of_run.model.name, classes) == ("tiny_wide", images.classes)


def test_an_unfinished_run_is_refused_with_the_command_that_trains_it(finished, images, parts, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    for use in (lambda folder: Run(folder).model, lambda folder: build.teacher([str(folder)], images, parts, CPU)):
        with pytest.raises(RunError, match=r"run: no finished run .*dspkd train RECIPE --out .*run$"):
            use(tmp_path / "run")


def test_a_teacher_is_frozen_and_predicts_as_the_network_of_its_run(finished, teacher, batch):
    network = Run(finished).model
    torch.testing.assert_close(teacher.answer(batch).logits, network(batch.images).logits)
    assert not any(value.requires_grad for value in teacher.network.parameters())
    assert teacher.spec == replace(network.spec, class_prior=teacher.spec.class_prior)


def test_no_runs_give_no_teacher_and_each_member_of_an_ensemble_is_checked(finished, images, parts, tmp_path):
    assert build.teacher([], images, parts, CPU) is None
    both = build.teacher([str(finished), str(finished)], images, parts, CPU)
    assert both.name == "tiny_wide + tiny_wide"
    shutil.copytree(finished, tmp_path / "leaky")
    split = (finished / "split.csv").read_text()
    with RunFiles(tmp_path / "leaky").manifest.recording(tmp_path / "leaky" / "split.csv"):
        (tmp_path / "leaky" / "split.csv").write_text(split.replace(",test\n", ",train\n"))
    with pytest.raises(DataError, match=r"teacher .*leaky: .*lesions.*split\.file"):
        build.teacher([str(finished), str(tmp_path / "leaky")], images, parts, CPU)


def test_a_teacher_with_another_order_of_classes_is_refused(finished, images, parts):
    reversed_classes = replace(images, classes=images.classes[::-1])
    with pytest.raises(DataError, match=r"teacher .*MEL, .*, SCC; .*SCC, .*, MEL"):
        build.teacher([str(finished)], reversed_classes, parts, CPU)


def test_a_teacher_trained_on_lesions_of_its_students_validation_or_test_set_is_refused(finished, images, parts):
    other = Dataset.of(images, SplitOptions(seed=5)).split
    seen = {images.groups[row] for row in parts.rows("train")}
    leaked = seen & {images.groups[row] for part in ("val", "test") for row in other.places(part)}
    with pytest.raises(DataError, match=rf"{len(leaked)} lesions.*split\.file"):
        build.teacher([str(finished)], images, other, CPU)


def test_a_teacher_that_saw_the_same_images_under_other_ids_of_lesions_is_refused(finished, images, parts):
    """Its run was grouped by lesions, and the student's by patients: no group has the same name."""
    patients = replace(images, groups=tuple(f"patient of {group}" for group in images.groups))
    assert build.teacher([str(finished)], patients, parts, CPU)
    row = int(parts.rows("train")[0])
    whole = [number for number, group in enumerate(images.groups) if group == images.groups[row]]
    moved = parts.parts.copy()
    moved[whole] = "test"
    with pytest.raises(DataError, match=rf"1 lesion or patient .* {patients.groups[row]};"):
        build.teacher([str(finished)], patients, replace(parts, parts=moved), CPU)


def test_under_a_waiver_a_teacher_may_share_crossing_lesions_but_no_image_of_the_test_set(
    finished, images, parts, tmp_path
):
    """An image of a lesion of the training set moves to the test set: a leaking split, allowed to a teacher too."""
    groups = [images.groups[row] for row in parts.rows("train")]
    lesion = next(group for group in groups if groups.count(group) > 1)
    first = images.groups.index(lesion)
    moved = parts.parts.copy()
    moved[first] = "test"
    leaking = replace(parts, parts=moved)
    with pytest.raises(DataError, match=rf"1 lesion or patient .* {lesion};"):
        build.teacher([str(finished)], images, leaking, CPU)
    same = tmp_path / "same"
    shutil.copytree(finished, same)
    with RunFiles(same).manifest.recording(same / "split.csv"):
        leaking.save(same / "split.csv", images)
    assert build.teacher([str(same)], images, leaking, CPU)
    other = next(row for row in parts.rows("train") if images.groups[row] != lesion)
    whole = [row for row, group in enumerate(images.groups) if group == images.groups[other]]
    moved[whole] = "test"
    with pytest.raises(DataError, match=rf"1 lesion or patient .* {images.groups[other]};"):
        build.teacher([str(same)], images, leaking, CPU)


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_a_teacher_trained_on_one_held_out_lesion_is_refused(finished, images, parts, held_out):
    moved = parts.parts.copy()
    lesion = images.groups[parts.rows("train")[0]]
    moved[[group == lesion for group in images.groups]] = held_out
    with pytest.raises(DataError, match=rf"1 lesion or patient .* {lesion};"):
        build.teacher([str(finished)], images, replace(parts, parts=moved), CPU)


def distiller_of(teacher, *terms, name="s", seed=0, counts=(), balance=0.0):
    student = build.student(schema.ModelConfig(name="tiny"), 8, seed=0)
    (only,) = recipe("nowhere", stages=[stage(name, *terms)]).stages
    return build.distiller(only, student, teacher, counts, seed=seed, balance=balance)


def test_a_repeated_method_is_numbered_and_has_its_own_weight_options_and_layers(teacher, batch):
    small, large = {"target": "stride16", "hidden": 4}, {"target": "last", "hidden": 8}
    terms = [
        LABELS, {"method": "mgd", "weight": 0.5, "options": small}, {"method": "kd", "weight": 2},
        {"method": "mgd", "weight": 0.25, "options": large}, {"method": "mgd", "options": small},
    ]  # fmt: skip
    distiller = distiller_of(teacher, *terms)
    assert dict(distiller.weights) == {"labels": 1, "mgd": 0.5, "kd": 2, "mgd#2": 0.25, "mgd#3": 1}
    assert [distiller.terms[name].target for name in ("mgd", "mgd#2", "mgd#3")] == ["stride16", "last", "stride16"]
    losses = distiller(batch)
    assert list(losses) == ["total", "labels", "mgd", "kd", "mgd#2", "mgd#3"]


def test_layers_of_a_numbered_method_are_saved_and_restored(teacher, tmp_path):
    mgd = {"method": "mgd", "options": {"hidden": 4}}
    torch.save(distiller_of(teacher, mgd, mgd).state_dict(), tmp_path / "last.pt")
    other = distiller_of(teacher, mgd, mgd, seed=1)
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    numbered = [name for name in saved if name.startswith("terms.mgd#2.") and name.endswith("weight")]
    assert numbered
    assert not any(torch.equal(other.state_dict()[name], saved[name]) for name in numbered)
    other.load_state_dict(saved)
    assert all(torch.equal(value, saved[name]) for name, value in other.state_dict().items())


def test_initial_layers_of_terms_depend_on_the_seed_and_the_stages_name_alone(teacher):
    mgd = {"method": "mgd", "options": {"hidden": 4}}

    def layers(**changes):
        torch.rand(1)
        return torch.nn.utils.parameters_to_vector(distiller_of(teacher, mgd, **changes).terms.parameters())

    assert torch.equal(layers(), layers())
    assert not torch.equal(layers(), layers(seed=1))
    assert not torch.equal(layers(), layers(name="other"))


def test_terms_receive_network_specs_and_images_per_class(teacher, monkeypatch):
    received = {}

    class Recording(Term):
        def __init__(self, student, teacher, **options):
            super().__init__(student, teacher)
            received.update(student=student, teacher=teacher, options=options)

    monkeypatch.setattr(build.methods, "find", lambda name: Recording)
    kd = {"method": "kd", "options": {"temperature": 3}}
    distiller_of(teacher, kd, counts=(64, 4, 4, 4, 1, 1, 1, 1), balance=0.5)
    assert received["student"].class_counts == (64, 4, 4, 4, 1, 1, 1, 1)
    assert received["student"].class_draws == (36, 9, 9, 9, 5, 4, 4, 4)  # of 80, as 8, 2, 2, 2, 1, 1, 1, 1 of 18
    distiller_of(teacher, kd, counts=(5, 4, 3, 2, 1, 1, 1, 9))
    assert received["student"].class_counts == received["student"].class_draws == (5, 4, 3, 2, 1, 1, 1, 9)
    assert (received["student"].pooled, received["teacher"].pooled) == (96, 192)
    assert received["options"] == {"temperature": 3}


def test_a_placed_network_is_channels_last_and_predicts_the_same(batch):
    network = build.student(schema.ModelConfig(name="tiny"), 8, seed=0).eval()
    before = network(batch.images).logits
    placed = hardware.placed(network, torch.device("cpu"))
    assert placed.network.stage1[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(placed(batch.images).logits, before)
