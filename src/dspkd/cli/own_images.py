"""The commands for a folder of one's own images: new, distill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dspkd.cli.errors import one_line_errors

if TYPE_CHECKING:
    from dspkd.experiments.own_images.distill import Distilled
    from dspkd.experiments.own_images.new import Options, Setup

app = typer.Typer()

DataArgument = Annotated[
    Path, typer.Argument(help="Your images: a folder with a folder for each class, or a CSV file, or any known layout.")
]
StudentOption = Annotated[
    str | None,
    typer.Option(
        help="The small network: a name (dspkd models), timm:NAME, torchvision:NAME, a file of weights or NAME=FILE; "
        "by default ShuffleNetV2."
    ),
]
TeacherOption = Annotated[
    str | None,
    typer.Option(
        help="The large network: as for the student, or the folder of a finished run; a file with a classifier for "
        "these classes is used as it is. By default chosen for this machine."
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        help="Time for the whole job, such as 2h or 30m; prints what it takes away. Without it, the full settings."
    ),
]
GroupOption = Annotated[
    str | None, typer.Option(help="Column that names the lesion or patient, if it is not recognised.")
]
LabelOption = Annotated[str | None, typer.Option(help="Column that names the class, if it is not recognised.")]
ResplitOption = Annotated[
    bool,
    typer.Option(
        "--resplit", help="Split at random, by lesion or patient, though the data set has parts such as train and test."
    ),
]


@app.command()
def new(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder to write the recipes into.")] = Path("runs/mine"),
    student: StudentOption = None,
    teacher: TeacherOption = None,
    budget: BudgetOption = None,
    group: GroupOption = None,
    label: LabelOption = None,
    resplit: ResplitOption = False,
) -> None:
    """Look at your images and this machine, and write three recipes: teacher, plain student, DSP-KD student.

    Prints what it found and what it assumed, and writes it into audit.html. Each line of the recipes has a comment;
    change what you like. Trains nothing: dspkd distill does the rest.
    """
    with one_line_errors(stopped="stopped; run the same command again"):
        from dspkd.experiments.own_images import new as recipes
        from dspkd.experiments.own_images.screen import print_setup
        from dspkd.runtime.console import ConsoleProgress, terminal

        options = _options(data, student, teacher, budget, group, label, resplit)
        with ConsoleProgress(terminal()) as screen:
            setup = recipes.new(options, out, progress=screen.prepare, log=screen.note)
        print_setup(terminal(), setup, out)
        typer.echo(f"next: {_command(setup, out)}")


@app.command()
def distill(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder of everything. Run the same command again to resume.")],
    student: StudentOption = None,
    teacher: TeacherOption = None,
    budget: BudgetOption = None,
    group: GroupOption = None,
    label: LabelOption = None,
    resplit: ResplitOption = False,
) -> None:
    """Distil a student from your images: recipes, audit, teacher, students, comparison, and a bundle for phones.

    First does what dspkd new does, and prints what it found, what it assumed, and how long each step will take. May be
    stopped at any moment: the same command skips what is finished. Recipes in the folder are used as they are.
    """
    with one_line_errors(stopped="stopped; run the same command again to resume"):
        from dspkd.experiments.own_images import distill as job
        from dspkd.experiments.own_images.screen import JobScreen
        from dspkd.runtime.console import ConsoleProgress, terminal

        console = terminal()
        options = _options(data, student, teacher, budget, group, label, resplit)
        with ConsoleProgress(console) as screen:
            done = job.distill(options, out, JobScreen(console, screen))
        _print_results(console, done)


def _options(
    data: Path,
    student: str | None,
    teacher: str | None,
    budget: str | None,
    group: str | None,
    label: str | None,
    resplit: bool,
) -> Options:
    from dspkd.experiments.budget import parse_budget
    from dspkd.experiments.own_images.new import Options

    seconds = None if budget is None else parse_budget(budget)
    return Options(str(data), student, teacher, seconds, group, label, resplit)


def _command(setup: Setup, out: Path) -> str:
    """Return the command that goes on from `new`."""
    import shlex

    from dspkd.experiments.budget import budget_text

    options = setup.options
    given = {
        "--student": options.student,
        "--teacher": options.teacher,
        "--group": options.group,
        "--label": options.label,
    }
    words = ["dspkd", "distill", options.data, "--out", str(out)]
    words += [word for name, value in given.items() if value is not None for word in (name, value)]
    if options.resplit:
        words += ["--resplit"]
    if options.budget is not None:
        words += ["--budget", budget_text(options.budget)]
    return shlex.join(words)


def _print_results(console: Console, done: Distilled) -> None:
    from dspkd.cli.tables import print_results
    from dspkd.deploy.bundle import limits
    from dspkd.deploy.bundle.reader import open_bundle
    from dspkd.experiments.own_images.screen import print_cautions
    from dspkd.runs.run_folder import Run

    runs = [Run(folder) for folder in done.runs]
    console.print()
    print_results(
        console, ((folder.name, run.result.parameters, run.test) for folder, run in zip(done.runs, runs, strict=True))
    )
    print_cautions(console, done.cautions)
    console.print("\n" + "\n".join(limits.lines(open_bundle(done.bundle))), soft_wrap=True)
    console.print(f"\nreport: {done.report}\nbundle: {done.bundle}", soft_wrap=True)
    if done.page:
        console.print(f"page: {done.page}, for any web server", soft_wrap=True)
    console.print(
        f"on your phone: dspkd serve {done.bundle} --host 0.0.0.0, and open the address that it prints", soft_wrap=True
    )
