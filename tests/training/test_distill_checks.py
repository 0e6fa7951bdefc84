"""What `distill` refuses: batches, settings and networks that would give a wrong student, or a traceback."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from dspkd.errors import DataError, RecipeError, RunError
from dspkd.training.distill import distill
from dspkd.types import Batch
from own_networks import K, Net, data, network


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.rand(3, 32, 32), 0


def batches(*tensors):
    return DataLoader(TensorDataset(*tensors), batch_size=4)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (DataLoader(Endless(), batch_size=2), r"^loader: has no length"),
        (batches(torch.rand(8, 3, 32, 32)), r"^loader: a batch is float32 \[4, 3, 32, 32\]; want \(images, labels\)"),
        (batches(torch.rand(8, 3, 32, 32), torch.rand(8)), r"^loader: .*, float32 \[4\]; want .*integer \[B\]"),
        (
            batches(torch.zeros(8, 3, 32, 32, dtype=torch.uint8), torch.zeros(8).long()),
            r"^loader: a batch is uint8 \[4, 3, 32, 32\], int64 \[4\]; want .*float \[B, 3, H, W\]",
        ),
    ],
)
def test_batches_of_another_kind_are_refused(loader, message):
    with pytest.raises(DataError, match=message):
        distill(network(0), None, loader, terms=["labels"], epochs=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": []}, r"^terms: none given"),
        ({"terms": ["normdk"]}, "did you mean 'normkd'"),
        ({"terms": [("kd", 1.0, {"heat": 3})]}, r"kd\.heat"),
        ({"terms": [("kd", -1.0)]}, r"terms\.0\.weight"),
        ({"terms": ["labels", "ssd_kd"]}, r"^terms: 'ssd_kd' needs a trained head .*two stages.*self_supervision to 0"),
        ({"terms": [("labels", 1.0, {"effective_beta": 0.9})]}, r"^labels\.effective_beta = 0\.9: .*leave this out"),
        ({"terms": ["kd"], "teacher": None}, r"^terms: 'kd' learns from a teacher"),
        ({"epochs": 0}, r"^epochs: "),
        ({"lr": 0}, r"^lr: "),
        ({"ema": 1.0}, r"^ema: .*0.998.*got 1.0"),
        ({"ema": None}, r"^ema: .*got None"),
        *(({"clip": clip}, r"^clip: a gradient norm above 0.*math.inf") for clip in (0, -1, math.nan, None)),
        ({"terms": "kd"}, r"^terms: 'kd'; want a list"),
        ({"terms": ("kd", 0.5)}, r"^terms: \('kd', 0.5\); want a list"),
        ({"terms": {"kd": 0.5}}, r"^terms: .*want a list"),
        ({"terms": [("kd", 0.5, {}, 3)]}, r"^terms: .*want a list"),
        ({"epochs": Fraction(2)}, r"Fraction.*want a number"),
        ({"device": "gpu"}, r"^device: 'gpu' cannot be used: .*'cpu'"),
        ({"device": "cuda:99"}, r"^device: 'cuda:99' cannot be used: .*'cpu'"),
        ({"optimizer": "adam"}, r"^optimizer: "),
        *(({"seed": seed}, r"^seed: .*want a whole number") for seed in ("1", None, 0.5, True)),
        ({"progress": True}, r"^progress: True; want .*None"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings, message):
    call = {"teacher": network(1), "terms": ["labels"], "epochs": 1, **settings}
    teacher = call.pop("teacher")
    with pytest.raises(RecipeError, match=message):
        distill(network(0), teacher, data(), **call)


def labelled(*labels):
    return batches(torch.rand(len(labels), 3, 32, 32), torch.tensor(labels))


@pytest.mark.parametrize("counts", [K, ["a"] * K, [0.5] * K, [-1] * K, [math.inf] * K, (4, math.nan, 2), [4] * (K + 1)])
def test_class_counts_that_are_no_counts_of_images_are_refused(counts):
    with pytest.raises(DataError, match=r"^class_counts: .*training images of each class"):
        distill(network(0), network(1), data(), terms=["labels"], epochs=1, class_counts=counts)


@pytest.mark.parametrize("place", ["loader", "validation"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_image_that_is_not_finite_is_named(place, value):
    images = torch.rand(8, 3, 32, 32)
    images[6, 0, 3, 3] = value
    loaders = {"loader": data()} | {place: batches(images, torch.zeros(8).long())}
    with pytest.raises(DataError, match=rf"^{place}: image 2 \(from 0\) of batch 2 has values that are not finite"):
        distill(network(0), network(1), **loaders, terms=["labels"], epochs=1)


@pytest.mark.parametrize("label", [K, -1, -100])
@pytest.mark.parametrize("place", ["loader", "validation"])
def test_a_label_of_no_class_is_refused(place, label):
    given = {"loader": data(), place: labelled(0, 1, 2, label)}
    with pytest.raises(DataError, match=rf"^{place}: label {label}, but the student has 3 classes, 0 to 2; number"):
        distill(network(0), None, **given, terms=["labels"], epochs=1)


def test_labels_that_no_term_reads_may_be_any():
    distill(network(0), network(1), labelled(-1, -1, 7, 7), terms=["kd"], epochs=1)
    images, index = torch.rand(4, 3, 32, 32), torch.arange(4)
    partly = [Batch(images, torch.tensor([0, 1, -1, -1]), index, index, labelled=2)]
    distill(network(0), network(1), partly, terms=["labels", "kd"], epochs=1)


def test_a_loader_without_a_batch_and_a_batch_without_an_image_are_refused():
    pair = torch.rand(4, 3, 32, 32), torch.zeros(4).long()
    for made, message in (([], "yields no batch"), ([pair, (pair[0][:0], pair[1][:0])], "batch 2 has no image")):
        with pytest.raises(DataError, match=f"^loader: {message}"):
            distill(network(0), None, made, terms=["labels"], epochs=1)


def test_any_clip_above_0_and_numbers_of_numpy_and_a_list_of_batches_will_do():
    (first, *_) = data()
    for clip in (math.inf, np.float32(2)):
        trained = distill(
            network(0), None, [first, first], terms=[("labels", np.float32(1))], epochs=np.int64(2), clip=clip
        )
        assert len(trained.history) == 2


def test_images_that_are_not_square_are_refused_by_terms_that_rotate_them():
    wide = batches(torch.rand(8, 3, 32, 40), torch.arange(8) % K)
    term = ("ssd_kd", 1.0, {"self_supervision": 0.0, "channels": 0.0})
    with pytest.raises(DataError, match=r"^a term needs images rotated by quarter turns, and these are 32 x 40; crop"):
        distill(network(0), network(1), wide, terms=[term], epochs=1)


def test_a_batch_of_one_image_that_batch_normalisation_cannot_take_is_refused():
    student = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(3), nn.Linear(3, K))
    with pytest.raises(DataError, match=r"^loader: a batch of one image.*drop_last=True"):
        distill(student, None, labelled(0, 1, 2, 0, 1), terms=["labels"], epochs=1)


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_an_out_that_cannot_be_a_folder_is_refused(tmp_path, out):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"^out: .*file.* cannot be a folder.*choose another"):
        distill(network(0), None, data(), terms=["labels"], epochs=1, out=tmp_path / out)


class Masked(Net):
    """A network with a mask that is infinite, and saved with it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), -math.inf).triu(1))


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_mask_that_is_infinite_from_the_start_is_no_divergence(tmp_path, ema):
    call = {"terms": ["labels"], "ema": ema, "out": tmp_path}
    torch.manual_seed(0)
    student = Masked()
    distill(student, None, data(), **call, epochs=2)
    assert torch.equal(student.mask, Masked().mask)


