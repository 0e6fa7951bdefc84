import math

import pytest
import torch

from dspkd.errors import RunError, TrainingError
from dspkd.methods import Term
from dspkd.models import zoo
from dspkd.training import loop
from dspkd.training.distiller import Distiller
from tiny_stages import Killed, Killer, Noise, Recorder, fit, mutual, stage


def test_the_student_left_is_that_of_the_first_best_epoch(tmp_path):
    student, progress, states = fit(tmp_path)
    assert (progress.best_epoch, progress.best_score) == (2, 0.4)
    for name, value in student.state_dict().items():
        assert torch.equal(value, states[1][name]), name
    assert any(not torch.equal(value, states[3][name]) for name, value in student.state_dict().items())


def test_a_stage_may_keep_its_last_epoch_whatever_the_scores(tmp_path):
    recorder = Recorder()
    student, progress, states = fit(tmp_path, the_stage=stage(keep="last"), recorder=recorder)
    assert (progress.best_epoch, progress.best_score) == (4, 0.3)
    assert [record["best"] for record in recorder.records] == [False, False, False, True]
    for name, value in student.state_dict().items():
        assert torch.equal(value, states[3][name]), name


def test_the_distiller_receives_the_elapsed_epochs(tmp_path, monkeypatch):
    elapsed_epochs = []
    forward = Distiller.forward
    monkeypatch.setattr(
        Distiller, "forward", lambda self, batch, elapsed: elapsed_epochs.append(elapsed) or forward(self, batch)
    )
    fit(tmp_path)
    assert elapsed_epochs == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]


def test_a_loss_that_is_not_finite_stops_with_the_terms_name_and_leaves_the_last_epoch(tmp_path):
    class Bad(Term):
        needs_teacher = False
        calls = 0

        def forward(self, student, teacher, batch):
            Bad.calls += 1
            return student.logits.sum() * (math.nan if Bad.calls > 3 else 0.001)

    spec = zoo.make("tiny", classes=4).spec
    with pytest.raises(TrainingError, match=r"stage 's', epoch 2, step 2: loss not finite: total, labels"):
        fit(tmp_path, term=Bad(spec, None))
    assert torch.load(tmp_path / "last.pt", weights_only=True)["progress"]["epochs"] == 1


@pytest.mark.parametrize("part", ["student.network.fc.weight", "running_var", "terms.labels.layer.bias"])
def test_weights_that_are_not_finite_after_an_epoch_are_not_saved(tmp_path, monkeypatch, part):
    """Losses are computed before a step, so none shows what the last step of an epoch has done."""

    class Layered(Term):
        needs_teacher = False

        def __init__(self, student, teacher):
            super().__init__(student, teacher)
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, student, teacher, batch):
            return self.layer(student.logits).square().mean()

    train_epoch = loop._train_epoch

    def diverging(stage, epoch, distiller, *rest):
        trained = train_epoch(stage, epoch, distiller, *rest)
        if epoch == 2:
            next(value for name, value in distiller.state_dict().items() if part in name).view(-1)[0] = math.nan
        return trained

    monkeypatch.setattr(loop, "_train_epoch", diverging)
    message = rf"stage 's', epoch 3: weights not finite after its last step: .*{part}.*; lower the learning rate"
    with pytest.raises(TrainingError, match=message):
        fit(tmp_path, term=Layered(zoo.make("tiny", classes=4).spec, None))
    assert torch.load(tmp_path / "last.pt", weights_only=True)["progress"]["epochs"] == 2


@pytest.mark.parametrize(("steps", "last"), [([1.0, math.nan, math.nan, 1.0], 9), ([1.0, math.inf], 7)])
def test_a_late_check_names_the_first_step_with_a_loss_that_is_not_finite(steps, last):
    unchecked = [{"total": torch.tensor(value), "kd": torch.tensor(1.0), "mgd": torch.tensor(value)} for value in steps]
    with pytest.raises(TrainingError, match=r"here, step 8: loss not finite: total, mgd;"):
        loop.require_finite_losses(unchecked, "here", last=last)
    loop.require_finite_losses(unchecked[:1], "here", last=6)


