"""The rules by which settings follow from data, machine and budget. All of them are inferred: none is the paper's.

============== ======================================================================================================
setting        rule
============== ======================================================================================================
image size     the largest of 224, 192, 160, 128, 96 and 64 px that is not above the images' shorter side (median), at
               most 224 px on a GPU and 128 px on a CPU
student        ShuffleNetV2 (the paper's), unless named
teacher        Res2Net101 (one of the paper's) on a GPU, ResNet-50 on a CPU, unless named
weights        ImageNet's, of both networks, where they can be downloaded; else random
batch          64 images on a GPU, 32 on a CPU; halved, down to 8, while an epoch has fewer than 8 steps
epochs         enough for 12,000 steps on a GPU and 3,000 on a CPU, between 16 and 60; twice as many from random
               weights. The same for teacher, plain and DSP-KD student; DSP-KD has half of them in each stage
learning rate  AdamW: 1e-3 for the student, halved in DSP-KD's second stage; 5e-4 for the teacher, 1e-4 from 30 M
               parameters on
balance        0.5 where the largest class has three times the images of the smallest, else 0
views          16 augmented views of each image on a CPU, so that teacher outputs are computed once; fresh ones on a
               GPU, and where the outputs would take more than 5 GB of disk
target         the map of stride 16 where the last map (stride 32) has fewer than 4 x 4 positions, else the last map
share          the feature term keeps 0.4 of the gradient, whatever the teacher
second stage   NormKD, as in the paper; KD where there are two classes, whose normalised logits are always +-0.71
keep           the epoch that is best on the validation set, or the last one where that set has fewer than 100 images
EMA            0.998 where a stage has 4,500 steps, which an average of that length needs; else none
seeds          3 of plain and of DSP-KD student; with fewer, only large differences are significant
============== ======================================================================================================

A budget takes away, in this order: seeds down to 1; epochs down to half; image size, step by step; the teacher, down to
ResNet-18; epochs down to 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from dspkd.experiments.own_images.facts import DataFacts
from dspkd.experiments.own_images.networks import Network
from dspkd.recipes.schema import ModelConfig
from dspkd.runs import as_it_is
from dspkd.runs.explain import FEWEST

SIZES = (224, 192, 160, 128, 96, 64)
STUDENT = "shufflenet_v2_x1_0"
TEACHERS = {"cuda": ("res2net101", "resnet50", "resnet18"), "cpu": ("resnet50", "resnet18")}
LEAST_EPOCHS, SEEDS, VIEWS, LARGE = 2, 3, 16, 30_000_000
MOST_BYTES = 5e9
_EMA_STEPS, _FEW_VALIDATED = 4_500, 100


@dataclass(frozen=True)
class Machine:
    """The machine: ``cuda`` or ``cpu`` (any other accelerator counts as a GPU), a description, and its cores."""

    kind: str
    name: str
    cores: int


@dataclass(frozen=True)
class Settings:
    """The settings of teacher, plain student and DSP-KD student.

    Attributes
    ----------
    student, teacher
        The networks.
    size, batch, balance, views, ema
        As recipes name them; `views` 0 means fresh ones.
    epochs
        Of each of the three, all stages together.
    seeds
        Of plain and DSP-KD student.
    target
        The teacher's map that stage 1 rebuilds.
    keep
        Which epoch's network to keep.
    artefacts
        Those that a teacher's finished run removes from images, which its student must share.
    """

    student: Network
    teacher: Network
    size: int
    batch: int
    epochs: int
    seeds: int
    balance: float
    views: int
    target: str
    keep: str
    ema: float
    artefacts: tuple[str, ...] = ()

    @property
    def stage_epochs(self) -> tuple[int, int]:
        """Return the epochs of DSP-KD's two stages."""
        return self.epochs // 2, self.epochs - self.epochs // 2


