"""The commands about published tables: reproduce one of the paper's, check the claims of any."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dspkd.cli.errors import one_line_errors

app = typer.Typer()


@app.command()
def claims(
    table: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A table of results: results.json or .md of dspkd compare, one typed as CSV or TOML, or the word "
            "paper for the tables of the DSP-KD paper.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of findings, those passed too.")] = False,
    passed: Annotated[bool, typer.Option("--passed", help="Also print what was checked and found in order.")] = False,
) -> None:
    """Say what of a table of results cannot be, with the arithmetic, and what could not be checked.

    A typed table has a row for each model; docs/how-to/check-claims.md shows the columns. Exit code 1 if something is
    impossible, 0 if not, 2 if the file cannot be read.
    """
    with one_line_errors():
        from dspkd.experiments.paper import claims as checker
        from dspkd.experiments.paper.claims.read import read

        found = checker.check(read(table))
        if as_json:
            typer.echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
        else:
            from dspkd.cli.tables import print_claims
            from dspkd.runtime.console import terminal

            print_claims(terminal(), found, passed=passed)
        if any(finding.severity is checker.Severity.IMPOSSIBLE for finding in found):
            raise typer.Exit(code=1)


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="A table of the DSP-KD paper: table1 to table7.")],
    out: Annotated[Path, typer.Option(help="Folder of runs and tables. The same command goes on where it was.")],
    data: Annotated[
        Path | None,
        typer.Option(help="A data set of a known layout, such as ISIC 2019; by default synthetic lesions, made here."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Wall-clock limit, such as 2h or 30m: chooses networks, resolution, epochs and seeds, and prints what "
            "that gives up. Without it, the full scale: days without a GPU."
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="A finished run whose figures table1 or table6 shows; may be given several times."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs trained at once, each in a process of its own.")] = 1,
) -> None:
    """Set a table of the paper beside figures of ours, with intervals and why the two do not compare.

    Writes Markdown, CSV, LaTeX and a page. table1 (sizes) and table6 (times) train nothing. table2 and table3: methods
    on two data sets; table4 and table5: class by class; table7: the ablation, with controls.
    """
    with one_line_errors(stopped="stopped; the same command goes on with the runs that are missing"):
        from dspkd.experiments.compare import executors
        from dspkd.experiments.paper import tables
        from dspkd.experiments.paper.scale import parse_budget
        from dspkd.runtime.console import ConsoleProgress, terminal

        seconds = None if budget is None else parse_budget(budget)
        with ConsoleProgress(terminal()) as screen:
            engine = executors.choose(jobs=jobs, listener=screen)
            made = tables.reproduce(
                table, out, engine, data=data, budget=seconds, runs=run or (), jobs=jobs, log=screen.note
            )
        for file in made.files:
            typer.echo(f"{table}: {file}")
        if made.failed:
            typer.secho(f"error: {made.failed} runs have no result; the same command tries again", fg="red", err=True)
            raise typer.Exit(code=1)
