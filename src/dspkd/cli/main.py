"""The command `dspkd`. Slow imports stand inside the command that needs them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from dspkd import __version__
from dspkd.cli import agreement as cli_agreement
from dspkd.cli import check as cli_check
from dspkd.cli import convert, deploy, own_images, paper, serve
from dspkd.cli import data as cli_data
from dspkd.cli import doctor as cli_doctor
from dspkd.cli import evaluate as cli_evaluate
from dspkd.cli import recipes as cli_recipes
from dspkd.cli import referee as cli_referee
from dspkd.cli import teacher_outputs as cli_teacher_outputs
from dspkd.cli.errors import one_line_errors
from dspkd.cli.recipes import JobsOption, RecipeArgument, SetOption

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil a large skin-disease image classifier into one small enough for a phone, and measure what it keeps.",
)
app.add_typer(cli_recipes.app, name="recipes")
app.add_typer(cli_data.app, name="data")
app.add_typer(own_images.app)
app.add_typer(deploy.app)
app.add_typer(convert.app)
app.add_typer(paper.app)
app.add_typer(serve.app)
app.command("doctor")(cli_doctor.doctor)
app.command("evaluate")(cli_evaluate.evaluate)
app.command("agreement")(cli_agreement.agreement)
app.command("referee")(cli_referee.referee)
app.command("teacher-outputs")(cli_teacher_outputs.teacher_outputs)
app.command("pack")(cli_referee.pack)
app.command("check")(cli_check.check)

STOPPED = "stopped; run the same command again to resume after the last finished epoch"


def _version(requested: bool) -> None:
    if requested:
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
    out: Annotated[Path, typer.Option(help="Folder of the run. A run that was stopped is resumed.")],
    override: SetOption = None,
) -> None:
    """Train a model as a recipe describes, evaluate it on the test set, and write a report."""
    with one_line_errors(stopped=STOPPED):
        from dspkd.experiments import single_run
        from dspkd.recipes import catalog, schema
        from dspkd.runtime import distributed
        from dspkd.runtime.console import ConsoleProgress, terminal

        with distributed.joined() as world:
            loaded = world.on_all(lambda: schema.load(catalog.find(recipe), override or []))
            with ConsoleProgress(terminal()) if world.rank == 0 else nullcontext() as screen:
                page = single_run.train(loaded, out, screen, world)
            if world.rank == 0:
                _print_results([out])
                typer.echo(f"report: {page}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the runs and the report.")] = Path("runs/demo"),
) -> None:
    """Train a teacher and plain, KD and DSP-KD students on synthetic lesions, and compare them in a report."""
    with one_line_errors(stopped=STOPPED):
        from dspkd.experiments import demo as demo_run
        from dspkd.runtime.console import ConsoleProgress, terminal

        with ConsoleProgress(terminal()) as screen:
            page = demo_run.demo(out, screen)
        _print_results([out / step for step in demo_run.EPOCHS])
        typer.echo(f"report: {page}")


@app.command()
def explain(recipe: RecipeArgument, override: SetOption = None) -> None:
    """Show what a recipe would train: stages, shapes, sizes, first losses and gradient shares. Trains nothing."""
    with one_line_errors():
        from dspkd.cli.tables import print_facts
        from dspkd.recipes import catalog as recipes
        from dspkd.recipes import schema as recipe_file
        from dspkd.runs import explain as explanation
        from dspkd.runtime.console import terminal

        print_facts(terminal(), explanation.explain(recipe_file.load(recipes.find(recipe), override or [])))


@app.command()
def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe or a grid: a TOML file, or the name of an embedded one.")],
    override: SetOption = None,
    jobs: JobsOption = None,
    fastest: Annotated[
        bool,
        typer.Option(
            "--fastest",
            help="First time the student's training step with several settings: threads, runs at the same time, "
            "bfloat16, torch.compile. It takes some minutes and needs an idle machine. Later runs use the fastest.",
        ),
    ] = False,
) -> None:
    """Time 20 steps of each stage on this machine: where the time goes, and how long a run or a grid will take."""
    with one_line_errors():
        from dspkd.cli import plan_tables
        from dspkd.errors import RecipeError
        from dspkd.experiments.compare import grid as grid_file
        from dspkd.experiments.compare import grid_plan
        from dspkd.experiments.fastest import measure
        from dspkd.recipes import catalog as recipes
        from dspkd.recipes import schema as recipe_file
        from dspkd.runs import plan as planning
        from dspkd.runs.fastest import keep
        from dspkd.runtime.console import terminal

        def log(line: str) -> None:
            typer.echo(line, err=True)

        path = recipes.find_either(recipe)
        grid = grid_file.load(path) if grid_file.is_grid(path) else None
        if grid and override:
            raise RecipeError(f"{path}: is a grid; --set changes recipes. Write settings into the grid: set = [...]")
        if not grid and jobs:
            raise RecipeError(f"{path}: is a recipe; --jobs is for grids")
        loaded = grid_file.a_student(grid) if grid else recipe_file.load(path, override or [])
        if fastest:
            found = measure.find(loaded, log=log)
            plan_tables.print_fastest(terminal(), found)
            keep(loaded, found.kept)
        if grid:
            planned = grid_plan.plan_grid(grid, jobs=jobs or measure.best_jobs(loaded, log), log=log)
            plan_tables.print_grid_plan(terminal(), planned)
        else:
            plan_tables.print_plan(terminal(), planning.plan(loaded))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Compare finished runs on one HTML page."""
    with one_line_errors():
        from dspkd import reports

        typer.echo(f"report: {reports.compare(runs, out)}")


