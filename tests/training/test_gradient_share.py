"""Weights that keep a term's share of the gradient: the schedule by hand, and in a distiller."""

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods import find
from dspkd.models import zoo
from dspkd.recipes import schema
from dspkd.recipes.stage import RampConfig
from dspkd.runs import hardware
from dspkd.runtime.distributed import SINGLE
from dspkd.training.distiller import Distiller
from dspkd.training.gradient_share import EVERY, MEMORY, STEEPEST, GradientShares, gradient_norm
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch

NAMES = ("labels", "mgd", "kd")


def sloped(slopes, values, theta):
    """Return losses with these gradients ``[3]`` by theta, and these values."""
    losses = {}
    for name, slope, value in zip(NAMES, slopes, values, strict=True):
        along = (torch.tensor(slope) * theta).sum()
        losses[name] = along - along.detach() + value
    return losses


def by_hand(shares, slopes_SN, values_SN):
    """Return the weights before each step, from the formulas alone."""
    s = np.array([shares.get(name, 0.0) for name in NAMES])
    has = s > 0
    average = weights = None
    history = []
    for step, (norms, values) in enumerate(zip(slopes_SN, values_SN, strict=True)):
        if weights is None:
            weights = np.where(has, s * values[~has].sum() / (1 - s.sum()) / values, 1.0)
        if step % 10 == 0:
            average = norms if average is None else 0.9 * average + 0.1 * norms
            aim = s * average[~has].sum() / (1 - s.sum()) / average
            weights = np.where(has, np.clip(aim, weights / 1.2, weights * 1.2), 1.0)
        history.append(weights)
    return np.array(history)


@pytest.mark.parametrize("shares", [{"mgd": 0.4}, {"mgd": 0.3, "kd": 0.2}])
def test_weights_follow_the_formula_step_by_step(shares):
    assert (EVERY, MEMORY, STEEPEST) == (10, 0.9, 1.2)
    rng = np.random.default_rng(0)
    slopes_SND = rng.normal(size=(80, 3, 3)) * [[1.0], [0.02], [7.0]]
    values_SN = rng.uniform(0.5, 1.5, size=(80, 3)) * [2.0, 30.0, 1.0]
    theta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    kept, history = GradientShares(shares), []
    for slopes, values in zip(slopes_SND, values_SN, strict=True):
        kept.update(sloped(slopes, values, theta), [theta])
        history.append([kept.weights.get(name, 1.0) for name in NAMES])
    norms_SN = np.linalg.norm(slopes_SND, axis=2)
    np.testing.assert_allclose(history, by_hand(shares, norms_SN, values_SN), rtol=1e-5)  # norms are float32


def test_a_generator_that_has_learned_nothing_does_not_get_a_huge_weight_and_then_keeps_its_share():
    """Measured on a new generator: 0.035 beside 36 of the labels, which would give a weight near 700."""
    kept = GradientShares({"mgd": 0.4})
    theta = torch.zeros(3, requires_grad=True)
    for step in range(1500):
        mgd = 0.035 * min(1.02**step, 100.0)  # learns within some 230 steps
        losses = sloped([[36.0, 0, 0], [0, mgd, 0], [0, 0, 0]], [2.0, 400.0, 0.0], theta)
        kept.update({name: losses[name] for name in ("labels", "mgd")}, [theta])
        if step == 0:
            assert kept.weights["mgd"] <= 1.2 * (2 / 3) * 2 / 400
        assert kept.weights["mgd"] < 2 * (2 / 3) * 36 / 3.5
    assert kept.measured()["mgd"] == pytest.approx(0.4, rel=1e-3)
    assert kept.weights["mgd"] == pytest.approx((2 / 3) * 36 / 3.5, rel=1e-3)


@pytest.mark.parametrize("shape", ["linear", "sigmoid"])
def test_beside_labels_that_rise_from_0_a_weight_starts_as_beside_labels_that_do_not(batch, shape):
    ramps = {"labels": RampConfig(epochs=2, shape=shape).share}
    rising, plain = a_distiller(shares={"mgd": 0.4}, ramps=ramps), a_distiller(shares={"mgd": 0.4})
    for distiller in (rising, plain):
        torch.manual_seed(1)
        distiller(batch, 0.0)
    started = plain.shares.weights["mgd"]
    assert not 1 / 3 < started < 3  # so that 1, the weight of old, would not do
    # Each was measured once, and moved by no more than STEEPEST.
    assert started / STEEPEST**2 <= rising.shares.weights["mgd"] <= started * STEEPEST**2


