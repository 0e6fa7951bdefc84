"""Distilling any two torch modules with any DataLoader."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dspkd.errors import DataError, RecipeError, RunError, TrainingError
from dspkd.models import zoo
from dspkd.recipes.stage import StageConfig
from dspkd.training.distill import distill
from dspkd.training.progress import NullProgress
from dspkd.types import NetworkSpec
from own_networks import K, N, data, network


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_a_student_learns_from_labels_and_is_evaluated_each_epoch():
    trained = distill(network(0), None, data(), terms=["labels"], epochs=12, lr=1e-2, validation=data(seed=1))
    assert [record["epoch"] for record in trained.history] == list(range(1, 13))
    assert trained.history[-1]["val"]["balanced_accuracy"] > 0.9
    assert trained.history[-1]["train"]["labels"] < trained.history[0]["train"]["labels"]
    assert not trained.student.training


def test_a_student_learns_what_its_teacher_predicts_without_labels():
    teacher = distill(network(1, width=16), None, data(), terms=["labels"], epochs=12, lr=1e-2).student
    wrong = DataLoader(TensorDataset(data().dataset.tensors[0], torch.zeros(N, dtype=torch.int64)), batch_size=12)
    student = distill(network(0), teacher, wrong, terms=["kd"], epochs=15, lr=1e-2).student
    images, labels = data(seed=2).dataset.tensors
    assert (student(images).argmax(1) == labels).float().mean() > 0.9


def test_the_teacher_is_frozen_and_the_student_trained_in_place():
    student, teacher = network(0), network(1, width=16).train()
    before, started = weights(teacher), weights(student)
    trained = distill(student, teacher, data(), terms=[("labels", 0.5), ("mgd", 0.1, {"target": "last"})], epochs=1)
    assert trained.student is student
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not any(value.requires_grad for value in teacher.parameters())
    assert any(not torch.equal(value, started[name]) for name, value in student.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in student.modules())


def test_a_weight_scales_its_term_and_total_is_the_sum():
    losses = [
        distill(network(0), network(1), data(), terms=[("labels", 1.0), ("kd", weight)], epochs=1, lr=1e-12).history[0][
            "train"
        ]
        for weight in (0.25, 0.5)
    ]
    assert losses[1]["kd"] == pytest.approx(2 * losses[0]["kd"], rel=1e-4)
    assert losses[0]["total"] == pytest.approx(losses[0]["labels"] + losses[0]["kd"], rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_networks_of_ours_will_do():
    students = [zoo.make("tiny", classes=K) for _ in range(2)]
    students[1].load_state_dict(students[0].state_dict())
    teacher = zoo.make("tiny_wide", classes=K)
    for student in students:
        distill(student, teacher, data(), terms=["labels", "hierarchical_fusion"], epochs=2, seed=3)
    for name, value in students[0].state_dict().items():
        assert torch.equal(value, students[1].state_dict()[name]), name


class Interrupted(NullProgress):
    def epoch(self, record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt


def test_an_interrupted_call_continues_with_the_same_result(tmp_path):
    whole = distill(network(0), network(1), data(), terms=["labels", "normkd"], epochs=4).student
    terms = {"terms": ["labels", "normkd"], "epochs": 4, "out": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        distill(network(0), network(1), data(), **terms, progress=Interrupted())
    trained = distill(network(0), network(1), data(), **terms)
    assert len(trained.history) == 4
    for name, value in whole.state_dict().items():
        assert torch.equal(value, trained.student.state_dict()[name]), name


@pytest.mark.parametrize("other", [{"clip": 1e-4}, {"teacher": 2}])
def test_another_teacher_or_clip_does_not_give_the_student_of_an_earlier_call(tmp_path, other):
    settings = {"terms": ["normkd"], "epochs": 1, "out": tmp_path}
    distill(network(0), network(1), data(), **settings)
    teacher = network(other.pop("teacher", 1))
    with pytest.raises(RunError, match="but this recipe is"):
        distill(network(0), teacher, data(), **settings, **other)


def test_another_seed_gives_other_initial_layers_of_terms():
    students = []
    for seed in (0, 1):
        distill(student := network(0), network(1, width=16), data(), terms=["labels", "fitnets"], epochs=1, seed=seed)
        students.append(weights(student))
    assert any(not torch.equal(value, students[1][name]) for name, value in students[0].items())


class Constant(nn.Module):
    """Predicts class 0 of every image, whatever it learns."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return torch.tensor([[2.0, 0.0, 0.0]]).expand(len(images), K) + self.value


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur():
    labels = torch.tensor([0] * 9 + [1])
    validation = DataLoader(TensorDataset(torch.rand(10, 3, 32, 32), labels), batch_size=4)
    (record,) = distill(Constant(), None, data(), terms=["labels"], epochs=1, validation=validation).history
    assert record["val"] == pytest.approx({"balanced_accuracy": 0.5, "accuracy": 0.9})


