"""The command `dspkd ledger`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dspkd.cli.errors import one_line_errors

_MOST = 20


def ledger(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run: the student.")],
    teacher: Annotated[
        Path | None,
        typer.Option(help="Folder of another run to hold it against; by default the teacher that it learnt from."),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--class", help="List all forgotten images of this class, e.g. MEL, and no others.")
    ] = None,
    part: Annotated[Literal["val", "test"], typer.Option(help="Part of the run's split.")] = "test",
    also: Annotated[
        list[Path] | None,
        typer.Option(
            help="Predictions (CSV) of the student in another form, such as int8; may be given several times."
        ),
    ] = None,
) -> None:
    """Print what a student forgot, copied and corrected of its teacher's answers, melanoma first.

    Forgotten: the teacher is right, the student wrong. Copied: both give the same wrong class. Corrected: the teacher
    is wrong, the student right. Then the first twenty forgotten images; beside each answer, in brackets, the
    probability of the true class. A run's own ledger.csv lists everything.
    """
    with one_line_errors():
        from dspkd.cli.tables import print_ledger
        from dspkd.reports import fidelity
        from dspkd.runtime.console import terminal

        found = fidelity.of_folder(run, part, teacher=teacher, also=also or ())
        listed = fidelity.of_class(found, part, only)
        print_ledger(terminal(), found.parts[part], listed, most=_MOST if only is None else len(listed))
