"""The command `dspkd`: prints and exits. What is slow to import is imported inside the command that needs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from dspkd import __version__
from dspkd.errors import DspkdError

if TYPE_CHECKING:
    from dspkd.evaluate.metrics import Summary
    from dspkd.explain import Facts

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil a large skin-disease image classifier into one small enough for a phone, and prove what it kept.",
)
recipes_app = typer.Typer(no_args_is_help=True, help="List, show and check recipes.")
data_app = typer.Typer(no_args_is_help=True, help="Make and inspect data sets.")
app.add_typer(recipes_app, name="recipes")
app.add_typer(data_app, name="data")

out_console = Console()
RecipeArgument = Annotated[str, typer.Argument(help="A recipe: a TOML file, or the name of an embedded one.")]
RunArgument = Annotated[Path, typer.Argument(help="Folder of a finished run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; the value is TOML, e.g. stages.0.epochs=2"),
]


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Turn a user's mistake into one line and exit code 2; a mistake of ours keeps its traceback."""
    try:
        yield
    except DspkdError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(code=2) from None
    except KeyboardInterrupt:
        typer.secho("stopped; the same command goes on from the last finished epoch", err=True)
        raise typer.Exit(code=130) from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dspkd {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def train(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option(help="Folder of the run. A run that was stopped goes on where it was.")],
    override: SetOption = None,
) -> None:
    """Train, evaluate and report what a recipe describes."""
    with _told_in_one_line():
        from dspkd import recipe as recipe_file
        from dspkd import recipes, run
        from dspkd.screen import Screen

        loaded = recipe_file.load(recipes.find(recipe), override or [])
        with Screen(out_console) as screen:
            page = run.train(loaded, out, screen)
        _print_results([out])
        out_console.print(f"report: {page}", highlight=False)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the runs and the report.")] = Path("runs/demo"),
) -> None:
    """Run the main job on synthetic lesions: teacher, plain and DSP-KD student, and a report that compares them."""
    with _told_in_one_line():
        from dspkd import demo as demo_run
        from dspkd.screen import Screen

        with Screen(out_console) as screen:
            page = demo_run.demo(out, screen)
        _print_results([out / step for step in demo_run.STEPS])
        out_console.print(f"report: {page}", highlight=False)


@app.command()
def evaluate(
    run: RunArgument,
    data: Annotated[Path | None, typer.Option(help="Images of a known layout; by default those of the run.")] = None,
    part: Annotated[str | None, typer.Option(help="Only this part of the run's own split: train, val or test.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the predictions to this CSV file.")] = None,
    group: Annotated[str | None, typer.Option(help="Column that names the lesion or patient.")] = None,
) -> None:
    """Judge a run's student on labelled images, and say how many of them it was trained on."""
    with _told_in_one_line():
        from dspkd import judge

        judged = judge.evaluate(run, folder=data, part=part, group=group)
        if out is not None:
            judged.predictions.save(out)
        _print_summary(judged.summary)
        if judged.known:
            typer.secho(
                f"{judged.known} of these {len(judged.predictions.ids)} images show lesions or patients that the student "
                "was trained on: its figures are too good",
                fg="yellow",
                err=True,
            )


