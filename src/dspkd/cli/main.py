"""The command `dspkd`: prints and exits. What is slow to import is imported inside the command that needs it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from dspkd import __version__
from dspkd.cli import data as cli_data
from dspkd.cli import deploy, paper, serve
from dspkd.cli import doctor as cli_doctor
from dspkd.cli import evaluate as cli_evaluate
from dspkd.cli import ledger as cli_ledger
from dspkd.cli import recipes as cli_recipes
from dspkd.cli.errors import one_line_errors
from dspkd.cli.recipes import RecipeArgument, SetOption

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil a large skin-disease image classifier into one small enough for a phone, and prove what it kept.",
)
app.add_typer(cli_recipes.app, name="recipes")
app.add_typer(cli_data.app, name="data")
app.add_typer(deploy.app)
app.add_typer(paper.app)
app.add_typer(serve.app)
app.command("doctor")(cli_doctor.doctor)
app.command("evaluate")(cli_evaluate.evaluate)
app.command("ledger")(cli_ledger.ledger)

GOES_ON = "stopped; the same command goes on from the last finished epoch"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dspkd {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option(help="Folder of the run. A run that was stopped goes on where it was.")],
    override: SetOption = None,
) -> None:
    """Train, evaluate and report what a recipe describes."""
    with one_line_errors(stopped=GOES_ON):
        from dspkd.experiments import single_run
        from dspkd.recipes import catalog, schema
        from dspkd.runtime import distributed
        from dspkd.runtime.console import ConsoleProgress, terminal

        with distributed.joined() as mine:
            loaded = mine.on_all(lambda: schema.load(catalog.find(recipe), override or []))
            with ConsoleProgress(terminal()) if mine.rank == 0 else nullcontext() as screen:
                page = single_run.train(loaded, out, screen, mine)
            if mine.rank == 0:
                _print_results([out])
                typer.echo(f"report: {page}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the runs and the report.")] = Path("runs/demo"),
) -> None:
    """Run the main job on synthetic lesions: teacher, plain and DSP-KD student, and a report that compares them."""
    with one_line_errors(stopped=GOES_ON):
        from dspkd.experiments import demo as demo_run
        from dspkd.runtime.console import ConsoleProgress, terminal

        with ConsoleProgress(terminal()) as screen:
            page = demo_run.demo(out, screen)
        _print_results([out / step for step in demo_run.STEPS])
        typer.echo(f"report: {page}")


@app.command()
def explain(recipe: RecipeArgument, override: SetOption = None) -> None:
    """Show what a recipe would do, training nothing: stages, shapes, sizes, first losses and gradient shares."""
    with one_line_errors():
        from dspkd.cli.tables import print_facts
        from dspkd.recipes import catalog as recipes
        from dspkd.recipes import schema as recipe_file
        from dspkd.runs import explain as explanation
        from dspkd.runtime.console import terminal

        print_facts(terminal(), explanation.explain(recipe_file.load(recipes.find(recipe), override or [])))


@app.command()
def plan(recipe: RecipeArgument, override: SetOption = None) -> None:
    """Measure 20 steps of each stage here, keeping nothing: where the time goes, and how long a run will take."""
    with one_line_errors():
        from dspkd.cli.tables import print_plan
        from dspkd.recipes import catalog as recipes
        from dspkd.recipes import schema as recipe_file
        from dspkd.runs import plan as planning
        from dspkd.runtime.console import terminal

        print_plan(terminal(), planning.plan(recipe_file.load(recipes.find(recipe), override or [])))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Compare finished runs on one page."""
    with one_line_errors():
        from dspkd import reports

        typer.echo(f"report: {reports.compare(runs, out)}")


@app.command()
def compare(
    grid: Annotated[
        str,
        typer.Argument(help="A grid of recipes and seeds: a TOML file, or the name of an embedded one (grids/demo)."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of all runs and results. The same command goes on where it was.")],
    jobs: Annotated[int, typer.Option(min=1, help="Runs trained at once, each in a process of its own.")] = 1,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Train on this Ray cluster, or on one started here: local.")
    ] = None,
) -> None:
    """Train recipes over several seeds, on equal terms, and say which is shown to be better.

    Arms must share data, split, student, images, batches and epochs. The plain student and label smoothing are added
    where they lack. Runs that failed are listed, and the same command tries them and the missing ones again.
    """
    with one_line_errors(stopped="stopped; the same command goes on with the runs that are missing"):
        from dspkd.cli.tables import print_comparison
        from dspkd.experiments.compare import compare as comparison
        from dspkd.experiments.compare import executors
        from dspkd.experiments.compare import grid as grid_file
        from dspkd.recipes import catalog as recipes
        from dspkd.runtime.console import ConsoleProgress, terminal

        wanted = grid_file.load(recipes.find_grid(grid))
        with ConsoleProgress(terminal()) as screen:
            engine = executors.choose(jobs=jobs, ray=ray, listener=screen)
            compared = comparison.compare(wanted, out, engine, jobs=jobs, log=screen.note)
        for results in compared.results:
            print_comparison(terminal(), results)
        for page in [out / "results.md", *compared.pages]:
            typer.echo(f"report: {page}")
        if compared.failed:
            typer.secho(
                f"error: {compared.failed} runs have no result; the same command tries again", fg="red", err=True
            )
            raise typer.Exit(code=1)


@app.command()
def methods() -> None:
    """List the methods: what they do, their options and defaults, their source, what is inferred."""
    with one_line_errors():
        from dspkd import methods as known

        for name in known.names():
            typer.echo(known.describe(name))


@app.command()
def models(
    table: Annotated[
        bool, typer.Option("--table", help="Print a Markdown page with sizes and arithmetic beside the paper's own.")
    ] = False,
) -> None:
    """List the networks with their sizes; any other timm model works by its own name."""
    with one_line_errors():
        from dspkd.cli.tables import print_models
        from dspkd.models import markdown as page
        from dspkd.models import zoo
        from dspkd.runtime.console import terminal

        if table:
            typer.echo(page.markdown(zoo.describe()), nl=False)
            return
        print_models(terminal(), zoo.describe())


def _print_results(runs: list[Path]) -> None:
    """Print what the test images said of each run, and of which the split leaks."""
    from dspkd.cli.tables import print_results
    from dspkd.data import leakage
    from dspkd.evaluation.metrics import summarise
    from dspkd.evaluation.predictions import Predictions
    from dspkd.runtime.console import terminal

    results = [json.loads((run / "result.json").read_text(encoding="utf-8")) for run in runs]
    summaries = [summarise(Predictions.load(run / "predictions" / "test.csv")) for run in runs]
    leaks = [leakage.read(run) for run in runs]
    names = [
        f"{result['name']} (leaking split)" if found else result["name"]
        for result, found in zip(results, leaks, strict=True)
    ]
    parameters = [result["parameters"] for result in results]
    print_results(terminal(), zip(names, parameters, summaries, strict=True))
    for name, found in zip(names, leaks, strict=True):
        if found:
            terminal().print(f"{name}: {found}", style="yellow", soft_wrap=True)
