"""Tables on the terminal of what is planned: how long a recipe or a grid will take, and the fastest settings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console

from dspkd.cli.tables import print_warnings
from dspkd.reports.wording import counted
from dspkd.runs.estimates import AROUND
from dspkd.runtime.console import headed
from dspkd.runtime.files import readable

if TYPE_CHECKING:
    from dspkd.experiments.compare.grid_plan import GridPlan
    from dspkd.experiments.fastest.measure import Found
    from dspkd.runs.estimates import CacheEstimate, Plan

_AROUND = f"in this: {AROUND:.0f} s a run for start, heat maps and report, which are assumed"


def print_plan(console: Console, plan: Plan) -> None:
    """Print how long a recipe will take, and where the time goes."""
    console.print(
        f"measured on {plan.device}: {counted(plan.threads, 'thread')}, {plan.workers} loader processes, "
        f"{'compiled, ' * plan.compiled}batches of {plan.batch_size}"
    )
    parts = ["loading", "teacher", "student", "update"]
    table = headed("milliseconds a step (median)", ["stage"], [*parts, "steps", "epochs", "total"])
    for stage in plan.stages:
        spent = (stage.loading, stage.teaching, stage.learning, stage.updating)
        milliseconds = [f"{1000 * seconds:.3g}" for seconds in spent]
        table.add_row(stage.name, *milliseconds, str(stage.steps), str(stage.epochs), _duration(stage.seconds))
    console.print(table)
    if compiling := sum(stage.compiling for stage in plan.stages):
        console.print(f"in these totals: compiling, {_duration(compiling)}")
    if plan.fold_teachers.count:
        folds = f"{plan.fold_teachers.count} fold teachers: {_duration(plan.fold_teachers.seconds)}"
        console.print(f"once, beside the teacher's run: train {folds}")
    _print_cached(console, plan.images, plan.teacher_outputs, plan.passes)
    console.print(
        f"validation: {_duration(plan.validation)} an epoch; evaluation at the end: {_duration(plan.evaluation)}"
    )
    console.print(f"expected in total: {_duration(plan.seconds)}")
    console.print(_AROUND)
    print_warnings(console, plan.warnings)


def print_grid_plan(console: Console, plan: GridPlan) -> None:
    """Print how long a grid will take, and where the time goes."""
    table = headed("expected, without what is computed once", ["runs"], ["number", "each", "total"])
    for each in (*plan.teachers, *plan.students):
        table.add_row(each.name, str(each.count), _duration(each.seconds), _duration(each.count * each.seconds))
    console.print(table)
    _print_cached(console, plan.images, plan.teacher_outputs)
    runs = sum(each.count for each in (*plan.teachers, *plan.students))
    at_once = (
        f"{plan.jobs} at a time, {counted(plan.threads, 'thread')} each"
        if plan.jobs > 1
        else counted(plan.threads, "thread")
    )
    console.print(f"expected in total: {_duration(plan.seconds)} for {runs} runs, {at_once}")
    console.print(_AROUND)
    if plan.jobs > 1:
        console.print("timed one at a time: runs that share memory and disk are slower")
    print_warnings(console, plan.warnings)


def print_fastest(console: Console, found: Found) -> None:
    """Print how fast each setting is, and which ones later runs on this machine use."""
    kept = found.kept
    table = headed("training steps of the student, without loading", ["setting"], ["ms a step", "images/s in all"])
    for each in found.measured:
        table.add_row(each.in_words, f"{1000 * each.step:.3g}", f"{each.images:.0f}")
    console.print(table)
    console.print(
        f"fastest: one run with {counted(kept.threads, 'thread')}; of several runs, {kept.jobs} at a time",
        soft_wrap=True,
    )
    if found.failed:
        console.print(f"not compiled: {found.failed}", style="yellow", soft_wrap=True)
    elif (gain := kept.saved_by_compiling(1, 0)) > 0:
        steps = math.ceil(kept.compiling / gain)
        console.print(
            f"compiling takes {_duration(kept.compiling)} for each stage, and pays in one of more than {steps:,} steps "
            f"({_duration(steps * kept.step)})",
            soft_wrap=True,
        )
    else:
        console.print("compiling does not pay: its steps are not faster")
    if faster := [each for each in found.measured if each.bf16 and each.step < kept.step]:
        console.print(
            f"bfloat16 takes {faster[0].step / kept.step:.2f} of the time; it changes results by more than rounding, "
            "so it is not chosen by itself: --set 'train.precision=\"bfloat16\"'",
            soft_wrap=True,
        )
    console.print(
        'later runs use it: machine.threads = 0, machine.compile = "auto" in dspkd train, dspkd compare without --jobs',
        soft_wrap=True,
    )


def _print_cached(console: Console, images: CacheEstimate, outputs: CacheEstimate, passes: int = 1) -> None:
    """Print what is computed once before training."""
    for task, once in (("decode images", images), ("compute teacher outputs", outputs)):
        if once.count:
            costs = f"{_duration(once.seconds)}, {readable(once.nbytes)}"
            if once is outputs and passes > 1:
                costs += f" ({passes} forward passes each)"
            console.print(f"once, where not cached yet: {task}, {once.count:,} images: {costs}", soft_wrap=True)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