@app.command()
def compare(
    grid: Annotated[
        str,
        typer.Argument(
            help="A grid, that is recipes and seeds: a TOML file, or the name of an embedded one (grids/demo)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of all runs and results. Run the same command again to resume.")],
    jobs: JobsOption = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Train on the Ray cluster at this address; local starts one on this machine."
        ),
    ] = None,
) -> None:
    """Compare methods: train each recipe with several seeds, and test the differences for significance.

    All methods must have the same data, split, student, images, batches and epochs. Two controls, the plain student and
    label smoothing, are added if the grid lacks them. Failed runs are listed; run the same command again to retry them.
    """
    with one_line_errors(stopped="stopped; run the same command again to train the missing runs"):
        from dspkd.cli.comparison_tables import print_comparison
        from dspkd.experiments.compare import compare as comparison
        from dspkd.experiments.compare import executors
        from dspkd.experiments.compare import grid as grid_file
        from dspkd.experiments.fastest import measure
        from dspkd.recipes import catalog as recipes
        from dspkd.runtime.console import ConsoleProgress, terminal

        loaded = grid_file.load(recipes.find_grid(grid))
        with ConsoleProgress(terminal()) as screen:
            jobs = jobs or (1 if ray else measure.best_jobs(grid_file.a_student(loaded), screen.note))
            executor = executors.choose(jobs=jobs, ray=ray, listener=screen)
            compared = comparison.compare(loaded, out, executor, jobs=jobs, log=screen.note, progress=screen.runs)
        for results in compared.results:
            print_comparison(terminal(), results)
        for page in [out / "results.md", *compared.pages]:
            typer.echo(f"report: {page}")
        if compared.failed:
            typer.secho(
                f"error: {compared.failed} runs have no result; run the same command again to retry", fg="red", err=True
            )
            raise typer.Exit(code=1)


@app.command()
def methods() -> None:
    """List the distillation methods: purpose, options with defaults, source, and what is inferred."""
    with one_line_errors():
        from dspkd import methods as registry

        for name in registry.names():
            typer.echo(registry.describe(name))


@app.command()
def models(
    table: Annotated[
        bool,
        typer.Option(
            "--table", help="Print a Markdown page with parameters and multiply-accumulates, ours and the paper's."
        ),
    ] = False,
) -> None:
    """List the networks with their sizes. Any other timm model works by its timm name."""
    with one_line_errors():
        from dspkd.cli.tables import print_models
        from dspkd.models import markdown as page
        from dspkd.models import zoo
        from dspkd.runtime.console import terminal

        if table:
            typer.echo(page.markdown(zoo.describe()), nl=False)
            return
        print_models(terminal(), zoo.describe())


def _print_results(folders: list[Path]) -> None:
    """Print the test-set results of each run, and a warning for each run whose split leaks."""
    from dspkd.cli.tables import print_results
    from dspkd.runs.run_folder import Run
    from dspkd.runtime.console import terminal

    runs = [(f"{run.result.name}{' (leaking split)' * bool(run.leak)}", run) for run in map(Run, folders)]
    print_results(terminal(), ((name, run.result.parameters, run.test) for name, run in runs))
    for name, run in runs:
        if run.leak:
            terminal().print(f"{name}: {run.leak}", style="yellow", soft_wrap=True)
