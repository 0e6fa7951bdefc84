"""Pairs of a teacher and a student: any network of timm can teach, transformers included."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from dspkd import methods
from dspkd.errors import RecipeError
from dspkd.models import zoo
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch


@cache
def network_of(name, classes=8):
    torch.manual_seed(0)
    return zoo.make(name, classes=classes)


def batch(side, images=3):
    random = torch.Generator().manual_seed(0)
    row = torch.arange(images)
    return Batch(torch.rand(images, 3, side, side, generator=random), row, row, torch.zeros_like(row))


def taught(teacher, method, side, **options):
    """Distil one batch; return the loss and the gradients of its first layer and of the teacher."""
    student, teacher = network_of("shufflenet_v2_x1_0").train(), network_of(teacher).eval()
    for parameter in (*student.parameters(), *teacher.parameters()):
        parameter.grad = None
    torch.manual_seed(1)
    term = methods.find(method)(student.spec, teacher.spec, **options)
    images = batch(side)
    loss = term(student(images.images), teacher(images.images), images)
    loss.backward()
    return loss, student.network.conv1[0].weight.grad, [p.grad for p in teacher.parameters() if p.grad is not None]


NEEDY = [name for name in methods.names() if methods.find(name).needs_teacher]


@pytest.mark.parametrize("method", NEEDY)
@pytest.mark.parametrize("teacher", ["vit_tiny_patch16_224", "convnext_atto"])
def test_every_method_learns_from_another_architecture_or_names_the_reason(method, teacher):
    network = network_of(teacher)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    student, taught = network_of("shufflenet_v2_x1_0").train(), FrozenTeacher(network, network.spec)
    torch.manual_seed(1)
    if (method, teacher) == ("at", "vit_tiny_patch16_224"):
        with pytest.raises(RecipeError, match=r"at\.levels = 'last3': the teacher offers stride16, last, not stride8"):
            methods.find(method)(student.spec, network.spec)
        return
    spec = replace(student.spec, class_counts=tuple(range(1, 1 + student.spec.classes)))
    distiller = Distiller(student, taught, [(method, 1.0, methods.find(method)(spec, network.spec))])
    student.zero_grad()
    images = batch(64)
    loss = distiller(replace(images, strong_aug=1 - images.images))["total"]
    loss.backward()
    grad = student.network.conv1[0].weight.grad
    assert 0 < loss.item() < float("inf")
    assert grad.isfinite().all()
    assert grad.any()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("method", "side"), [*((m, 64) for m in ("kd", "normkd", "rkd", "sp", "mgd")), ("mgd", 96)])
def test_a_vision_transformer_teaches(method, side):
    loss, grad, of_teacher = taught("vit_tiny_patch16_224", method, side)
    assert 0 < loss.item() < float("inf")
    assert grad.isfinite().all()
    assert grad.any()
    assert of_teacher == []


@pytest.mark.parametrize("method", ["mgd", "hierarchical_fusion"])
def test_a_convnext_teaches(method):
    options = {"gate": 0.1} if method == "hierarchical_fusion" else {}
    loss, grad, of_teacher = taught("convnext_atto", method, 64, **options)
    assert 0 < loss.item() < float("inf")
    assert grad.isfinite().all()
    assert grad.any()
    assert of_teacher == []


def test_the_papers_convnext_and_student_fit_together():
    with torch.device("meta"):
        student, teacher = (zoo.make(name, classes=8) for name in ("shufflenet_v2_x1_0", "convnext_base"))
        images = batch(224).to(torch.device("meta"))
        with torch.no_grad():
            output = teacher.eval()(images.images)
        for method in ("mgd", "hierarchical_fusion"):
            term = methods.find(method)(student.spec, teacher.spec)
            student.zero_grad()
            term(student(images.images), output, images).backward()
            assert {p.shape for p in term.generation.parameters() if p.ndim == 4} == {(1024, 1024, 3, 3)}
            assert all(p.grad is not None for p in term.parameters())
            assert student.network.conv1[0].weight.grad.shape == (24, 3, 3, 3)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_patch16_224", "eva02_tiny_patch14_224"])
def test_a_vision_transformer_takes_other_sizes_in_whole_patches(name):
    with torch.device("meta"):
        tapped = zoo.make(name, classes=8).eval()
        patch = tapped.network.patch_embed.patch_size[0]
        maps = tapped(torch.empty(2, 3, 5 * patch, 7 * patch)).maps
        assert {tap: m.shape[2:] for tap, m in maps.items()} == dict.fromkeys(maps, (5, 7))
        with pytest.raises(RecipeError, match=rf"'{name}' takes no images of 100 x 100 px: .*\({patch}\)\. It was"):
            tapped(torch.empty(2, 3, 100, 100))


def test_a_network_of_one_size_names_it():
    with torch.device("meta"):
        tapped = zoo.make("swin_tiny_patch4_window7_224", classes=8)
        with pytest.raises(RecipeError, match=r"no images of 64 x 64 px: .*224 px: set images\.size = 224"):
            tapped(torch.empty(2, 3, 64, 64))


def test_batch_normalisation_refuses_to_train_on_one_value():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network_of("shufflenet_v2_x1_0").train()(batch(32, images=1).images)
