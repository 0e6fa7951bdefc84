"""The moving average of a student's weights: by hand in float64, in a stage, after a resume, and on several ranks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dspkd.methods import find
from dspkd.models import zoo
from dspkd.runtime.distributed import SINGLE
from dspkd.training import loop
from dspkd.training.average import WeightAverage
from dspkd.training.ddp import shared
from dspkd.training.distiller import Distiller
from dspkd.types import Batch
from tiny_stages import CPU, Killed, Killer, Recorder, fit, mutual, stage
from together import together

GOLDEN = [1.00840517, 1.46256125, 2.87798549, 3.95930665, 4.98581664, 4.17156302, 4.85637342, 5.84848976]
"""The average by TensorFlow's rule, decay 0.999, of `VALUES` from 0.75."""
VALUES = [1.03711685, 1.56348482, 3.34979357, 4.43989382, 5.55609997, 3.62872728, 5.38900374, 6.73037095]


class Weight(nn.Module):
    """One number, a statistic of it and a count."""

    def __init__(self, value=0.0, dtype=torch.float64):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=dtype))
        self.register_buffer("mean", torch.tensor(value, dtype=dtype))
        self.register_buffer("count", torch.tensor(0))

    def become(self, value):
        with torch.no_grad():
            self.value.fill_(value)
            self.mean.fill_(-value)
            self.count += 1


def averages(values, decay, start=0.0, dtype=torch.float64):
    """Return parameter, statistic and count of the average after each of the `values`, and the decay of each step."""
    network = Weight(start, dtype)
    average = WeightAverage(network, decay)
    rows = []
    for value in values:
        network.become(value)
        average.update()
        rows.append([*(each.item() for each in average.state.values()), average.decay])
    return np.array(rows)


def test_the_average_is_that_of_the_published_rule():
    e_value, e_mean, count, decay = averages(VALUES, 0.999, start=0.75).T
    np.testing.assert_allclose(e_value, GOLDEN, atol=1e-8)  # the vectors have eight decimals
    assert decay == pytest.approx([(1 + t) / (10 + t) for t in range(8)])
    np.testing.assert_allclose(e_mean, [1.5 * np.prod(decay[: t + 1]) - e_value[t] for t in range(8)], atol=1e-8)
    assert count.tolist() == list(range(1, 9))


@pytest.mark.parametrize("limit", [0.05, 0.3, 0.998])
def test_the_average_is_the_weighted_sum_of_all_states(limit):
    """Unrolled: state t weighs 1 - d_t, times the decays of all steps after it; in NumPy and float64."""
    w = np.random.default_rng(0).normal(size=30)
    d = np.minimum(limit, (1 + np.arange(30)) / (10 + np.arange(30)))
    weights = [(1 - d[t]) * np.prod(d[t + 1 :]) for t in range(30)]
    row = averages(w, limit, start=2.0)[-1]
    assert row[0] == pytest.approx(2.0 * np.prod(d) + np.dot(weights, w), abs=1e-12)
    assert row[3] == d[-1]


def test_what_does_not_change_keeps_its_bits_and_small_types_are_averaged_in_float32():
    assert set(averages([0.1] * 50, 0.998, start=0.1)[:, 0]) == {0.1}
    network = Weight(1.0, torch.bfloat16)
    average = WeightAverage(network, 0.9)
    network.become(1.5)
    average.update()
    assert average.state["value"].dtype == torch.float32
    assert average.state["value"].item() == pytest.approx(1.0 + 0.9 * 0.5)
    with average.applied():
        assert network.value.item() == pytest.approx(1.45, abs=2**-8)


def test_the_network_has_the_average_for_a_while_and_then_its_own_weights_again():
    network = Weight(1.0)
    parameter = network.value
    average = WeightAverage(network, 0.5)
    network.become(2.0)
    average.update()
    with average.applied():
        assert network.value.item() == pytest.approx(1.9)
    assert (network.value.item(), network.mean.item(), network.count.item()) == (2.0, -2.0, 1)
    assert network.value is parameter
    assert average.state["value"].item() == pytest.approx(1.9)


def test_without_a_decay_nothing_is_stored():
    average = WeightAverage(Weight(1.0), 0.0)
    average.update()
    with average.applied():
        pass
    assert average.state == {}


def test_an_update_does_not_wait_for_the_device():
    """A read of a value would raise an error on the meta device."""
    network = zoo.make("tiny", classes=4)
    average = WeightAverage(network, 0.9)
    network.to("meta")
    average.state = {name: value.to("meta") for name, value in average.state.items()}
    average.update()


def spied(monkeypatch):
    """Return a list that gets the student's state after each optimiser step."""
    states = []
    update = WeightAverage.update

    def spy(self):
        states.append({name: value.clone() for name, value in self._network.state_dict().items()})
        update(self)

    monkeypatch.setattr(WeightAverage, "update", spy)
    return states