def sizes(facts: DataFacts, machine: Machine) -> tuple[int, ...]:
    """Return the image sizes to choose from, largest first."""
    most = 224 if machine.kind != "cpu" else 128
    return tuple(size for size in SIZES if size <= min(most, facts.side)) or SIZES[-1:]


def batch(images: int, machine: Machine) -> int:
    """Return the batch size for this many training images."""
    size = 64 if machine.kind != "cpu" else 32
    while size > 8 and images // size < 8:
        size //= 2
    return size


def epochs(images: int, batch: int, machine: Machine, *, pretrained: bool) -> int:
    """Return the epochs of each network at full scale."""
    steps = 12_000 if machine.kind != "cpu" else 3_000
    wanted = min(max(round(steps / max(images / batch, 1)), 16), 60)
    return wanted if pretrained else 2 * wanted


def choose(
    facts: DataFacts,
    machine: Machine,
    student: Network,
    teacher: Network,
    size: int,
    epochs: int,
    seeds: int,
    artefacts: tuple[str, ...] = (),
) -> Settings:
    """Return the settings for these networks, this image size and this number of epochs."""
    size_of_batch = batch(facts.training, machine)
    shared_taps = {*student.taps} & {*teacher.taps}
    longest = (epochs - epochs // 2) * facts.training // size_of_batch
    return Settings(
        student=student,
        teacher=teacher,
        size=size,
        batch=size_of_batch,
        epochs=epochs,
        seeds=seeds,
        balance=0.5 if facts.imbalance >= 3 else 0.0,
        views=min(VIEWS, epochs) if machine.kind == "cpu" else 0,
        target="stride16" if size // 32 < FEWEST and "stride16" in shared_taps else "last",
        keep="last" if facts.count("val") < _FEW_VALIDATED else "best",
        ema=0.998 if longest >= _EMA_STEPS else 0.0,
        artefacts=artefacts,
    )


def second_method(classes: int) -> str:
    """Return the method of DSP-KD's second stage."""
    return "normkd" if classes > 2 else "kd"


def teacher_rate(teacher: Network) -> float:
    """Return the teacher's peak learning rate."""
    return 1e-4 if teacher.parameters >= LARGE else 5e-4


def cautions(settings: Settings, full: Settings, *, side: int, classes: int) -> tuple[str, ...]:
    """Return what a reader must know of the networks, the methods, and of what the budget took away.

    `side` is the images', in px, and `classes` their number.
    """
    found = []
    if second_method(classes) == "kd":
        found.append(
            "There are two classes, and two normalised logits are always +-0.71: NormKD, the paper's second stage of "
            "DSP-KD, would teach nothing. The student has KD there, so what is called DSP-KD here is a variant of it."
        )
    if random := [each.name for each in (settings.teacher, settings.student) if not each.pretrained]:
        found.append(
            f"No pretrained weights for {' and '.join(random)}: training begins at random weights, which needs far "
            "more images and epochs. Expect much lower scores; connect to the internet, or give files of weights."
        )
    if settings.teacher.as_it_is:
        teacher = ModelConfig(name=settings.teacher.name, weights=settings.teacher.weights)
        found.append(f"{as_it_is.caution(teacher)}.")
    if settings.epochs < full.epochs // 2:
        found.append(
            f"The budget leaves {settings.epochs} of {full.epochs} epochs: the networks have hardly begun to learn. "
            "This shows that everything works, not what can be reached."
        )
    if settings.seeds < full.seeds:
        found.append(
            "One run each of plain and distilled student: chance alone moves such scores by several points, so there "
            "is no verdict on whether distillation helped."
        )
    if settings.teacher.parameters <= 2 * settings.student.parameters:
        found.append(
            f"The teacher, {settings.teacher}, is hardly larger than the student, {settings.student}: it may have "
            "nothing to teach."
        )
    if side < settings.size:
        found.append(f"The images are smaller ({side} px) than the network's input ({settings.size} px).")
    return tuple(found)
