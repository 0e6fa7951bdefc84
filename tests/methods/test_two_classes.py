"""Terms of which nothing, or only a part, is left where there are two classes."""

from dataclasses import replace

import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods import find

WHOLE = [
    ("normkd", {}, r"always \+-0\.71; use kd"),
    ("logit_standardisation", {}, r"always \+-0\.71; use kd"),
    ("dist", {"intra": 0.0}, "set intra above 0"),
    ("dkd", {"alpha": 0.0}, "set alpha above 0"),
    ("ltkd", {"cross": 0.0}, "set cross above 0"),
]
PARTS = [("dist", "inter"), ("dkd", "beta"), ("ltkd", "within")]


def specs(nets, classes):
    counts = (40, 8, 20)[:classes]
    return replace(nets.student, classes=classes, class_counts=counts), replace(nets.teacher, classes=classes)


@pytest.mark.parametrize(("name", "options", "remedy"), WHOLE)
def test_a_term_that_teaches_nothing_about_two_classes_is_refused(name, options, remedy, nets):
    with pytest.raises(RecipeError, match=rf"^{name}: teaches nothing about 2 classes: .*{remedy}"):
        find(name)(*specs(nets, 2), **options)
    find(name)(*specs(nets, 3), **options)


@pytest.mark.parametrize(("name", "option"), PARTS)
def test_the_part_that_is_void_with_two_classes_has_no_gradient_and_is_documented(name, option, nets):
    shapes = specs(nets, 2)
    gradients = []
    for value in (0.0, 3.0):
        student, teacher = (nets.answer(spec, seed=seed, dtype=torch.float64) for seed, spec in enumerate(shapes))
        s_BK = student.logits.requires_grad_()
        batch = replace(nets.batch(), labels=nets.batch().labels % 2)
        find(name)(*shapes, **{option: value})(student, teacher, batch).backward()
        gradients.append(s_BK.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-6)
    assert "two classes" in " ".join(find(name).__doc__.split())