def by_hand(states, decay):
    """Return the average of these states, the first of which is before step 0."""
    e = {name: value.double() for name, value in states[0].items()}
    for t, state in enumerate(states[1:]):
        d = min(decay, (1 + t) / (10 + t))
        e = {name: d * e[name] + (1 - d) * value.double() for name, value in state.items()}
    return e


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_average_is_scored_kept_and_left_and_training_is_unchanged(tmp_path, monkeypatch, keep):
    plain = spied(monkeypatch)
    torch.manual_seed(0)
    started = zoo.make("tiny", classes=4).state_dict()
    fit(tmp_path / "plain", the_stage=stage(keep=keep))
    states = spied(monkeypatch)
    recorder = Recorder()
    student, progress, scored = fit(tmp_path / "ema", the_stage=stage(keep=keep), recorder=recorder, ema=0.3)
    assert len(states) == 8
    for here, there in zip(states, plain, strict=False):
        assert all(torch.equal(value, there[name]) for name, value in here.items())
    assert [record["ema"] for record in recorder.records] == pytest.approx([2 / 11, 0.3, 0.3, 0.3])
    kept = progress.best_epoch
    assert kept == (2 if keep == "best" else 4)
    for name, value in student.state_dict().items():
        assert torch.equal(value, scored[kept - 1][name]), name
    for epoch in range(4):
        expected = by_hand([started, *states[: 2 * epoch + 2]], 0.3)
        for name, value in scored[epoch].items():
            if value.is_floating_point():
                torch.testing.assert_close(value.double(), expected[name], rtol=1e-6, atol=1e-6)
            else:
                assert torch.equal(value, states[2 * epoch + 1][name]), name
    assert any("running_var" in name for name in scored[0])


def test_a_resumed_average_has_the_same_bits(tmp_path):
    rising = (0.1, 0.2, 0.3, 0.4)
    whole, _, _ = fit(tmp_path / "whole", scores=rising, ema=0.9)
    with pytest.raises(Killed):
        fit(tmp_path / "broken", scores=rising, recorder=Killer(), ema=0.9)
    recorder = Recorder()
    resumed, _, _ = fit(tmp_path / "broken", scores=rising[2:], recorder=recorder, ema=0.9)
    assert recorder.records[-1]["ema"] == pytest.approx(8 / 17)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    saved = [torch.load(tmp_path / of / "last.pt", weights_only=True) for of in ("whole", "broken")]
    for name, value in saved[0]["progress"]["average"].items():
        assert torch.equal(value, saved[1]["progress"]["average"][name]), name
        assert value.ndim == 0 or not torch.equal(value, saved[0]["distiller"][f"student.{name}"]), name


def test_a_trainable_teacher_is_not_averaged(tmp_path):
    plain, _ = mutual(tmp_path / "plain")
    averaged, _ = mutual(tmp_path / "ema", ema=0.9)
    for name, value in averaged.trainable_copy.state_dict().items():
        assert torch.equal(value, plain.trainable_copy.state_dict()[name]), name
    assert any(
        not torch.equal(value, plain.student.state_dict()[name])
        for name, value in averaged.student.state_dict().items()
    )


def steps_on_ranks(world):
    """Return the average after three steps of a whole batch, of which each rank has a share."""
    rows = world.shares(7)[world.rank]  # seven images, which two ranks do not divide
    index = torch.arange(7)
    images = torch.rand(7, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    share = Batch(images, index % 4, index, index).rows(rows.start, rows.stop)
    if world.size > 1:
        share = replace(share, first=rows.start, whole=7)
    torch.manual_seed(0)
    student = zoo.make("tiny", classes=4).double()
    distiller = Distiller(student, None, [("labels", 1.0, find("labels")(student.spec, None))])
    objective = shared(distiller, world)
    optimizer = loop.make_optimizer(stage(optimizer="sgd"), distiller.trainable())
    average = WeightAverage(student, 0.9)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=True)
        objective(share, 0.0)["total"].backward()
        loop.update(loop.owners(distiller.trainable()), optimizer, 0.01, 5.0)
        average.update()
    return average.state


def test_ranks_have_the_same_bits_and_those_of_one_process_but_for_rounding(tmp_path):
    ranks = together(2, steps_on_ranks, tmp_path)
    for name, value in steps_on_ranks(SINGLE).items():
        assert torch.equal(ranks[0][name], ranks[1][name]), name
        torch.testing.assert_close(ranks[0][name], value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("clip", "share"), [(1e-6, 1.0), (1e6, 0.0)])
def test_the_share_of_clipped_steps_is_recorded(tmp_path, clip, share):
    recorder = Recorder()
    fit(tmp_path, recorder=recorder, clip=clip)
    assert [record["clipped"] for record in recorder.records] == [share] * 4


def test_the_share_counts_the_steps_whose_gradient_norm_is_larger(tmp_path, monkeypatch):
    norms = iter([4.9, 5.1, 5.0, 4.0, 6.0, 7.0, 5.01, 1.0])
    monkeypatch.setattr(
        loop.nn.utils, "clip_grad_norm_", lambda values, clip: torch.tensor(next(norms) if values else 0.0)
    )
    recorder = Recorder()
    fit(tmp_path, recorder=recorder)
    assert [record["clipped"] for record in recorder.records] == [0.5, 0.0, 1.0, 0.5]
    assert CPU.clip == 5.0
