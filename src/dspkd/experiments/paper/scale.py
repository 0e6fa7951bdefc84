"""The scale at which a table is trained: networks, resolution, epochs, seeds; chosen for a wall-clock limit.

All numbers of the full scale are inferred: the paper prints none but its FLOPs, which fit 224 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

VIEWS = 64
"""Augmented views of an image, as in the recipes for dermoscopy-150."""

LEAST_EPOCHS, GOOD_EPOCHS, FULL_EPOCHS = 4, 15, 150
"""Epochs of a student, all stages together: what two stages with a warm-up need; below which a larger scale is not
worth its time; at full scale (100 and 50 in two stages). Inferred."""

SEEDS = 3

METHOD, TEACHER_FORWARD = 1.5, 1 / 3
"""Time of a method's step relative to a plain student's, and of a teacher's forward pass relative to its training step.
Inferred; the time that a table took is printed beside the expected one."""


@dataclass(frozen=True)
class Networks:
    """The networks that stand in for the paper's.

    Attributes
    ----------
    name
        Name of the choice.
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
    """The scale of a reproduction."""

    networks: Networks = PAPER
    size: int = 224
    epochs: int = FULL_EPOCHS
    seeds: int = SEEDS
    weights: str = "imagenet"


FULL = Scale()
RUNGS = ((TINY, 48), (TINY, 64), (SMALL, 64), (SMALL, 96), (SMALL, 128), (PAPER, 128), (PAPER, 224))
"""Scales from the cheapest to the most expensive, as networks and resolution."""


@dataclass(frozen=True)
class Cost:
    """Measured seconds of an epoch of a student and of a teacher, and of the start and end of a run."""

    student: float
    teacher: float
    run: float


@dataclass(frozen=True)
class Work:
    """Runs of a table: teachers, and students for each seed."""

    teachers: int
    students: int

    def seconds(self, cost: Cost, scale: Scale) -> float:
        """Return the expected wall-clock seconds; a teacher trains for as many epochs as a student."""
        runs = self.students * scale.seeds
        forward = min(scale.epochs, VIEWS) * TEACHER_FORWARD
        teachers = self.teachers * ((scale.epochs + forward) * cost.teacher + cost.run)
        return teachers + runs * (scale.epochs * METHOD * cost.student + cost.run)


@dataclass(frozen=True)
class Choice:
    """A scale, the expected seconds, and its reductions against the full scale."""

    scale: Scale
    seconds: float | None = None
    given_up: tuple[str, ...] = field(default=())


def choose(
    budget: float,
    work: Callable[[Networks], Work],
    measure: Callable[[Scale], Cost],
    weights: Callable[[Networks], tuple[str, str]],
) -> Choice:
    """Return the largest scale that fits into `budget` seconds.

    Scales are measured from the cheapest, until one no longer fits with `SEEDS` seeds and `GOOD_EPOCHS` epochs; the
    last that fits gets as many epochs as the budget allows. If not even the first fits, epochs and then seeds are
    reduced to the minimum, whatever time that takes.

    Parameters
    ----------
    budget
        Seconds.
    work
        Returns the runs of the table with these networks.
    measure
        Returns the cost of an epoch at a scale.
    weights
        Returns the initial weights that these networks can have here, and why not better ones.
    """
    best: tuple[Scale, Cost, str] | None = None
    for networks, size in RUNGS:
        initial, why = weights(networks)
        scale = Scale(networks, size, GOOD_EPOCHS, SEEDS, initial)
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
    """Return the reductions of a scale against the full scale, a sentence each."""
    reductions = []
    if scale.networks is not FULL.networks:
        teachers = ", ".join(f"{ours} for {paper}" for paper, ours in scale.networks.teachers.items())
        reductions.append(f"networks: {scale.networks.student} as the student, {teachers}, not the paper's")
    if len(scale.networks.teachers) < len(FULL.networks.teachers):
        reductions.append(
            f"teachers: {len(scale.networks.teachers)} of the {len(FULL.networks.teachers)} in tables 2 and 3"
        )
    if scale.size < FULL.size:
        reductions.append(f"resolution: {scale.size} px, not {FULL.size}")
    if scale.epochs < FULL.epochs:
        reductions.append(f"epochs: {scale.epochs}, not {FULL.epochs}")
    if scale.seeds < FULL.seeds:
        reductions.append(f"seeds: {scale.seeds}, not {FULL.seeds}; with one seed nothing is tested")
    if scale.weights != FULL.weights:
        reductions.append("ImageNet weights: none" + (f" ({why})" if why else ""))
    if late:
        reductions.append("the limit itself: this is the smallest scale, and is expected to take longer")
    return tuple(reductions)
