"""Write recipes for a folder of images: teacher, plain student and DSP-KD student.

teacher.toml, plain.toml, student.toml  the recipes, each line with its reason; no teacher's for a finished run
audit.html                              faults of the data, with the copies
images.csv                              the data set with copies in one group; only where there are such copies
new.json                                what was found, chosen and expected; written last
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from dspkd.data import Columns
from dspkd.errors import RecipeError, RunError
from dspkd.experiments.own_images import cost, facts, networks, recipe_files, rules
from dspkd.experiments.own_images.cost import Candidate
from dspkd.experiments.own_images.facts import DataFacts
from dspkd.experiments.own_images.networks import Network
from dspkd.experiments.own_images.rules import Machine, Settings
from dspkd.models import zoo
from dspkd.recipes.machine import MachineConfig
from dspkd.runs import hardware, records, validate
from dspkd.runs.run_folder import Run
from dspkd.runtime.cores import available_cores
from dspkd.runtime.files import write_text
from dspkd.runtime.progress import Progress

RECORD = "new.json"


@dataclass(frozen=True)
class Options:
    """What a user chose: all else follows from data and machine.

    Attributes
    ----------
    data
        Folder or CSV file of the images.
    student, teacher
        Names as `dspkd.experiments.own_images.networks.named` takes them; None for the rule's.
    budget
        Seconds for the whole job; None is no limit.
    group
        Column that names the lesion or patient; None for the layout's own.
    label
        Column that names the class; None for the layout's own.
    resplit
        Split at random, by lesion or patient, though the data set has official parts.
    """

    data: str
    student: str | None = None
    teacher: str | None = None
    budget: float | None = None
    group: str | None = None
    label: str | None = None
    resplit: bool = False


@dataclass(frozen=True)
class Setup:
    """What `new` found and chose, as ``new.json`` keeps it.

    Attributes
    ----------
    options, facts, machine, settings
        What the user chose, what was found, and what follows.
    given_up
        What the budget took away, a line each.
    expected
        ``{step of the job: seconds}``.
    about_training
        What may be wrong with results for other reasons than the data: see `rules.cautions`.
    digests
        ``{recipe: digest}`` as written, so that later changes are noticed.
    """

    options: Options
    facts: DataFacts
    machine: Machine
    settings: Settings
    given_up: tuple[str, ...]
    expected: dict[str, float]
    about_training: tuple[str, ...]
    digests: dict[str, str]

    @property
    def cautions(self) -> tuple[str, ...]:
        """Return what may be wrong with results, most severe first."""
        return self.facts.cautions + self.about_training

    @property
    def seconds(self) -> float:
        """Return the expected seconds of the whole job."""
        return sum(self.expected.values())

    @property
    def late(self) -> bool:
        """Return whether even the cheapest settings take longer than the budget."""
        return self.options.budget is not None and self.seconds > self.options.budget


def new(options: Options, out: Path, *, progress: Progress | None, log: Callable[[str], None]) -> Setup:
    """Look at data and machine, choose settings, and write recipes into `out`; an earlier call's are returned.

    Parameters
    ----------
    options
        The user's choices.
    out
        Folder; created if missing.
    progress
        Receives counts of what is read.
    log
        Called with lines on what is being done.

    Raises
    ------
    RunError
        `out` holds something else, or recipes for other options.
    DataError, RecipeError
        The data cannot be used, or a network does not exist or fit.
    """
    if (out / RECORD).is_file():
        return _earlier(options, out)
    started = time.monotonic()
    _claim(out)
    machine = _machine()
    teacher_run = networks.run_of(options.teacher) if options.teacher else None
    split_file = Run(teacher_run).require_finished().files.split if teacher_run else None
    log(f"reading {options.data}: layout, ids, copies, unreadable images")
    columns = Columns(group=options.group, label=options.label)
    found = facts.look(
        Path(options.data),
        out,
        columns=columns,
        split_file=split_file,
        resplit=options.resplit,
        progress=progress,
    )
    student, teachers = _networks(options, found, machine, log)
    sizes = (Run(teacher_run).recipe.images.size,) if teacher_run else rules.sizes(found, machine)
    candidates = _fitting(cost.candidates(teachers, sizes), student, options)
    artefacts = Run(teacher_run).recipe.images.artefacts if teacher_run else ()
    size_of_batch = rules.batch(found.training, machine)
    epochs = rules.epochs(found.training, size_of_batch, machine, pretrained=student.pretrained)

    def choose(candidate: Candidate, epochs: int, seeds: int) -> Settings:
        return rules.choose(found, machine, student, candidate.teacher, candidate.size, epochs, seeds, artefacts)

    def measured(settings: Settings) -> cost.Cost:
        log(f"timing a few steps: {settings.size} px, teacher {settings.teacher.name}")
        return cost.measure(found, settings, out)

    def left() -> float | None:
        return None if options.budget is None else options.budget - (time.monotonic() - started)

    settings, costs = cost.fit(candidates, choose, measured, epochs=epochs, images=found.training, left=left)
    full = choose(candidates[0], epochs, rules.SEEDS)
    digests = _write(found, settings, out)
    setup = Setup(
        options=options,
        facts=found,
        machine=machine,
        settings=settings,
        given_up=cost.given_up(full, settings),
        expected={"data and plan": time.monotonic() - started, **cost.steps(settings, costs, found.training)},
        about_training=rules.cautions(settings, full, side=found.side, classes=len(found.classes)),
        digests=digests,
    )
    write_text(out / RECORD, TypeAdapter(Setup).dump_json(setup, indent=1).decode() + "\n")
    return setup


def _earlier(options: Options, out: Path) -> Setup:
    setup = records.read(TypeAdapter(Setup), out / RECORD)
    if setup.options != options:
        raise RunError(
            f"{out}: holds recipes made with other options ({_said(setup.options)}); now {_said(options)}; "
            "give the same options to continue, or choose another folder (--out)"
        )
    return setup


def _said(options: Options) -> str:
    given = {name: value for name, value in vars(options).items() if value not in (None, False)}
    if "budget" in given:
        given["budget"] = f"{given['budget']:g} s"
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _claim(out: Path) -> None:
    """Make the folder, or check that it holds nothing but what a stopped call left."""
    ours = {facts.AUDIT_PAGE, facts.MERGED, *(f"{name}.toml" for name in _RECIPES)}
    if out.is_file():
        raise RunError(f"{out}: is a file; --out names a folder")
    out.mkdir(parents=True, exist_ok=True)
    if others := sorted(each.name for each in out.iterdir() if each.name.removesuffix(".partial") not in ours):
        raise RunError(f"{out}: holds {others[0]}, which dspkd new has not made; choose another folder (--out)")


_RECIPES = (recipe_files.TEACHER, recipe_files.PLAIN, recipe_files.STUDENT)


def _machine() -> Machine:
    import torch

    device = hardware.device(MachineConfig())
    if device.type == "cuda":
        return Machine("cuda", torch.cuda.get_device_name(device), available_cores())
    return Machine(device.type, device.type.upper(), available_cores())


def _networks(
    options: Options, found: DataFacts, machine: Machine, log: Callable[[str], None]
) -> tuple[Network, tuple[Network, ...]]:
    """Return the student, and the teachers to step down through, with pretrained weights where they can be had."""
    classes, offline = len(found.classes), False
    names = [options.teacher] if options.teacher else rules.TEACHERS["cpu" if machine.kind == "cpu" else "cuda"]
    made = []
    for option, name in [*(("--teacher", name) for name in names), ("--student", options.student or rules.STUDENT)]:
        network = networks.named(name, classes, option=option)
        if note := networks.unused_path(name):
            log(f"{option}: {note}")
        if not offline:  # the next download would fail too, after a while
            network, reason = networks.with_pretrained_weights(network, classes)
            offline = "could not be downloaded" in reason
            if reason:
                log(reason)
        if network.weights not in ("none", "imagenet", "run"):
            log(_about_weights(network, classes, option))
        made.append(network)
    *teachers, student = made
    return student, tuple(teachers)


def _about_weights(network: Network, classes: int, option: str) -> str:
    begin = f"{option} {network.weights}: {network.name}"
    if not network.as_it_is:
        return f"{begin}; its classifier is not for {classes} classes, so it is trained further with a new one"
    if option == "--student":
        return f"{begin} with a classifier for {classes} classes; it is trained further"
    return f"{begin} with a classifier for {classes} classes: used as it is, not trained"


def _fitting(candidates: list[Candidate], student: Network, options: Options) -> list[Candidate]:
    """Return the candidates whose image size both networks take; where there is none, one of any size that they take.

    Raises
    ------
    RecipeError
        They take no size of `rules.SIZES`; gives the last reason.
    """
    refusal = ""

    def fits(candidate: Candidate) -> bool:
        nonlocal refusal
        try:
            for name in (student.name, candidate.teacher.name):
                zoo.check(name, candidate.size)
        except RecipeError as error:
            refusal = str(error)
            return False
        return True

    anywhere = (Candidate(candidates[0].teacher, size) for size in reversed(rules.SIZES))
    fitting = list(filter(fits, candidates)) or list(filter(fits, anywhere))[:1]
    if not fitting:
        raise RecipeError(f"--teacher {options.teacher}, --student {options.student or rules.STUDENT}: {refusal}")
    return fitting


def _write(found: DataFacts, settings: Settings, out: Path) -> dict[str, str]:
    """Write the recipes and return their digests."""
    recipes = recipe_files.recipes(found, settings, out)
    for recipe in recipes.values():
        validate.check(recipe)
    for name, text in recipe_files.texts(found, settings, out).items():
        write_text(out / f"{name}.toml", text)
    return {name: recipe.digest for name, recipe in recipes.items()}