def test_a_term_without_a_gradient_keeps_its_weight():
    kept = GradientShares({"mgd": 0.5})
    theta = torch.zeros(3, requires_grad=True)
    losses = {"labels": 2 * theta.sum() + 3, "mgd": torch.tensor(6.0, requires_grad=True) * 1}
    for _ in range(11):
        kept.update(losses, [theta])
    assert kept.weights == {"mgd": 0.5}
    assert kept.measured() == {"mgd": 0.0}


def test_the_norm_is_over_all_parameters_that_a_loss_reaches():
    a, b, c = (torch.ones(2, requires_grad=True) for _ in range(3))
    assert gradient_norm((3 * a).sum() + (4 * b).sum(), [a, b, c]) == pytest.approx(np.sqrt(2 * 9 + 2 * 16))
    assert a.grad is None


def a_distiller(**settings):
    torch.manual_seed(0)
    student, teacher = zoo.make("tiny", classes=4), zoo.make("tiny_wide", classes=4)
    frozen = FrozenTeacher(teacher, teacher.spec)
    parts = [(name, 1.0, find(name)(student.spec, teacher.spec)) for name in ("labels", "mgd")]
    return Distiller(student, frozen, parts, **settings)


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (6,), generator=draw)
    return Batch(torch.rand(6, 3, 32, 32, generator=draw), labels, torch.arange(6), torch.zeros_like(labels))


def test_the_distiller_weights_its_part_and_the_total(batch):
    shared, plain = a_distiller(shares={"mgd": 0.4}), a_distiller()
    torch.manual_seed(1)
    losses = shared(batch)
    torch.manual_seed(1)
    unweighted = plain(batch)
    weight = shared.shares.weights["mgd"]
    assert weight != 1
    torch.testing.assert_close(losses["mgd"], weight * unweighted["mgd"])
    assert torch.equal(losses["labels"], unweighted["labels"])
    torch.testing.assert_close(losses["total"], losses["labels"] + losses["mgd"])
    parameters = list(shared.student.parameters())
    norms = [gradient_norm(losses[name], parameters) for name in ("labels", "mgd")]
    assert shared.shares.measured()["mgd"] == pytest.approx(norms[1] / sum(norms), rel=1e-4)


def test_measuring_leaves_no_gradient_and_evaluation_measures_nothing(batch):
    distiller = a_distiller(shares={"mgd": 0.4})
    distiller.eval()(batch)
    with torch.no_grad():
        distiller.train()(batch)
    assert distiller.shares.steps == 0
    distiller(batch)
    assert distiller.shares.steps == 1
    assert all(value.grad is None for value in distiller.parameters())


def test_the_state_is_saved_and_only_where_a_term_has_a_share(batch):
    assert {name.split(".")[0] for name in a_distiller().state_dict()} == {"student", "terms"}
    distiller, other = a_distiller(shares={"mgd": 0.4}), a_distiller(shares={"mgd": 0.4})
    for _ in range(3):
        distiller(batch)
    other.load_state_dict(distiller.state_dict())
    assert other.shares.get_extra_state() == distiller.shares.get_extra_state()
    assert other.shares.steps == 3


def test_several_processes_and_compiled_networks_are_refused():
    terms = [{"method": "labels"}, {"method": "mgd", "share": 0.4}]
    settings = {
        "name": "r", "data": {"path": "d"}, "model": {"name": "tiny"}, "teacher": "t",
        "stages": [{"name": "s", "epochs": 1, "lr": 1e-3, "terms": terms}],
    }  # fmt: skip
    cpu = torch.device("cpu")
    shared = schema.parse(settings)
    assert hardware.step_config(shared, cpu, compiled=False, world=SINGLE).world.size == 1
    two = type("World", (), {"size": 2, "rank": 0})()
    with pytest.raises(RecipeError, match=r"^stages\.0\.terms\.1\.share = 0\.4: not with 2 processes.* one process"):
        hardware.step_config(shared, cpu, compiled=False, world=two)
    with pytest.raises(RecipeError, match=r"share = 0\.4: not with machine\.compile = true"):
        hardware.step_config(shared, cpu, compiled=True)
