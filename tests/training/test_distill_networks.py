"""What `distill` refuses of its two networks."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dspkd.errors import RecipeError
from dspkd.models import zoo
from dspkd.training.distill import distill
from own_networks import K, Net, data, network


def batches(*tensors):
    return DataLoader(TensorDataset(*tensors), batch_size=4)


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize(
    ("network_of", "message"),
    [(lambda: "tiny", r"zoo\.make\('tiny'"), (lambda: K, "torch module$"), (lambda: 0, "torch module$")],
)
def test_what_is_no_network_is_refused(role, network_of, message):
    networks = {"student": network(0), "teacher": network(1)} | {role: network_of()}
    with pytest.raises(RecipeError, match=rf"^{role}: .*{message}"):
        distill(**networks, loader=data(), terms=["labels"], epochs=1)


def test_images_that_a_network_cannot_read_are_refused_with_their_shape():
    grey = batches(torch.rand(8, 1, 32, 32), torch.zeros(8).long())
    with pytest.raises(RecipeError, match=r"^student: cannot read the loader's images, \[4, 1, 32, 32\]: .*channels"):
        distill(network(0), network(1), grey, terms=["labels"], epochs=1)


def test_a_network_of_one_output_is_refused():
    one = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1))
    with pytest.raises(RecipeError, match=r"^student: has one output.*two where there are two classes"):
        distill(one, None, batches(torch.rand(8, 3, 32, 32), torch.zeros(8).long()), terms=["labels"], epochs=1)


def test_a_student_without_a_trainable_parameter_is_refused():
    frozen = network(0)
    distill(network(1), frozen, data(), terms=["kd"], epochs=1)
    for terms in (["labels"], ["labels", "mgd"]):
        with pytest.raises(RecipeError, match=r"^student: no parameter is trainable.*student\.requires_grad_\(True\)"):
            distill(frozen, network(2), data(), terms=terms, epochs=1)


def test_a_teacher_that_would_freeze_the_student_is_refused_and_one_on_a_shared_frozen_body_is_not():
    student, teacher = network(0), network(1)
    teacher.body = student.body
    for other in (student, teacher):
        with pytest.raises(RecipeError, match=r"^teacher: shares trainable parameters.*copy\.deepcopy"):
            distill(student, other, data(), terms=["labels", "mgd"], epochs=1)
    assert all(value.requires_grad for value in student.parameters())
    student.body.requires_grad_(False)
    head = student.head.weight.clone()
    distill(student, teacher, data(), terms=["labels", "kd"], epochs=1)
    assert not torch.equal(student.head.weight, head)


class Regularised(Net):
    """A network whose body has dropout, too."""

    def __init__(self):
        super().__init__()
        self.body.append(nn.Dropout(0.5))


@pytest.mark.parametrize("terms", [["labels", "kd"], ["labels"]])
def test_a_teacher_on_a_shared_frozen_body_does_not_change(terms):
    student, teacher = Regularised(), Regularised()
    teacher.body = student.body.requires_grad_(False)
    images = data().dataset.tensors[0]
    before, answers = {k: v.clone() for k, v in teacher.state_dict().items()}, teacher.eval()(images)
    distill(student.train(), teacher.train(), data(), terms=terms, epochs=2)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert torch.equal(teacher(images), answers)


@pytest.mark.parametrize("kind", [Net, lambda: zoo.make("tiny", classes=K)])
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_weights_of_another_type_than_the_images_are_refused(role, kind):
    networks = {"student": network(0), "teacher": network(1), role: kind().half()}
    with pytest.raises(RecipeError, match=rf"^{role}: .*float16.*float32.*{role}\.float\(\)"):
        distill(**networks, loader=data(), terms=["kd"], epochs=1)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (nn.Softmax(dim=1), r"returned probabilities, .*want logits: remove the softmax"),
        (nn.Threshold(math.inf, math.nan), r"logits of the first batch are not finite; check the images"),
    ],
)
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_outputs_that_are_no_logits_are_refused(role, last, message):
    """Trained on, probabilities would be softened a second time: a teacher that hardly tells its classes apart."""
    networks = {"student": network(0), "teacher": network(1)}
    networks[role] = nn.Sequential(networks[role], last)
    with pytest.raises(RecipeError, match=rf"^{role}: .*{message}"):
        distill(**networks, loader=data(), terms=["labels", "kd"], epochs=1)
    networks[role] = nn.Sequential(networks[role][0], nn.LogSoftmax(dim=1))
    distill(**networks, loader=data(), terms=["labels", "kd"], epochs=1)
