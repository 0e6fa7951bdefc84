from dataclasses import replace

import pytest
import torch

from dspkd import methods
from dspkd.training.teachers.fields_read import fields_read
from dspkd.types import Batch, NetworkSpec, Output

SPEC = NetworkSpec(4, 6, {"stride8": 3, "stride16": 4, "stride32": 5, "last": 5}, class_counts=(5, 5, 5, 5))


def output(B):
    maps = {tap: torch.rand(B, c, 4, 4) for tap, c in SPEC.channels.items()}
    return Output(torch.rand(B, 4), torch.rand(B, 6), maps)


def read_by(*names, **options):
    return read_by_terms(*[methods.find(name)(SPEC, SPEC, **options) for name in names])


def read_by_terms(*terms):
    zeros = torch.zeros(2, dtype=torch.int64)
    batch = Batch(torch.rand(2, 3, 8, 8), zeros, torch.arange(2), zeros)
    answers = [
        Output(o.logits, o.pooled, o.maps, rotated=output(6), strong_aug=output(2)) for o in (output(2), output(2))
    ]
    return fields_read(terms, *answers, batch)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("labels", set()),
        ("kd", {"logits"}),
        ("mlld", {"logits"}),
        ("mgd", {"last"}),
        ("hierarchical_fusion", {"last"}),
        ("rkd", {"pooled"}),
        ("ssd_kd", {"logits", "pooled", "last"}),
    ],
)
def test_the_fields_that_a_method_reads_are_found(method, fields):
    assert read_by(method) == fields


def test_several_methods_read_what_each_reads():
    assert read_by("kd", "mgd", "labels") == {"logits", "last"}


def test_another_tap_is_another_field():
    assert read_by("fitnets", tap="stride16") == {"stride16"}


class Own(methods.Term):
    def __init__(self, loss):
        super().__init__(SPEC, SPEC)
        self.loss = loss

    def forward(self, student, teacher, batch):
        return self.loss(teacher)


def test_what_a_term_reads_of_the_first_images_is_found():
    assert read_by_terms(Own(lambda teacher: teacher.first_images(1).maps["stride8"].sum())) == {"stride8"}
    assert read_by_terms(Own(lambda teacher: teacher.first_images(2).rotated.logits.sum())) == {"logits"}


def test_a_term_that_does_something_else_is_named():
    with pytest.raises(TypeError) as caught:
        read_by_terms(Own(lambda teacher: replace(teacher, logits=teacher.logits)))
    assert "test_fields_read: while it was found out which parts" in caught.value.__notes__[0]


def test_recording_draws_no_random_numbers():
    torch.manual_seed(3)
    before = torch.rand(3)
    torch.manual_seed(3)
    terms = [methods.find("mgd")(SPEC, SPEC)]
    torch.manual_seed(3)
    zeros = torch.zeros(2, dtype=torch.int64)
    fields_read(terms, output_after(), output_after(), Batch(torch.empty(2, 3, 8, 8), zeros, zeros, zeros))
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), before)


def output_after():
    state = torch.get_rng_state()
    nested = output(2)
    torch.set_rng_state(state)
    return nested
