"""What the job prints: what was found, chosen and expected, and each step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dspkd.experiments.own_images.facts import DataFacts
from dspkd.experiments.own_images.new import Setup
from dspkd.runtime.console import headed
from dspkd.runtime.progress import Counts
from dspkd.training.progress import NullProgress, ProgressListener


class JobScreen:
    """Prints the plan and the steps of the job; a run's own progress goes to a listener.

    Parameters
    ----------
    console
        Where to print.
    listener
        Receives epochs, steps and notes.
    """

    def __init__(self, console: Console, listener: ProgressListener) -> None:
        self._console = console
        self.run, self.note, self.prepare = listener.run, listener.note, listener.prepare
        self.step, self.epoch = listener.step, listener.epoch

    def data(self, counts: Counts) -> None:
        """Print nothing: the plan has shown the counts, which are those of every run."""

    def planned(self, setup: Setup, out: Path) -> None:
        """Print what was found, chosen and expected."""
        print_setup(self._console, setup, out)

    def begun(self, step: str, expected: float | None) -> None:
        """Print a heading with the expected time."""
        time = f": expected {duration(expected)}" if expected else ""
        self._console.print(f"\n{step}{time}", style="bold", soft_wrap=True)

    def ended(self, step: str, seconds: float | None) -> None:
        """Print how long the step took."""
        self._console.print(f"{step}: " + ("finished before" if seconds is None else f"took {duration(seconds)}"))


def duration(seconds: float) -> str:
    """Return a time with one unit."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_setup(console: Console, setup: Setup, out: Path) -> None:
    """Print what was found, assumed, chosen, given up and expected."""

    def show(text: str, style: str = "") -> None:
        console.print(text, style=style, soft_wrap=True)

    show("\nFound", "bold")
    _print_facts(console, setup.facts)
    where = "GPU" if setup.machine.kind != "cpu" else "no GPU"
    show(f"machine: {setup.machine.name}, {where}, {setup.machine.cores} cores")
    print_cautions(console, setup.cautions)
    settings = setup.settings
    first, second = settings.stage_epochs
    show("\nChosen", "bold")
    teacher = f"{settings.teacher}" + (f", trained: {settings.teacher.run}" if settings.teacher.run else "")
    show(f"teacher: {teacher}; weights {settings.teacher.weights}")
    show(f"student: {settings.student}; weights {settings.student.weights}")
    show(
        f"images: {settings.size} px, batches of {settings.batch}, "
        + (f"{settings.views} augmented views of each" if settings.views else "augmented afresh each time")
    )
    show(
        f"epochs: {settings.epochs} for teacher, plain student and DSP-KD student ({first} and {second} in its two "
        f"stages); {settings.seeds} {'run' if settings.seeds == 1 else 'runs'} of each student"
    )
    if setup.options.budget is not None:
        show(f"\nGiven up for a budget of {duration(setup.options.budget)}", "bold")
        for line in setup.given_up or ("nothing",):
            show(line)
        if setup.late:
            show(f"even so it takes longer: {duration(setup.seconds)}", "yellow")
    show("\nExpected time on this machine", "bold")
    for step, seconds in setup.expected.items():
        show(f"{step:<18} {duration(seconds)}")
    show(f"{'in all':<18} {duration(setup.seconds)}")
    show("\nWritten", "bold")
    for name in setup.digests:
        show(f"{out / name}.toml")
    show(f"{out / 'audit.html'}")


def print_cautions(console: Console, cautions: Sequence[str]) -> None:
    """Print what may be wrong with results, most severe first."""
    if cautions:
        console.print("\nBe careful: any of this can make the results wrong", style="bold yellow")
    for number, caution in enumerate(cautions, start=1):
        console.print(f"{number}. {caution}", style="yellow", soft_wrap=True)


def _print_facts(console: Console, facts: DataFacts) -> None:
    ids = facts.unnamed < facts.images
    table = headed("images (lesions or patients)" if ids else "images", ["class"], ["all", *facts.parts])
    for name, (images, groups) in facts.classes.items():
        parts = (facts.parts[part][name] for part in facts.parts)
        table.add_row(name, *(f"{i:,} ({g:,})" if ids else f"{i:,}" for i, g in ((images, groups), *parts)))
    console.print(table)
    for line in facts.notes:
        console.print(line, soft_wrap=True)
    console.print(f"images: shorter side {facts.side} px (median); {facts.copies:,} put into a group with their copies")


class SilentScreen(NullProgress):
    """Ignores everything."""

    def planned(self, setup: Setup, out: Path) -> None:
        """Ignore it."""

    def begun(self, step: str, expected: float | None) -> None:
        """Ignore it."""

    def ended(self, step: str, seconds: float | None) -> None:
        """Ignore it."""
