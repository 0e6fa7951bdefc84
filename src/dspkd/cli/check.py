"""`dspkd check`: whether the files of a run are as training wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dspkd.cli.errors import one_line_errors


def check(runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")]) -> None:
    """Check whether the files of runs are as training wrote them; the exit code is 2 where one is not."""
    with one_line_errors():
        from dspkd.runs import integrity
        from dspkd.runs.reading import opened

        lines = []
        for part in (part for folder in runs for part in opened(folder).parts):
            if not part.files.manifest.exists():
                part.require_run()
            found = integrity.problems(part.files)
            lines += found
            if not found:
                count = len(part.files.manifest.digests())
                typer.echo(f"{part.folder}: {count} files are as training wrote them{_unfinished(part.finished)}")
        for line in lines:
            typer.secho(f"error: {line}", fg="red", err=True)
        if lines:
            raise typer.Exit(code=2)


def _unfinished(finished: bool) -> str:
    return "" if finished else "; it is not finished, and the same dspkd train command goes on"
