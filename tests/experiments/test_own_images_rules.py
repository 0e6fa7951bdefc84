"""The rules that choose settings, and what a budget takes away, without training."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from command import call
from dspkd.cli import own_images
from dspkd.data import Columns
from dspkd.data import split as splits
from dspkd.errors import DataError
from dspkd.experiments.own_images import cautions, cost, facts, recipe_files, rules
from dspkd.experiments.own_images.cost import Candidate, Cost
from dspkd.experiments.own_images.facts import DataFacts
from dspkd.experiments.own_images.networks import Network
from dspkd.experiments.own_images.new import Options
from dspkd.experiments.own_images.rules import Machine
from dspkd.runs import build, void_terms

CPU, GPU = Machine("cpu", "CPU", 2), Machine("cuda", "a GPU", 8)
TAPS = ("stride4", "stride8", "stride16", "stride32", "last")
STUDENT = Network("shufflenet_v2_x1_0", "imagenet", 1_300_000, TAPS)
LARGE = Network("resnet50", "imagenet", 23_500_000, TAPS)
SMALL = Network("resnet18", "imagenet", 11_200_000, TAPS)
SECOND = Cost(teacher=2, plain=1, features=1, logits=1, output=0.001, bytes_of_output=1, decoding=1, validation=0.1)


def found(train=1000, val=200, test=300, side=300, classes=("a", "b")):
    """Return the facts of a data set of so many images a part, in equal classes, each of a lesion of its own."""
    parts = {part: {name: [n // len(classes)] * 2 for name in classes} for part, n in
             (("train", train), ("val", val), ("test", test))}  # fmt: skip
    return DataFacts(
        path="mine", layout="folder", group=None, split={}, official="",
        classes=dict.fromkeys(classes, (1, 1)), parts=parts,
        images=train + val + test, groups=train + val + test, unnamed=0, side=side, copies=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("side", "machine", "sizes"),
    [
        (300, CPU, (128, 96, 64)),
        (300, GPU, (224, 192, 160, 128, 96, 64)),
        (100, GPU, (96, 64)),
        (40, GPU, (64,)),
    ],
)
def test_image_sizes_are_below_the_images_and_the_machines_limit(side, machine, sizes):
    assert rules.sizes(found(side=side), machine) == sizes


@pytest.mark.parametrize(("images", "size"), [(10_000, 32), (256, 32), (255, 16), (127, 8), (20, 8)])
def test_a_batch_leaves_eight_steps_an_epoch_where_it_can(images, size):
    assert rules.batch(images, CPU) == size


def test_epochs_are_those_of_3000_steps_within_bounds_and_twice_as_many_from_random_weights():
    assert rules.epochs(3200, 32, CPU, pretrained=True) == 30
    assert rules.epochs(3200, 32, CPU, pretrained=False) == 60
    assert rules.epochs(100_000, 32, CPU, pretrained=True) == 16
    assert rules.epochs(100, 32, CPU, pretrained=True) == 60


@pytest.mark.parametrize(
    ("size", "taps", "target"),
    [(128, TAPS, "last"), (127, TAPS, "stride16"), (96, TAPS, "stride16"), (96, ("last",), "last")],
)
def test_a_last_map_below_4_by_4_gives_way_to_stride_16_where_both_networks_have_it(size, taps, target):
    teacher = replace(LARGE, taps=taps)
    assert rules.choose(found(), CPU, STUDENT, teacher, size, 20, 1).target == target


def test_the_epoch_is_chosen_on_100_validation_images_or_more():
    assert rules.choose(found(val=100), CPU, STUDENT, LARGE, 96, 20, 1).keep == "best"
    assert rules.choose(found(val=98), CPU, STUDENT, LARGE, 96, 20, 1).keep == "last"


def by_area(settings):
    """Return a cost that grows with the area of an image; `SECOND` at 128 px with the large teacher."""
    area = (settings.size / 128) ** 2
    return SECOND.scaled(area, area * (1 if settings.teacher == LARGE else 0.4))


def fitted(budget, measured=by_area):
    """Return the settings for a budget, and what they give up."""
    images = found().training

    def choose(candidate, epochs, seeds):
        return rules.choose(found(), CPU, STUDENT, candidate.teacher, candidate.size, epochs, seeds)

    candidates = cost.candidates([LARGE, SMALL], [128, 64])
    settings, _ = cost.fit(candidates, choose, measured, epochs=40, images=images, left=lambda: budget)
    return settings, cost.given_up(choose(candidates[0], 40, rules.SEEDS), settings)


def total(settings):
    return sum(cost.steps(settings, SECOND, found().training).values())


def test_without_a_budget_nothing_is_given_up():
    settings, lines = fitted(None)
    assert (settings.size, settings.teacher, settings.epochs, settings.seeds) == (128, LARGE, 40, 3)
    assert lines == ()


def test_a_budget_takes_seeds_first_and_epochs_next():
    everything = total(fitted(None)[0])
    assert fitted(everything + 1)[1] == ()
    settings, lines = fitted(everything - 1)
    assert (settings.seeds, settings.epochs, settings.size) == (1, 40, 128)
    assert "no verdict" in lines[0]
    settings, lines = fitted(total(settings) - 1)
    assert (settings.seeds, settings.size, settings.teacher) == (1, 128, LARGE)
    assert 20 <= settings.epochs < 40
    assert lines[1] == f"epochs: {settings.epochs} of 40"


def test_image_size_goes_before_the_teacher():
    seconds = total(replace(fitted(None)[0], seeds=1, epochs=20))
    settings, lines = fitted(0.7 * seconds)
    assert (settings.size, settings.teacher) == (64, LARGE)
    assert [line.partition(":")[0] for line in lines][-1] == "image size"
    settings, lines = fitted(60)
    assert (settings.size, settings.teacher) == (64, SMALL)
    assert [line.partition(":")[0] for line in lines] == ["seeds", "epochs", "image size", "teacher"]


def test_a_budget_that_cannot_be_kept_leaves_the_cheapest():
    settings, _ = fitted(1)
    assert (settings.size, settings.teacher, settings.epochs, settings.seeds) == (64, SMALL, 2, 1)
    assert settings.stage_epochs == (1, 1)


def test_the_expected_time_is_that_of_every_epoch_output_and_end_of_a_run():
    settings = replace(fitted(None)[0], seeds=2, epochs=10, views=4)
    expected = cost.steps(settings, SECOND, 1000)
    end = cost.OF_A_RUN
    assert expected["teacher"] == pytest.approx(10 * 2 + 1 + end)
    assert expected["plain"] == expected["plain-seed-1"] == pytest.approx(10 * 1 + end)
    assert expected["student"] == pytest.approx(10 * 1 + 4 * 1000 * 0.001 + end)
    assert expected["student-seed-1"] == pytest.approx(10 * 1 + end)
    assert "teacher" not in cost.steps(replace(settings, teacher=replace(LARGE, run="runs/t")), SECOND, 1000)
    used_as_it_is = replace(settings, teacher=replace(LARGE, as_it_is=True))
    assert cost.steps(used_as_it_is, SECOND, 1000)["teacher"] == pytest.approx(1 + end)


def test_outputs_that_would_fill_the_disk_are_not_cached():
    full = fitted(None, lambda _: replace(SECOND, bytes_of_output=1e6))[0]
    assert full.views == 0
    assert fitted(None, lambda _: replace(SECOND, bytes_of_output=1e5))[0].views == 16


@pytest.mark.parametrize(
    ("parts", "said", "silent"),
    [
        ({"train": 60, "val": 20, "test": 40}, ["uncertain by up to 15"], ["no image of"]),
        ({"train": 600, "val": 20, "test": 0}, ["The test set has no image of a, b"], []),
        ({"train": 40, "val": 200, "test": 4000}, ["Fewer than 30 training images (a 20, b 20)"], ["uncertain"]),
        ({"train": 600, "val": 200, "test": 18}, ["Fewer than 10 test lesions or patients (a 9, b 9)"], []),
    ],
)
def test_cautions_name_classes_that_are_few_or_absent_and_a_small_test_set(parts, said, silent):
    counts = found(**{name: max(count, 0) for name, count in parts.items()}).parts
    tested, unit = {name: groups for name, (_, groups) in counts["test"].items()}, "lesions or patients"
    found_out = " ".join([*cautions.about_classes(counts, tested, unit), *cautions.about_size(tested, unit)])
    assert all(text in found_out for text in said), found_out
    assert not any(text in found_out for text in silent), found_out


def test_a_candidate_is_a_size_of_the_first_teacher_or_another_teacher_at_the_smallest():
    assert cost.candidates([LARGE, SMALL], [128, 96]) == [
        Candidate(LARGE, 128),
        Candidate(LARGE, 96),
        Candidate(SMALL, 96),
    ]


@pytest.fixture
def patients(tmp_path):
    """Return a folder with a folder for each of twenty patients, and a table of findings."""
    noise = np.random.default_rng(0)
    rows = ["image,finding,outcome"]
    for n in range(20):
        (tmp_path / f"P{n + 100}").mkdir()
        Image.fromarray(noise.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / f"P{n + 100}/{n}.png")
        rows.append(f"{n}.png,{'mel' if n % 2 else 'nv'},{'good' if n // 2 % 2 else 'bad'}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_folders_of_patients_are_no_classes_and_the_column_of_classes_can_be_named(patients, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    with pytest.raises(DataError, match=r"'finding', 'outcome' could all be the classes; choose one"):
        facts.look(patients, out, split_file=None, progress=None)
    named = facts.look(patients, out, columns=Columns(label="finding"), split_file=None, progress=None)
    assert (named.layout, list(named.classes), named.label) == ("csv", ["mel", "nv"], "finding")
    settings = rules.choose(named, CPU, STUDENT, SMALL, 64, 2, 1, ())
    for recipe in recipe_files.recipes(named, settings, out).values():
        assert (recipe.data.layout, recipe.data.columns.label) == ("csv", "finding")


@pytest.fixture(scope="module")
def crossing(tmp_path_factory):
    """Return a table whose official parts share all patients: each has an image in training and one in the test."""
    path, noise = tmp_path_factory.mktemp("crossing"), np.random.default_rng(1)
    rows = ["image,label,patient,split"]
    for n in range(80):
        Image.fromarray(noise.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path / f"{n}.png")
        rows.append(f"{n}.png,{'mel' if n // 2 % 2 else 'nv'},p{n // 2},{('train', 'test')[n % 2]}")
    (path / "t.csv").write_text("\n".join(rows) + "\n")
    return path


def test_official_parts_that_share_patients_are_refused_with_the_option_that_splits_anew(crossing, tmp_path):
    _, message = call("new", crossing, "--out", tmp_path / "out", code=2)
    assert "40 lesions or patients in more than one part" in message
    assert "--resplit" in message


def test_resplit_splits_by_patient_and_the_recipes_say_so(crossing, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    anew = facts.look(crossing, out, resplit=True)
    assert (anew.official, anew.split) == ("", {"official": False})
    assert any("the published parts" in note and "not used" in note for note in anew.notes)
    settings = rules.choose(anew, CPU, STUDENT, SMALL, 64, 2, 1, ())
    assert "--resplit" in recipe_files.texts(anew, settings, out)["plain"]
    recipe = recipe_files.recipes(anew, settings, out)["plain"]
    dataset = build.load_data(recipe)
    assert recipe.split.official is False
    assert splits.crossing(dataset.table, dataset.split) == []


def test_the_command_that_goes_on_keeps_every_option():
    options = Options("mine", "tiny", "tiny_wide", 120.0, "patient", "label", resplit=True)
    command = own_images._command(SimpleNamespace(options=options), Path("out"))
    assert command == (
        "dspkd distill mine --out out --student tiny --teacher tiny_wide --group patient --label label --resplit "
        "--budget 2m"
    )


def test_small_parts_of_images_without_ids_are_not_called_lesions():
    mixed = cautions.about_size({"a": 30, "b": 30}, "images")
    assert "has 60 images:" in mixed[0]


@pytest.mark.parametrize(("classes", "method"), [(("benign", "malignant"), "kd"), (("a", "b", "c"), "normkd")])
def test_the_second_stage_teaches_two_classes_by_kd_and_says_why(classes, method, tmp_path):
    named = found(classes=classes)
    settings = rules.choose(named, CPU, STUDENT, SMALL, 64, 2, 1, ())
    student = recipe_files.recipes(named, settings, tmp_path)["student"]
    assert student.stages[1].terms[1].method == method
    void_terms.refuse(student, len(classes))
    says = "always +-0.71" in recipe_files.texts(named, settings, tmp_path)["student"]
    warns = "NormKD" in " ".join(rules.cautions(settings, settings, side=64, classes=len(classes)))
    assert says == warns == (method == "kd")
