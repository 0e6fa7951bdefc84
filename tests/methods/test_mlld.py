from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.mlld import MLLD
from dspkd.types import NetworkSpec


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def by_hand(s, t, labels, weight, temperature):
    B, K = s.logits.shape
    p = softmax(t.logits.numpy())
    sure, often = p.max(axis=1), p.sum(axis=0)
    unsure_images = [b for b in range(B) if sure[b] <= np.median(sure)]
    rare_classes = [k for k in range(K) if often[k] <= np.median(often)]
    total = -weight * np.log(softmax(s.strong_aug.logits.numpy())[np.arange(B), labels]).mean()
    views = [(s, t, unsure_images, rare_classes), (s.strong_aug, t.strong_aug, range(B), range(K))]
    for T in [temperature, 2, 3, 5, 6]:
        for student, teacher, images, classes in views:
            p, q = (softmax(x.logits.numpy() / T) for x in (student, teacher))
            for b in images:
                total += T**2 * sum(q[b, k] * np.log(q[b, k] / p[b, k]) for k in range(K)) / B
                total += sum((q[b] @ q[a] - p[b] @ p[a]) ** 2 for a in range(B)) / B
            for k in classes:
                total += sum((q[:, k] @ q[:, j] - p[:, k] @ p[:, j]) ** 2 for j in range(K)) / K
    return total


@pytest.mark.parametrize("batch", [1, 4, 5])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_it_is_the_formula(batch, temperature, weight, nets):
    student, teacher = nets.pair(batch, dtype=torch.float64)
    term = MLLD(nets.student, nets.teacher, labels=weight, temperature=temperature)
    want = by_hand(student, teacher, nets.batch(batch).labels.numpy(), weight, temperature)
    assert term(student, teacher, nets.batch(batch)).item() == pytest.approx(want, rel=1e-10)


def test_a_student_that_agrees_on_both_views_has_nothing_to_learn(nets):
    teacher = nets.answer(nets.teacher, dtype=torch.float64)
    same = replace(
        teacher, logits=teacher.logits + 1, strong_aug=replace(teacher.strong_aug, logits=teacher.strong_aug.logits - 2)
    )
    leaves = nets.leaves(same)
    term = MLLD(nets.teacher, nets.teacher, labels=0.0)
    loss = term(same, teacher, nets.batch())
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert all(x.grad.abs().max() < 1e-12 for x in leaves if x.grad is not None)


def test_the_order_of_images_does_not_matter(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    order = torch.tensor([3, 1, 4, 0, 2])

    def mixed(output):
        return replace(
            output,
            logits=output.logits[order],
            strong_aug=replace(output.strong_aug, logits=output.strong_aug.logits[order]),
        )

    term, batch = MLLD(nets.student, nets.teacher), nets.batch()
    again = replace(batch, labels=batch.labels[order])
    torch.testing.assert_close(term(mixed(student), mixed(teacher), again), term(student, teacher, batch))


def test_other_classes_are_refused(nets):
    with pytest.raises(RecipeError, match="mlld: compares logits class by class, but the student has 8, the teacher 5"):
        MLLD(nets.student, NetworkSpec(5, 9, {}))