@app.command()
def predict(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Print a student's class probabilities for images. No diagnosis."""
    with _told_in_one_line():
        from dspkd import judge

        for path, probabilities in judge.predict(run, images):
            if as_json:
                typer.echo(json.dumps({"image": str(path), "probabilities": probabilities}))
            else:
                ranked = sorted(probabilities.items(), key=lambda item: -item[1])
                typer.echo(f"{path}: " + "  ".join(f"{name} {value:.3f}" for name, value in ranked))


@app.command()
def explain(recipe: RecipeArgument, override: SetOption = None) -> None:
    """Show what a recipe would do, training nothing: stages, shapes, sizes, first losses and gradient shares."""
    with _told_in_one_line():
        from dspkd import explain as explanation
        from dspkd import recipe as recipe_file
        from dspkd import recipes

        _print_facts(explanation.explain(recipe_file.load(recipes.find(recipe), override or [])))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Compare finished runs on one page."""
    with _told_in_one_line():
        from dspkd import report as pages

        out_console.print(f"report: {pages.compare(runs, out)}", highlight=False)


@app.command()
def methods() -> None:
    """List the methods: what they do, their options and defaults, their source, what is inferred."""
    with _told_in_one_line():
        from dspkd import methods as known

        for name in known.names():
            typer.echo(known.describe(name))


@app.command()
def models() -> None:
    """List the networks with their sizes; any other timm model works by its own name."""
    with _told_in_one_line():
        from dspkd.models import zoo

        table = Table(
            "name", "library", "parameters: 8 classes", "1000 classes", "paper, M", "channels of last", "note"
        )
        for row in zoo.describe():
            paper = "" if row.paper_millions is None else str(row.paper_millions)
            counts = (f"{row.parameters[8]:,}", f"{row.parameters[1000]:,}")
            table.add_row(row.name, row.library, *counts, paper, str(row.last), row.note)
        out_console.print(table)


@recipes_app.command("ls")
def recipes_ls() -> None:
    """List the embedded recipes."""
    from dspkd import recipes

    for name in recipes.names():
        typer.echo(f"{name:<28} {recipes.headline(recipes.find(name))}")


@recipes_app.command("show")
def recipes_show(recipe: RecipeArgument) -> None:
    """Print a recipe."""
    with _told_in_one_line():
        from dspkd import recipes

        typer.echo(recipes.find(recipe).read_text(encoding="utf-8"), nl=False)


@recipes_app.command("check")
def recipes_check(recipe: RecipeArgument, override: SetOption = None) -> None:
    """Check a recipe: every key, every value, every method and option. Reads no data."""
    with _told_in_one_line():
        from dspkd import build, recipes
        from dspkd import recipe as recipe_file

        loaded = recipe_file.load(recipes.find(recipe), override or [])
        build.check(loaded)
        typer.echo(f"{loaded.name}: valid; digest {loaded.digest}, {len(loaded.stages)} stages, {loaded.epochs} epochs")


@data_app.command("synthesize")
def data_synthesize(
    folder: Annotated[Path, typer.Argument(help="Where to write; must be empty or missing.")],
    images: Annotated[int, typer.Option(help="How many photographs.")] = 600,
    classes: Annotated[str, typer.Option(help="isic2019 (8 classes) or common (6 common skin diseases).")] = "isic2019",
    layout: Annotated[str, typer.Option(help="isic2019 or folder.")] = "isic2019",
    size: Annotated[int, typer.Option(help="Side in pixels.")] = 96,
    seed: Annotated[int, typer.Option(help="Another seed, other lesions.")] = 0,
) -> None:
    """Write synthetic lesions: drawn, not photographed; for demonstrations and tests."""
    with _told_in_one_line():
        from dspkd.data.synthetic import synthesize

        synthesize(folder, images=images, classes=classes, layout=layout, size=size, seed=seed)
        typer.echo(f"{images} synthetic images in {folder}")


def _print_results(runs: list[Path]) -> None:
    """Print what the test images said of each run."""
    from dspkd.evaluate.metrics import summarise
    from dspkd.evaluate.predictions import Predictions

    table = Table(
        "run", "parameters", "balanced accuracy", "macro F1", "accuracy", title="test images", title_justify="left"
    )
    for run in runs:
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        summary = summarise(Predictions.load(run / "predictions" / "test.csv"))
        figures = (summary.balanced_accuracy, summary.f1_macro, summary.accuracy)
        table.add_row(result["name"], f"{result['parameters']:,}", *(f"{figure:.3f}" for figure in figures))
    out_console.print(table)


def _print_summary(summary: Summary) -> None:
    table = Table("class", "images", "recall", "precision", "specificity", "F1", "AUC")
    for row in summary.per_class:
        figures = (row.recall, row.precision, row.specificity, row.f1, row.auc)
        table.add_row(row.name, str(row.images), *map(_share, figures))
    out_console.print(table)
    out_console.print(
        f"balanced accuracy {summary.balanced_accuracy:.3f}  macro F1 {summary.f1_macro:.3f}  "
        f"accuracy {summary.accuracy:.3f}  AUC {_share(summary.auc_macro)}",
        highlight=False,
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print_facts(facts: Facts) -> None:
    out_console.print(
        f"recipe {facts.digest}: {facts.images} training images, batches of {facts.batch_size}", highlight=False
    )
    for role, network in (("student", facts.student), ("teacher", facts.teacher)):
        if network is not None:
            shapes = "  ".join(f"{tap} {'x'.join(map(str, shape))}" for tap, shape in network.shapes.items())
            out_console.print(f"{role} {network.name}: {network.parameters:,} parameters\n  {shapes}", highlight=False)
    for stage in facts.stages:
        table = Table(
            "term", "weight", "first value, weighted", "share of gradient", "own parameters",
            title=f"stage {stage.name}: {stage.epochs} epochs, {stage.trained:,} parameters trained", title_justify="left",
        )  # fmt: skip
        for term in stage.terms:
            table.add_row(
                term.name, f"{term.weight:g}", f"{term.value:.4g}", f"{term.gradient_share:.0%}", f"{term.parameters:,}"
            )
        out_console.print(table)