class Uncounted(IterableDataset):
    """Says that it has `said` images and yields `has`."""

    def __init__(self, said, has):
        self.said, self.has = said, has

    def __len__(self):
        return self.said

    def __iter__(self):
        images, labels = data().dataset.tensors
        return iter([(images[row], labels[row]) for row in range(self.has)])


@pytest.mark.parametrize(("said", "has", "came"), [(12, 6, "2"), (6, 12, "more")])
@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
def test_a_loader_that_yields_another_number_of_batches_is_refused(said, has, came):
    with pytest.raises(DataError, match=rf"^loader: has a length of {said // 3} batches and yielded {came};"):
        distill(network(0), None, DataLoader(Uncounted(said, has), batch_size=3), terms=["labels"], epochs=1)


class Counting(nn.Module):
    """A classifier whose state has more than tensors."""

    def __init__(self):
        super().__init__()
        self.network, self.calls = network(0), 0

    def forward(self, images):
        self.calls += 1
        return self.network(images)

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_network_may_have_more_than_tensors_in_its_state(tmp_path, ema):
    with_more = distill(Counting(), Counting(), data(), terms=["labels", "kd"], epochs=2, ema=ema, out=tmp_path)
    without = distill(network(0), network(0), data(), terms=["labels", "kd"], epochs=2, ema=ema)
    for ours, theirs in zip(with_more.student.network.parameters(), without.student.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert with_more.student.calls > 2


def test_a_term_that_needs_other_views_says_how_to_give_them():
    with pytest.raises(DataError, match="this loader does not yield: train by a recipe, or yield dspkd"):
        distill(network(0), network(1), data(), terms=["mlld"], epochs=1)


class Root(Net):
    """A network that overflows for bright images, in evaluation as a network in float16 may."""

    def forward(self, images):
        return super().forward(images) * (100 - images.amax(dim=(1, 2, 3))).sqrt()[:, None]


def test_a_validation_image_without_finite_logits_is_no_image_of_class_0():
    images, labels = data().dataset.tensors
    bad = batches(torch.where(torch.arange(len(images))[:, None, None, None] == 3, 1e3, images), labels)
    with pytest.raises(DataError, match=r"^validation: the student's logits are not finite"):
        distill(Root(), None, data(), terms=["labels"], epochs=1, validation=bad)