def test_losses_are_checked_every_few_steps_and_at_the_end_of_an_epoch(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(
        loop, "require_finite_losses", lambda unchecked, place, last: looks.append((place, last, len(unchecked)))
    )
    fit(tmp_path)
    steps = {place: [last for here, last, _ in looks if here == place] for place, _, _ in looks}
    assert all(seen == list(range(len(seen))) for seen in steps.values())
    assert {number for _, _, number in looks} == {1}


def test_a_resumed_stage_ends_with_the_same_bits(tmp_path):
    rising = (0.1, 0.2, 0.3, 0.4)
    whole, _, _ = fit(tmp_path / "whole", scores=rising)
    with pytest.raises(Killed):
        fit(tmp_path / "broken", scores=rising, recorder=Killer())
    recorder = Recorder()
    resumed, progress, _ = fit(tmp_path / "broken", scores=rising[2:], recorder=recorder)
    assert [record["epoch"] for record in recorder.records] == [1, 2, 3, 4]
    assert progress.best_epoch == 4
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_checkpoint_of_another_recipe_or_a_damaged_one_is_refused(tmp_path):
    fit(tmp_path)
    with pytest.raises(RunError, match=r"last\.pt: of recipe d, but this recipe is e"):
        fit(tmp_path, digest="e")
    (tmp_path / "last.pt").write_bytes(b"cut")
    with pytest.raises(RunError, match=r"last\.pt: not a readable checkpoint; delete it"):
        fit(tmp_path)


def test_a_kill_while_saving_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    fit(tmp_path, the_stage=stage(epochs=1))
    before = (tmp_path / "last.pt").read_bytes()

    def save_partly(state, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", save_partly)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, the_stage=stage(epochs=2))
    assert (tmp_path / "last.pt").read_bytes() == before


def test_the_rate_rises_linearly_then_falls_to_zero_along_a_cosine():
    config = stage(epochs=10, lr=1.0, warmup=2.0)
    rates = [loop.learning_rate(config, step, 100) for step in range(100)]
    assert rates[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert rates[20] == 1.0
    assert rates[60] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 79 / 80)))
    assert max(rates) == rates[20]


def test_a_warm_up_as_long_as_its_stage_takes_half_of_it():
    shortened, half = (stage(epochs=1, lr=1.0, warmup=warmup) for warmup in (1.0, 0.5))
    rates = [[loop.learning_rate(config, step, 100) for step in range(100)] for config in (shortened, half)]
    assert rates[0] == rates[1]
    assert rates[0].index(1.0) == 50
    assert shortened.shortened == ("warm-up shortened from 1 to 0.5 of 1 epochs",)
    assert half.shortened == ()


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_vectors_do_not_decay(name):
    network = zoo.make("tiny", classes=4)
    optimizer = loop.make_optimizer(stage(optimizer=name, weight_decay=0.3), network.named_parameters())
    decays = {value.ndim > 1: group["weight_decay"] for group in optimizer.param_groups for value in group["params"]}
    assert decays == {True: 0.3, False: 0.0}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_a_trainable_teacher_has_its_own_rate_and_gradient_norm(tmp_path):
    """Two steps of SGD with momentum and gradients of at most 5 go no further than 5 rate_0 + 5 (1 + 0.9) rate_1."""
    one = {"epochs": 1, "lr": 0.01, "teacher_lr": 1e-4, "optimizer": "sgd", "weight_decay": 0.0}
    distiller, frozen = mutual(tmp_path, **one)
    state = torch.load(tmp_path / "last.pt", weights_only=True)["optimizer"]
    rates = sorted({group["lr"] for group in state["param_groups"]})
    assert rates == pytest.approx([0.5e-4, 0.5e-2])  # the second of two steps, half-way down the cosine
    moved = [
        (value - before).flatten() for (_, value), before in
        zip(distiller.trainable_copy.named_parameters(), frozen.network.parameters(), strict=True)
    ]  # fmt: skip
    assert 0 < torch.cat(moved).norm() <= 5 * 1e-4 * (1 + 0.5 * 1.9) * 1.001
    torch.manual_seed(0)
    first = dict(zoo.make("tiny", classes=4).named_parameters())
    way = [(value - first[name]).flatten() for name, value in distiller.student.named_parameters()]
    assert torch.cat(way).norm() > 1e-3  # clipped together with the teacher's gradient it would be 1e-8


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_resumed_stage_with_a_trainable_teacher_ends_with_the_same_bits(tmp_path, name):
    whole, _ = mutual(tmp_path / "whole", optimizer=name)
    with pytest.raises(Killed):
        mutual(tmp_path / "broken", Killer(), optimizer=name)
    resumed, _ = mutual(tmp_path / "broken", optimizer=name)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_layers_to_hand_on_are_those_of_the_epoch_that_is_kept(tmp_path):
    """The student is handed on as it was in epoch 1; layers of the last epoch would not fit it."""

    class Layered(Term):
        needs_teacher = False

        def __init__(self, student, teacher):
            super().__init__(student, teacher)
            self.layer = torch.nn.Linear(student.classes, 1)

        def forward(self, student, teacher, batch):
            return self.layer(student.logits).square().mean()

    layers = []

    class LayerRecorder(Recorder):
        def epoch(self, record):
            layers.append(term.layer.weight.detach().clone())

    term = Layered(zoo.make("tiny", classes=4).spec, None)
    fit(tmp_path, term=term, recorder=LayerRecorder(), hand_on=("labels",))
    assert torch.equal(term.layer.weight, layers[1])
    assert not torch.equal(term.layer.weight, layers[3])


def test_the_gradient_is_clipped_and_the_means_are_over_images(tmp_path):
    recorder = Recorder()
    fit(tmp_path, recorder=recorder, the_stage=stage(epochs=1, lr=1e-9))
    torch.manual_seed(0)
    student = zoo.make("tiny", classes=4).train()
    values = [torch.nn.functional.cross_entropy(student(b.images).logits, b.labels).item() for b in Noise().epoch(0)]
    assert recorder.records[0]["train"]["labels"] == pytest.approx(sum(values) / 2, rel=1e-4)
    assert recorder.steps == [("s", 1, 1, 2), ("s", 1, 2, 2)]
