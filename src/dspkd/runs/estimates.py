"""What a plan estimates: the time of each stage, of what is cached before, and of the whole run."""

from __future__ import annotations

from dataclasses import dataclass

AROUND = 7.0
"""Seconds of start, heat maps, latency and report of a run: 7 on two cores, small networks; assumed on others."""


@dataclass(frozen=True)
class StagePlan:
    """A stage's number of steps, and the median seconds of each phase of a step.

    Attributes
    ----------
    name, epochs, steps
        As in the recipe; `steps` per epoch.
    loading
        Preparing a batch of images in this process, or waiting for loader processes.
    teaching
        Forward pass of the teacher; 0 where there is none, or where its outputs are cached.
    learning
        Forward and backward pass of student and terms.
    updating
        Gradient clipping and optimiser step.
    compiling
        What the first step takes longer, once, where networks are compiled; 0 elsewhere.
    """

    name: str
    epochs: int
    steps: int
    loading: float
    teaching: float
    learning: float
    updating: float
    compiling: float = 0.0

    @property
    def seconds(self) -> float:
        """Return the seconds of all epochs, without validation."""
        step = self.loading + self.teaching + self.learning + self.updating
        return self.compiling + self.epochs * self.steps * step


@dataclass(frozen=True)
class CacheEstimate:
    """The cost of what is cached before training, estimated for an empty cache.

    Attributes
    ----------
    count
        Number of images decoded, or of teacher outputs computed; 0 where nothing is cached.
    seconds, nbytes
        Time and disk space, estimated from a sample.
    """

    count: int = 0
    seconds: float = 0.0
    nbytes: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The estimated time of a run.

    Attributes
    ----------
    device, threads, workers, compiled, batch_size
        The settings under which it was measured.
    stages
        The time of each stage.
    images
        Decoding into the cache; 0 images where nothing is cached, and decoding is part of loading.
    teacher_outputs
        Computing and caching teacher outputs; 0 where the teacher runs in every step.
    fold_teachers
        Training the fold teachers that are missing, from the recorded time of the teacher's own training.
    passes
        Forward passes of teachers for one view of an image.
    validation
        Seconds of evaluating the validation set after one epoch.
    evaluation
        Seconds of evaluating validation and test set at the end.
    warnings
        Those of `dspkd.runs.explain`; they cost no measured time.
    """

    device: str
    threads: int
    workers: int
    compiled: bool
    batch_size: int
    stages: tuple[StagePlan, ...]
    images: CacheEstimate
    teacher_outputs: CacheEstimate
    validation: float
    evaluation: float
    warnings: tuple[str, ...] = ()
    fold_teachers: CacheEstimate = CacheEstimate()
    passes: int = 1

    @property
    def seconds(self) -> float:
        """Return the seconds of the whole run; those around its training are assumed: `AROUND`."""
        epochs = sum(stage.epochs for stage in self.stages)
        before = self.images.seconds + self.teacher_outputs.seconds + self.fold_teachers.seconds
        trained = sum(stage.seconds for stage in self.stages) + epochs * self.validation
        return before + trained + self.evaluation + AROUND
