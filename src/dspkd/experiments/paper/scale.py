"""At what scale a table is trained: networks, resolution, epochs, seeds; chosen for a wall-clock limit.

All numbers of the full scale are inferred: the paper prints none but what its FLOPs tell, which fit 224 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from dspkd.errors import RecipeError

VIEWS = 64
"""Different images of an image that students are shown, as in the recipes for dermoscopy-150."""

LEAST_EPOCHS, GOOD_EPOCHS, FULL_EPOCHS = 4, 15, 150
"""Of a student, all stages together: what two stages with a warm-up need; below which a larger scale is not worth its
time; the full scale (100 and 50 in two stages). Inferred."""

SEEDS = 3

METHOD, TEACHER_FORWARD = 1.5, 1 / 3
"""What a method's own layers add to a student's step, and a teacher's answer as a share of its training step.
Inferred; what a table took is printed beside what was expected."""


@dataclass(frozen=True)
class Networks:
    """Which networks stand for the paper's.

    Attributes
    ----------
    name
        Of the choice.
    teachers
        ``{the paper's name: ours}``, in the paper's order.
    student
        The student.
    pretrained
        Whether ImageNet weights exist.
    rates
        Peak learning rates of teacher, student, and student in a second stage.
    """

    name: str
    teachers: Mapping[str, str]
    student: str
    pretrained: bool
    rates: tuple[float, float, float]


_USUAL = (5e-4, 1e-3, 5e-4)
PAPER = Networks(
    "the paper's",
    {"Res2Net101": "res2net101", "ConvNeXt": "convnext_base", "EfficientNet-B4": "efficientnet_b4"},
    "shufflenet_v2_x1_0",
    True,
    _USUAL,
)
SMALL = Networks(
    "small",
    {"Res2Net101": "resnet18", "ConvNeXt": "mobilenetv2", "EfficientNet-B4": "efficientnet_lite0"},
    "shufflenet_v2_x1_0",
    True,
    _USUAL,
)
TINY = Networks("tiny", {"Res2Net101": "tiny_wide"}, "tiny", False, (3e-3, 3e-3, 2e-3))


@dataclass(frozen=True)
class Scale:
    """How large a reproduction is."""

    networks: Networks = PAPER
    size: int = 224
    epochs: int = FULL_EPOCHS
    seeds: int = SEEDS
    weights: str = "imagenet"


FULL = Scale()
RUNGS = ((TINY, 48), (TINY, 64), (SMALL, 64), (SMALL, 96), (SMALL, 128), (PAPER, 128), (PAPER, 224))
"""Scales from the cheapest to the dearest, as networks and resolution."""


@dataclass(frozen=True)
class Cost:
    """Seconds of an epoch on these data, as measured: of a student, of a teacher, and of what starts and ends a run."""

    student: float
    teacher: float
    run: float


@dataclass(frozen=True)
class Work:
    """How much a table trains: teachers, and students for each seed."""

    teachers: int
    students: int

    def seconds(self, cost: Cost, scale: Scale) -> float:
        """Return the wall-clock seconds that this is expected to take; a teacher trains as long as a student does."""
        runs = self.students * scale.seeds
        asked = min(scale.epochs, VIEWS) * TEACHER_FORWARD
        teachers = self.teachers * ((scale.epochs + asked) * cost.teacher + cost.run)
        return teachers + runs * (scale.epochs * METHOD * cost.student + cost.run)


@dataclass(frozen=True)
class Choice:
    """A scale, the seconds it is expected to take, and what it gives up."""

    scale: Scale
    seconds: float | None = None
    given_up: tuple[str, ...] = field(default=())


def parse_budget(text: str) -> float:
    """Return the seconds of a budget such as ``45s``, ``30m``, ``2h`` or ``1h30m``.

    Raises
    ------
    RecipeError
        It is not written so.
    """
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    if not text.strip() or found is None or not any(map(float, (each or 0 for each in found.groups()))):
        raise RecipeError(f"--budget {text!r}: want hours, minutes, seconds, such as 2h, 90m, 1h30m or 45s")
    return sum(float(each or 0) * unit for each, unit in zip(found.groups(), (3600, 60, 1), strict=True))


def choose(
    budget: float,
    work: Callable[[Networks], Work],
    measure: Callable[[Scale], Cost],
    weights: Callable[[Networks], tuple[str, str]],
) -> Choice:
    """Return the largest scale that fits into `budget` seconds.

    Rungs are measured from the cheapest, until one no longer fits with `SEEDS` seeds and `GOOD_EPOCHS` epochs; the last
    that did gets as many epochs as the budget has time for. Where even the first does not fit, epochs and then seeds
    are given up; the least that can be done is done, whatever it takes.

    Parameters
    ----------
    budget
        Seconds.
    work
        What the table trains with these networks.
    measure
        Seconds of an epoch at a scale.
    weights
        Which first weights these networks can have here, and why not better ones.
    """
    best: tuple[Scale, Cost, str] | None = None
    for networks, size in RUNGS:
        first, why = weights(networks)
        scale = Scale(networks, size, GOOD_EPOCHS, SEEDS, first)
        cost = measure(scale)
        fits = work(networks).seconds(cost, scale) <= budget
        if best is None or fits:
            best = (scale, cost, why)
        if not fits:
            break
    assert best
    scale, cost, why = best
    scale = _filled(scale, cost, work(scale.networks), budget)
    seconds = work(scale.networks).seconds(cost, scale)
    return Choice(scale, seconds, given_up(scale, why, late=seconds > budget))


def _filled(scale: Scale, cost: Cost, work: Work, budget: float) -> Scale:
    """Return the scale with the most seeds, and then the most epochs, that fit."""
    for seeds in range(SEEDS, 0, -1):
        least = replace(scale, seeds=seeds, epochs=LEAST_EPOCHS)
        spare = budget - work.seconds(cost, least)
        if spare >= 0:
            each = (
                work.seconds(cost, replace(least, epochs=2 * LEAST_EPOCHS)) - work.seconds(cost, least)
            ) / LEAST_EPOCHS
            return replace(least, epochs=min(FULL_EPOCHS, LEAST_EPOCHS + int(spare / each)))
    return replace(scale, seeds=1, epochs=LEAST_EPOCHS)


def given_up(scale: Scale, why: str = "", *, late: bool = False) -> tuple[str, ...]:
    """Return, against the full scale, what this one gives up; a sentence each."""
    said = []
    if scale.networks is not FULL.networks:
        teachers = ", ".join(f"{ours} for {paper}" for paper, ours in scale.networks.teachers.items())
        said.append(f"networks: {scale.networks.student} as the student, {teachers}, not the paper's")
    if len(scale.networks.teachers) < len(FULL.networks.teachers):
        said.append(f"teachers: {len(scale.networks.teachers)} of the {len(FULL.networks.teachers)} in tables 2 and 3")
    if scale.size < FULL.size:
        said.append(f"resolution: {scale.size} px, not {FULL.size}")
    if scale.epochs < FULL.epochs:
        said.append(f"epochs: {scale.epochs}, not {FULL.epochs}")
    if scale.seeds < FULL.seeds:
        said.append(f"seeds: {scale.seeds}, not {FULL.seeds}; with one there is no verdict")
    if scale.weights != FULL.weights:
        said.append("ImageNet weights: none" + (f" ({why})" if why else ""))
    if late:
        said.append("the limit itself: this is the least that gives the table, and is expected to take longer")
    return tuple(said)
