"""The grid of each table: methods and steps of the ablation as recipes, for `compare`.

The recipes are those for dermoscopy-150, with networks, resolution and epochs of the chosen scale. Labels are not
smoothed, so that the paper's student S is the control `plain`. All have the same number of epochs: one-stage methods
have those of both stages of DSP-KD, so they are the budget-matched controls, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from dspkd.experiments.compare.grid import Grid, GridMethod, GridTeacher
from dspkd.experiments.paper.scale import Networks, Scale, Work
from dspkd.runtime.files import write_text

PLAIN = "plain"


@dataclass(frozen=True)
class AblationStep:
    """A method, or a step of the ablation.

    Attributes
    ----------
    arm
        Its name in the grid, without the teacher's.
    recipe
        Its recipe in ``dermoscopy150/``.
    stages
        `one`, `two`, or `head` for a first stage that trains the teacher's head.
    paper
        Its name in the paper's tables, as in `dspkd.experiments.paper.claims`; empty for a control of ours.
    set
        Its own settings.
    doubt
        Why it may not be the paper's method.
    """

    arm: str
    recipe: str
    stages: str = "one"
    paper: str = ""
    set: tuple[str, ...] = ()
    doubt: str = ""


_FUSION = "hierarchical fusion is a reconstruction: the paper's equations and settings are not known"
_THEN_KD = 'stages.1.terms=[{method="labels", weight=0.5}, {method="kd", weight=0.5, options={temperature=4.0}}]'
KD = AblationStep("kd", "kd", paper="Vanilla-KD")
WSLD = AblationStep("wsld", "wsld", paper="WSLD")
FITNETS = AblationStep("fitnets", "fitnets", paper="FitNets")
MGD = AblationStep("mgd", "mgd", paper="MGD")
EML = AblationStep(
    "eml", "eml", paper="EML", doubt="EML is a reconstruction: only the method's title and idea are public"
)  # fmt: skip
SSD_KD = AblationStep("ssd_kd", "ssd_kd", "head", paper="SSD-KD")
DSP_KD = AblationStep("dsp_kd", "dsp_kd", "two", paper="DSP-KD", doubt=_FUSION)
FUSION = AblationStep("hierarchical_fusion", "hierarchical_fusion", paper="MGD + HF", doubt=_FUSION)
NORMKD = AblationStep("normkd", "normkd", paper="NKD", doubt="that the paper's NKD is NormKD is inferred")
THEN_KD = AblationStep("fusion_then_kd", "dsp_kd", "two", paper="MGD + HF + VKD", set=(_THEN_KD,), doubt=_FUSION)
NO_MASK = AblationStep("dsp_kd_no_mask", "dsp_kd_no_mask", "two")
SWAPPED = AblationStep("dsp_kd_swapped", "dsp_kd_swapped", "two")
JOINT = AblationStep("dsp_kd_joint", "dsp_kd_joint")

METHODS = (KD, WSLD, FITNETS, MGD, EML, SSD_KD, DSP_KD)
PER_CLASS = (KD, FITNETS, SSD_KD, DSP_KD)
ABLATION = (MGD, FUSION, KD, NORMKD, THEN_KD, DSP_KD)
CONTROLS = (NO_MASK, SWAPPED, JOINT)

STEPS = {2: METHODS, 3: METHODS, 4: PER_CLASS, 5: PER_CLASS, 7: (*ABLATION, *CONTROLS)}
"""``{table: steps}``, without the plain student."""


def teachers(table: int, networks: Networks) -> tuple[str, ...]:
    """Return the teachers that a table trains, by the paper's names."""
    return tuple(networks.teachers)[: 3 if table in (2, 3) else 1]


def work(table: int, networks: Networks) -> Work:
    """Return the number of runs of a table: its steps for each teacher, and the two controls."""
    taught_by = len(teachers(table, networks))
    return Work(taught_by, len(STEPS[table]) * taught_by + 2)


def arm(step: AblationStep, teacher: str, scale: Scale) -> str:
    """Return the name of a step's method, the same in every table, so that tables share runs."""
    return f"{step.arm}+{scale.networks.teachers[teacher]}"


def grid(table: int, scale: Scale, data: Path) -> Grid:
    """Return the grid of a table."""
    networks = scale.networks
    taught_by = teachers(table, networks)
    methods = [GridMethod(recipe="dermoscopy150/plain", name=PLAIN, set=_settings(AblationStep(PLAIN, PLAIN), scale))]
    methods += [
        GridMethod(
            recipe=f"dermoscopy150/{step.recipe}",
            name=arm(step, teacher, scale),
            teachers=(networks.teachers[teacher],),
            set=_settings(step, scale),
        )
        for teacher in taught_by
        for step in STEPS[table]
    ]
    return Grid(
        methods=tuple(methods),
        seeds=tuple(range(scale.seeds)),
        teachers=tuple(taught(networks.teachers[teacher], scale) for teacher in taught_by),
        set=(f"data.path={_toml(str(data))}", f"images.size={scale.size}"),
    )


def taught(network: str, scale: Scale) -> GridTeacher:
    """Return a teacher of a grid; its augmented views are fresh, and it trains as many epochs as a student."""
    rate = f"stages.0.lr={scale.networks.rates[0]}"
    unsmoothed = "stages.0.terms.0.options.label_smoothing=0.0"
    settings = (*_network(network, scale), f"stages.0.epochs={scale.epochs}", rate, unsmoothed)
    return GridTeacher(recipe="dermoscopy150/teacher", name=network, set=settings)


def write(grid: Grid, path: Path) -> None:
    """Write a grid as TOML, for a reader and for `dspkd compare`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        key: [dict(_given(each)) for each in value] if key in ("methods", "teachers") else value
        for key, value in dataclasses.asdict(grid).items()
        if value
    }
    write_text(path, tomli_w.dumps(settings, multiline_strings=False))


def _given(table: dict[str, object]) -> Sequence[tuple[str, object]]:
    return [(key, value) for key, value in table.items() if value not in (None, (), [])]


def _network(name: str, scale: Scale) -> tuple[str, str]:
    return f"model.name={_toml(name)}", f"model.weights={_toml(scale.weights)}"


def _settings(step: AblationStep, scale: Scale) -> tuple[str, ...]:
    """Return the settings that adapt a recipe for dermoscopy-150 to this scale."""
    epochs, (_, first_rate, second_rate) = scale.epochs, scale.networks.rates
    lengths = {
        "one": (epochs,),
        "two": (epochs // 2, epochs - epochs // 2),
        "head": (max(1, epochs // 5), epochs - max(1, epochs // 5)),
    }[step.stages]
    rates = (first_rate, first_rate if step.stages == "head" else second_rate)
    settings = [*_network(scale.networks.student, scale), *step.set]
    for number, length in enumerate(lengths):
        settings += [f"stages.{number}.epochs={length}", f"stages.{number}.lr={rates[number]}"]
        if not (step.stages == "head" and number == 0):  # that stage has no labels
            settings.append(f"stages.{number}.terms.0.options.label_smoothing=0.0")
    if step is EML:
        settings.append(f"stages.0.terms.1.ramp.epochs={max(1, epochs // 4)}")
    return tuple(settings)


def _toml(text: str) -> str:
    return tomli_w.dumps({"v": text}).removeprefix("v = ").strip()
