"""The command `dspkd doctor`: whether a recipe's teacher is worth learning from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from dspkd.cli.errors import one_line_errors
from dspkd.cli.recipes import RecipeArgument, SetOption

if TYPE_CHECKING:
    from dspkd.experiments.teacher_check.examine import Examination


def doctor(
    recipe: RecipeArgument,
    student: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a finished run of the plain student, on the same data and split; several are its seeds. "
            "By default, plain runs of the recipe's network beside the teacher's folder."
        ),
    ] = None,
    override: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object and nothing else.")] = False,
) -> None:
    """Say whether a recipe's teacher is worth learning from, and what should be taught, before hours are spent.

    Looks at validation and training images only. Exit code 0: teach. 1: do not teach yet, with the reasons.
    """
    with one_line_errors():
        from dspkd.experiments.teacher_check import examine as examining
        from dspkd.recipes import catalog, schema
        from dspkd.runtime.console import terminal

        found = examining.examine(schema.load(catalog.find(recipe), override or []), student or ())
        if as_json:
            typer.echo(json.dumps(_plain(found), indent=2))
        else:
            _print(terminal(), found)
        if not found.teach:
            raise typer.Exit(code=1)


def _plain(found: Examination) -> dict[str, Any]:
    told: dict[str, Any] = _finite({"verdict": found.verdict, "teach": found.teach, **asdict(found)})
    return told


def _finite(value: Any) -> Any:
    """Return the value as JSON can hold it: it knows no infinite degrees of freedom."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if value == float("inf") else value


def _print(console: Console, found: Examination) -> None:
    from dspkd.reports.wording import points
    from dspkd.runtime.console import headed

    console.print(
        f"teacher {', '.join(found.teacher)}; plain student {', '.join(found.students) or 'none'}", soft_wrap=True
    )
    if found.margin:
        table = headed(
            "recall on validation images; the margin in points, with its 95 % interval",
            ["class"],
            ["lesions", "teacher", "student", "margin", "shown"],
        )
        for row in found.margin.classes:
            recalls = ["-" if value is None else f"{value:.3f}" for value in (row.teacher, row.student)]
            by = row.margin
            # Of two students, Student's t has one degree of freedom and may reach beyond what recalls can differ by.
            ends = f"{points(max(by.low, -1))} to {points(min(by.high, 1))}" if by else ""
            told = f"{points(by.value)}\n{ends}" if by else "-"
            table.add_row(row.name, str(row.lesions), *recalls, told, row.word)
        console.print(table)
    for finding in found.findings:
        style = {"ok": "", "note": "yellow", "stop": "red"}[finding.level]
        console.print(f"{finding.level:<4} {finding.about}: {finding.says}", style=style, soft_wrap=True)
    for each in found.soft:
        console.print(
            f"     {each.place}: with {each.option} {each.given:g} the teacher's answers to training images have "
            f"confidence {each.confidence:.3f} and {each.entropy:.0%} of the entropy of guessing",
            soft_wrap=True,
        )
    if found.settings:
        console.print("settings that follow (inferred; after --set, or in a grid's set):")
    for setting in found.settings:
        console.print(f"  {setting.line}\n      {setting.reason}", soft_wrap=True)
    console.print(found.verdict, style="bold" if found.teach else "bold red", soft_wrap=True)
