"""Methods of a user that derive from one of ours, or read labels beside a teacher."""

import pytest
import torch

from dspkd import methods
from dspkd.errors import RecipeError
from dspkd.methods import Positive, Term
from dspkd.methods._declaration import of_class
from dspkd.methods.kd import KD
from dspkd.training.distiller import LocalStep
from dspkd.types import Batch


class SharperKD(KD):
    def __init__(self, student, teacher, *, gamma: Positive = 1.0):
        super().__init__(student, teacher, temperature=2.0 * gamma)


class Twice(SharperKD):
    def __init__(self, student, teacher, *, temperature: str = "hot"):
        super().__init__(student, teacher, gamma={"hot": 2.0}[temperature])


def test_a_method_may_derive_from_one_of_ours_and_pass_its_options(nets):
    student, teacher = nets.pair()
    loss = SharperKD(nets.student, nets.teacher, gamma=1.5)(student, teacher, nets.batch())
    assert torch.equal(loss, KD(nets.student, nets.teacher, temperature=3.0)(student, teacher, nets.batch()))
    assert list(of_class(SharperKD).options) == ["gamma"]
    assert Twice(nets.student, nets.teacher).temperature == 4.0  # whose option of this name is a string


def test_options_that_it_passes_are_checked(nets):
    with pytest.raises(RecipeError, match=r"\.temperature: should be greater than 0, got -2\.0"):
        SharperKD(nets.student, nets.teacher, gamma=-1.0)


@pytest.mark.parametrize(("reads_labels", "images"), [(None, 5), (True, 3), (False, 5)])
def test_a_term_that_reads_labels_beside_a_teacher_gets_labelled_images_alone(reads_labels, images, nets):
    seen = []

    class Counting(Term):
        def forward(self, student, teacher, batch):
            seen.append((len(batch), len(teacher.logits)))
            return student.logits.sum()

    Counting.reads_labels = reads_labels
    term = Counting(nets.student, nets.teacher)
    rows = torch.arange(5)
    batch = Batch(torch.zeros(5, 3, 8, 8), torch.tensor([0, 1, 2, -1, -1]), rows, 0 * rows, labelled=3)
    LocalStep().loss(term, *nets.pair(), batch)
    assert seen == [(images, images)]
    assert term.labelled_only == of_class(Counting).labelled_only == (images == 3)


def test_methods_of_ours_follow_the_rule():
    assert methods.declaration("labels").labelled_only
    assert methods.declaration("dkd").labelled_only
    assert not methods.declaration("kd").labelled_only
