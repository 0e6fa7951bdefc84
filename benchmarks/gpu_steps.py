"""Images a second of single steps, on a batch that is already on the device, and of the loader alone; for `gpu.py`."""

import itertools
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from dspkd.data.decode_cache import DecodeCache
from dspkd.models import zoo
from dspkd.recipes.stage import TermConfig
from dspkd.runs import build, hardware
from dspkd.training import loop
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, Output


class EnoughError(Exception):
    """The time of a measurement is over."""


@dataclass(frozen=True)
class Speed:
    """The speed of one kind of step.

    Attributes
    ----------
    images
        Images a second.
    flops
        Floating-point operations an image: of convolutions and matrix products, backward pass included.
    first
        Seconds of the first step; of a compiled network, its compilation.
    """

    images: float
    flops: float
    first: float


class Stopwatch(NullProgress):
    """Times steps on a device: after `unmeasured` ones for `seconds`, and at least one; then raises EnoughError.

    It waits for a GPU as seldom as training does.
    """

    def __init__(self, device, seconds, unmeasured=5):
        self._device, self._seconds, self._unmeasured = device, seconds, unmeasured
        self._interval = 1 if device.type == "cpu" else loop.STEPS_UNCHECKED
        self._steps, self._made = 0, now(device)
        self.first = self.started = self.ended = 0.0
        self.timed = 0

    def step(self, *_):
        self._steps += 1
        if self._steps == 1:
            self.first = now(self._device) - self._made
        if self._steps == self._unmeasured:
            self.started = now(self._device)
        timed = self._steps - self._unmeasured
        if timed > 0 and timed % self._interval == 0:
            self.timed, self.ended = timed, now(self._device)
            if self.ended - self.started >= self._seconds:
                raise EnoughError

    def speed(self, batch_size, flops=0.0):
        return Speed(self.timed * batch_size / (self.ended - self.started), flops, self.first)


def now(device):
    """Return the time, once the device has nothing left to compute."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(work, device, seconds, batch_size, flops=0.0):
    """Return the speed of `work`, called again and again."""
    watch = Stopwatch(device, seconds)
    try:
        while True:
            work()
            watch.step()
    except EnoughError:
        return watch.speed(batch_size, flops)


def peak(device, seconds, side):
    """Return the floating-point operations a second of a product of two bfloat16 matrices ``[side, side]``."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    speed = timed(lambda: left @ right, device, seconds, 1)
    return speed.images * 2 * side**3


class Held:
    """One batch, on the device, for all steps of an epoch that nobody waits for."""

    def __init__(self, batch):
        self._batch = batch

    def __len__(self):
        return 20_000

    def epoch(self, number):
        return itertools.repeat(self._batch, len(self))


class Answered:
    """A teacher whose output was computed before, as one that reads its cache."""

    by_row = True

    def __init__(self, spec, output):
        maps = {name: values.float() for name, values in output.maps.items()}
        self.spec, self._output = spec, Output(output.logits.float(), output.pooled.float(), maps)

    def answer(self, batch):
        return self._output


class Steps:
    """Steps of a recipe's networks on a batch of random images; the networks have random weights.

    Parameters
    ----------
    recipe, teacher
        The student's recipe, and the name of the teacher's network.
    classes
        Number of classes.
    size, batch_size
        Side of an image, and images in a batch.
    device, seconds
        Where, and how long each kind of step is measured.
    """

    def __init__(self, recipe, teacher, classes, size, batch_size, device, seconds):
        self._recipe, self._device, self._seconds = recipe, device, seconds
        self._batch_size, self._classes = batch_size, classes
        network = hardware.placed(zoo.make(teacher, classes=classes), device)
        self._teacher = FrozenTeacher(network, network.spec, name=teacher)
        images = torch.rand(batch_size, 3, size, size).to(memory_format=torch.channels_last)
        rows = torch.arange(batch_size)
        self._batch = Batch(images, rows % classes, rows, torch.zeros_like(rows)).to(device)

    def teach(self):
        """Measure the teacher's forward pass, which fills the cache."""
        with FlopCounterMode(display=False) as counter:
            self._answer()
        return timed(self._answer, self._device, self._seconds, self._batch_size, self._each(counter))

    def plain(self, *, channels_last=True, compiled=False):
        """Measure training from labels alone."""
        stage = replace(self._recipe.stages[0], terms=(TermConfig(method="labels"),))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        batch = replace(self._batch, images=self._batch.images.contiguous(memory_format=layout))
        return self._fit(stage, None, batch, self._student().to(memory_format=layout), compiled=compiled)

    def distil(self, number):
        """Measure a stage of the recipe with a teacher whose outputs are there."""
        teacher = Answered(self._teacher.spec, self._answer())
        return self._fit(self._recipe.stages[number], teacher, self._batch, self._student())

    def _answer(self):
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return self._teacher.answer(self._batch)

    @property
    def _bf16(self):
        return hardware.bf16(self._recipe.train, self._device)

    def _student(self):
        return hardware.placed(zoo.make(self._recipe.model.name, classes=self._classes), self._device)

    def _fit(self, stage, teacher, batch, student, *, compiled=False):
        """Train by the package's own loop until the time is over."""
        counts = (self._batch_size,) * self._classes
        stage = replace(stage, epochs=1, warmup=0)
        objective = build.distiller(stage, student, teacher, counts, seed=0, balance=0).to(self._device)
        with FlopCounterMode(display=False) as counter:
            objective(batch)["total"].backward()
        watch = Stopwatch(self._device, self._seconds)
        arithmetic = loop.StepConfig(device=self._device, bf16=self._bf16, compiled=compiled)
        with tempfile.TemporaryDirectory() as folder, suppress(EnoughError):
            loop.fit(
                stage, objective, Held(batch), lambda _: {"balanced_accuracy": 0.0}, folder=Path(folder), digest="",
                seed=0, first_epoch=0, arithmetic=arithmetic, listener=watch,
            )  # fmt: skip
        return watch.speed(self._batch_size, self._each(counter))

    def _each(self, counter):
        return counter.get_total_flops() / self._batch_size


def loading(recipe, table, rows, device, folder, seconds, workers):
    """Measure the loader alone: training images of these rows, decoded before, from `workers` processes."""
    side = build.augmentation(recipe.images).decode_side
    decoded = DecodeCache(table, rows, side, folder, progress=lambda *_: None, log=lambda _: None)
    recipe = replace(recipe, machine=replace(recipe.machine, workers=workers))
    batches = build.train_batches(recipe, table, rows, device, decoded=decoded)
    endless = itertools.chain.from_iterable(batches.epoch(number) for number in itertools.count())
    return timed(lambda: next(endless), device, seconds, batches.batch_size)
