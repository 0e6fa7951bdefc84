from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.crkd import CRKD
from dspkd.methods.rkd import RKD
from dspkd.methods.ssd_kd import SSDKD
from dspkd.types import NetworkSpec, Output

NONE = {"transfer": 0.0, "self_supervision": 0.0, "relation": 0.0, "channels": 0.0}


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def kl(p, q):
    return (p * np.log(p / q)).sum(axis=-1)


def cosines(head, output):
    """Return those of each rotated image with each upright one, one pair after another."""
    first, _, second = (layer for layer in head)

    def applied(x):
        hidden = np.maximum(first.weight.detach().numpy() @ x + first.bias.detach().numpy(), 0)
        return second.weight.detach().numpy() @ hidden + second.bias.detach().numpy()

    rotated, upright = ([applied(x) for x in o.pooled.detach().numpy()] for o in (output.rotated, output))
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in upright] for a in rotated])


def built(nets, **options):
    torch.manual_seed(3)
    return SSDKD(nets.student, nets.teacher, **options).double()


def test_rotated_images_are_matched_class_by_class(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = built(nets, **{**NONE, "transfer": 2.0, "temperature": 3.0})
    p, q = (softmax(x.rotated.logits.numpy() / 3) for x in (teacher, student))
    assert term(student, teacher, nets.batch()).item() == pytest.approx(2 * 9 * kl(p, q).mean(), rel=1e-10)


@pytest.mark.parametrize("wrong_kept", [0.0, 0.75, 1.0])
def test_similarities_are_matched_where_the_teacher_ranks_well(wrong_kept, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = built(nets, **{**NONE, "self_supervision": 10.0, "wrong_kept": wrong_kept})
    true, got = cosines(term.teacher_head, teacher), cosines(term.student_head, student)
    own = [row % 5 for row in range(15)]
    rank = [sorted(-row).index(-row[column]) for row, column in zip(true, own, strict=True)]
    wrong = sorted((place, row) for row, place in enumerate(rank) if place)
    kept = [row for row, place in enumerate(rank) if not place] + [
        row for _, row in wrong[: int(wrong_kept * len(wrong))]
    ]
    assert 0 < len(wrong) < 15
    want = 10 * 0.25 * np.mean([kl(softmax(true[row] / 0.5), softmax(got[row] / 0.5)) for row in kept])
    assert term(student, teacher, nets.batch()).item() == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize(("name", "method"), [("relation", RKD), ("channels", CRKD)])
def test_relations_are_those_of_all_four_times_as_many_images(name, method, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = built(nets, **{**NONE, name: 3.0})
    other = method(nets.student, nets.teacher).double()
    other.load_state_dict(getattr(term, method.__name__.lower()).state_dict())
    every = [
        Output(torch.cat([o.logits, o.rotated.logits]), torch.cat([o.pooled, o.rotated.pooled]),
               {"last": torch.cat([o.maps["last"], o.rotated.maps["last"]])})
        for o in (student, teacher)
    ]  # fmt: skip
    want = 3 * other(*every, nets.batch())
    torch.testing.assert_close(term(student, teacher, nets.batch()), want)


def test_the_whole_is_the_sum_of_its_parts_with_the_authors_weights(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    weights = {"transfer": 2.7, "self_supervision": 10.0, "relation": 1.0, "channels": 1000.0}
    parts = [built(nets, **{**NONE, name: weight})(student, teacher, nets.batch()) for name, weight in weights.items()]
    torch.testing.assert_close(built(nets)(student, teacher, nets.batch()), sum(parts))


def test_training_the_head_is_classifying_the_own_upright_image(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    leaves = nets.leaves(student) + nets.leaves(teacher)
    term = built(nets, trains="teacher_head")
    rows = softmax(cosines(term.teacher_head, teacher))
    loss = term(student, teacher, nets.batch())
    assert loss.item() == pytest.approx(-np.log([rows[n, n % 5] for n in range(15)]).mean(), rel=1e-10)
    loss.backward()
    assert all(x.grad is None for x in leaves)
    assert all(value.grad.any() for value in term.teacher_head.parameters())
    assert {name for name, value in term.named_parameters() if value.requires_grad} == {
        f"teacher_head.{name}" for name, _ in term.teacher_head.named_parameters()
    }


def test_a_carried_head_is_taken_over_and_stays_fixed(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    nets.leaves(student)
    trained, after = built(nets, trains="teacher_head"), SSDKD(nets.student, nets.teacher).double()
    after.load_state_dict(trained.state_dict())
    after(student, teacher, nets.batch()).backward()
    assert all(value.grad is None and not value.requires_grad for value in after.teacher_head.parameters())
    assert all(value.grad is not None for value in after.student_head.parameters())


def test_rotating_all_pooled_vectors_does_not_change_relations(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = built(nets, **{**NONE, "relation": 1.0})
    turn, _ = torch.linalg.qr(torch.randn(7, 7, dtype=torch.float64))
    moved = replace(
        student, pooled=student.pooled @ turn, rotated=replace(student.rotated, pooled=student.rotated.pooled @ turn)
    )
    torch.testing.assert_close(term(moved, teacher, nets.batch()), term(student, teacher, nets.batch()))


def test_a_network_without_the_last_map_or_of_other_classes_is_refused(nets):
    with pytest.raises(RecipeError, match="the student offers stride8, not last"):
        SSDKD(NetworkSpec(8, 7, {"stride8": 7}), nets.teacher)
    with pytest.raises(
        RecipeError, match="ssd_kd: compares logits class by class, but the student has 8, the teacher 5"
    ):
        SSDKD(nets.student, NetworkSpec(5, 9, nets.teacher.channels))
