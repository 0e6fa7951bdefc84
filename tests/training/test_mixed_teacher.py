"""Mixed images beside a teacher that has outputs for the single images only."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.data.mixup import Mixing
from dspkd.methods import find
from dspkd.models import zoo
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.means import weights_by_label
from dspkd.types import Batch, NetworkSpec, Output

SPEC = NetworkSpec(4, 6, {"last": 5})


class ByRow:
    """A teacher whose output for (row, view) is a function of these alone."""

    name, spec, by_row = "by row", SPEC, True

    def answer(self, batch):
        outputs = [self.of(*key) for key in zip(batch.index.tolist(), batch.views.tolist(), strict=True)]
        logits, pooled, last = (torch.stack(parts) for parts in zip(*outputs, strict=True))
        return Output(logits, pooled, {"last": last})

    def of(self, row, view):
        draw = torch.Generator().manual_seed(1000 * row + view % 997)
        return tuple(3 * torch.randn(shape, generator=draw) for shape in ((4,), (6,), (5, 1, 1)))


def batch_of(size=6):
    draw = torch.Generator().manual_seed(0)
    rows = torch.arange(size)
    images = torch.rand(size, 3, 32, 32, generator=draw)
    return Batch(images, rows % 4, rows + 10, rows + 3, torch.rand(size, 3, 32, 32, generator=draw))


@pytest.fixture
def mixed():
    return next(b for b in (Mixing(mixup=1.0)(batch_of(), seed=s) for s in range(9)) if 0.2 < b.own_share[0] < 0.8)


def distiller_of(*parts, teacher=None):
    torch.manual_seed(0)
    student = zoo.make("tiny", classes=4)
    terms = [(name, 1.0, find(name)(student.spec, SPEC, **options)) for name, options in parts]
    return Distiller(student, teacher or ByRow(), terms).train()


def gradients(distiller, batch):
    distiller.zero_grad()
    torch.manual_seed(7)
    loss = distiller(batch)["total"]
    loss.backward()
    named = {name: value.grad.clone() for name, value in distiller.student.named_parameters() if value.grad is not None}
    return loss.item(), named


def test_second_images_are_found_by_their_own_row_and_view(mixed):
    assert mixed.other_index.tolist() == [15, 10, 11, 12, 13, 14]
    assert mixed.other_views.tolist() == [8, 3, 4, 5, 6, 7]
    second = mixed.of_second_images()
    assert (second.index.tolist(), second.views.tolist()) == ([15, 10, 11, 12, 13, 14], [8, 3, 4, 5, 6, 7])
    derived = mixed.with_derived(rotated=True, strong_aug=True)
    keys = set(zip(derived.index.tolist(), derived.views.tolist(), strict=True))
    others = set(zip(derived.other_index.tolist(), derived.other_views.tolist(), strict=True))
    assert keys == others
    assert len(derived) == 30
    rotated = derived.of_second_images().rows(6, 12)
    assert rotated.index.tolist() == mixed.other_index.tolist()
    assert rotated.views.tolist() == [-(5 * view + 1) for view in mixed.other_views.tolist()]


def test_derived_views_keep_both_labels_and_their_shares(mixed):
    """A teacher that is weighted by the label weighs the views of an image as it weighs the image."""
    derived = mixed.with_derived(rotated=True, strong_aug=True)
    logits_MBK = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1))
    one = weights_by_label(logits_MBK, mixed)
    assert not torch.allclose(one, weights_by_label(logits_MBK, batch_of()))
    torch.testing.assert_close(weights_by_label(logits_MBK.repeat(1, 5, 1), derived), one.repeat(1, 5))
    plain = batch_of().with_derived(rotated=True, strong_aug=True)
    assert (plain.other_labels, plain.own_share) == (None, None)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kd_teaches_the_mean_of_the_softened_probabilities(mixed, temperature):
    """KL to the mixed targets, in NumPy, differs by a number that the student does not change: gradients are equal."""
    distiller = distiller_of(("kd", {"temperature": temperature}))
    _, measured = gradients(distiller, mixed)
    teacher, share, T = ByRow(), mixed.own_share[0].item(), temperature

    def softened(rows, views):
        logits = np.stack([teacher.of(*key)[0].double().numpy() for key in zip(rows, views, strict=True)]) / T
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    target = share * softened(mixed.index.tolist(), mixed.views.tolist())
    target += (1 - share) * softened(mixed.other_index.tolist(), mixed.other_views.tolist())
    distiller.zero_grad()
    log_p = (distiller.student(mixed.images).logits.double() / T).log_softmax(dim=1)
    (-(T**2) * (torch.from_numpy(target) * log_p).sum(dim=1).mean()).backward()
    for name, value in distiller.student.named_parameters():
        if value.grad is not None:
            torch.testing.assert_close(measured[name], value.grad, rtol=1e-4, atol=1e-6)


def test_a_squared_error_teaches_the_mixed_map(mixed):
    distiller = distiller_of(("mgd", {}))
    _, measured = gradients(distiller, mixed)

    class Mixed(ByRow):
        by_row = False

        def answer(self, batch):
            first, second = super().answer(batch), super().answer(batch.of_second_images())
            share = batch.own_share[0]
            maps = {tap: share * x + (1 - share) * second.maps[tap] for tap, x in first.maps.items()}
            return replace(first, maps=maps)

    _, expected = gradients(distiller_of(("mgd", {}), teacher=Mixed()), mixed)
    for name, value in measured.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["kd", "normkd", "dist", "rkd", "ssd_kd", "fitnets"])
def test_a_share_of_one_is_training_without_mixing(method):
    batch = batch_of()
    one = torch.ones(6)
    mixed = replace(
        batch, other_labels=batch.labels.roll(1), own_share=one, other_index=batch.index.roll(1),
        other_views=batch.views.roll(1),
    )  # fmt: skip
    (loss, plain), (of_one, same) = (gradients(distiller_of((method, {})), each) for each in (batch, mixed))
    assert of_one == pytest.approx(loss, rel=1e-6)
    for name, value in plain.items():
        torch.testing.assert_close(same[name], value, rtol=1e-5, atol=1e-8)


def test_both_losses_draw_the_same_random_numbers(mixed):
    distiller = distiller_of(("mgd", {}))
    after = []
    for batch in (batch_of(), mixed):
        torch.manual_seed(3)
        distiller(batch)
        after.append(torch.rand(2))
    assert torch.equal(*after)


def test_a_teacher_that_sees_the_mixture_has_one_output_for_it(mixed):
    computed = []

    class Live(ByRow):
        by_row = False

        def answer(self, batch):
            computed.append(batch.images)
            return super().answer(batch)

    distiller_of(("kd", {}), ("rkd", {}), teacher=Live())(mixed)
    (images,) = computed
    assert torch.equal(images, mixed.images)


def test_labels_are_weighted_once(mixed):
    """`labels` weights its two labels itself."""
    distiller = distiller_of(("labels", {}), ("kd", {}))
    alone = distiller_of(("labels", {}))
    torch.manual_seed(1)
    both = distiller(mixed)["labels"]
    torch.manual_seed(1)
    torch.testing.assert_close(both, alone(mixed)["labels"])


def test_kd_has_the_gradient_of_the_published_mixture(shared):
    golden = np.load(shared / "golden" / "losses2.npz")
    student = torch.tensor(golden["student_logits"], requires_grad=True)
    teacher = torch.tensor(golden["teacher_logits"])
    spec = NetworkSpec(8, 1, {})
    kd = find("kd")(spec, spec, temperature=2.0)
    output, share, empty = Output(student, student), torch.full((6,), 0.3, dtype=torch.float64), torch.empty(0)
    batch = Batch(empty, torch.arange(6), torch.arange(6), torch.arange(6), own_share=share)
    distiller = Distiller(torch.nn.Identity(), None, [("kd", 1.0, kd)])
    second = Output(teacher.roll(1, 0), student)
    distiller._mixed_loss(kd, output, Output(teacher, student), second, batch).backward()
    expected = torch.tensor(golden["mixed_targets_lam0.3_T2.0__grad"])
    torch.testing.assert_close(student.grad, expected, rtol=1e-12, atol=1e-14)
