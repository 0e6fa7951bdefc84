"""The function behind ``dspkd.distill_folder``: the same work as the command's."""

from __future__ import annotations

import os
from pathlib import Path

from dspkd.experiments.budget import parse_budget
from dspkd.experiments.own_images import distill as job
from dspkd.experiments.own_images.distill import Distilled
from dspkd.experiments.own_images.new import Options
from dspkd.experiments.own_images.screen import JobScreen, SilentScreen
from dspkd.runs.run_folder import Run
from dspkd.runtime.console import ConsoleProgress, terminal


def distill_folder(
    data: str | Path,
    out: str | Path,
    *,
    student: str | Path | None = None,
    teacher: str | Path | Run | None = None,
    budget: str | float | None = None,
    group: str | None = None,
    label: str | None = None,
    resplit: bool = False,
    progress: bool = True,
) -> Distilled:
    """Distil a student from a folder of images, with settings that follow from images, machine and budget.

    Writes recipes, trains teacher, plain and DSP-KD student, compares them, and writes a bundle; the same call
    continues where it was stopped. `dspkd.distill` is for any two torch modules.

    Parameters
    ----------
    data
        Folder or CSV file of the images.
    out
        Folder of everything; made if missing.
    student, teacher
        A network's name, ``timm:NAME``, ``torchvision:NAME``, a file or Hugging Face folder of weights, or
        ``NAME=FILE``; for the teacher also a finished run or its folder. A `Path` is never a name. A teacher
        whose file has a classifier for these classes is used as it is. By default chosen by the rules in
        `dspkd.experiments.own_images.rules`.
    budget
        Time for everything: ``"2h"``, ``"1h30m"``, or seconds. None is no limit.
    group
        Column that names the lesion or patient, where it is not recognised.
    label
        Column that names the class, likewise.
    resplit
        Split at random, by lesion or patient, though the data set has parts of its own such as train and test.
    progress
        Print what is found, chosen and done.

    Returns
    -------
    Distilled
        ``setup``, ``runs``, ``report``, ``bundle``, ``page`` and ``cautions``: what may be wrong with the results.

    Raises
    ------
    DspkdError
        See `dspkd.experiments.own_images.distill.distill`.
    """
    options = Options(
        data=str(data),
        student=_option(student),
        teacher=_option(teacher.folder if isinstance(teacher, Run) else teacher),
        budget=parse_budget(budget) if isinstance(budget, str) else budget,
        group=group,
        label=label,
        resplit=resplit,
    )
    if not progress:
        return job.distill(options, Path(out), SilentScreen())
    console = terminal()
    with ConsoleProgress(console) as listener:
        return job.distill(options, Path(out), JobScreen(console, listener))


def _option(value: str | Path | None) -> str | None:
    """Return a name or path as the command takes it, where a path that could be a name begins with ``./``."""
    if isinstance(value, Path) and len(value.parts) == 1:
        return f".{os.sep}{value}"
    return None if value is None else str(value)
