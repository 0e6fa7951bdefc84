"""The commands about published tables: reproduce a table of the paper, check the claims of any table."""

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
            help="A table of results: results.json or results.md of dspkd compare, a CSV or TOML file, or the word "
            "paper for the tables of the DSP-KD paper.",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list of all findings, passed checks included.")
    ] = False,
    passed: Annotated[bool, typer.Option("--passed", help="Also print the checks that passed.")] = False,
) -> None:
    """Check a table of results for figures that are impossible or implausible, with the arithmetic.

    A CSV or TOML table has a row for each model; docs/how-to/check-claims.md lists the columns. Exit code 1 if a figure
    is impossible, 0 if not, 2 if the file cannot be read.
    """
    with one_line_errors():
        from dspkd.experiments.paper import claims as checker
        from dspkd.experiments.paper.claims.read import read

        findings = checker.check(read(table))
        if as_json:
            typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
        else:
            from dspkd.cli.tables import print_claims
            from dspkd.runtime.console import terminal

            print_claims(terminal(), findings, passed=passed)
        if any(finding.severity is checker.Severity.IMPOSSIBLE for finding in findings):
            raise typer.Exit(code=1)


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="A table of the DSP-KD paper: table1 to table7.")],
    out: Annotated[Path, typer.Option(help="Folder of runs and tables. Run the same command again to resume.")],
    data: Annotated[
        Path | None,
        typer.Option(help="A data set of a known layout, such as ISIC 2019; by default synthetic lesions."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Wall-clock limit, such as 2h or 30m: chooses networks, resolution, epochs and seeds, and prints the "
            "reductions against the full scale. Without it, the full scale, which takes days without a GPU."
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="A finished run whose results table1 or table6 shows; may be given several times."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs trained at the same time, each in its own process.")] = 1,
) -> None:
    """Reproduce a table of the DSP-KD paper: its figures, ours with intervals, and why they are not comparable.

    Writes Markdown, CSV, LaTeX and HTML. table1 (sizes) and table6 (times) train nothing. table2 and table3: methods on
    two data sets; table4 and table5: F1 per class; table7: the ablation, with controls.
    """
    with one_line_errors(stopped="stopped; run the same command again to train the missing runs"):
        from dspkd.experiments.budget import parse_budget
        from dspkd.experiments.compare import executors
        from dspkd.experiments.paper import tables
        from dspkd.runtime.console import ConsoleProgress, terminal

        seconds = None if budget is None else parse_budget(budget)
        with ConsoleProgress(terminal()) as screen:
            executor = executors.choose(jobs=jobs, listener=screen)
            reproduced = tables.reproduce(
                table, out, executor, data=data, budget=seconds, runs=run or (), jobs=jobs, log=screen.note
            )
        for file in reproduced.files:
            typer.echo(f"{table}: {file}")
        if reproduced.failed:
            typer.secho(
                f"error: {reproduced.failed} runs have no result; run the same command again to retry",
                fg="red",
                err=True,
            )
            raise typer.Exit(code=1)