def test_the_average_of_weights_is_validated_and_returned_and_continues(tmp_path):
    call = {"terms": ["labels"], "epochs": 3, "lr": 1e-2, "validation": data(seed=1)}
    plain = distill(network(0), None, data(), **call)
    averaged = distill(network(0), None, data(), **call, ema=0.9)
    assert averaged.history[-1]["train"] == plain.history[-1]["train"]
    assert any(not torch.equal(value, plain.student.state_dict()[n]) for n, value in weights(averaged.student).items())
    with pytest.raises(KeyboardInterrupt):
        distill(network(0), None, data(), **call, ema=0.9, out=tmp_path, progress=Interrupted())
    resumed = distill(network(0), None, data(), **call, ema=0.9, out=tmp_path)
    assert all(
        torch.equal(value, resumed.student.state_dict()[name]) for name, value in weights(averaged.student).items()
    )
    with pytest.raises(RunError, match=r"choose another folder \(--out\)"):
        distill(network(0), None, data(), **call, ema=0.8, out=tmp_path)


def test_other_class_counts_do_not_give_the_student_of_an_earlier_call(tmp_path):
    settings = {"terms": [("labels", 1.0, {"logit_adjustment": 1.0})], "epochs": 1, "out": tmp_path}
    first = distill(network(0), None, data(), **settings, class_counts=(100, 10, 1))
    again = distill(network(0), None, data(), **settings, class_counts=np.array([100, 10, 1]))
    assert first.history == again.history  # with its seconds
    assert torch.equal(first.student.head.weight, again.student.head.weight)
    with pytest.raises(RunError, match="but this recipe is"):
        distill(network(0), None, data(), **settings, class_counts=(1, 10, 100))


def test_without_class_counts_a_call_has_the_digest_of_before_they_counted(tmp_path):
    """Formed here as it was, so that the folders of earlier calls continue."""
    distill(network(0), None, data(), terms=["labels"], epochs=1, out=tmp_path)
    stage = {"name": "distill", "keep": "last", "terms": [{"method": "labels"}], "epochs": 1, "lr": 1e-3, "warmup": 0.0}
    stage = TypeAdapter(StageConfig).validate_json(json.dumps(stage))
    spec = NetworkSpec(K, 8, {"stride4": 8, "stride8": 8, "last": 8})
    (saved,) = tmp_path.rglob("last.pt")
    described = json.dumps([repr(stage), repr(spec), 0, 0.0, 5.0, ""])
    assert torch.load(saved, weights_only=True)["digest"] == hashlib.sha256(described.encode()).hexdigest()[:12]


@pytest.mark.parametrize("counts", [(5, 5), (5, 5, 5, 500)])
@pytest.mark.parametrize("term", ["labels", "ltkd"])
def test_class_counts_of_another_number_of_classes_are_refused(counts, term):
    with pytest.raises(DataError, match=rf"^class_counts: {len(counts)} numbers, .* of 3 classes; give the training"):
        distill(network(0), network(1), data(), terms=[term], epochs=1, class_counts=counts)


def test_a_loader_that_shuffles_leaves_torchs_generator_as_it_was():
    student, loader = network(0), DataLoader(data().dataset, batch_size=4, shuffle=True)
    before = torch.get_rng_state()
    distill(student, None, loader, terms=["labels"], epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_last_step_that_diverges_is_an_error_and_not_a_student(tmp_path):
    one_step = DataLoader(data().dataset, batch_size=N)
    wild = {"terms": [("labels", 1e6)], "epochs": 1, "lr": 1e38, "optimizer": "sgd", "clip": 1e9, "out": tmp_path}
    with pytest.raises(TrainingError, match=r"epoch 1: weights not finite after its last step: .*lower the learning"):
        distill(network(0), None, one_step, **wild, validation=data())
    assert not list(tmp_path.rglob("last.pt"))


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        ({"class_counts": (5, 5)}, DataError),
        ({"terms": ["dsp"]}, RecipeError),
        ({"lr": 1e30, "clip": math.inf}, TrainingError),
    ],
)
def test_a_call_that_ends_in_an_error_leaves_both_networks_as_they_were(refused, error):
    student, teacher = network(0).train(), network(1).train()
    next(iter(teacher.parameters())).requires_grad_(False)
    state = [(value.requires_grad) for value in (*student.parameters(), *teacher.parameters())]
    with pytest.raises(error):
        distill(student, teacher, data(), **{"terms": ["labels", "kd"], "epochs": 3, **refused})
    assert [value.requires_grad for value in (*student.parameters(), *teacher.parameters())] == state
    for module in (*student.modules(), *teacher.modules()):
        assert module.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
