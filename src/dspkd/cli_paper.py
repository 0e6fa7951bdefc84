"""The commands about published tables: check the claims of one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from dspkd.mistakes import told_in_one_line

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
    with told_in_one_line():
        from dspkd import claims as checker
        from dspkd.claims.read import read

        found = checker.check(read(table))
        if as_json:
            typer.echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
        else:
            from dspkd.printing import print_claims
            from dspkd.screen import terminal

            print_claims(terminal(), found, passed=passed)
        if any(finding.severity is checker.Severity.IMPOSSIBLE for finding in found):
            raise typer.Exit(code=1)
