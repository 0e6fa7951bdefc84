"""The commands under `dspkd recipes`, and the arguments by which any command takes a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from dspkd.cli.errors import one_line_errors

app = typer.Typer(no_args_is_help=True, help="List, show and check recipes.")

RecipeArgument = Annotated[str, typer.Argument(help="A recipe: a TOML file, or the name of an embedded one.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting; may be given several times. The value is TOML, so strings need their own quotes: "
        "--set stages.0.epochs=2 --set 'data.path=\"images\"'",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Runs trained at the same time, each in its own process. By default as many as dspkd plan --fastest "
        "measured to be fastest, or else 1.",
    ),
]


@app.command("ls")
def ls() -> None:
    """List the embedded recipes, and the grids for `dspkd compare`."""
    from dspkd.recipes import catalog

    paths = {name: catalog.find(name) for name in catalog.names()}
    paths |= {name: catalog.find_grid(name) for name in catalog.grids()}
    for name, path in paths.items():
        typer.echo(f"{name:<36} {catalog.headline(path)}")


@app.command("show")
def show(recipe: RecipeArgument) -> None:
    """Print a recipe or a grid."""
    with one_line_errors():
        from dspkd.recipes import catalog as recipes

        typer.echo(recipes.find_either(recipe).read_text(encoding="utf-8"), nl=False)


@app.command("keys")
def keys(
    section: Annotated[str, typer.Argument(help="Only keys that begin so, such as train or stages.N.terms.")] = "",
    table: Annotated[bool, typer.Option("--table", help="Print a Markdown page.")] = False,
) -> None:
    """List every key of a recipe: the values that it takes, its default, and what it does."""
    with one_line_errors():
        from dspkd.errors import RecipeError, suggest
        from dspkd.recipes import keys as reference

        if table:
            typer.echo(reference.markdown(), nl=False)
            return
        known = reference.all_keys()
        chosen = [key for key in known if f"{key.name}.".startswith(section and f"{section.rstrip('.')}.")]
        if not chosen:
            raise RecipeError(f"no key {section!r}; {suggest(section, [key.name for key in known])}")
        for key in chosen:
            typer.echo(f"{key.name}: {key.type} ({key.default})\n    {key.text}")


@app.command("check")
def check(recipe: RecipeArgument, override: SetOption = None) -> None:
    """Check a recipe without reading data: every key and value, model, methods and their options."""
    with one_line_errors():
        from dspkd.recipes import catalog as recipes
        from dspkd.recipes import schema
        from dspkd.runs import validate

        loaded = schema.load(recipes.find(recipe), override or [])
        validate.check(loaded)
        typer.echo(f"{loaded.name}: valid; digest {loaded.digest}, {len(loaded.stages)} stages, {loaded.epochs} epochs")
