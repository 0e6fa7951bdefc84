"""The command `dspkd`: prints and exits. What is slow to import is imported inside the command that needs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dspkd import __version__
from dspkd.errors import DspkdError

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

RecipeArgument = Annotated[str, typer.Argument(help="A recipe: a TOML file, or the name of an embedded one.")]
RunArgument = Annotated[Path, typer.Argument(help="Folder of a finished run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting; may be given several times. The value is TOML, in which text has quotes of its own: "
        "--set stages.0.epochs=2 --set 'data.path=\"images\"'",
    ),
]
GOES_ON = "stopped; the same command goes on from the last finished epoch"


@contextmanager
def _told_in_one_line(*, stopped: str = "stopped") -> Iterator[None]:
    """Turn a user's mistake into one line and exit code 2, Ctrl-C into 130; a mistake of ours keeps its traceback."""
    try:
        yield
    except DspkdError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(code=2) from None
    except KeyboardInterrupt:
        typer.secho(stopped, err=True)
        raise typer.Exit(code=130) from None


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
    with _told_in_one_line(stopped=GOES_ON):
        from dspkd import recipe as recipe_file
        from dspkd import recipes, run
        from dspkd.screen import Screen, terminal

        loaded = recipe_file.load(recipes.find(recipe), override or [])
        with Screen(terminal()) as screen:
            page = run.train(loaded, out, screen)
        _print_results([out])
        typer.echo(f"report: {page}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the runs and the report.")] = Path("runs/demo"),
) -> None:
    """Run the main job on synthetic lesions: teacher, plain and DSP-KD student, and a report that compares them."""
    with _told_in_one_line(stopped=GOES_ON):
        from dspkd import demo as demo_run
        from dspkd.screen import Screen, terminal

        with Screen(terminal()) as screen:
            page = demo_run.demo(out, screen)
        _print_results([out / step for step in demo_run.STEPS])
        typer.echo(f"report: {page}")


@app.command()
def evaluate(
    run: RunArgument,
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled images: a folder or CSV file of a known layout; by default the run's own."),
    ] = None,
    part: Annotated[str | None, typer.Option(help="Part of the run's own split: train, val or test (default).")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the predictions to this CSV file.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of --data that names the lesion or patient.")] = None,
    isic_csv: Annotated[
        Path | None,
        typer.Option(help="Also write the probabilities as a submission to the ISIC 2019 challenge, and score it so."),
    ] = None,
) -> None:
    """Judge a run's student on labelled images, and say how many of them it was trained on."""
    with _told_in_one_line():
        from dspkd import judge
        from dspkd.evaluate import isic
        from dspkd.screen import print_challenge, print_summary, terminal

        judged = judge.evaluate(run, folder=data, part=part, group=group)
        if out is not None:
            judged.predictions.save(out)
        if isic_csv is not None:
            isic.submit(judged.predictions, isic_csv)
        print_summary(terminal(), judged.summary)
        if isic_csv is not None:
            print_challenge(terminal(), isic.score(judged.predictions))
        if judged.known:
            typer.secho(
                f"warning: {judged.known} of these {len(judged.predictions)} images show lesions or patients that the "
                "student was trained on: its figures are too good",
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
        from dspkd.screen import print_facts, terminal

        print_facts(terminal(), explanation.explain(recipe_file.load(recipes.find(recipe), override or [])))


@app.command()
def plan(recipe: RecipeArgument, override: SetOption = None) -> None:
    """Measure 20 steps of each stage here, keeping nothing: where the time goes, and how long a run will take."""
    with _told_in_one_line():
        from dspkd import plan as planning
        from dspkd import recipe as recipe_file
        from dspkd import recipes
        from dspkd.screen import print_plan, terminal

        print_plan(terminal(), planning.plan(recipe_file.load(recipes.find(recipe), override or [])))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Compare finished runs on one page."""
    with _told_in_one_line():
        from dspkd import report as pages

        typer.echo(f"report: {pages.compare(runs, out)}")


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

    Arms must share data, split, student, pictures, batches and epochs. The plain student and label smoothing are added
    where they lack. Runs that failed are listed, and the same command tries them and the missing ones again.
    """
    with _told_in_one_line(stopped="stopped; the same command goes on with the runs that are missing"):
        from dspkd import compare as comparison
        from dspkd import engines, recipes
        from dspkd import grid as grid_file
        from dspkd.screen import Screen, print_comparison, terminal

        wanted = grid_file.load(recipes.find_grid(grid))
        with Screen(terminal()) as screen:
            engine = engines.choose(jobs=jobs, ray=ray, watcher=screen)
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
    with _told_in_one_line():
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
    with _told_in_one_line():
        from dspkd.models import page, zoo
        from dspkd.screen import print_models, terminal

        if table:
            typer.echo(page.markdown(zoo.describe()), nl=False)
            return
        print_models(terminal(), zoo.describe())


@recipes_app.command("ls")
def recipes_ls() -> None:
    """List the embedded recipes, and the grids for `dspkd compare`."""
    from dspkd import recipes

    for name in [*recipes.names(), *recipes.grids()]:
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
    duplicates: Annotated[float, typer.Option(help="Share of images to plant again under another id.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Another seed, other lesions.")] = 0,
) -> None:
    """Write synthetic lesions: drawn, not photographed; for demonstrations and tests."""
    with _told_in_one_line():
        from dspkd.data.synthetic import synthesize

        made = synthesize(
            folder, images=images, classes=classes, layout=layout, size=size, duplicates=duplicates, seed=seed
        )
        planted = f", and {made.planted} planted duplicates," if made.planted else ""
        typer.echo(f"{images} synthetic images of {made.lesions} lesions{planted} in {folder}")


def _print_results(runs: list[Path]) -> None:
    """Print what the test images said of each run."""
    from dspkd.evaluate.metrics import summarise
    from dspkd.evaluate.predictions import Predictions
    from dspkd.screen import print_results, terminal

    results = [json.loads((run / "result.json").read_text(encoding="utf-8")) for run in runs]
    summaries = [summarise(Predictions.load(run / "predictions" / "test.csv")) for run in runs]
    print_results(
        terminal(),
        [(result["name"], result["parameters"], summary) for result, summary in zip(results, summaries, strict=True)],
    )
