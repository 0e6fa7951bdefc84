"""A folder gives its student to the call that it is of, and to no other."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from dspkd.errors import RunError
from dspkd.training.distill import distill
from dspkd.training.progress import NullProgress
from own_networks import K, N, Net, data, network

LABELS = {"terms": ["labels"], "epochs": 2}


class Interrupted(NullProgress):
    """Ends a call in its second epoch."""

    def step(self, stage, epoch, step, steps):
        if (epoch, step) == (2, 2):
            raise KeyboardInterrupt


def of_images(change):
    images, labels = data().dataset.tensors
    return DataLoader(TensorDataset(*change(images, labels)), batch_size=12)


OTHERS = {
    "other pixels": of_images(lambda images, labels: (images * 0.9, labels)),
    "other labels": of_images(lambda images, labels: (images, labels.flip(0))),
    "fewer images": of_images(lambda images, labels: (images[:-1], labels[:-1])),
    "another fold": DataLoader(Subset(data().dataset, [*range(36), *range(12)]), batch_size=12),
    "another batch size": DataLoader(data().dataset, batch_size=6),
    "a list": [(images, labels + 0) for images, labels in data(seed=1)],
}


@pytest.mark.parametrize("loader", OTHERS.values(), ids=OTHERS)
def test_other_images_do_not_give_the_student_of_an_earlier_call(tmp_path, loader):
    first = data() if not isinstance(loader, list) else list(data())
    distill(network(0), None, first, **LABELS, out=tmp_path)
    with pytest.raises(RunError, match=r"holds a call with other images, loader: .*choose another out"):
        distill(network(0), None, loader, **LABELS, out=tmp_path)


def test_other_validation_images_do_not_give_the_scores_of_an_earlier_call(tmp_path):
    distill(network(0), None, data(), **LABELS, validation=data(seed=1), out=tmp_path)
    with pytest.raises(RunError, match=r"other images, validation: pixels .*choose another out"):
        distill(network(0), None, data(), **LABELS, validation=data(seed=2), out=tmp_path)
    with pytest.raises(RunError, match=r"holds a call with validation; choose another out"):
        distill(network(0), None, data(), **LABELS, out=tmp_path)


@pytest.mark.parametrize("finished", [True, False])
def test_a_student_with_other_initial_weights_is_refused_with_the_way_to_continue(tmp_path, finished):
    first = network(0)
    if finished:
        distill(first, None, data(), **LABELS, out=tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            distill(first, None, data(), **LABELS, out=tmp_path, progress=Interrupted())
    other = network(5)
    with pytest.raises(RunError, match=r"other weights; choose another out.*load_state_dict\(torch\.load\('.*initial"):
        distill(other, None, data(), **LABELS, out=tmp_path)
    other.load_state_dict(torch.load(tmp_path / "initial.pt"))
    for student in (first, other):
        trained = distill(student, None, data(), **LABELS, out=tmp_path)
        assert torch.equal(trained.student.head.weight, distill(network(0), None, data(), **LABELS).student.head.weight)


class Wider(Net):
    """A network with the maps and classes of `Net`, and other layers."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, K))


@pytest.mark.parametrize("recorded", [True, False])
def test_another_architecture_is_refused(tmp_path, recorded):
    distill(network(0), None, data(), **LABELS, out=tmp_path)
    if not recorded:
        (tmp_path / "call.json").unlink()
    with pytest.raises(RunError, match=r"another architecture|other layers"):
        distill(Wider(), None, data(), **LABELS, out=tmp_path)


def test_a_checkpoint_without_a_record_continues_and_a_record_without_a_checkpoint_binds_nobody(tmp_path):
    trained = distill(network(0), None, data(), **LABELS, out=tmp_path)
    (tmp_path / "call.json").unlink()
    assert distill(network(0), None, data(), **LABELS, out=tmp_path).history == trained.history
    distill(network(0), None, data(), **LABELS, out=tmp_path / "begun")
    (tmp_path / "begun" / "last.pt").unlink()
    distill(network(5), None, data(seed=2), **LABELS, out=tmp_path / "begun")


class Augmented(Dataset):
    """Images with noise of one generator or another."""

    def __init__(self, noise):
        self.images, self.noise = data().dataset, noise

    def __len__(self):
        return N

    def __getitem__(self, place):
        image, label = self.images[place]
        return image + self.noise(), label


def of_its_own():
    return torch.rand((), generator=torch.Generator().manual_seed(random.SystemRandom().getrandbits(32)))


@pytest.mark.parametrize("noise", [lambda: torch.rand(()), random.random, np.random.rand, of_its_own])
@pytest.mark.parametrize("workers", [0, 1])
def test_random_augmentation_is_no_other_data_set(tmp_path, noise, workers):
    loader = DataLoader(Augmented(noise), batch_size=12, num_workers=workers)
    call = {"terms": ["labels"], "epochs": 1, "out": tmp_path}
    assert distill(network(0), None, loader, **call).history == distill(network(0), None, loader, **call).history


def test_comparing_images_leaves_the_global_generators_as_they_were(tmp_path):
    draws = []
    for out in (None, tmp_path):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        distill(network(0), None, data(), **LABELS, out=out)
        draws.append((random.random(), np.random.rand(), torch.rand(()).item()))  # noqa: NPY002
    assert draws[0] == draws[1]


def test_students_made_one_after_another_begin_with_other_weights(tmp_path):
    torch.manual_seed(0)
    heads = []
    for number in range(3):
        student = Net()
        heads.append(student.head.weight.detach().clone())
        distill(student, None, data(shuffle=True), **LABELS, out=tmp_path / "out" if number == 2 else None)
    assert not any(torch.equal(heads[number], heads[number - 1]) for number in range(3))


class Nested(NullProgress):
    """Calls `distill` within the first step of another call, as another process might."""

    def __init__(self, out):
        self.out, self.errors = out, []

    def step(self, *_):
        with pytest.raises(RunError) as error:
            distill(network(0), None, data(), **LABELS, clip=1.0, out=self.out)
        self.errors.append(str(error.value))


def test_a_folder_in_use_is_refused(tmp_path):
    progress = Nested(tmp_path)
    distill(network(0), None, data(), terms=["labels"], epochs=1, out=tmp_path, progress=progress)
    assert "is training there; wait for it" in progress.errors[0]
    assert len(distill(network(0), None, data(), terms=["labels"], epochs=1, out=tmp_path).history) == 1
