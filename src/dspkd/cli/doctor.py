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
from dspkd.runtime.rounding import score

if TYPE_CHECKING:
    from dspkd.experiments.teacher_check.examine import Examination


def doctor(
    recipe: RecipeArgument,
    student: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a finished run of the plain student, on the same data and split; once for each seed. "
            "By default, plain runs of the recipe's network beside the teacher's folder."
        ),
    ] = None,
    override: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object and nothing else.")] = False,
) -> None:
    """Check whether a recipe's teacher is worth learning from, before hours are spent, and suggest settings.

    Uses validation and training images only. Exit code 0: teach. 1: do not teach yet, with the reasons.
    """
    with one_line_errors():
        from dspkd.experiments.teacher_check import examine as examining
        from dspkd.recipes import catalog, schema
        from dspkd.runtime.console import terminal

        examination = examining.examine(schema.load(catalog.find(recipe), override or []), student or ())
        if as_json:
            typer.echo(json.dumps(_as_json(examination), indent=2))
        else:
            _print(terminal(), examination)
        if not examination.teach:
            raise typer.Exit(code=1)


def _as_json(examination: Examination) -> dict[str, Any]:
    verdict = {"verdict": examination.verdict, "teach": examination.teach}
    payload: dict[str, Any] = _finite({**verdict, **asdict(examination)})
    return payload


def _finite(value: Any) -> Any:
    """Return the value with None for infinite degrees of freedom, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if value == float("inf") else value


def _print(console: Console, examination: Examination) -> None:
    from dspkd.reports.wording import points
    from dspkd.runtime.console import headed

    console.print(
        f"teacher {', '.join(examination.teacher)}; plain student {', '.join(examination.students) or 'none'}",
        soft_wrap=True,
    )
    if examination.margin:
        ids = any(row.lesions for row in examination.margin.classes)
        table = headed(
            "recall on validation images; difference in percentage points, with its 95 % interval",
            ["class"],
            ["images", *(["lesions"] if ids else []), "teacher", "student", "difference", "result"],
        )
        for row in examination.margin.classes:
            recalls = [score(value) for value in (row.teacher, row.student)]
            by = row.margin
            # Of two students, Student's t has one degree of freedom and may reach beyond what recalls can differ by.
            interval = f"{points(max(by.low, -1))} to {points(min(by.high, 1))}" if by else ""
            difference = f"{points(by.value)}\n{interval}" if by else "-"
            numbers = (row.images, row.lesions) if ids else (row.images,)
            table.add_row(row.name, *(f"{number:,}" for number in numbers), *recalls, difference, row.word)
        console.print(table)
    for finding in examination.findings:
        style = {"ok": "", "note": "yellow", "stop": "red"}[finding.severity]
        console.print(f"{finding.severity:<4} {finding.about}: {finding.message}", style=style, soft_wrap=True)
    for each in examination.soft:
        console.print(
            f"     {each.place}: with {each.option} {each.given:g} the teacher's outputs for training images have "
            f"confidence {score(each.confidence)} and {each.entropy:.0%} of the entropy of guessing",
            soft_wrap=True,
        )
    if examination.suggestions:
        console.print("suggested settings (inferred; use them after --set, or in a grid's set):")
    for suggestion in examination.suggestions:
        console.print(f"  {suggestion.line}\n      {suggestion.reason}", soft_wrap=True)
    console.print(examination.verdict, style="bold" if examination.teach else "bold red", soft_wrap=True)
