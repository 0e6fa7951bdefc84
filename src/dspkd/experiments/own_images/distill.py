"""Everything from a folder of images to a bundle: recipes, teacher, students, comparison, bundle, page.

Beside what `dspkd.experiments.own_images.new` writes:

teacher/ plain/ student/          run folders; plain-seed-1/ and so on for further seeds
report.html                       teacher, plain and distilled student side by side, what to be careful about first
model.dspkd                       the distilled student as a bundle
page/                             it on a web page that runs on a phone; only where ONNX Runtime for browsers is there
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Protocol, TypeVar

from dspkd import reports
from dspkd.deploy.bundle.reader import Bundle, open_bundle
from dspkd.deploy.serve import web_page
from dspkd.errors import BundleError
from dspkd.evaluation.classes import malignancies
from dspkd.evaluation.teacher_quality import level, margin
from dspkd.experiments import single_run
from dspkd.experiments.compare import controls
from dspkd.experiments.own_images import recipe_files
from dspkd.experiments.own_images.new import Options, Setup, new
from dspkd.experiments.own_images.recipe_files import PLAIN, STUDENT, TEACHER
from dspkd.experiments.teacher_check import findings
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe
from dspkd.runs import resume
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.training.progress import ProgressListener

T = TypeVar("T")

REPORT, BUNDLE, PAGE = "report.html", "model.dspkd", "page"


class Screen(ProgressListener, Protocol):
    """What receives progress, and lines for the user."""

    def planned(self, setup: Setup, out: Path) -> None:
        """Show what was found, chosen and expected, before hours are spent."""

    def begun(self, step: str, expected: float | None) -> None:
        """Begin a step of the job, with its expected seconds."""

    def ended(self, step: str, seconds: float | None) -> None:
        """End a step; without seconds it was finished before."""


@dataclass(frozen=True)
class Distilled:
    """What `distill` made.

    Attributes
    ----------
    setup
        What was found, chosen and expected.
    runs
        Run folders: the teacher's, then plain and distilled student, seed by seed.
    report, bundle
        The comparison's page, and the file for phones, browsers and servers.
    page
        Folder of the web page; None where ONNX Runtime for browsers is missing.
    cautions
        What may be wrong with the results, most severe first.
    """

    setup: Setup
    runs: tuple[Path, ...]
    report: Path
    bundle: Path
    page: Path | None
    cautions: tuple[str, ...]


def distill(options: Options, out: Path, screen: Screen) -> Distilled:
    """Do everything from a folder of images to a bundle; skip what an earlier, stopped call has finished.

    The recipes in `out` are used as they are: change one before its run begins, and the change counts.

    Parameters
    ----------
    options
        The user's choices.
    out
        Folder of everything; created if missing.
    screen
        Receives progress.

    Raises
    ------
    DspkdError
        As `dspkd.experiments.own_images.new.new`, training and export raise it. What is finished stays.
    """
    setup = new(options, out, progress=screen.prepare, log=screen.note)
    screen.planned(setup, out)
    recipes = _recipes(setup, out)
    edited = tuple(
        f"{name}.toml was changed after dspkd wrote it, and is used as it is."
        for name, recipe in recipes.items()
        if recipe.digest != setup.digests[name]
    )
    unequal = controls.differences({name: recipes[name] for name in (PLAIN, STUDENT)})
    cautions = (*setup.cautions, *edited, *(f"Plain and distilled student are not comparable: {u}." for u in unequal))
    teacher = recipe_files.teacher_folder(setup.settings, out)
    if TEACHER in recipes:
        _train(recipes[TEACHER], teacher, TEACHER, setup, screen)
    runs = [teacher]
    for seed in range(setup.settings.seeds):
        for name in (PLAIN, STUDENT):
            step = f"{name}-seed-{seed}" if seed else name
            _train(replace(recipes[name], seed=recipes[name].seed + seed), out / step, step, setup, screen)
            runs.append(out / step)
            if step == PLAIN and (doubt := _about_teacher(teacher, out / PLAIN)):
                screen.note(f"caution: {doubt}")
    doubts = (_about_chance(out / STUDENT), _about_gain(runs[1::2], runs[2::2]), _about_teacher(teacher, out / PLAIN))
    cautions = (*filter(None, doubts), *cautions)
    report = _timed(screen, setup, "comparison", lambda: reports.compare(runs, out / REPORT, cautions=cautions))
    _bundle(setup, out, screen)
    return Distilled(setup, tuple(runs), report, out / BUNDLE, _page(out, screen), cautions)


def _recipes(setup: Setup, out: Path) -> dict[str, Recipe]:
    """Return the recipes in the folder, as they are now."""
    return {name: schema.load(out / f"{name}.toml") for name in setup.digests}


def _train(recipe: Recipe, folder: Path, step: str, setup: Setup, screen: Screen) -> None:
    files = RunFiles(folder)
    if files.result.is_file() and files.report.is_file() and schema.load(files.recipe) == recipe:
        resume.require_taught_by_the_same(files, recipe)
        screen.ended(step, None)
        return
    # A finished run whose recipe changed in what changes no training gets the new recipe, and a new report.
    _timed(screen, setup, step, lambda: single_run.train(recipe, folder, screen))


def _about_teacher(teacher: Path, plain: Path) -> str:
    """Return why the teacher may have nothing to teach, "" where it is significantly better than the plain student."""
    measured = margin(Run(teacher).predictions("val"), [Run(plain).predictions("val")])
    average, *_ = findings.margin(measured, 1)
    if average.severity != "stop":
        return ""
    difference = measured.balanced_accuracy
    word = "not shown to be better than" if difference.value > 0 else "no better than"
    return (
        f"The teacher is {word} the plain student on the validation set (balanced accuracy "
        f"{100 * difference.value:+.1f} percentage points, 95 % interval {100 * difference.low:+.1f} to "
        f"{100 * difference.high:+.1f}): it may have nothing to teach; examine it with: dspkd doctor "
        f"{plain.parent / 'student.toml'} --student {plain}"
    )


def _about_chance(student: Path) -> str:
    """Return that the student is no better than guessing on the validation set, "" where its interval is above that."""
    predictions = Run(student).predictions("val")
    present, chance = len(set(predictions.labels.tolist())), 1 / len(set(predictions.labels.tolist()))
    reached, low, _ = level(predictions).balanced_accuracy
    if low > chance:
        return ""
    return (
        f"The distilled student is not shown to be better than guessing on the validation set: balanced accuracy "
        f"{reached:.3f}, guessing among {present} classes has {chance:.3f}. Do not use it."
    )


def _about_gain(plain: Sequence[Path], distilled: Sequence[Path]) -> str:
    """Return that the distilled students are no better than the plain ones on the test set, "" where they are."""
    without, taught = (fmean(Run(run).test.balanced_accuracy for run in runs) for runs in (plain, distilled))
    if taught > without:
        return ""
    return (
        f"The distilled student is no better than the plain one on the test set: balanced accuracy {taught:.3f}, "
        f"the plain one's is {without:.3f}. Distillation did not help here. The bundle holds the distilled student; "
        f"dspkd export {plain[0]} makes one of the plain student."
    )


def _bundle(setup: Setup, out: Path, screen: Screen) -> None:
    from dspkd.deploy.export.export import export

    path = out / BUNDLE
    if path.is_file():
        if _is_bundle_of(path, out / STUDENT):
            screen.ended("bundle", None)
            return
        path.unlink()
    _timed(screen, setup, "bundle", lambda: export(out / STUDENT, path, log=screen.note))


def _is_bundle_of(path: Path, student: Path) -> bool:
    """Return whether a file is a bundle of a run's weights, with the kinds of classes that its recipe states now."""
    from dspkd.deploy.export.certificate import digest_of_weights

    run = Run(student)
    stated = run.recipe.data
    kinds = malignancies(run.classes, stated.malignant, stated.benign)
    try:
        bundle = open_bundle(path)
        digest = bundle.read_json("certificate.json")["origins"]["weights digest"]
    except (BundleError, KeyError, TypeError):
        return False
    classes = [(each.id, each.malignancy) for each in bundle.spec.classes]
    return digest == digest_of_weights(student) and classes == list(zip(run.classes, kinds, strict=True))


def _page(out: Path, screen: Screen) -> Path | None:
    """Write the web page that runs the bundle in a browser; None, with the reason, where that cannot be."""
    bundle, folder = open_bundle(out / BUNDLE), out / PAGE
    if _is_page_of(bundle, folder):
        return folder
    if folder.exists():
        shutil.rmtree(folder)
    if reason := web_page.runs_on_device(bundle):
        screen.note(f"no page for browsers: {reason}")
        return None
    web_page.write(bundle, folder)
    return folder


def _is_page_of(bundle: Bundle, folder: Path) -> bool:
    """Return whether a folder has the whole page of this bundle."""
    try:
        digest = json.loads((folder / "bundle" / "about.json").read_bytes())["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(digest == bundle.digest) and (folder / web_page.SERVICE_WORKER).is_file()  # written last


def _timed(screen: Screen, setup: Setup, step: str, work: Callable[[], T]) -> T:
    screen.begun(step, setup.expected.get(step))
    started = time.monotonic()
    result = work()
    screen.ended(step, time.monotonic() - started)
    return result
