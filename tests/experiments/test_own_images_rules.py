"""The rules that choose settings, and what a budget takes away, without training."""

from dataclasses import replace

import pytest

from dspkd.experiments.own_images import cost, facts, rules
from dspkd.experiments.own_images.cost import Cost, Rung
from dspkd.experiments.own_images.facts import DataFacts
from dspkd.experiments.own_images.networks import Network
from dspkd.experiments.own_images.rules import Machine

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
        path="mine", layout="folder", group=None, split={}, classes=dict.fromkeys(classes, (1, 1)), parts=parts,
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

    def choose(rung, epochs, seeds):
        return rules.choose(found(), CPU, STUDENT, rung.teacher, rung.size, epochs, seeds)

    ladder = cost.rungs([LARGE, SMALL], [128, 64])
    settings, _ = cost.fit(ladder, choose, measured, epochs=40, images=images, left=lambda: budget)
    return settings, cost.given_up(choose(ladder[0], 40, rules.SEEDS), settings)


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
    cautions = " ".join(
        [*facts._about_classes(counts, "lesions or patients"), *facts._about_size(counts, "lesions or patients")]
    )
    assert all(text in cautions for text in said), cautions
    assert not any(text in cautions for text in silent), cautions


def test_a_rung_is_a_size_of_the_first_teacher_or_another_teacher_at_the_smallest():
    assert cost.rungs([LARGE, SMALL], [128, 96]) == [Rung(LARGE, 128), Rung(LARGE, 96), Rung(SMALL, 96)]
