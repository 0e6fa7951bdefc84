"""The command `dspkd agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dspkd.cli.errors import one_line_errors

_MOST = 20


def agreement(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run: the student.")],
    teacher: Annotated[
        Path | None,
        typer.Option(help="Folder of another run to compare with; by default the student's own teacher."),
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
    """Compare a student's predictions with its teacher's: which it forgot, copied and corrected, by class.

    Forgotten: the teacher is right, the student wrong. Copied: both predict the same wrong class. Corrected: the
    teacher is wrong, the student right. Then the first 20 forgotten images, melanoma first, with the probability of the
    true class in brackets. The run's ledger.csv lists every image that is not kept.
    """
    with one_line_errors():
        from dspkd.cli.tables import print_agreement
        from dspkd.reports import fidelity
        from dspkd.runtime.console import terminal

        compared = fidelity.of_folder(run, part, teacher=teacher, also=also or ())
        forgotten = fidelity.of_class(compared, part, only)
        most = _MOST if only is None else len(forgotten)
        print_agreement(terminal(), compared.parts[part], forgotten, most=most, only=only)
