from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dspkd.errors import RecipeError
from dspkd.methods.eml import EML
from dspkd.types import NetworkSpec


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def kl(p, q):
    return (p * np.log(p / q)).sum(axis=1).mean()


def unit_rows(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_hand(term, s, t, labels, temperature, weights):
    p_s, p_t = (softmax(x.logits.numpy() / temperature) for x in (s, t))
    e_s, e_t = (
        unit_rows(x.pooled.numpy() @ layer.weight.detach().numpy().T)
        for x, layer in ((s, term.embed_student), (t, term.embed_teacher))
    )
    G_s, G_t = unit_rows(e_s @ e_s.T), unit_rows(e_t @ e_t.T)
    B = len(labels)
    parts = (
        temperature**2 * (kl(p_t, p_s) + kl(p_s, p_t)),
        np.mean([np.linalg.norm(a - b) ** 2 for a, b in zip(e_s, e_t, strict=True)]),
        np.linalg.norm(G_s - G_t) ** 2 / B**2,
    )
    hard = -np.log(softmax(t.logits.numpy())[np.arange(B), labels]).mean()
    return hard + sum(w * part for w, part in zip(weights, parts, strict=True))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 10.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_it_is_the_formula(temperature, weights, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    options = dict(zip(("logits", "embedding", "relation"), weights, strict=True))
    term = EML(nets.student, nets.teacher, temperature=temperature, width=6, **options).double()
    batch = nets.batch()
    want = by_hand(term, student, teacher, batch.labels.numpy(), temperature, weights)
    assert term(student, teacher, batch).item() == pytest.approx(want, rel=1e-10)


def one_sided(learner, other, e_learner, e_other, labels, temperature, weights):
    """The objective of one network, with the other held fixed."""
    logits, embedding, relation = weights
    soft = F.kl_div(
        (learner.logits / temperature).log_softmax(1), (other.logits.detach() / temperature).softmax(1),
        reduction="batchmean",
    )  # fmt: skip
    G = F.normalize(e_learner @ e_learner.T, dim=1), F.normalize(e_other @ e_other.T, dim=1).detach()
    near = (e_learner - e_other.detach()).square().sum() / len(labels)
    return logits * temperature**2 * soft + embedding * near + relation * (G[0] - G[1]).square().mean()


def test_each_network_gets_the_gradient_of_its_own_objective_with_the_other_held_fixed(nets):
    weights = {"logits": 2.0, "embedding": 3.0, "relation": 5.0}
    student, teacher = nets.pair(dtype=torch.float64)
    term = EML(nets.student, nets.teacher, width=6, **weights).double()
    batch = nets.batch()
    leaves = [x.requires_grad_() for o in (student, teacher) for x in (o.logits, o.pooled)]
    leaves += list(term.parameters())
    got = torch.autograd.grad(term(student, teacher, batch), leaves)
    e_s = F.normalize(student.pooled @ term.embed_student.weight.T, dim=1)
    e_t = F.normalize(teacher.pooled @ term.embed_teacher.weight.T, dim=1)
    numbers = (batch.labels, 3.0, tuple(weights.values()))
    of_student = one_sided(student, teacher, e_s, e_t, *numbers)
    of_teacher = one_sided(teacher, student, e_t, e_s, *numbers) + F.cross_entropy(teacher.logits, batch.labels)
    want = torch.autograd.grad(of_student + of_teacher, leaves)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def test_the_scale_of_either_networks_vectors_does_not_matter(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = EML(nets.student, nets.teacher).double()
    scaled = replace(student, pooled=5 * student.pooled), replace(teacher, pooled=0.1 * teacher.pooled)
    torch.testing.assert_close(term(*scaled, nets.batch()), term(student, teacher, nets.batch()))


def test_other_classes_are_refused(nets):
    with pytest.raises(RecipeError, match="eml: compares logits class by class, but the student has 8, the teacher 5"):
        EML(nets.student, NetworkSpec(5, 9, {}))
