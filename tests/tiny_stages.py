"""Stages of tiny networks on noise, trained by the loop alone: no recipe and no run folder."""

from dataclasses import replace

import torch

from dspkd.methods import Term, find
from dspkd.models import zoo
from dspkd.recipes.stage import StageConfig, TermConfig
from dspkd.training import loop
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch

CPU = loop.StepConfig(device=torch.device("cpu"))


def stage(**settings):
    return StageConfig(**{"name": "s", "epochs": 4, "lr": 0.01, "terms": (TermConfig(method="labels"),), **settings})


class Noise:
    """Two batches an epoch, a function of the epoch's number."""

    def __len__(self):
        return 2

    def epoch(self, number):
        for step in range(2):
            draw = torch.Generator().manual_seed(number * 2 + step)
            labels = torch.randint(4, (8,), generator=draw)
            yield Batch(torch.rand(8, 3, 32, 32, generator=draw), labels, torch.arange(8), torch.full((8,), number))


class Recorder:
    def __init__(self):
        self.steps, self.records = [], []

    def step(self, *arguments):
        self.steps.append(arguments)

    def epoch(self, record):
        self.records.append(record)


class Killed(BaseException):
    """Ends a training in a test, as a kill would."""


class Killer(Recorder):
    """Ends the training after the first of two steps of epoch 3."""

    def step(self, stage, epoch, done, steps):
        if (epoch, done) == (3, 1):
            raise Killed


def fit(
    folder, *, scores=(0.1, 0.4, 0.4, 0.3), the_stage=None, term=None, recorder=None, digest="d", hand_on=(), **step
):
    torch.manual_seed(0)
    student = zoo.make("tiny", classes=4)
    distiller = Distiller(student, None, [("labels", 1.0, term or find("labels")(student.spec, None))])
    given = iter(scores)
    recorder = recorder or Recorder()
    states = []

    def score(student):
        states.append({name: value.clone() for name, value in student.state_dict().items()})
        return {"balanced_accuracy": next(given), "accuracy": 0.0, "macro_f1": 0.0}

    progress = loop.fit(
        the_stage or stage(), distiller, Noise(), score, folder=folder, digest=digest, seed=0, first_epoch=0,
        hand_on=hand_on, arithmetic=replace(CPU, **step), listener=recorder,
    )  # fmt: skip
    return student, progress, states


class Noisy(Term):
    """Sends both networks gradients of very different sizes."""

    needs_teacher = False
    trains_teacher = True

    def forward(self, student, teacher, batch):
        return student.logits.square().mean() + 1e6 * teacher.logits.square().mean()


def mutual(folder, recorder=None, ema=0.0, **settings):
    torch.manual_seed(0)
    student, teacher = zoo.make("tiny", classes=4), zoo.make("tiny_wide", classes=4)
    term = Noisy(student.spec, None)
    frozen = FrozenTeacher(teacher, teacher.spec)
    distiller = Distiller(student, frozen, [("noisy", 1.0, term)], trainable_copy=frozen.trainable_copy())
    loop.fit(
        stage(**{"teacher_lr": 1e-4, "keep": "last", **settings}), distiller, Noise(),
        lambda student: {"balanced_accuracy": 0.0}, folder=folder, digest="d", seed=0, first_epoch=0,
        arithmetic=replace(CPU, ema=ema), listener=recorder or Recorder(),
    )  # fmt: skip
    return distiller, frozen
