"""Have the runs of a grid compute their teacher's outputs together, in one forward pass for each image."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

from dspkd.errors import DspkdError
from dspkd.experiments.compare.planned_run import PlannedRun
from dspkd.recipes.schema import Recipe
from dspkd.runs import teacher_cache
from dspkd.runs.files import RunFiles


def announce(runs: Iterable[PlannedRun], log: Callable[[str], None]) -> None:
    """Write into each run's folder what all runs that share its cache read of the teacher's outputs.

    Whichever run first meets an image then stores all of that. Without it, methods that read maps would repeat the
    forward passes of one that reads only logits. Call it once the teachers are trained.
    """
    groups: dict[str, list[PlannedRun]] = defaultdict(list)
    for run in runs:
        if teacher_cache.is_used(run.recipe):
            groups[shared_settings(run.recipe)].append(run)
    for group in groups.values():
        methods = {replace(run.recipe, name="", seed=0).digest: run.recipe for run in group}
        if len(methods) < 2:
            continue
        try:
            reads = teacher_cache.reads_together(list(methods.values()))
        except DspkdError:
            continue  # the run that it concerns reports it; the others compute what they read themselves
        names = ", ".join(sorted(reads.fields))
        log(f"{' + '.join(group[0].recipe.teachers)}: {len(methods)} methods share its outputs, {names}")
        for run in group:
            reads.save(RunFiles(run.folder).shared_outputs)


def shared_settings(recipe: Recipe) -> str:
    """Return the settings that runs must have in common to share cached outputs."""
    settings = asdict(recipe)
    machine = settings["machine"]
    shared = [settings[key] for key in ("teacher", "data", "split", "images", "teacher_cache")]
    return json.dumps([*shared, settings["train"]["precision"], machine["cache"], machine["device"]])
