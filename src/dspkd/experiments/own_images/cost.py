"""How long the whole job will take, from a few timed steps, and what a budget takes away from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dspkd.experiments.own_images import recipe_files, rules
from dspkd.experiments.own_images.facts import DataFacts
from dspkd.experiments.own_images.networks import Network
from dspkd.experiments.own_images.recipe_files import PLAIN, STUDENT, TEACHER
from dspkd.experiments.own_images.rules import Settings
from dspkd.models import macs, zoo
from dspkd.recipes.machine import MachineConfig
from dspkd.runs import hardware
from dspkd.runs.estimates import Plan
from dspkd.runs.plan import plan, stand_in

TIMED = 3
"""Steps that are timed in each stage, after two that are not."""

OF_A_RUN, OF_THE_COMPARISON, OF_THE_BUNDLE, PASSES = 8.0, 4.0, 25.0, 16
"""Seconds of the end of a run (test set, saliency maps, report), of the comparison, and of a bundle, to which come
`PASSES` evaluations of the validation set. Measured on small images; the time that each step took is printed beside
the expected one."""


STUDENTS_WORK = ("plain", "features", "logits", "decoding", "validation")


@dataclass(frozen=True)
class Cost:
    """Seconds of an epoch, validation included, of one teacher output, and of decoding all images once.

    Attributes
    ----------
    teacher, plain, features, logits
        Seconds of an epoch of the teacher, the plain student and DSP-KD's two stages.
    output, bytes_of_output
        Of computing a teacher output, and of keeping it; 0 where outputs are not cached.
    decoding
        Of decoding all images once.
    validation
        Of evaluating a student on the validation set.
    """

    teacher: float
    plain: float
    features: float
    logits: float
    output: float
    bytes_of_output: float
    decoding: float
    validation: float

    def scaled(self, student: float, teacher: float) -> Cost:
        """Return the cost with the students' and the teacher's work multiplied by these factors."""
        of_student = {name: getattr(self, name) * student for name in STUDENTS_WORK}
        return replace(self, teacher=self.teacher * teacher, output=self.output * teacher, **of_student)


def steps(settings: Settings, cost: Cost, images: int) -> dict[str, float]:
    """Return ``{step of the job: expected seconds}``, in order.

    Parameters
    ----------
    images
        Number of training images.
    """
    first, second = settings.stage_epochs
    outputs = (settings.views or settings.epochs) * images * cost.output
    plain = settings.epochs * cost.plain + OF_A_RUN
    student = first * cost.features + second * cost.logits + OF_A_RUN
    epochs = 0 if settings.teacher.as_it_is else settings.epochs
    expected = {} if settings.teacher.run else {TEACHER: epochs * cost.teacher + cost.decoding + OF_A_RUN}
    expected |= {PLAIN: plain + cost.decoding * bool(settings.teacher.run), STUDENT: student + outputs}
    for seed in range(1, settings.seeds):
        expected |= {f"{PLAIN}-seed-{seed}": plain, f"{STUDENT}-seed-{seed}": student}
    return {**expected, "comparison": OF_THE_COMPARISON, "bundle": OF_THE_BUNDLE + PASSES * cost.validation}


def measure(facts: DataFacts, settings: Settings, out: Path) -> Cost:
    """Time a few steps of each recipe with these settings; save nothing.

    Raises
    ------
    DspkdError
        As training would.
    """
    recipes = recipe_files.recipes(facts, settings, out)
    timed = {name: plan(recipe, steps=TIMED) for name, recipe in recipes.items() if name != STUDENT and recipe.stages}
    device = hardware.device(MachineConfig())
    untrained = None if settings.teacher.run else stand_in(settings.teacher.name, len(facts.classes), device)
    student = plan(recipes[STUDENT], steps=TIMED, stand_in=untrained)
    features, logits = student.stages
    outputs = student.teacher_outputs
    return Cost(
        teacher=_epoch(timed[TEACHER]) if TEACHER in timed else 0.0,
        plain=_epoch(timed[PLAIN]),
        features=features.seconds / features.epochs + student.validation,
        logits=logits.seconds / logits.epochs + student.validation,
        output=outputs.seconds / outputs.count if outputs.count else 0.0,
        bytes_of_output=outputs.nbytes / outputs.count if outputs.count else 0.0,
        decoding=student.images.seconds,
        validation=student.validation,
    )


def _epoch(timed: Plan) -> float:
    (stage,) = timed.stages
    return stage.seconds / stage.epochs + timed.validation


@dataclass(frozen=True)
class Candidate:
    """A teacher and an image size, from which a budget may step down."""

    teacher: Network
    size: int


def candidates(teachers: Sequence[Network], sizes: Sequence[int]) -> list[Candidate]:
    """Return the candidates, dearest first: all sizes with the first teacher, then the others at the smallest size."""
    return [Candidate(teachers[0], size) for size in sizes] + [
        Candidate(teacher, sizes[-1]) for teacher in teachers[1:]
    ]


def fit(
    dearest_first: Sequence[Candidate],
    choose: Callable[[Candidate, int, int], Settings],
    measured: Callable[[Settings], Cost],
    *,
    epochs: int,
    images: int,
    left: Callable[[], float | None],
) -> tuple[Settings, Cost]:
    """Return the dearest settings that fit into the budget, and their cost; the cheapest where none fits.

    Parameters
    ----------
    dearest_first
        Teachers and image sizes.
    choose
        Returns the settings of a candidate, a number of epochs and a number of seeds.
    measured
        Measures the cost of settings.
    epochs, images
        Epochs at full scale, and the number of training images.
    left
        Returns the seconds that are left of the budget; None is no limit.
    """
    full = choose(dearest_first[0], epochs, rules.SEEDS)
    if left() is None:
        cost = measured(full)
        return _within_disk(full, cost, images), cost
    cheapest, good = dearest_first[-1], max(epochs // 2, rules.LEAST_EPOCHS)
    cost = measured(choose(cheapest, rules.LEAST_EPOCHS, 1))
    best, within = cheapest, left() or 0.0
    for candidate in dearest_first:
        estimate = cost.scaled((candidate.size / cheapest.size) ** 2, _work(candidate) / _work(cheapest))
        if _total(choose(candidate, good, 1), estimate, images) <= within:
            best = candidate
            break
    if best != cheapest:
        cost = measured(choose(best, good, 1))
    return _filled(best, choose, cost, epochs=epochs, images=images, budget=left() or 0.0), cost


def _filled(
    candidate: Candidate,
    choose: Callable[[Candidate, int, int], Settings],
    cost: Cost,
    *,
    epochs: int,
    images: int,
    budget: float,
) -> Settings:
    """Return the settings of a candidate with as many seeds and then epochs as fit: at least one, and two."""
    for seeds in (rules.SEEDS, 1):
        settings = _within_disk(choose(candidate, epochs, seeds), cost, images)
        if _total(settings, cost, images) <= budget:
            return settings
    for fewer in range(epochs - 1, rules.LEAST_EPOCHS, -1):
        settings = _within_disk(choose(candidate, fewer, 1), cost, images)
        if _total(settings, cost, images) <= budget:
            return settings
    return _within_disk(choose(candidate, rules.LEAST_EPOCHS, 1), cost, images)


def _within_disk(settings: Settings, cost: Cost, images: int) -> Settings:
    """Return the settings with fresh views where cached teacher outputs would fill the disk."""
    return replace(settings, views=0) if settings.views * images * cost.bytes_of_output > rules.MOST_BYTES else settings


def _total(settings: Settings, cost: Cost, images: int) -> float:
    return sum(steps(settings, cost, images).values())


def _work(candidate: Candidate) -> float:
    """Return the teacher's multiply-accumulates for an image of the candidate's size."""
    with torch.device("meta"):
        network = zoo.make(candidate.teacher.name, classes=2)
    return macs.count(network).backbone * (candidate.size / 224) ** 2


def given_up(full: Settings, chosen: Settings) -> tuple[str, ...]:
    """Return what the chosen settings lack of the full ones, a line each."""
    lines = []
    if chosen.seeds < full.seeds:
        lines.append(f"seeds: {chosen.seeds} of {full.seeds}, so no verdict on whether distillation helped")
    if chosen.epochs < full.epochs:
        lines.append(f"epochs: {chosen.epochs} of {full.epochs}")
    if chosen.size < full.size:
        lines.append(f"image size: {chosen.size} px instead of {full.size} px")
    if chosen.teacher.name != full.teacher.name:
        lines.append(f"teacher: {chosen.teacher} instead of {full.teacher}")
    return tuple(lines)
